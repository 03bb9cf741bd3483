//! The unit of writing, retrying, verifying and storing: whole rows of one chunk as LOAD DATA text.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::Digest;
use crate::memory::MemoryLease;

/// Identifies a batch within a plan by the numbers of its table, its chunk and itself, each counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchId {
    /// The number of the table in the plan.
    pub table: u32,
    /// The number of the chunk in its table.
    pub chunk: u32,
    /// The number of the batch in its chunk.
    pub batch: u32,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.table, self.chunk, self.batch)
    }
}

/// Whole rows of one chunk, as the text that `LOAD DATA` takes (see [`crate::codec`]).
///
/// About [`MemoryBudget::batch_bytes`](crate::MemoryBudget::batch_bytes) long at most, or one row where a single row is
/// longer. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The batch.
    pub id: BatchId,
    /// The number of rows.
    pub rows: u64,
    /// The row text.
    pub data: Bytes,
    /// The digest of the rows.
    pub digest: Digest,
    /// Holds the reservation of the bytes until the last clone of the batch is dropped.
    pub(crate) lease: Option<std::sync::Arc<MemoryLease>>,
}

impl Batch {
    /// Creates a batch from row text; [`crate::codec::BatchBuilder`] builds one from values.
    pub fn new(id: BatchId, rows: u64, data: Bytes, digest: Digest) -> Self {
        Self { id, rows, data, digest, lease: None }
    }

    /// A batch of these lines, without their line breaks.
    pub(crate) fn from_lines<'a>(id: BatchId, lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut text = Vec::new();
        let mut digest = Digest::default();
        for line in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
            digest.add_row(line);
        }
        Self::new(id, digest.rows, Bytes::from(text), digest)
    }

    /// Attaches the reservation of the batch's bytes, which is released when the last clone of the batch is dropped.
    #[must_use]
    pub fn with_lease(mut self, lease: MemoryLease) -> Self {
        self.lease = Some(std::sync::Arc::new(lease));
        self
    }
}

/// A sink's confirmation that a batch is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The batch.
    pub id: BatchId,
    /// The number of rows.
    pub rows: u64,
    /// The bytes of row text.
    pub bytes: u64,
    /// The bytes that the batch takes where it is stored: fewer than `bytes` in a compressed archive.
    pub stored: u64,
    /// The digest of the rows.
    pub digest: Digest,
}

impl Receipt {
    /// The receipt of a batch that is stored uncompressed.
    pub fn for_batch(batch: &Batch) -> Self {
        let bytes = batch.data.len() as u64;
        Self { id: batch.id, rows: batch.rows, bytes, stored: bytes, digest: batch.digest }
    }
}

/// An event of an exporting leg, which the importing leg follows.
///
/// The receipts of one chunk may come in any order, and `ChunkEnd` may come before the last of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportEvent {
    /// A batch was stored in the archive.
    Batch(Receipt),
    /// The source of the leg reached the end of a chunk.
    ChunkEnd {
        /// The number of the table in the plan.
        table: u32,
        /// The number of the chunk in its table.
        chunk: u32,
        /// The number of batches in the chunk.
        batches: u32,
    },
}
