//! Where the changes of a source go.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::change::{LogPosition, RowChanges};
use crate::checkpoint::{Checkpoint, CutOver};
use crate::conflict_hasher::ConflictHasher;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::report::Note;

/// A statement of a source's log that changes definitions, as [`LogEvent::Definition`](crate::change::LogEvent::Definition).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedDefinition {
    /// The statement.
    pub sql: String,
    /// The database in which it ran.
    pub database: String,
    /// The settings that decide its meaning.
    pub settings: Vec<String>,
    /// The place before it.
    pub start: LogPosition,
    /// The place after it.
    pub end: LogPosition,
    /// Whether it filled a table too.
    pub with_rows: bool,
    /// Why it would mean something else if it ran under these settings; `None` if it would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

/// What became of a statement that changes definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefinitionOutcome {
    /// The target has what the statement defines, and records the plan that follows from it.
    Applied,
    /// The statement gives these names to tables, and nothing was done: the caller decides whether they are followed.
    Names(Vec<String>),
    /// Nothing was done, for this reason.
    Refused(String),
}

/// Applies the changes of a source to a target that has the rows of its snapshot.
///
/// Order of calls: [`take_up`](Self::take_up); then [`begin`](Self::begin) for each transaction, by several appliers at a
/// time; after an error `take_up` again; and finally [`end_cut_over`](Self::end_cut_over) or [`close`](Self::close).
#[async_trait]
pub trait ChangeApplier: Send + Sync {
    /// Ends the transactions of earlier calls and processes, and returns what is applied, and the plan that the target
    /// records with it. Changes are applied by this plan from here on, and only by this applier. `None` is the plan that the
    /// applier was made with, for a target that no statement changes.
    ///
    /// # Errors
    /// `Changed` if another process has taken the target over.
    async fn take_up(&self) -> Result<(Checkpoint, Option<Plan>)>;

    /// Returns what finds the keys that changes use, for each table of the plan.
    fn conflict_hashers(&self) -> Arc<[ConflictHasher]>;

    /// Begins a transaction of the applier with this number. With `is_careful`, each row is applied by itself, so that an
    /// error names it.
    async fn begin(&self, applier: u32, is_careful: bool) -> Result<Box<dyn TargetTransaction>>;

    /// Runs a statement that changes definitions, and records its end together with the plan that follows from it. The
    /// statement runs only if all names that it gives to tables are among `chosen`. Everything before it is applied and
    /// recorded. After an error, and in a later process, the call is repeated from [`take_up`](Self::take_up) on: a statement
    /// that has run does not run again.
    async fn apply_definition(&self, _definition: &LoggedDefinition, _chosen: &[String]) -> Result<DefinitionOutcome> {
        Ok(DefinitionOutcome::Refused("this target runs no statements".to_owned()))
    }

    /// Records that a statement which was run at the target by hand is passed, together with the plan that follows from it.
    /// `current` is the plan of the source as it is now: what later statements have changed there is not taken over. May be
    /// called again after a retryable error. The next call is [`take_up`](Self::take_up).
    ///
    /// # Errors
    /// `Preflight` if the target is not as the statement leaves it.
    async fn pass_definition(&self, _definition: &LoggedDefinition, _current: &Plan) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "this target passes no statements that were run by hand"))
    }

    /// Reads the cut-over that is asked for or under way.
    async fn read_cut_over(&self) -> Result<Option<CutOver>>;

    /// Records that nothing more is applied, or that a comparison has found differences. Returns false if the request of one
    /// that is awaited was withdrawn.
    async fn begin_cut_over(&self, cut_over: &CutOver) -> Result<bool>;

    /// Makes everything that must not exist while changes are applied, such as triggers and events. Returns notes.
    async fn finish(&self) -> Result<Vec<Note>>;

    /// Records the end of the cut-over, waits until the requester has read it, and forgets the job.
    async fn end_cut_over(&self, cut_over: &CutOver) -> Result<()>;

    /// Records that all tables of a resumed clone are of the plan's moment now, and forgets what was applied. May be called
    /// again after a retryable error.
    async fn end_catch_up(&self, _plan: &Plan) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "this target cannot bring tables to one moment"))
    }

    /// Ends the running statements. May be called at any time.
    async fn close(&self);
}

/// An open transaction of a target. Dropping it undoes it.
#[async_trait]
pub trait TargetTransaction: Send {
    /// Applies changes, perhaps together with later ones.
    ///
    /// # Errors
    /// `Data` if a change does not find its rows.
    async fn apply(&mut self, changes: &RowChanges) -> Result<()>;

    /// Applies what is left, records the checkpoint of the applier, and commits both together.
    async fn commit(self: Box<Self>, checkpoint: &Checkpoint) -> Result<()>;

    /// Undoes the transaction.
    async fn rollback(self: Box<Self>);
}
