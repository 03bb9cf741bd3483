//! Follows a source: applies the changes that were committed after its snapshot to a target, until it is told to end.
//!
//! A session reads the log from what the target says is applied. After an error that may pass, a new session begins: there
//! is no other way of recovery.

mod applier_task;
mod conflicts;
mod cut_over;
mod reader;
mod tracker;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use self::applier_task::ApplierTask;
use self::conflicts::Conflicts;
use self::cut_over::PendingCutOver;
use self::reader::LogReader;
use self::tracker::Tracker;
use super::pause_gate::PauseGate;
use super::rate_limiter::RateLimiter;
use crate::catalog::Printable;
use crate::change::LogPosition;
use crate::change_applier::{ChangeApplier, DefinitionOutcome, LoggedDefinition};
use crate::checkpoint::{Checkpoint, LogPlace};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventEmitter, FollowProgress};
use crate::options::{OnDdl, Verify};
use crate::plan::Plan;
use crate::report::Note;
use crate::source::Source;
use crate::verification::Verification;

/// The interval of events.
const TICK: Duration = Duration::from_millis(500);
/// The interval at which the size of the source's log is read.
const LOG_INTERVAL: Duration = Duration::from_secs(2);
/// The interval at which the checkpoint is written while nothing is applied.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How long open transactions may take to end before a follower that ends drops them.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait before a new session.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The configuration of following.
pub(crate) struct Follower {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) applier: Arc<dyn ChangeApplier>,
    pub(crate) plan: Arc<Plan>,
    /// The number of appliers.
    pub(crate) threads: usize,
    /// The maximum bytes of rows in memory.
    pub(crate) memory: u64,
    pub(crate) max_rate: Option<u64>,
    pub(crate) gate: PauseGate,
    pub(crate) events: EventEmitter,
    /// Ends following; it can be taken up again.
    pub(crate) stop: CancellationToken,
    /// The place at which following ends by itself, once everything up to there is applied. Then there is no cut-over.
    pub(crate) goal: Option<LogPosition>,
    /// How the target is compared before the cut-over that this process asks for; `None` as long as it asks for none.
    pub(crate) cut_over: Arc<watch::Sender<Option<Verify>>>,
    /// The place of the statement that was run by hand at the target.
    pub(crate) skipped_definition: Option<LogPlace>,
    /// What to do with a statement that changes definitions.
    pub(crate) on_ddl: OnDdl,
    /// Whether a table of a new name is followed.
    pub(crate) follows_table: TablePredicate,
    pub(crate) compare: FollowedComparison,
    /// Whether a huge transaction is applied row by row, because a faster try failed.
    pub(crate) careful: AtomicBool,
}

/// Compares the target with the source while changes are applied.
pub(crate) type FollowedComparison =
    Box<dyn Fn(Plan, Verify) -> BoxFuture<'static, Result<Verification>> + Send + Sync>;

/// Decides by its name whether a table is followed.
pub(crate) type TablePredicate = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// How following has ended.
pub(crate) enum FollowEnd {
    /// It was told to end.
    Stopped,
    /// The goal is reached.
    Reached,
    /// The target is cut over.
    CutOver(Vec<Note>),
    /// A statement changes a definition; perhaps the reason why it is not applied.
    Definition(Box<LoggedDefinition>, Option<String>),
    /// The statement that was run by hand is next, and everything before it is applied, by this plan.
    PassedByHand(Box<LoggedDefinition>, Arc<Plan>),
}

/// What was applied.
pub(crate) struct FollowOutcome {
    pub(crate) end: FollowEnd,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) rows: u64,
}

/// How a session has ended.
enum SessionEnd {
    Stopped,
    Reached,
    /// Everything up to the position of the cut-over is applied; whether another process waits.
    ReadyToCutOver {
        is_awaited: bool,
    },
    Definition(Box<LoggedDefinition>),
}

