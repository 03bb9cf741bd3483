//! Removes an archive.

use super::layout::{DATA, MANIFEST, PLAN, PROGRESS, is_archive_key};
use crate::error::Result;
use crate::store::{HEADER, ObjectStore, TEMPORARY};

/// Removes an archive, complete or not, and no other object at its location.
///
/// Removes the manifest first and the plan last: an interruption leaves an incomplete archive. An encrypted plan cannot
/// be read without the header, so the header goes after it.
pub(crate) async fn remove(store: &dyn ObjectStore) -> Result<()> {
    store.remove(&[MANIFEST.to_owned()]).await?;
    let mut keys = store.list(DATA).await?;
    keys.extend(store.list(PROGRESS).await?);
    keys.extend(store.list(TEMPORARY).await?);
    keys.retain(|key| is_archive_key(key));
    store.remove(&keys).await?;
    store.remove(&[PLAN.to_owned()]).await?;
    store.remove(&[HEADER.to_owned()]).await
}
