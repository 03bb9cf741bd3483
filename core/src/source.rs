//! Where rows come from.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;

use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::change::{LogEvent, LogExtent, LogPosition};
use crate::clone_record::CutOverRecord;
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::report::{Finding, Note};

/// The batches of one chunk, numbered from 0 without a gap. Dropping it ends the reading.
pub type BatchStream<'a> = BoxStream<'a, Result<Batch>>;

/// The changes of a source in the order of their commits. It never ends by itself. Dropping it ends the reading.
pub type ChangeStream<'a> = BoxStream<'a, Result<LogEvent>>;

/// Counts the rows of a stream; reads it to its end.
pub(crate) async fn count(batches: BatchStream<'_>) -> Result<u64> {
    batches.try_fold(0, async |rows, batch| Ok(rows + batch.rows)).await
}

/// Computes the digest of the rows of a stream; reads it to its end.
pub(crate) async fn digest(mut batches: BatchStream<'_>, observer: &dyn ReadObserver) -> Result<Digest> {
    let mut digest = Digest::default();
    while let Some(batch) = batches.try_next().await? {
        let (rows, bytes) = (batch.rows, batch.data.len() as u64);
        digest.add(&batch.digest);
        // Free the memory before the observer delays the next batch.
        drop(batch);
        observer.on_batch(rows, bytes).await;
    }
    Ok(digest)
}

/// Observes a read that returns no rows, such as [`Source::digest`], and can slow it down.
#[async_trait]
pub trait ReadObserver: Send + Sync {
    /// Called after each batch with its rows and its bytes of text. The read fetches at most one further batch until
    /// this returns.
    async fn on_batch(&self, rows: u64, bytes: u64);
}

/// Observes nothing and delays nothing.
#[async_trait]
impl ReadObserver for () {
    async fn on_batch(&self, _rows: u64, _bytes: u64) {}
}

/// Where rows come from: a MySQL-family server, an archive, a source on another machine, or one of your own.
///
/// Order of calls: [`catalog`](Self::catalog); then [`check`](Self::check) and [`plan`](Self::plan), any number of
/// times; then [`snapshot`](Self::snapshot) once; then [`read`](Self::read) once for each chunk of the plan (again only
/// after a retryable error), several at a time; and [`close`](Self::close) last, also after errors. A comparison calls
/// [`digest`](Self::digest) or [`count`](Self::count) for each chunk instead, and reads a chunk to name its differing
/// rows.
#[async_trait]
pub trait Source: Send + Sync {
    /// Lists the objects of the source. Changes nothing.
    async fn catalog(&self) -> Result<Catalog>;

    /// Finds problems that would prevent a read of this selection. Changes nothing.
    async fn check(&self, _selection: &Selection) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// Returns the plan that [`snapshot`](Self::snapshot) would return now. Takes no lock.
    async fn plan(&self, selection: &Selection) -> Result<Plan>;