impl Follower {
    /// Follows to its end. Dropping the future stops it; the target keeps what it has applied.
    pub(crate) async fn run(&self) -> Result<FollowOutcome> {
        let (mut rows, mut wait, mut passed) = (0, Duration::from_secs(1), None);
        let mut plan = self.plan.clone();
        loop {
            let session = async {
                let (start, recorded) = self.applier.take_up().await?;
                if let Some(recorded) = recorded {
                    plan = Arc::new(recorded);
                }
                if self.goal.is_none()
                    && let Some(cut_over) = self.applier.read_cut_over().await?
                    && cut_over.has_begun()
                {
                    return Ok((start, None, 0));
                }
                let tracker = Arc::new(Tracker::new(&start, self.threads));
                let end = self.run_session(&plan, &start, &tracker).await;
                rows += tracker.rows();
                if passed.replace(tracker.checkpoint().applied) != Some(tracker.checkpoint().applied) {
                    wait = Duration::from_secs(1);
                }
                Ok((tracker.checkpoint(), Some(end?), tracker.rows()))
            };
            let error = match session.await {
                Ok((checkpoint, None, _)) => return self.finish_cut_over(checkpoint, rows).await,
                Ok((checkpoint, Some(SessionEnd::ReadyToCutOver { is_awaited }), _)) => {
                    match self.begin_cut_over(&checkpoint, is_awaited).await {
                        Ok(true) => return self.finish_cut_over(checkpoint, rows).await,
                        // The request was withdrawn.
                        Ok(false) => continue,
                        Err(error) => error,
                    }
                }
                Ok((checkpoint, Some(SessionEnd::Stopped), _)) => {
                    self.applier.close().await;
                    return Ok(FollowOutcome { end: FollowEnd::Stopped, checkpoint, rows });
                }
                Ok((checkpoint, Some(SessionEnd::Reached), _)) => {
                    self.applier.close().await;
                    return Ok(FollowOutcome { end: FollowEnd::Reached, checkpoint, rows });
                }
                Ok((checkpoint, Some(SessionEnd::Definition(definition)), _)) => {
                    if self.skipped_definition.as_ref() == Some(&definition.start.place()) {
                        return Ok(FollowOutcome { end: FollowEnd::PassedByHand(definition, plan), checkpoint, rows });
                    }
                    match self.apply_definition(&definition).await {
                        // Everything is read anew by the new plan.
                        Ok(DefinitionOutcome::Applied) => continue,
                        Ok(DefinitionOutcome::Refused(reason)) => {
                            let reason = Some(reason).filter(|reason| !reason.is_empty());
                            let end = FollowEnd::Definition(definition, reason);
                            return Ok(FollowOutcome { end, checkpoint, rows });
                        }
                        Ok(DefinitionOutcome::Names(_)) => {
                            Error::new(ErrorKind::Internal, "names of tables are asked for twice")
                        }
                        Err(error) => error.with("position", definition.start.describe()),
                    }
                }
                Err(error) => error,
            };
            self.applier.close().await;
            // Who waits for the goal can begin anew later.
            let is_given_up = self.goal.is_some() && wait >= MAX_WAIT;
            if !error.is_retryable() || error.kind() == ErrorKind::Changed || is_given_up {
                return Err(error);
            }
            let message = format!("following goes on in {} s from what is applied: {error}", wait.as_secs());
            self.events.emit(Event::Warning { message });
            tokio::select! {
                () = self.stop.cancelled() => {
                    return Ok(FollowOutcome { end: FollowEnd::Stopped, checkpoint: Checkpoint::default(), rows });
                }
                () = tokio::time::sleep(wait) => {}
            }
            wait = MAX_WAIT.min(2 * wait);
        }
    }

    /// Runs a statement that changes definitions, if that is wanted. `Refused` without a reason means that it is not.
    async fn apply_definition(&self, definition: &LoggedDefinition) -> Result<DefinitionOutcome> {
        if self.on_ddl == OnDdl::Stop {
            return Ok(DefinitionOutcome::Refused(String::new()));
        }
        match self.applier.apply_definition(definition, &[]).await? {
            DefinitionOutcome::Names(names) => match names.iter().find(|name| !(self.follows_table)(name)) {
                Some(other) => {
                    let reason = format!("table {} would not have been chosen for the clone", Printable(other));
                    Ok(DefinitionOutcome::Refused(reason))
                }
                None => self.applier.apply_definition(definition, &names).await,
            },
            outcome => Ok(outcome),
        }
    }

    /// Applies changes until following ends, or a connection is lost.
    async fn run_session(&self, plan: &Arc<Plan>, start: &Checkpoint, tracker: &Arc<Tracker>) -> Result<SessionEnd> {
        let mut tasks = JoinSet::new();
        let mut queues = Vec::new();
        for number in (0_u32..).take(self.threads) {
            let (sender, queue) = mpsc::unbounded_channel();
            queues.push(sender);
            let (applier, tracker) = (self.applier.clone(), tracker.clone());
            tasks.spawn(ApplierTask { number, applier, tracker, queue, ahead: Default::default() }.run());
        }
        let reader = LogReader {
            follower: self,
            plan,
            tracker: tracker.clone(),
            queues,
            ahead: start.ahead.clone(),
            ahead_server: start.applied.server.clone(),
            hashers: self.applier.conflict_hashers(),
            conflicts: Conflicts::default(),
            rate_limiter: RateLimiter::new(self.max_rate),
        };
        let work = async {
            tokio::select! {
                definition = reader.run(&start.applied) => Ok(SessionEnd::Definition(Box::new(definition?))),
                end = self.watch(plan, tracker) => end,
                never = self.measure_log(tracker) => match never {},
            }
        };
        let end = tokio::select! {
            biased;
            error = tracker.failure() => return Err(error),
            end = work => end,
        };
        // The reader is gone: what was given to the appliers is still applied, and nothing more. So nothing is applied
        // out of order when another server takes the place of a source that is lost.
        let drained = async {
            tokio::select! {
                biased;
                error = tracker.failure() => Err(error),
                () = tracker.wait_for_entries(0) => Ok(()),
            }
        };
        match tokio::time::timeout(DRAIN_TIMEOUT, drained).await {
            Ok(drained) => drained?,
            // Open transactions are undone, and read again later.
            Err(_) if matches!(end, Ok(SessionEnd::Stopped) | Err(_)) => return end,
            Err(_) => {
                let message = "the last transactions take longer than expected";
                return Err(Error::new(ErrorKind::Connection, message).retryable());
            }
        }
        let written = self.write_checkpoint(tracker).await;
        let end = end.and_then(|end| written.map(|()| end))?;
        Ok(if self.has_reached_goal(tracker) { SessionEnd::Reached } else { end })
    }

