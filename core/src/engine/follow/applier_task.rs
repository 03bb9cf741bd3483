//! The task of one applier: applies the transactions of its queue, several in one target transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::tracker::Tracker;
use crate::change::{LogPosition, RowChanges};
use crate::change_applier::ChangeApplier;
use crate::checkpoint::LogPlace;
use crate::error::{Error, ErrorKind, Result};

/// The most rows and bytes that are applied in one target transaction, unless one transaction has more.
const MAX_GROUP_ROWS: u64 = 2_000;
const MAX_GROUP_BYTES: usize = 1 << 20;
/// How often a transaction that the target rolled back is applied again.
const MAX_TRIES: u32 = 10;

/// A transaction of the log.
pub(super) struct QueuedTransaction {
    /// Its number, by the tracker.
    pub(super) number: u64,
    pub(super) end: LogPosition,
    pub(super) changes: Vec<RowChanges>,
    pub(super) rows: u64,
    pub(super) bytes: usize,
}

/// One applier.
pub(super) struct ApplierTask {
    pub(super) number: u32,
    pub(super) applier: Arc<dyn ChangeApplier>,
    pub(super) tracker: Arc<Tracker>,
    pub(super) queue: UnboundedReceiver<QueuedTransaction>,
    /// The transactions after the low-water mark that this applier has committed.
    pub(super) ahead: BTreeSet<LogPlace>,
}

impl ApplierTask {
    /// Applies transactions until the queue is closed, or an error is left to the tracker.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut group = vec![first];
            let (mut rows, mut bytes) = (0, 0);
            while let Some(last) = group.last() {
                rows += last.rows;
                bytes += last.bytes;
                if rows >= MAX_GROUP_ROWS || bytes >= MAX_GROUP_BYTES {
                    break;
                }
                let Ok(next) = self.queue.try_recv() else { break };
                group.push(next);
            }
            if let Err(error) = self.apply_group(&group).await {
                return self.tracker.fail(error);
            }
        }
    }

    async fn apply_group(&mut self, group: &[QueuedTransaction]) -> Result<()> {
        match self.try_group(group, false).await {
            Err(error) if is_refusal(&error) => {
                for transaction in group {
                    self.apply_alone(transaction).await?;
                }
                Ok(())
            }
            applied => applied,
        }
    }

    /// Applies one transaction after all earlier ones are applied; at last row by row, so that an error names the row.
    async fn apply_alone(&mut self, transaction: &QueuedTransaction) -> Result<()> {
        self.tracker.wait_for_predecessors(transaction.number).await;
        let (mut tries, mut is_careful) = (0, false);
        loop {
            match self.try_group(std::slice::from_ref(transaction), is_careful).await {
                Err(error) if is_refusal(&error) && error.is_retryable() && tries < MAX_TRIES => tries += 1,
                Err(error) if is_refusal(&error) && !is_careful => is_careful = true,
                Err(error) => return Err(error.with("position", transaction.end.describe())),
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn try_group(&mut self, group: &[QueuedTransaction], is_careful: bool) -> Result<()> {
        let mut open = self.applier.begin(self.number, is_careful).await?;
        for changes in group.iter().flat_map(|transaction| &transaction.changes) {
            if let Err(error) = open.apply(changes).await {
                open.rollback().await;
                return Err(error);
            }
        }
        let mut checkpoint = self.tracker.checkpoint();
        let ends = group.iter().map(|transaction| transaction.end.place());
        checkpoint.ahead = self.ahead.iter().cloned().chain(ends).collect();
        let checkpoint = checkpoint.without_passed();
        open.commit(&checkpoint).await?;
        self.ahead = checkpoint.ahead;
        let numbers = group.iter().map(|transaction| transaction.number);
        let rows = group.iter().map(|transaction| transaction.rows).sum();
        self.tracker.complete(self.number as usize, numbers, rows);
        Ok(())
    }
}

/// Whether the target has refused the changes and undone the transaction: the server answered. After other errors, the
/// outcome is unknown.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Data | ErrorKind::Server)
}
