//! The documents of the tables that an export has completed: a later process takes these tables over.

use std::collections::BTreeMap;

use super::layout::{
    ChunkEntry, DATA, MANIFEST, MAX_DOCUMENT_BYTES, PROGRESS, batch_table, encode, is_archive_key, progress_key,
    progress_table,
};
use super::status::{complete_tables, written_plan};
use crate::batch::{BatchId, Receipt};
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{CompleteTable, Plan};
use crate::store::ObjectStore;

/// Records that a table is complete, with all its chunks.
pub(super) async fn record_table(store: &dyn ObjectStore, table: u32, chunks: &[ChunkEntry]) -> Result<()> {
    store.put(&progress_key(table), encode(&chunks)?).await
}

/// Takes over the complete tables of an unfinished archive, and removes the batches of all others. Returns the tables and
/// the receipts of their batches.
///
/// # Errors
/// `Preflight` if the archive is of another job, or complete.
pub(super) async fn take_over(
    store: &dyn ObjectStore,
    plan: &Plan,
) -> Result<(Vec<CompleteTable>, BTreeMap<BatchId, Receipt>)> {
    let refused = |why: &str| {
        let message =
            format!("the export into {} cannot be resumed, and nothing has been changed: {why}", store.url(""));
        Error::new(ErrorKind::Preflight, message)
    };
    match written_plan(store).await? {
        Some(written) if written.job.id == plan.job.id => {}
        _ => return Err(refused("the plan there is of another job")),
    }
    if store.find(MANIFEST, MAX_DOCUMENT_BYTES).await?.is_some() {
        return Err(refused("it is complete"));
    }
    let (mut complete, mut receipts) = (Vec::new(), BTreeMap::new());
    for (number, chunks) in complete_tables(store).await? {
        let planned = plan.tables.iter().find(|table| table.number == number);
        // Another process completed it, after this one had planned to read it again.
        if plan.job.reads_again && planned.is_some_and(|table| table.position.is_none()) {
            continue;
        }
        let listed = chunks.iter().map(|entry| (entry.table, entry.chunk));
        if !planned.is_some_and(|table| table.chunks.iter().map(|chunk| (number, chunk.number)).eq(listed)) {
            return Err(refused(&format!("its table {number} has other chunks than the plan")));
        }
        let mut table = CompleteTable { table: number, ..CompleteTable::default() };
        for chunk in &chunks {
            let mut digest = Digest::default();
            for receipt in chunk.receipts() {
                digest.add(&receipt.digest);
                table.rows += receipt.rows;
                table.bytes += receipt.bytes;
                receipts.insert(receipt.id, receipt);
            }
            table.chunks.push(digest);
        }
        complete.push(table);
    }
    let is_left = |key: &String| {
        let is_complete = batch_table(key).is_some_and(|number| complete.iter().any(|table| table.table == number));
        is_archive_key(key) && !is_complete
    };
    let stale: Vec<String> = store.list(DATA).await?.into_iter().filter(is_left).collect();
    store.remove(&stale).await?;
    Ok((complete, receipts))
}

/// Removes the documents after the manifest is written.
pub(super) async fn remove(store: &dyn ObjectStore) -> Result<()> {
    let keys: Vec<String> =
        store.list(PROGRESS).await?.into_iter().filter(|key| progress_table(key).is_some()).collect();
    store.remove(&keys).await
}
