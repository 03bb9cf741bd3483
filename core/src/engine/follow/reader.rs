//! Reads the log and gives each transaction to an applier.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use tokio::sync::mpsc::UnboundedSender;

use super::Follower;
use super::applier_task::{QueuedTransaction, is_refusal};
use super::conflicts::Conflicts;
use super::tracker::Tracker;
use crate::change::{LogEvent, LogPosition, RowChanges};
use crate::change_applier::{LoggedDefinition, TargetTransaction};
use crate::checkpoint::{Checkpoint, LogPlace};
use crate::conflict_hasher::{ConflictHasher, ConflictKey};
use crate::engine::rate_limiter::RateLimiter;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryBudget, reserved_bytes};
use crate::plan::Plan;

/// The most transactions after the low-water mark. The lines of the appliers list them.
const MAX_ENTRIES: usize = 2_000;

/// The reader of one session.
pub(super) struct LogReader<'a> {
    pub(super) follower: &'a Follower,
    pub(super) plan: &'a Plan,
    pub(super) tracker: Arc<Tracker>,
    pub(super) queues: Vec<UnboundedSender<QueuedTransaction>>,
    /// The transactions of the log that are applied already.
    pub(super) ahead: BTreeSet<LogPlace>,
    /// The server of whose log these are.
    pub(super) ahead_server: String,
    pub(super) hashers: Arc<[ConflictHasher]>,
    pub(super) conflicts: Conflicts,
    pub(super) rate_limiter: RateLimiter,
}

/// A transaction that is being read.
#[derive(Default)]
struct OpenTransaction {
    changes: Vec<RowChanges>,
    rows: u64,
    /// The bytes of memory that the changes reserve: many small ones reserve more than their text.
    bytes: usize,
    /// At most so many keys tell whether it conflicts with others.
    keys: usize,
    /// The target transaction of one that does not fit into the memory.
    streamed: Option<Box<dyn TargetTransaction>>,
    /// Why it could not be streamed; right if it is applied already.
    failure: Option<Error>,
}

