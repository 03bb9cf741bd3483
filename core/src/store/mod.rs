//! Where an archive lives: S3, a directory, or (in tests) memory.

#[cfg(test)]
pub(crate) mod conformance;
mod directory;
mod lent;
#[cfg(test)]
pub(crate) mod memory;
mod s3;

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub(crate) use directory::Directory;
#[cfg(test)]
pub(crate) use lent::tests::Owner;
pub(crate) use lent::{Lender, Lent, Loan};
pub(crate) use s3::{S3, S3Location};

use crate::error::{Error, ErrorKind, Result};

/// A place for objects, under one prefix. Keys are relative to it: segments separated by `/`, none of them `.` or `..`.
///
/// Every call may be made several times at once. What a store can retry by itself it has retried when it returns an
/// error.
#[async_trait]
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Stores a whole object or nothing, and replaces the one that is there. Dropping the future before its end leaves
    /// the old object or the new one.
    async fn put(&self, key: &str, data: Bytes) -> Result<()>;

    /// The object, or `None` when there is none. Reads no more than `limit` bytes.
    ///
    /// # Errors
    /// `Data` when the object is longer than `limit`.
    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>>;

    /// Every key that starts with `prefix`, in no particular order.
    async fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes objects. One that is not there is no error.
    async fn remove(&self, keys: &[String]) -> Result<()>;

    /// The address of an object for messages, or with an empty key that of the whole store. Without secrets.
    fn url(&self, key: &str) -> String;

    /// A URL by which anybody may do this one thing with this one object, and needs no key for it. To store and to read it
    /// is good for an hour, to remove for seven days; where the store's own credentials are temporary, for as long as these
    /// at most. Nothing but HTTP's own headers has to be sent.
    ///
    /// # Errors
    /// `Unsupported` where no URLs are lent, which is the default.
    async fn presign(&self, _key: &str, _verb: Verb) -> Result<SecretString> {
        let message = format!("{} cannot be lent to another site: use s3:// there", self.url(""));
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// Removes what was put through this very value and not removed since, and takes nothing more: the way out for a store
    /// that depends on somebody who is gone.
    ///
    /// # Errors
    /// `Unsupported` where [`list`](Self::list) and [`remove`](Self::remove) depend on nobody, which is the default.
    async fn remove_orphans(&self) -> Result<()> {
        let message = format!("nobody lends {}: its objects are listed and removed", self.url(""));
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// The object. Reads no more than `limit` bytes.
    ///
    /// # Errors
    /// `Storage` when there is none, `Data` when it is longer than `limit`.
    async fn get(&self, key: &str, limit: u64) -> Result<Bytes> {
        let found = self.find(key, limit).await?;
        found.ok_or_else(|| Error::new(ErrorKind::Storage, format!("{} does not exist", self.url(key))))
    }
}

/// The error of an object that is longer than it may be.
fn too_long(url: &str, limit: u64) -> Error {
    Error::new(ErrorKind::Data, format!("{url} is damaged: it is longer than {limit} bytes"))
}

/// What a lent URL is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    /// To store the object.
    Put,
    /// To read it.
    Get,
    /// To remove it.
    Delete,
}

/// How the last segment of a key begins that names no lasting object: probes, and files that are still being written.
pub(crate) const TEMPORARY: &str = ".dbgraft-";

/// A name for something short-lived, that a listing can tell from lasting objects.
pub(crate) fn temporary_name(purpose: &str) -> String {
    format!("{TEMPORARY}{purpose}-{}", unique_name())
}

/// A name that nobody else uses: 16 hexadecimal digits.
pub(crate) fn unique_name() -> String {
    // The standard library seeds every `RandomState` anew; nothing secret depends on it.
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}
