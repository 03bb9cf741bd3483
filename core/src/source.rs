//! Where rows come from.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;

use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::codec::Digest;
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::report::{Finding, Note};

/// The batches of one chunk, numbered from 0 without a gap. Dropping it ends the reading.
pub type BatchStream<'a> = BoxStream<'a, Result<Batch>>;

/// Reads a stream to its end, to know how many rows it has.
pub(crate) async fn count(batches: BatchStream<'_>) -> Result<u64> {
    batches.try_fold(0, async |rows, batch| Ok(rows + batch.rows)).await
}

/// Reads a stream to its end, to know the digest of its rows.
pub(crate) async fn digest(mut batches: BatchStream<'_>, pace: &dyn Pace) -> Result<Digest> {
    let mut digest = Digest::default();
    while let Some(batch) = batches.try_next().await? {
        let (rows, bytes) = (batch.rows, batch.data.len() as u64);
        digest.add(&batch.digest);
        // Its memory is free while the next one has to wait.
        drop(batch);
        pace.passed(rows, bytes).await;
    }
    Ok(digest)
}

/// Hears of each batch of a reading that gives no rows, and holds the reading back where it is too fast.
#[async_trait]
pub trait Pace: Send + Sync {
    /// These rows, so many bytes of text, were read. No more than a batch is read before this returns.
    async fn passed(&self, rows: u64, bytes: u64);
}

/// As fast as it goes.
#[async_trait]
impl Pace for () {
    async fn passed(&self, _rows: u64, _bytes: u64) {}
}

/// Where rows come from: a MySQL-family server, an archive, a source on another machine, or one of your own.
///
/// Order of calls: [`catalog`](Self::catalog), then [`check`](Self::check) and [`plan`](Self::plan) as often as wanted,
/// then [`snapshot`](Self::snapshot) once, then [`read`](Self::read) once for each chunk of the plan (again only after
/// a retryable error), several at a time, and [`close`](Self::close) last, whatever happened before it. A comparison
/// asks for the [`digest`](Self::digest) or the [`count`](Self::count) of each chunk instead, and reads a chunk to name
/// its differing rows.
#[async_trait]
pub trait Source: Send + Sync {
    /// What the source holds. Reads only.
    async fn catalog(&self) -> Result<Catalog>;

    /// Problems that would keep this selection from being read. Reads only.
    async fn check(&self, _selection: &Selection) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// The plan that [`snapshot`](Self::snapshot) would give now, made without any lock.
    async fn plan(&self, selection: &Selection) -> Result<Plan>;

    /// Fixes the moment of the rows and holds it until [`close`](Self::close). Called again after a retryable error:
    /// then nothing of the first call is held.
    ///
    /// # Errors
    /// `Changed` when a definition is no longer the one that the catalog gave.
    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.plan(selection).await
    }

    /// Reads one chunk as a stream of batches, in key order where there is a key.
    ///
    /// Reserve from `memory` before buffering and let each batch carry its lease ([`Batch::with_lease`]).
    ///
    /// # Errors
    /// After a [retryable](crate::Error::is_retryable) one, of this call or in the stream, the chunk is read again from
    /// its start: give a retryable error only where the same batches of the same moment can be read again. Those that
    /// were taken before are compared by their digests and left out; where they differ, the clone fails. After any
    /// other error the chunk is not read again.
    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>>;

    /// How many rows a chunk has.
    async fn count(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<u64> {
        count(self.read(table, chunk, memory).await?).await
    }

    /// The digest of the rows that [`read`](Self::read) gives for a chunk. Who is far from the rows has it computed
    /// where they are, and tells `pace` how far that is.
    async fn digest(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget, pace: &dyn Pace) -> Result<Digest> {
        digest(self.read(table, chunk, memory).await?, pace).await
    }

    /// Whether it reads any range of keys, not only the chunks of its own plan.
    fn reads_any_range(&self) -> bool {
        false
    }

    /// What the reading brought to light. Asked once, after the last chunk was read.
    async fn notes(&self) -> Result<Vec<Note>> {
        Ok(Vec::new())
    }

    /// Ends the snapshot and everything that still runs. May be called at any time, also while chunks are read (a
    /// cancelled job does), and more than once.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
