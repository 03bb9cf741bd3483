//! Object stores that hold archives: S3, S3 behind presigned URLs, a directory, and (in tests) memory. One more encrypts
//! the objects of another store.

#[cfg(test)]
pub(crate) mod conformance;
mod directory;
mod encrypted;
#[cfg(test)]
pub(crate) mod memory;
mod presigned;
mod s3;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub(crate) use directory::DirectoryStore;
pub(crate) use encrypted::{ArchiveKey, EncryptedStore, HEADER, is_encrypted};
#[cfg(test)]
pub(crate) use presigned::tests::TestSigner;
pub(crate) use presigned::{PresignedStore, PresignedUrl, UrlSigner};
pub(crate) use s3::{S3Location, S3Store};

use crate::error::{Error, ErrorKind, Result};

/// A set of objects under one prefix. Keys are relative to the prefix: segments separated by `/`, none of them `.` or
/// `..`.
///
/// All methods may run concurrently. A store retries internally where a retry can help, before it returns an error.
#[async_trait]
pub(crate) trait ObjectStore: Send + Sync + fmt::Debug {
    /// Stores an object, whole or not at all, and replaces an existing one. Dropping the future leaves the old object
    /// or the new one.
    async fn put(&self, key: &str, data: Bytes) -> Result<()>;

    /// Reads an object of at most `limit` bytes; `None` when it does not exist.
    ///
    /// # Errors
    /// `Data` when the object is longer than `limit`.
    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>>;

    /// Lists every key that starts with `prefix`, in no particular order.
    async fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// When the newest object was stored, by the store's clock; `None` if there is none, or if the store does not know.
    async fn last_modified(&self) -> Result<Option<SystemTime>> {
        Ok(None)
    }

    /// Removes objects. A missing object is no error.
    async fn remove(&self, keys: &[String]) -> Result<()>;

    /// The URL of an object for messages, without secrets; with an empty key that of the whole store.
    fn url(&self, key: &str) -> String;

    /// Signs a URL that allows one method on one object without credentials. A URL for PUT or GET is valid for an hour,
    /// one for DELETE for seven days, and no URL longer than the credentials that sign it.
    ///
    /// # Errors
    /// `Unsupported` where the store signs no URLs, which is the default.
    async fn presign(&self, _key: &str, _method: HttpMethod) -> Result<SignedRequest> {
        let message = format!("{} cannot be shared with another site by presigned URLs: use s3:// there", self.url(""));
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// Closes the store and removes the objects that were put through this value and not removed since: the last resort
    /// where [`list`](Self::list) and [`remove`](Self::remove) need a signer that is unreachable.
    ///
    /// # Errors
    /// `Unsupported` where [`list`](Self::list) and [`remove`](Self::remove) need no signer, which is the default.
    async fn remove_orphans(&self) -> Result<()> {
        let message = format!("{} needs no signer: list and remove its objects", self.url(""));
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// `Storage` when it does not exist, `Data` when it is longer than `limit`.
    async fn get(&self, key: &str, limit: u64) -> Result<Bytes> {
        let found = self.find(key, limit).await?;
        found.ok_or_else(|| Error::new(ErrorKind::Storage, format!("{} does not exist", self.url(key))))
    }
}

/// The error for an object longer than `limit` bytes.
fn too_long(url: &str, limit: u64) -> Error {
    Error::new(ErrorKind::Data, format!("{url} is damaged: it is longer than {limit} bytes"))
}

/// A request that is signed in advance.
#[derive(Debug, Clone)]
pub(crate) struct SignedRequest {
    pub(crate) url: SecretString,
    /// The headers that the signature includes, beyond HTTP's own: the request must have them.
    pub(crate) headers: Vec<(String, String)>,
}

/// The HTTP method that a presigned URL allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HttpMethod {
    /// Stores the object.
    Put,
    /// Reads it.
    Get,
    /// Removes it.
    Delete,
}

/// The beginning of the last segment of a temporary object's key: a probe, or a file that is still being written.
pub(crate) const TEMPORARY: &str = ".dbgraft-";

/// Returns a unique name for a temporary object.
pub(crate) fn temporary_name(purpose: &str) -> String {
    format!("{TEMPORARY}{purpose}-{}", unique_name())
}

/// Returns a random name of 16 hexadecimal digits.
pub(crate) fn unique_name() -> String {
    // The standard library seeds every `RandomState` anew. The name is unique, not secret.
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}
