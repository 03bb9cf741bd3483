//! Where the changes of a source go.

use async_trait::async_trait;

use crate::change::RowChanges;
use crate::checkpoint::{Checkpoint, CutOver};
use crate::error::Result;
use crate::report::Note;

/// A key that a transaction uses. Two transactions conflict if they use one key and at least one of them exclusively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConflictKey {
    /// A hash of the key. Equal keys have equal hashes; different keys may have.
    pub hash: u64,
    /// Whether other transactions may use the key at the same time, if all share it.
    pub is_shared: bool,
}

/// Applies the changes of a source to a target that has the rows of its snapshot.
///
/// Order of calls: [`take_up`](Self::take_up); then [`begin`](Self::begin) for each transaction, by several appliers at a
/// time; after an error `take_up` again; and finally [`end_cut_over`](Self::end_cut_over) or [`close`](Self::close).
#[async_trait]
pub trait ChangeApplier: Send + Sync {
    /// Ends the transactions of earlier calls and processes, and returns what is applied. From here on only this applier
    /// applies changes.
    ///
    /// # Errors
    /// `Changed` if another process has taken the target over.
    async fn take_up(&self) -> Result<Checkpoint>;

    /// Adds the keys that the changes use.
    fn add_conflict_keys(&self, changes: &RowChanges, keys: &mut Vec<ConflictKey>);

    /// Begins a transaction of the applier with this number. With `is_careful`, each row is applied by itself, so that an
    /// error names it.
    async fn begin(&self, applier: u32, is_careful: bool) -> Result<Box<dyn TargetTransaction>>;

    /// Reads the cut-over that is asked for or under way.
    async fn read_cut_over(&self) -> Result<Option<CutOver>>;

    /// Records that nothing more is applied. Returns false if the request of one that is awaited was withdrawn.
    async fn begin_cut_over(&self, cut_over: &CutOver) -> Result<bool>;

    /// Makes everything that must not exist while changes are applied, such as triggers and events. Returns notes.
    async fn finish(&self) -> Result<Vec<Note>>;

    /// Records the end of the cut-over, waits until the requester has read it, and forgets the job.
    async fn end_cut_over(&self, cut_over: &CutOver) -> Result<()>;

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
