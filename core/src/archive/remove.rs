//! Removing an archive.

use super::layout::{DATA, MANIFEST, PLAN, is_ours};
use crate::error::Result;
use crate::store::{ObjectStore, TEMPORARY};

/// Removes an archive, complete or not, and nothing else that lies there.
///
/// The manifest goes first and the plan last, so that what an interruption leaves is seen to be an incomplete archive.
pub(crate) async fn remove(store: &dyn ObjectStore) -> Result<()> {
    store.remove(&[MANIFEST.to_owned()]).await?;
    let mut keys = store.list(DATA).await?;
    keys.extend(store.list(TEMPORARY).await?);
    keys.retain(|key| is_ours(key));
    store.remove(&keys).await?;
    store.remove(&[PLAN.to_owned()]).await
}
