//! Stores objects in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;

use super::{ObjectStore, too_long};
use crate::error::Result;

/// An object store in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryStore {
    /// The objects, for tests to inspect or to damage.
    pub(crate) fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap()
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        self.objects().insert(key.to_owned(), data);
        Ok(())
    }

    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        match self.objects().get(key).cloned() {
            Some(data) if data.len() as u64 > limit => Err(too_long(&self.url(key), limit)),
            found => Ok(found),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.objects().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        keys.iter().for_each(|key| drop(self.objects().remove(key)));
        Ok(())
    }

    fn url(&self, key: &str) -> String {
        format!("memory:///{key}")
    }
}
