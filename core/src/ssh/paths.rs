//! Paths relative to the home directory.

use std::path::{Path, PathBuf};

/// Replaces a leading `~` by the home directory.
pub(super) fn expand_home(path: &Path) -> PathBuf {
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| home_dir().join(rest))
}

pub(super) fn home_dir() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}
