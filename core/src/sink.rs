//! Where rows go.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batch::{Batch, Receipt};
use crate::catalog::{Catalog, ObjectRef};
use crate::change::LogPosition;
use crate::change_applier::ChangeApplier;
use crate::checkpoint::{Checkpoint, CutOver};
use crate::clone_record::CloneRecord;
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::FidelityIssue;
use crate::memory::MemoryBudget;
use crate::options::Verify;
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::source::{BatchStream, count, digest};

/// Receives one undo record for each thing that a sink is about to create. A sink calls it from its tasks: it must not
/// block.
pub type UndoRecorder = Arc<dyn Fn(Value) + Send + Sync>;

/// How far a replica is behind its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaLag {
    /// It applies changes, and is this many seconds behind.
    Seconds(u64),
    /// It does not replicate: it is stopped, or not connected.
    Stopped,
}

/// Where rows go: a MySQL-family server, an archive, a sink on another machine, or one of your own.
///
/// Order of calls: [`check`](Self::check), any number of times; then [`begin`](Self::begin) once; then
/// [`write`](Self::write) for each batch, several at a time and in any order; [`complete`](Self::complete) once for
/// each table after its last batch; and finally either [`finish`](Self::finish) and [`conclude`](Self::conclude), or
/// [`abort`](Self::abort), or [`suspend`](Self::suspend).
///
/// With `--verify` the engine calls [`count`](Self::count) or [`digest`](Self::digest) for the chunks of complete
/// tables while other tables load. `dbgraft verify` calls [`counterparts`](Self::counterparts), then only these, then
/// [`abort`](Self::abort).
#[async_trait]
pub trait Sink: Send + Sync {
    /// Finds problems that would prevent a write of this selection. Leaves no change behind.
    async fn check(&self, _catalog: &Catalog, _selection: &Selection) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// Lists the objects of this selection that the sink cannot store unchanged, with the form that it would store.
    /// Leaves no change behind.
    ///
    /// The job decides by `on_unsupported`; it accepts every entry of severity `Note`. An entry of `Severity::Error`
    /// means that the sink has no form for the object. With `degrade` the sink receives the other objects and stores
    /// them in the form that it announced.
    async fn unsupported(&self, _catalog: &Catalog, _selection: &Selection) -> Result<Vec<FidelityIssue>> {
        Ok(Vec::new())
    }