    /// Takes a consistent snapshot and holds it until [`close`](Self::close). The engine calls it again after a
    /// retryable error: a failed call must hold nothing.
    ///
    /// # Errors
    /// `Changed` when a definition differs from the one in the catalog.
    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.plan(selection).await
    }

    /// Prepares for reads without a snapshot, in the place of [`snapshot`](Self::snapshot): each read sees what is committed
    /// when it begins. A comparison with a target that follows calls it.
    ///
    /// # Errors
    /// `Unsupported` where a source has only rows of one moment, which is the default.
    async fn open_readers(&self, _selection: &Selection) -> Result<Plan> {
        Err(Error::new(ErrorKind::Unsupported, "this source cannot be compared with a target that follows it"))
    }

    /// Reads one chunk as a stream of batches, in key order where there is a key.
    ///
    /// Implementations reserve from `memory` before they buffer, and attach the lease to each batch
    /// ([`Batch::with_lease`]).
    ///
    /// # Errors
    /// After a [retryable](crate::Error::is_retryable) error, of this call or in the stream, the engine reads the chunk
    /// again from its start. Return a retryable error only where a second read gives the same batches of the same
    /// snapshot: the engine compares the digests of the batches that it already has, drops them where they are equal,
    /// and fails the clone where they differ. After any other error the engine does not read the chunk again.
    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>>;

    /// Counts the rows of a chunk.
    async fn count(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<u64> {
        count(self.read(table, chunk, memory).await?).await
    }

    /// Computes the digest of the rows that [`read`](Self::read) returns for a chunk. A remote source computes it next
    /// to the rows and reports each batch to `observer`.
    async fn digest(
        &self,
        table: &TablePlan,
        chunk: &Chunk,
        memory: &MemoryBudget,
        observer: &dyn ReadObserver,
    ) -> Result<Digest> {
        digest(self.read(table, chunk, memory).await?, observer).await
    }

    /// Whether [`read`](Self::read) accepts any range of keys, not only the chunks of the source's own plan.
    fn reads_any_range(&self) -> bool {
        false
    }

    /// Streams the changes that were committed after `from` in the tables of the plan, by the source's names. After a
    /// retryable error the caller asks again, from the last place that it passed.
    ///
    /// # Errors
    /// `Unsupported` where a source records no changes, which is the default.
    async fn changes<'a>(
        &'a self,
        _plan: &'a Plan,
        _from: &'a LogPosition,
        _memory: &'a MemoryBudget,
    ) -> Result<ChangeStream<'a>> {
        Err(Error::new(ErrorKind::Unsupported, "this source records no changes: it cannot be followed"))
    }

    /// Whether [`changes`](Self::changes) leaves out what the row filters of the plan do not choose, and
    /// [`check`](Self::check) refuses filters that cannot be evaluated on changes. Defaults to false: a clone with row filters
    /// is not followed then.
    fn filters_changes(&self) -> bool {
        false
    }

    /// The position after the last transaction that is committed now.
    ///
    /// # Errors
    /// `Unsupported` where a source records no changes, which is the default.
    async fn log_end(&self) -> Result<LogPosition> {
        Err(Error::new(ErrorKind::Unsupported, "this source records no changes: it cannot be followed"))
    }

    /// Finds in the source's log the last cut-over that made its database the source, from which changes can be carried back.
    /// `None` if the log has none.
    ///
    /// # Errors
    /// `Preflight` if the changes since then cannot be followed. `Unsupported` where a source records no changes, which is
    /// the default.
    async fn last_cut_over(&self) -> Result<Option<CutOverRecord>> {
        Err(Error::new(ErrorKind::Unsupported, "this source records no changes: it cannot be followed"))
    }

    /// The files of the log from `from` on, for the lag in bytes. A job that follows asks every few seconds. `None` if they
    /// are not known, which is the default: the account may not see them, the file of the place is gone, or the log is
    /// another server's.
    async fn log_extent(&self, _from: &LogPosition) -> Result<Option<LogExtent>> {
        Ok(None)
    }

    /// Finds problems that would prevent the tables of a clone, which were read at several moments, from being brought to one
    /// by [`changes`](Self::changes) of this selection. Such a source leaves out of its stream what the rows of a table
    /// contain already, by the position in the table's plan. The default is that it cannot.
    async fn check_catch_up(&self, _selection: &Selection) -> Result<Vec<Finding>> {
        Ok(vec![Finding::error("the changes of this source cannot be applied from several moments on")])
    }

    /// Whether a later process can read the same rows in the same batches again, as those of an archive.
    fn is_repeatable(&self) -> bool {
        false
    }

    /// Measures the load of the source's server: the threads that run a statement, without those of this source.
    /// `None`, the default, means that there is no such number. A job with `max_load` calls it once a second.
    async fn load(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Returns notes about the rows that were read. Called once, after the last chunk.
    async fn notes(&self) -> Result<Vec<Note>> {
        Ok(Vec::new())
    }

    /// Ends the snapshot and every running statement. May be called at any time and more than once, also during reads:
    /// a cancelled job does so.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
