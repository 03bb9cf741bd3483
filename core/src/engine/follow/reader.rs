//! Reads the log and gives each transaction to an applier.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use tokio::sync::mpsc::UnboundedSender;

use super::applier_task::{QueuedTransaction, is_refusal};
use super::conflicts::Conflicts;
use super::tracker::Tracker;
use super::{Definition, Follower};
use crate::change::{LogEvent, LogPosition, RowChanges};
use crate::change_applier::TargetTransaction;
use crate::checkpoint::{Checkpoint, LogPlace};
use crate::engine::rate_limiter::RateLimiter;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;

/// The most transactions after the low-water mark. The lines of the appliers list them.
const MAX_ENTRIES: usize = 2_000;

/// The reader of one session.
pub(super) struct LogReader<'a> {
    pub(super) follower: &'a Follower,
    pub(super) tracker: Arc<Tracker>,
    pub(super) queues: Vec<UnboundedSender<QueuedTransaction>>,
    /// The transactions of the log that are applied already.
    pub(super) ahead: BTreeSet<LogPlace>,
    pub(super) conflicts: Conflicts,
    pub(super) rate_limiter: RateLimiter,
}

/// A transaction that is being read.
#[derive(Default)]
struct OpenTransaction {
    changes: Vec<RowChanges>,
    rows: u64,
    bytes: usize,
    /// The target transaction of one that does not fit into the memory.
    streamed: Option<Box<dyn TargetTransaction>>,
}

impl LogReader<'_> {
    /// Reads until a statement changes a definition.
    pub(super) async fn run(mut self, start: &LogPosition) -> Result<Definition> {
        let follower = self.follower;
        // The reservation of rows ends when they are applied.
        let budget = MemoryBudget::new(follower.memory, follower.threads);
        let mut events = follower.source.changes(&follower.plan, start, &budget).await?;
        let mut open = None;
        loop {
            follower.gate.wait_until_open().await;
            let Some(event) = events.try_next().await? else {
                return Err(Error::new(ErrorKind::Connection, "the source's log has ended").retryable());
            };
            match event {
                LogEvent::Begin { .. } => open = Some(OpenTransaction::default()),
                LogEvent::Rows(changes) => {
                    let transaction = open.get_or_insert_with(OpenTransaction::default);
                    self.add(transaction, changes).await?;
                }
                LogEvent::Rollback => {
                    if let Some(streamed) = open.take().and_then(|open: OpenTransaction| open.streamed) {
                        streamed.rollback().await;
                    }
                }
                LogEvent::Commit { end, committed_at_ms } => {
                    self.give(open.take().unwrap_or_default(), end, committed_at_ms).await?;
                }
                LogEvent::Idle { end, logged_at_ms } => self.tracker.add_idle(end, logged_at_ms),
                LogEvent::Definition { sql, start, end, .. } => {
                    self.tracker.wait_for_entries(0).await;
                    if follower.skipped_definition.as_ref() != Some(&start.place()) {
                        return Ok(Definition { sql, start });
                    }
                    self.tracker.add_idle(end, None);
                }
            }
        }
    }

    /// Adds changes to the transaction that is read.
    async fn add(&mut self, open: &mut OpenTransaction, changes: RowChanges) -> Result<()> {
        let images = changes.before.iter().chain(&changes.after);
        let bytes: usize = images.map(|image| image.text.len()).sum();
        self.rate_limiter.acquire(bytes as u64).await;
        open.rows += changes.rows;
        open.bytes += bytes;
        if open.streamed.is_none() {
            open.changes.push(changes);
            // Whether a transaction is applied already is known at its end.
            if open.bytes < self.follower.huge_bytes() || !self.ahead.is_empty() {
                return Ok(());
            }
            self.tracker.wait_for_entries(0).await;
            let (number, is_careful) = (self.follower.stream_number(), self.follower.is_careful());
            open.streamed = Some(self.follower.applier.begin(number, is_careful).await?);
            let changes = std::mem::take(&mut open.changes);
            for changes in &changes {
                self.stream(open, changes).await?;
            }
            return Ok(());
        }
        self.stream(open, &changes).await
    }

    async fn stream(&self, open: &mut OpenTransaction, changes: &RowChanges) -> Result<()> {
        let Some(streamed) = &mut open.streamed else { return Ok(()) };
        let applied = streamed.apply(changes).await;
        applied.map_err(|error| self.follower.on_stream_error(error, is_refusal))
    }

    /// Gives a complete transaction to an applier.
    async fn give(&mut self, open: OpenTransaction, end: LogPosition, committed_at_ms: u64) -> Result<()> {
        if self.ahead.remove(&end.place()) {
            self.tracker.add_applied(end, committed_at_ms, 0);
            return Ok(());
        }
        let OpenTransaction { changes, rows, bytes, streamed } = open;
        if let Some(streamed) = streamed {
            let low = self.tracker.checkpoint();
            let transactions = low.transactions + 1;
            let checkpoint = Checkpoint { applied: end.clone(), transactions, committed_at_ms, ..low };
            let committed = streamed.commit(&checkpoint).await;
            committed.map_err(|error| self.follower.on_stream_error(error, is_refusal))?;
            self.tracker.add_applied(end, committed_at_ms, rows);
            return Ok(());
        }
        self.tracker.wait_for_entries(MAX_ENTRIES).await;
        let mut keys = Vec::new();
        for changes in &changes {
            self.follower.applier.add_conflict_keys(changes, &mut keys);
        }
        keys.sort_unstable();
        keys.dedup();
        let applier = self.choose_applier(&keys).await;
        let number = self.tracker.add(end.clone(), committed_at_ms, applier);
        self.conflicts.record(&keys, number, applier, |number| self.tracker.is_open(number));
        let queued = QueuedTransaction { number, end, changes, rows, bytes };
        if let Some(queue) = self.queues.get(applier) {
            // An applier stops after an error, which ends the session.
            let _ = queue.send(queued);
        }
        Ok(())
    }

    /// The applier that has all transactions which one with these keys must not overtake.
    async fn choose_applier(&self, keys: &[crate::change_applier::ConflictKey]) -> usize {
        let appliers = || self.conflicts.appliers(keys, |number| self.tracker.is_open(number));
        self.tracker.wait_until(|| appliers().len() <= 1).await;
        appliers().pop_first().unwrap_or_else(|| self.tracker.least_loaded())
    }
}
