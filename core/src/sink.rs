//! Where rows go.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::batch::{Batch, Receipt};
use crate::catalog::{Catalog, ObjectRef};
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::FidelityIssue;
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::source::{BatchStream, count, digest};

/// Hears of what a sink is about to make. Called from its tasks: it must not block.
pub type Witness = Arc<dyn Fn(Value) + Send + Sync>;

/// Where rows go: a MySQL-family server, an archive, a sink on another machine, or one of your own.
///
/// Order of calls: [`check`](Self::check) as often as wanted, then [`begin`](Self::begin) once, then
/// [`write`](Self::write) for each batch, several at a time and in any order, [`complete`](Self::complete) once for
/// each table after the last of its batches, and in the end either [`finish`](Self::finish) or [`abort`](Self::abort).
///
/// With `--verify` the chunks of a complete table are counted or digested meanwhile. `dbgraft verify` does nothing but
/// that, after it asked for the [`counterparts`](Self::counterparts); [`abort`](Self::abort) then ends it.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Problems that would keep this selection from being written. Changes nothing that lasts.
    async fn check(&self, _catalog: &Catalog, _selection: &Selection) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// What of this selection the sink cannot carry as it is, and what it would make of it. Changes nothing that lasts.
    ///
    /// The job decides what becomes of it, by `on_unsupported`; notes are always taken. An object for which there is a
    /// `Severity::Error` has no image at all; with `degrade` the sink gets the others, and makes of them what it said.
    async fn unsupported(&self, _catalog: &Catalog, _selection: &Selection) -> Result<Vec<FidelityIssue>> {
        Ok(Vec::new())
    }

    /// The objects that are there already. With `--if-exists skip` they are left as they are.
    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        Ok(Vec::new())
    }

    /// Makes ready for the rows (creates the database and the tables) and says which batches are already durable.
    async fn begin(&self, plan: &Plan) -> Result<ResumeState>;

    /// How many batches are to be on their way at a time, where so many `threads` load them. A sink that is far takes
    /// more: the line carries some while others are loaded.
    fn writers(&self, threads: usize) -> usize {
        threads
    }

    /// Makes one batch durable, whole or not at all.
    ///
    /// Idempotent: after an error it may be called again with the same batch, also when the first call did succeed and
    /// only its answer was lost.
    ///
    /// # Errors
    /// Retryable ones are tried again by the engine; a value that the target would change is a `Data` error.
    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt>;

    /// Every batch of the table is durable: builds its secondary indexes. Called once for each table that takes rows,
    /// also for one with none, while other tables still load; and again after an error that is retryable.
    async fn complete(&self, _table: &TablePlan) -> Result<()> {
        Ok(())
    }

    /// Whether what is there can be read back. Where it cannot, a clone with `--verify` is refused.
    fn reads_back(&self) -> bool {
        false
    }

    /// The tables of the plan as they are here, in its order, each with the chunks by which it can be read back (the
    /// plan's own, if any range can be); `None` for one that is not here. Reads only.
    ///
    /// # Errors
    /// `Unsupported` where nothing can be read back, which is the default.
    async fn counterparts(&self, _plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        Err(unreadable())
    }

    /// What is really there: the rows of the chunk, and of the table's filter if it has one, as a source would read
    /// them. Reserves from `memory` as [`Source::read`](crate::Source::read) does.
    ///
    /// # Errors
    /// `Unsupported` for a table that cannot be compared: the report then says why.
    async fn read_back<'a>(
        &'a self,
        _table: &'a TablePlan,
        _chunk: &'a Chunk,
        _memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        Err(unreadable())
    }

    /// How many rows of the chunk are really there.
    async fn count(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<u64> {
        count(self.read_back(table, chunk, memory).await?).await
    }

    /// The digest of the rows that [`read_back`](Self::read_back) gives for a chunk. Who is far from the rows has it
    /// computed where they are.
    async fn digest(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<Digest> {
        digest(self.read_back(table, chunk, memory).await?, &()).await
    }

    /// Everything is written: adds foreign keys, views, routines, triggers and events, and says what the user
    /// should know of them.
    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>>;

    /// Lets `witness` hear of each thing before it is made, in words that [`take_over`](Self::take_over) understands:
    /// for a sink in a process of its own, which may be killed.
    fn testify(&self, _witness: Witness) {}

    /// Takes for its own what a sink like this one has testified to, which was killed since: [`abort`](Self::abort)
    /// then removes it.
    fn take_over(&self, _made: Vec<Value>) {}

    /// Stops the running statements and removes what this sink made. May be called at any time after
    /// [`begin`](Self::begin) or [`counterparts`](Self::counterparts) was called, also while other calls are under way
    /// or were dropped; and after a call of [`unsupported`](Self::unsupported) was dropped.
    async fn abort(&self) -> Result<()>;
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Unsupported, "this target cannot be read back: do without --verify")
}
