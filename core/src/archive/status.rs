//! Finds out whether there is an archive at a location.

use std::collections::BTreeMap;

use serde_json::Value;

use super::layout::{ChunkEntry, MANIFEST, MAX_DOCUMENT_BYTES, Manifest, PLAN, PROGRESS, decode, progress_table};
use crate::batch::Receipt;
use crate::clone_record::{CloneRecord, CloneState, TableProgress};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Plan, TablePlan};
use crate::store::{HEADER, ObjectStore};

/// What is at the location of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveStatus {
    Missing,
    /// It has a plan or the header of an encrypted archive, and no manifest: it is being written, or its export was killed.
    Unfinished,
    Complete,
}

/// Looks for an archive.
pub(crate) async fn status(store: &dyn ObjectStore) -> Result<ArchiveStatus> {
    // Reads none of them: they may be encrypted by another key.
    let exists = async |key: &str| store.list(key).await.map(|keys| keys.iter().any(|found| found == key));
    let (plan, manifest, header) = futures::try_join!(exists(PLAN), exists(MANIFEST), exists(HEADER))?;
    Ok(match (plan || header, manifest) {
        (false, false) => ArchiveStatus::Missing,
        (_, true) => ArchiveStatus::Complete,
        (_, false) => ArchiveStatus::Unfinished,
    })
}

/// The plan of an archive, complete or not; `None` if there is none.
pub(crate) async fn written_plan(store: &dyn ObjectStore) -> Result<Option<Plan>> {
    match store.find(PLAN, MAX_DOCUMENT_BYTES).await? {
        None => Ok(None),
        Some(document) => decode(&document, &store.url(PLAN)).map(|parsed| Some(parsed.content)),
    }
}

/// What an archive knows of the export into it; `None` where there is no archive.
pub(super) async fn record(store: &dyn ObjectStore) -> Result<Option<CloneRecord>> {
    let state = match status(store).await? {
        ArchiveStatus::Missing => return Ok(None),
        ArchiveStatus::Unfinished => CloneState::Unfinished,
        ArchiveStatus::Complete => CloneState::Finished,
    };
    let damaged = |error: Error| match error.kind() {
        ErrorKind::Data | ErrorKind::Unsupported => {
            Ok(CloneRecord { state: CloneState::Damaged, damage: Some(error.to_string()), ..CloneRecord::default() })
        }
        _ => Err(error),
    };
    let read = async {
        let plan = written_plan(store).await?;
        let totals = match state {
            CloneState::Finished => read_totals(store).await?,
            _ => read_progress(store).await?,
        };
        let table = |table: &TablePlan| {
            let total = totals.iter().find(|(number, ..)| *number == table.number);
            let (rows, bytes) = total.map_or((0, 0), |(_, rows, bytes)| (*rows, *bytes));
            let (name, complete) = (table.table.name.clone(), total.is_some());
            TableProgress { table: table.number, name, rows, bytes, complete }
        };
        let tables = plan.iter().flat_map(|plan| &plan.tables).map(table).collect();
        let job = plan.as_ref().map(|plan| plan.job.id.clone()).unwrap_or_default();
        let last_write = match state {
            CloneState::Unfinished => store.last_modified().await?,
            _ => None,
        };
        let undo_records = vec![Value::Null];
        Ok(CloneRecord { state, job, plan, tables, undo_records, last_write, ..CloneRecord::default() })
    };
    read.await.or_else(damaged).map(Some)
}

/// The rows and bytes of each table, from the manifest.
async fn read_totals(store: &dyn ObjectStore) -> Result<Vec<(u32, u64, u64)>> {
    let Some(document) = store.find(MANIFEST, MAX_DOCUMENT_BYTES).await? else { return Ok(Vec::new()) };
    let manifest: Manifest = decode(&document, &store.url(MANIFEST))?.content;
    Ok(manifest.table_totals().collect())
}

/// The rows and bytes of each complete table of an unfinished archive.
async fn read_progress(store: &dyn ObjectStore) -> Result<Vec<(u32, u64, u64)>> {
    let sum = |chunks: &[ChunkEntry], value: fn(Receipt) -> u64| {
        chunks.iter().flat_map(ChunkEntry::receipts).map(value).sum::<u64>()
    };
    let total = |(table, chunks): (u32, Vec<ChunkEntry>)| {
        (table, sum(&chunks, |receipt| receipt.rows), sum(&chunks, |receipt| receipt.bytes))
    };
    Ok(complete_tables(store).await?.into_iter().map(total).collect())
}

/// The chunks of the tables that an unfinished archive holds completely, by the number of the table.
pub(super) async fn complete_tables(store: &dyn ObjectStore) -> Result<BTreeMap<u32, Vec<ChunkEntry>>> {
    let mut tables = BTreeMap::new();
    for key in store.list(PROGRESS).await? {
        let Some(table) = progress_table(&key) else { continue };
        // An export that ends meanwhile removes them.
        let Some(document) = store.find(&key, MAX_DOCUMENT_BYTES).await? else { continue };
        tables.insert(table, decode(&document, &store.url(&key))?.content);
    }
    Ok(tables)
}
