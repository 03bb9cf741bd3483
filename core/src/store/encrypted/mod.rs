//! Encrypts the objects of another store, for archives that only the holder of a key can read.

mod cipher;
mod header;
mod key;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use self::cipher::{OVERHEAD_BYTES, ObjectCipher};
use self::header::MAX_HEADER_BYTES;
use super::{ObjectStore, TEMPORARY, too_long};
use crate::error::{Error, ErrorKind, Result};

pub(crate) use self::cipher::is_encrypted;
pub(crate) use self::header::HEADER;
pub(crate) use self::key::ArchiveKey;

/// A store that holds one archive, whose objects it encrypts and decrypts. The first object writes a [`HEADER`] before it,
/// whose removal by key ends the archive. Temporary objects are not encrypted: they hold nothing.
#[derive(Debug)]
pub(crate) struct EncryptedStore {
    store: Arc<dyn ObjectStore>,
    key: Arc<ArchiveKey>,
    /// The cipher of the archive, once its header was read or written.
    cipher: Mutex<Option<Arc<ObjectCipher>>>,
}

impl EncryptedStore {
    /// Creates a store whose objects `store` holds.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, key: Arc<ArchiveKey>) -> Self {
        Self { store, key, cipher: Mutex::default() }
    }

    /// Returns the cipher; `None` where there is no header.
    async fn cipher_for_reading(&self) -> Result<Option<Arc<ObjectCipher>>> {
        self.load(&mut *self.cipher.lock().await).await
    }

    /// Returns the cipher, and writes a header where there is none.
    async fn cipher_for_writing(&self) -> Result<Arc<ObjectCipher>> {
        let mut cipher = self.cipher.lock().await;
        if let Some(loaded) = self.load(&mut cipher).await? {
            return Ok(loaded);
        }
        let key = self.key.clone();
        let (header, created) = spawn_blocking(move || header::create(&key)).await.map_err(stopped)??;
        self.store.put(HEADER, header).await?;
        Ok(cipher.insert(Arc::new(created)).clone())
    }

    /// Reads the header, unless its cipher is known.
    async fn load(&self, cipher: &mut Option<Arc<ObjectCipher>>) -> Result<Option<Arc<ObjectCipher>>> {
        if cipher.is_none()
            && let Some(header) = self.store.find(HEADER, MAX_HEADER_BYTES).await?
        {
            let (key, url) = (self.key.clone(), self.url(""));
            let opened = spawn_blocking(move || header::open(&header, &key, &url)).await;
            *cipher = Some(Arc::new(opened.map_err(stopped)??));
        }
        Ok(cipher.clone())
    }

    /// Looks for an object of an archive without a header, which is an error if there is one.
    async fn find_without_header(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let Some(object) = self.store.find(key, limit).await? else { return Ok(None) };
        let at = self.url("");
        Err(match is_encrypted(&object) {
            true => {
                let message = format!("the archive at {at} has lost its {HEADER}: restore it, or export again");
                Error::new(ErrorKind::Data, message)
            }
            false => Error::usage(format!("the archive at {at} is not encrypted: leave out --encrypt")),
        })
    }
}

#[async_trait]
impl ObjectStore for EncryptedStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        if is_temporary(key) {
            return self.store.put(key, data).await;
        }
        let (cipher, name) = (self.cipher_for_writing().await?, key.to_owned());
        let encrypted = spawn_blocking(move || cipher.encrypt(&name, &data)).await.map_err(stopped)?;
        let failed = |_| Error::new(ErrorKind::Internal, format!("cannot encrypt {}", self.url(key)));
        self.store.put(key, encrypted.map_err(failed)?).await
    }

    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        if is_temporary(key) {
            return self.store.find(key, limit).await;
        }
        let stored_limit = limit.saturating_add(OVERHEAD_BYTES as u64);
        let Some(cipher) = self.cipher_for_reading().await? else {
            return self.find_without_header(key, stored_limit).await;
        };
        let object = self.store.find(key, stored_limit).await.map_err(|error| match error.kind() {
            ErrorKind::Data => too_long(&self.url(key), limit),
            _ => error,
        })?;
        let Some(object) = object else { return Ok(None) };
        let name = key.to_owned();
        let decrypted = spawn_blocking(move || cipher.decrypt(&name, object)).await.map_err(stopped)?;
        let damaged = |_| {
            let message = "it is not what was encrypted under this name of this archive";
            Error::new(ErrorKind::Data, format!("{} is damaged: {message}", self.url(key)))
        };
        decrypted.map(Some).map_err(damaged)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.store.list(prefix).await
    }

    async fn last_modified(&self) -> Result<Option<SystemTime>> {
        self.store.last_modified().await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.store.remove(keys).await?;
        if keys.iter().any(|key| key == HEADER) {
            *self.cipher.lock().await = None;
        }
        Ok(())
    }

    fn url(&self, key: &str) -> String {
        self.store.url(key)
    }

    async fn remove_orphans(&self) -> Result<()> {
        self.store.remove_orphans().await
    }
}

fn is_temporary(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(TEMPORARY))
}

fn stopped(error: tokio::task::JoinError) -> Error {
    let kind = if error.is_cancelled() { ErrorKind::Cancelled } else { ErrorKind::Internal };
    Error::new(kind, "the encryption was stopped").caused_by(error)
}