    /// Whether everything up to the goal is applied, and nothing is applied before its turn.
    fn has_reached_goal(&self, tracker: &Tracker) -> bool {
        let is_reached = |goal: &LogPosition| tracker.checkpoint().applied.has_reached(goal);
        !tracker.has_ahead() && self.goal.as_ref().is_some_and(is_reached)
    }

    /// Reads the size of the source's log again and again. Without an answer it is unknown: the reader of the log notices a
    /// lost source.
    async fn measure_log(&self, tracker: &Tracker) -> Infallible {
        loop {
            let extent = self.source.log_extent(&tracker.checkpoint().applied).await;
            tracker.set_log_extent(extent.ok().flatten());
            tokio::time::sleep(LOG_INTERVAL).await;
        }
    }

    /// Reports progress, and waits for the end of following.
    async fn watch(&self, plan: &Arc<Plan>, tracker: &Tracker) -> Result<SessionEnd> {
        let mut ticker = interval(TICK);
        let (mut written, mut written_at) = (tracker.checkpoint(), Instant::now());
        let (mut rows, mut seen_at) = (tracker.rows(), Instant::now());
        let mut cut_over = PendingCutOver::default();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(SessionEnd::Stopped),
                compared = cut_over.compare() => self.end_comparison(&mut cut_over, compared).await?,
                _ = ticker.tick() => {}
            }
            let checkpoint = tracker.checkpoint();
            let rate = (tracker.rows() - rows) as f64 / seen_at.elapsed().as_secs_f64().max(0.001);
            (rows, seen_at) = (tracker.rows(), Instant::now());
            self.events.emit(Event::Following(FollowProgress {
                position: checkpoint.applied.describe(),
                lag_seconds: checkpoint.lag_ms as f64 / 1e3,
                lag_bytes: checkpoint.lag_bytes,
                transactions: checkpoint.transactions,
                rows,
                rows_per_second: rate,
            }));
            if self.has_reached_goal(tracker) {
                return Ok(SessionEnd::Reached);
            }
            if self.goal.is_none()
                && let Some(end) = self.advance_cut_over(&mut cut_over, plan, &checkpoint.applied).await?
            {
                return Ok(end);
            }
            let has_changed =
                written.applied != checkpoint.applied || (written.lag_ms == 0) != (checkpoint.lag_ms == 0);
            if written_at.elapsed() > CHECKPOINT_INTERVAL && has_changed {
                self.write_checkpoint(tracker).await?;
                (written, written_at) = (checkpoint, Instant::now());
            }
        }
    }

    /// Records the low-water mark.
    async fn write_checkpoint(&self, tracker: &Tracker) -> Result<()> {
        let number = u32::try_from(self.threads).unwrap_or(u32::MAX);
        self.applier.begin(number, false).await?.commit(&tracker.checkpoint()).await
    }

    /// The bytes of a transaction that is streamed.
    fn huge_bytes(&self) -> usize {
        usize::try_from(self.memory / 4).unwrap_or(usize::MAX)
    }

    /// The most keys that are kept to find conflicts.
    fn most_keys(&self) -> usize {
        /// The memory of a key with its entry in a map.
        const KEY_BYTES: usize = 128;
        self.huge_bytes() / KEY_BYTES
    }

    /// The number of the applier of huge transactions, which no other applier has.
    fn stream_number(&self) -> u32 {
        u32::try_from(self.threads + 1).unwrap_or(u32::MAX)
    }

    fn is_careful(&self) -> bool {
        self.careful.load(Ordering::Relaxed)
    }

    /// Lets a huge transaction that the target refused be applied again from its start, row by row.
    fn on_stream_error(&self, error: Error, is_refusal: impl Fn(&Error) -> bool) -> Error {
        if is_refusal(&error) && !self.careful.swap(true, Ordering::Relaxed) {
            return error.retryable();
        }
        error
    }
}