    /// Lists the objects that exist already. With `--if-exists skip` the job does not touch them.
    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        Ok(Vec::new())
    }

    /// Returns the clone that has begun in this sink and not ended. Changes nothing.
    async fn clone_record(&self) -> Result<Option<CloneRecord>> {
        Ok(None)
    }

    /// Asks an agent whose coordinator is lost to end its clone into this sink now, and not only when it has waited for its
    /// coordinator; or withdraws the request. A clone that runs ignores it.
    async fn request_takeover(&self, _is_withdrawn: bool) -> Result<()> {
        Ok(())
    }

    /// Whether a process makes this [request](Self::request_takeover) now.
    async fn is_takeover_requested(&self) -> Result<bool> {
        Ok(false)
    }

    /// Prepares for the rows: creates the database and the tables. Returns what is already durable: with the option
    /// `resume`, what an earlier process wrote by the same plan.
    async fn begin(&self, plan: &Plan) -> Result<ResumeState>;

    /// How many calls of [`write`](Self::write) run at a time when `threads` connections load. A remote sink returns
    /// more than `threads`: the network carries some batches while the others load.
    fn writers(&self, threads: usize) -> usize {
        threads
    }

    /// Makes one batch durable, whole or not at all.
    ///
    /// Idempotent: after an error the engine may call it again with the same batch, also when the first call succeeded
    /// and only its result was lost.
    ///
    /// # Errors
    /// The engine retries after a retryable error. A value that the target would change is a `Data` error.
    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt>;

    /// Builds the secondary indexes of a table whose batches are all durable. Called once for each table of the plan
    /// that may hold rows, also for an empty one, while other tables still load; and again after a retryable error.
    async fn complete(&self, _table: &TablePlan) -> Result<()> {
        Ok(())
    }

    /// Whether [`read_back`](Self::read_back) works. Where it does not, a clone with `--verify` is refused.
    fn reads_back(&self) -> bool {
        false
    }

    /// Returns the plan's tables as they exist in the sink, in the plan's order, each with the chunks that
    /// [`read_back`](Self::read_back) accepts (the plan's own chunks if it accepts any range); `None` for a missing
    /// table. Changes nothing.
    ///
    /// # Errors
    /// `Unsupported` where the sink cannot be read back, which is the default.
    async fn counterparts(&self, _plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        Err(no_read_back())
    }

    /// Reads the stored rows of a chunk, restricted by the table's filter if it has one, as a source would read them.
    /// Reserves from `memory` as [`Source::read`](crate::Source::read) does.
    ///
    /// # Errors
    /// `Unsupported` for a table that cannot be compared: the report then contains the reason.
    async fn read_back<'a>(
        &'a self,
        _table: &'a TablePlan,
        _chunk: &'a Chunk,
        _memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        Err(no_read_back())
    }

    /// Counts the stored rows of a chunk.
    async fn count(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<u64> {
        count(self.read_back(table, chunk, memory).await?).await
    }

    /// Computes the digest of the rows that [`read_back`](Self::read_back) returns for a chunk. A remote sink computes
    /// it next to the rows.
    async fn digest(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<Digest> {
        digest(self.read_back(table, chunk, memory).await?, &()).await
    }

    /// Adds foreign keys, views, routines, triggers and events after all rows. Returns notes for the report.
    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>>;

    /// Returns what applies the changes of the plan's source, after [`finish`](Self::finish) of a job with the option
    /// `follow`, or in a later process; or before it, if a resume brings all tables to one moment. It shares the sink's
    /// connections and locks.
    ///
    /// # Errors
    /// `Unsupported` where a sink cannot apply changes, which is the default.
    async fn change_applier(&self, _plan: &Plan) -> Result<Arc<dyn ChangeApplier>> {
        Err(Error::new(ErrorKind::Unsupported, "this target cannot apply changes: it cannot follow"))
    }

    /// Begins to carry changes back: records a job of this plan in a target that has the plan's tables, with the rows of the
    /// plan's position. `unchanged_since` is the place in the target's own log up to which the plan's source has its changes.
    /// Removes triggers and events, and returns the plan with them. [`change_applier`](Self::change_applier) follows, or
    /// [`abort`](Self::abort) after an error.
    ///
    /// # Errors
    /// `Preflight` if the target has changed since then, or cannot prove that it has not; or if it would not hold exactly what
    /// the source has. `Unsupported` where a sink cannot apply changes, which is the default.
    async fn begin_way_back(&self, _plan: &Plan, _unchanged_since: &LogPosition) -> Result<Plan> {
        Err(Error::new(ErrorKind::Unsupported, "this target cannot apply changes: it cannot follow"))
    }

    /// Finds problems that would prevent the changes of a source from being applied to a table while others are already at a
    /// later moment. The default is that it cannot be done.
    async fn check_catch_up(&self, _plan: &Plan) -> Result<Vec<Finding>> {
        Ok(vec![Finding::error("this target cannot apply changes")])
    }

    /// Whether [`change_applier`](Self::change_applier) works. Where it does not, a clone that follows is refused.
    fn applies_changes(&self) -> bool {
        false
    }

    /// Asks the process that follows for the cut-over, after a comparison of this kind; `None` withdraws the request. Returns
    /// false if there was no request to withdraw: the cut-over has begun.
    async fn request_cut_over(&self, _job: &str, _verify: Option<Verify>) -> Result<bool> {
        Err(Error::new(ErrorKind::Unsupported, "this target cannot apply changes: it cannot follow"))
    }

    /// Reads how far the cut-over of a job is; `None` without one, and after its end.
    async fn read_cut_over(&self, _job: &str) -> Result<Option<CutOver>> {
        Ok(None)
    }

    /// Reads how far the changes of a source are applied by the process that follows for a job; `None` if the target does not
    /// know.
    async fn read_checkpoint(&self, _job: &str) -> Result<Option<Checkpoint>> {
        Ok(None)
    }

    /// Records that the requester has read the end of the cut-over.
    async fn acknowledge_cut_over(&self, _job: &str) -> Result<()> {
        Ok(())
    }

    /// Forgets the job, after [`finish`](Self::finish) and after the removal of a staging archive: from here on the clone
    /// is complete. The engine calls it again after a retryable error.
    async fn conclude(&self) -> Result<()> {
        Ok(())
    }

    /// Measures the load of the sink's server, as [`Source::load`](crate::Source::load) does.
    async fn load(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Measures how far the replica of the option `replica` is behind. `None`, the default, means that there is none. A
    /// job with `max_lag` calls it once a second.
    async fn replica_lag(&self) -> Result<Option<ReplicaLag>> {
        Ok(None)
    }

    /// Sets the recorder that receives an undo record before the sink creates anything. An agent's sink needs it: the
    /// agent may be killed, and a sink in another process then removes what the records name.
    fn set_undo_recorder(&self, _recorder: UndoRecorder) {}

    /// Adopts the undo records of a sink that was killed: [`abort`](Self::abort) then removes what they name.
    fn adopt_undo_records(&self, _records: Vec<Value>) {}

    /// Stops the running statements and removes what this sink created. May be called at any time after the first call
    /// of [`begin`](Self::begin) or [`counterparts`](Self::counterparts), also while other calls run or after their
    /// futures were dropped; and after the future of [`unsupported`](Self::unsupported) was dropped.
    async fn abort(&self) -> Result<()>;

    /// Stops the running statements, and leaves what a later process can resume; removes the rest. The job calls it in the
    /// place of [`abort`](Self::abort) when a lost connection ends it. The default removes everything.
    async fn suspend(&self) -> Result<()> {
        self.abort().await
    }
}

fn no_read_back() -> Error {
    Error::new(ErrorKind::Unsupported, "this target cannot be read back: do without --verify")
}