impl LogReader<'_> {
    /// Reads until a statement changes a definition.
    pub(super) async fn run(mut self, start: &LogPosition) -> Result<LoggedDefinition> {
        let follower = self.follower;
        // The reservation of rows ends when they are applied.
        let budget = MemoryBudget::new(follower.memory, follower.threads);
        let mut events = follower.source.changes(self.plan, start, &budget).await?;
        let (mut open, mut reached) = (None, start.clone());
        loop {
            follower.gate.wait_until_open().await;
            let Some(event) = events.try_next().await? else {
                return Err(Error::new(ErrorKind::Connection, "the source's log has ended").retryable());
            };
            if let LogEvent::Commit { end, .. } | LogEvent::Idle { end, .. } | LogEvent::Definition { end, .. } = &event
            {
                self.check_server(end)?;
                // Places of logs of two names have no order.
                if !end.is_of_log(&reached) {
                    self.tracker.wait_for_entries(0).await;
                }
                reached.clone_from(end);
            }
            match event {
                LogEvent::Begin { .. } => {
                    self.tracker.set_reading(true);
                    open = Some(OpenTransaction::default());
                }
                LogEvent::Rows(changes) => {
                    let transaction = open.get_or_insert_with(OpenTransaction::default);
                    self.add(transaction, changes).await?;
                }
                LogEvent::Rollback => {
                    self.tracker.set_reading(false);
                    if let Some(streamed) = open.take().and_then(|open: OpenTransaction| open.streamed) {
                        streamed.rollback().await;
                    }
                }
                LogEvent::Commit { end, committed_at_ms } => {
                    self.give(open.take().unwrap_or_default(), end, committed_at_ms).await?;
                }
                LogEvent::Idle { end, logged_at_ms } => self.tracker.add_idle(end, logged_at_ms),
                LogEvent::Definition { sql, database, settings, start, end, with_rows, obstacle } => {
                    self.tracker.wait_for_entries(0).await;
                    // The checkpoint is then exactly before the statement.
                    self.tracker.add_idle(start.clone(), None);
                    return Ok(LoggedDefinition { sql, database, settings, start, end, with_rows, obstacle });
                }
            }
        }
    }

    /// Fails if this is the log of another server and something is applied before its turn, which that one may not have: it
    /// would be followed past it.
    fn check_server(&self, end: &LogPosition) -> Result<()> {
        if self.ahead.is_empty() || end.server == self.ahead_server {
            return Ok(());
        }
        let message = "another server has taken the place of the source, and transactions after the position are applied that \
                       only the first one is known to have: follow that one until following ends by Ctrl-C, or clone anew";
        Err(Error::new(ErrorKind::Changed, message).with("server", &self.ahead_server))
    }

    /// Adds changes to the transaction that is read.
    async fn add(&mut self, open: &mut OpenTransaction, changes: RowChanges) -> Result<()> {
        let bytes = changes.text_bytes();
        self.rate_limiter.acquire(bytes as u64).await;
        open.rows += changes.rows;
        open.bytes += reserved_bytes(changes.memory_bytes());
        if let Some(hasher) = self.hashers.get(changes.table as usize) {
            open.keys += usize::try_from(changes.rows).unwrap_or(usize::MAX).saturating_mul(2 * hasher.keys.len());
        }
        if open.failure.is_some() {
            return Ok(());
        }
        if open.streamed.is_none() {
            open.changes.push(changes);
            if open.bytes < self.follower.huge_bytes() && open.keys < self.follower.most_keys() {
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
        let Err(error) = streamed.apply(changes).await else { return Ok(()) };
        if self.ahead.is_empty() {
            return Err(self.follower.on_stream_error(error, is_refusal));
        }
        // It may be applied already, which is known at its end.
        if let Some(streamed) = open.streamed.take() {
            streamed.rollback().await;
        }
        open.failure = Some(error);
        Ok(())
    }

    /// Gives a complete transaction to an applier.
    async fn give(&mut self, open: OpenTransaction, end: LogPosition, committed_at_ms: u64) -> Result<()> {
        let OpenTransaction { changes, rows, bytes, streamed, failure, .. } = open;
        if self.ahead.remove(&end.place()) {
            if let Some(streamed) = streamed {
                streamed.rollback().await;
            }
            if self.ahead.is_empty() {
                self.tracker.end_ahead();
            }
            self.tracker.add_applied(end, committed_at_ms, 0);
            return Ok(());
        }
        if let Some(error) = failure {
            return Err(self.follower.on_stream_error(error, is_refusal));
        }
        if let Some(streamed) = streamed {
            let low = self.tracker.checkpoint();
            let transactions = low.transactions + 1;
            let checkpoint = Checkpoint { applied: end.clone(), transactions, committed_at_ms, ..low };
            let committed = streamed.commit(&checkpoint).await;
            committed.map_err(|error| self.follower.on_stream_error(error, is_refusal))?;
            self.tracker.add_applied(end, committed_at_ms, rows);
            return Ok(());
        }
        let follower = self.follower;
        self.tracker.wait_for_entries(MAX_ENTRIES).await;
        let mut keys = Vec::new();
        for changes in &changes {
            if let Some(hasher) = self.hashers.get(changes.table as usize) {
                hasher.add_keys(changes, &mut keys);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        if self.conflicts.len() + keys.len() > follower.most_keys() {
            // Nothing is open then.
            self.tracker.wait_for_entries(0).await;
            self.conflicts = Conflicts::default();
        }
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
    async fn choose_applier(&self, keys: &[ConflictKey]) -> usize {
        let appliers = || self.conflicts.appliers(keys, |number| self.tracker.is_open(number));
        self.tracker.wait_until(|| appliers().len() <= 1).await;
        appliers().pop_first().unwrap_or_else(|| self.tracker.least_loaded())
    }
}
