//! Finds out whether there is an archive at a location.

use super::layout::{MANIFEST, MAX_DOCUMENT_BYTES, PLAN};
use crate::error::Result;
use crate::store::ObjectStore;

/// What is at the location of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveStatus {
    Missing,
    /// It has a plan and no manifest: it is being written, or its export was killed.
    Unfinished,
    Complete,
}

/// Looks for an archive.
pub(crate) async fn status(store: &dyn ObjectStore) -> Result<ArchiveStatus> {
    let find = |key| store.find(key, MAX_DOCUMENT_BYTES);
    Ok(match futures::try_join!(find(PLAN), find(MANIFEST))? {
        (None, None) => ArchiveStatus::Missing,
        (_, Some(_)) => ArchiveStatus::Complete,
        (_, None) => ArchiveStatus::Unfinished,
    })
}
