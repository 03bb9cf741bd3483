//! Where archives lie.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::store::{DirectoryStore, ObjectStore, S3Location, S3Store};

/// A place of one archive: a parsed `s3://` or `file://` URL.
#[derive(Debug, Clone)]
pub(super) enum Shelf {
    S3(S3Location),
    Directory(PathBuf),
}

impl Shelf {
    /// Opens it from here.
    pub(super) fn open(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(match self {
            Self::S3(location) => Arc::new(S3Store::open(location.clone())?),
            Self::Directory(path) => Arc::new(DirectoryStore::open(path.clone())?),
        })
    }

    /// Where it is, if other machines see it too.
    pub(super) fn shared(&self) -> Option<&S3Location> {
        match self {
            Self::S3(location) => Some(location),
            Self::Directory(_) => None,
        }
    }
}
