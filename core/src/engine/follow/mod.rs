//! Follows a source: applies the changes that were committed after its snapshot to a target, until it is told to end.
//!
//! A session reads the log from what the target says is applied. After an error that may pass, a new session begins: there
//! is no other way of recovery.

mod applier_task;
mod conflicts;
mod reader;
mod tracker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use self::applier_task::ApplierTask;
use self::conflicts::Conflicts;
use self::reader::LogReader;
use self::tracker::Tracker;
use super::pause_gate::PauseGate;
use super::rate_limiter::RateLimiter;
use crate::change::LogPosition;
use crate::change_applier::ChangeApplier;
use crate::checkpoint::{Checkpoint, CutOver, CutOverState, LogPlace};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventEmitter, FollowProgress};
use crate::plan::Plan;
use crate::report::Note;
use crate::retry::RetryPolicy;
use crate::source::Source;

/// The interval of events.
const TICK: Duration = Duration::from_millis(500);
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
    /// Whether this process asks for the cut-over.
    pub(crate) cut_over: watch::Receiver<bool>,
    /// The place of the statement that was run by hand at the target.
    pub(crate) skipped_definition: Option<LogPlace>,
    /// Whether a huge transaction is applied row by row, because a faster try failed.
    pub(crate) careful: AtomicBool,
}

/// A statement that changes a definition.
pub(crate) struct Definition {
    pub(crate) sql: String,
    /// The place before it.
    pub(crate) start: LogPosition,
}

/// How following has ended.
pub(crate) enum FollowEnd {
    /// It was told to end.
    Stopped,
    /// The target is cut over.
    CutOver(Vec<Note>),
    /// A statement changes a definition.
    Definition(Definition),
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
    /// Everything up to the position of the cut-over is applied; whether another process waits.
    ReadyToCutOver {
        is_awaited: bool,
    },
    Definition(Definition),
}

impl Follower {
    /// Follows to its end. Dropping the future stops it; the target keeps what it has applied.
    pub(crate) async fn run(&self) -> Result<FollowOutcome> {
        let (mut rows, mut wait, mut passed) = (0, Duration::from_secs(1), None);
        loop {
            let session = async {
                let start = self.applier.take_up().await?;
                if let Some(cut_over) = self.applier.read_cut_over().await?
                    && cut_over.state != CutOverState::Requested
                {
                    return Ok((start, None, 0));
                }
                let tracker = Arc::new(Tracker::new(&start, self.threads));
                let end = self.run_session(&start, &tracker).await;
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
                Ok((checkpoint, Some(SessionEnd::Definition(definition)), _)) => {
                    return Ok(FollowOutcome { end: FollowEnd::Definition(definition), checkpoint, rows });
                }
                Err(error) => error,
            };
            self.applier.close().await;
            if !error.is_retryable() || error.kind() == ErrorKind::Changed {
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

    /// Applies changes until following ends, or a connection is lost.
    async fn run_session(&self, start: &Checkpoint, tracker: &Arc<Tracker>) -> Result<SessionEnd> {
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
            tracker: tracker.clone(),
            queues,
            ahead: start.ahead.clone(),
            conflicts: Conflicts::default(),
            rate_limiter: RateLimiter::new(self.max_rate),
        };
        let work = async {
            tokio::select! {
                definition = reader.run(&start.applied) => definition.map(SessionEnd::Definition),
                end = self.watch(tracker) => end,
            }
        };
        let end = tokio::select! {
            biased;
            error = tracker.failure() => return Err(error),
            end = work => end?,
        };
        // The reader is gone: what was given to the appliers is still applied, and nothing more.
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
            Err(_) if matches!(end, SessionEnd::Stopped) => return Ok(end),
            Err(_) => {
                let message = "the last transactions take longer than expected";
                return Err(Error::new(ErrorKind::Connection, message).retryable());
            }
        }
        self.write_checkpoint(tracker).await?;
        Ok(end)
    }

    /// Reports progress, and waits for the end of following.
    async fn watch(&self, tracker: &Tracker) -> Result<SessionEnd> {
        let mut ticker = interval(TICK);
        let (mut written, mut written_at) = (tracker.checkpoint(), Instant::now());
        let (mut rows, mut seen_at) = (tracker.rows(), Instant::now());
        let mut goal: Option<LogPosition> = None;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(SessionEnd::Stopped),
                _ = ticker.tick() => {}
            }
            let checkpoint = tracker.checkpoint();
            let rate = (tracker.rows() - rows) as f64 / seen_at.elapsed().as_secs_f64().max(0.001);
            (rows, seen_at) = (tracker.rows(), Instant::now());
            self.events.emit(Event::Following(FollowProgress {
                position: checkpoint.applied.describe(),
                lag_seconds: checkpoint.lag_ms as f64 / 1e3,
                transactions: checkpoint.transactions,
                rows,
                rows_per_second: rate,
            }));
            let request = self.applier.read_cut_over().await?;
            let is_awaited = request.is_some();
            match (is_awaited || *self.cut_over.borrow(), &goal) {
                (false, _) => goal = None,
                (true, None) => goal = Some(self.source.log_end().await?),
                (true, Some(goal)) if checkpoint.applied.order() >= goal.order() => {
                    return Ok(SessionEnd::ReadyToCutOver { is_awaited });
                }
                (true, Some(_)) => {}
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

    /// Records that nothing more is applied. Returns false if the request was withdrawn.
    async fn begin_cut_over(&self, checkpoint: &Checkpoint, is_awaited: bool) -> Result<bool> {
        let (state, position) = (CutOverState::Finishing, Some(checkpoint.applied.clone()));
        self.applier.begin_cut_over(&CutOver { state, position, refused: Vec::new(), is_awaited }).await
    }

    /// Makes what comes after the changes, and forgets the job.
    async fn finish_cut_over(&self, checkpoint: Checkpoint, rows: u64) -> Result<FollowOutcome> {
        let retry = RetryPolicy::default();
        let warn = |error: &Error| {
            self.events.emit(Event::Warning { message: format!("the cut-over is tried again: {error}") });
        };
        let notes = retry.run(|| self.applier.finish(), warn).await?;
        let refused = notes.iter().filter_map(|note| match note {
            Note::Refused(issue) => Some(issue.describe()),
            _ => None,
        });
        let (state, position) = (CutOverState::Finished, Some(checkpoint.applied.clone()));
        let is_awaited = self.applier.read_cut_over().await?.is_some_and(|cut_over| cut_over.is_awaited);
        let cut_over = CutOver { state, position, refused: refused.collect(), is_awaited };
        retry.run(|| self.applier.end_cut_over(&cut_over), warn).await?;
        Ok(FollowOutcome { end: FollowEnd::CutOver(notes), checkpoint, rows })
    }

    /// The bytes of a transaction that is streamed.
    fn huge_bytes(&self) -> usize {
        usize::try_from(self.memory / 4).unwrap_or(usize::MAX)
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
