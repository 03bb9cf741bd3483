//! A running job: its state, retries, cancellation and clean-up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::job_control::FollowControl;
use super::throttle::Throttle;
use crate::checkpoint::LogPlace;
use crate::clone_record::{CloneState, TableProgress};
use crate::endpoint::{JobEndpoints, StagingArchive};
use crate::engine::PauseGate;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventEmitter, LegName, Phase};
use crate::options::CloneOptions;
use crate::retry::RetryPolicy;
use crate::selector::{ObjectSelector, PatternSelector};

/// The staging archive that the journal of a clone names.
pub(super) struct RecordedStaging {
    pub(super) archive: StagingArchive,
    /// Whether it stays after the clone.
    pub(super) is_kept: bool,
}

/// A job whose options are valid and whose ends are open.
pub(super) struct JobRun {
    pub(super) ends: JobEndpoints,
    /// The leg that the events before the first row belong to.
    pub(super) first_leg: LegName,
    pub(super) options: CloneOptions,
    /// The custom selector; `None` if `patterns` selects.
    pub(super) selector: Option<Box<dyn ObjectSelector>>,
    pub(super) patterns: Option<PatternSelector>,
    pub(super) events: EventEmitter,
    pub(super) cancellation: CancellationToken,
    /// The staging archive of the clone that is resumed.
    pub(super) recorded_staging: OnceLock<RecordedStaging>,
    pub(super) throttle: Throttle,
    pub(super) follow_control: FollowControl,
    /// The place of the statement that was run at the target by hand.
    pub(super) skipped_statement: Option<LogPlace>,
    /// Whether the job may have created something that an error must clean up.
    needs_cleanup: AtomicBool,
    /// Whether an error leaves what is loaded, whatever its kind.
    keeps_remains: AtomicBool,
}

impl JobRun {
    pub(super) fn new(
        ends: JobEndpoints,
        options: CloneOptions,
        selector: Option<Box<dyn ObjectSelector>>,
        patterns: Option<PatternSelector>,
        events: EventEmitter,
        cancellation: CancellationToken,
        gate: PauseGate,
    ) -> Self {
        let first_leg = if ends.staging.is_some() { LegName::Export } else { LegName::Clone };
        let needs_cleanup = AtomicBool::new(false);
        let throttle = Throttle::new(gate, &ends, &options, &events);
        ends.set_events(&events);
        let recorded_staging = OnceLock::new();
        Self {
            ends,
            first_leg,
            options,
            selector,
            patterns,
            events,
            cancellation,
            recorded_staging,
            throttle,
            follow_control: FollowControl::default(),
            skipped_statement: None,
            needs_cleanup,
            keeps_remains: AtomicBool::new(false),
        }
    }

    /// Shares the control of the follower with the job's handle.
    pub(super) fn with_follow_control(self, follow_control: FollowControl, skipped: Option<LogPlace>) -> Self {
        Self { follow_control, skipped_statement: skipped, ..self }
    }

    /// Runs `work` until it ends or the job is cancelled.
    pub(super) async fn until_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancellation.cancelled() => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
            result = work => result,
        }
    }

    /// Runs a step before the first row, with retries: it only reads.
    pub(super) async fn with_retries<T, F: Future<Output = Result<T>>>(
        &self,
        step: &str,
        attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let warn =
            |error: &Error| self.events.emit(Event::Warning { message: format!("{step} is tried again: {error}") });
        RetryPolicy::before_first_row().run(attempt, warn).await
    }

    pub(super) fn set_needs_cleanup(&self, needs_cleanup: bool) {
        self.needs_cleanup.store(needs_cleanup, Ordering::Relaxed);
    }

    pub(super) fn set_keeps_remains(&self, keeps_remains: bool) {
        self.keeps_remains.store(keeps_remains, Ordering::Relaxed);
    }

    /// The warnings for the report about pauses and connections.
    pub(super) fn warnings(&self) -> Vec<String> {
        [self.throttle.warnings(), self.ends.agent_warnings()].concat()
    }

    pub(super) fn emit_phase(&self, phase: Phase) {
        self.events.emit(Event::Phase { leg: self.first_leg, phase });
    }

    /// Closes both ends. After an error, first removes what the job created, or leaves it for a resume.
    pub(super) async fn finish<T>(&self, result: Result<T>) -> Result<T> {
        let result = match result {
            Err(error) if self.needs_cleanup.load(Ordering::Relaxed) => Err(self.clean_up(error).await),
            other => other,
        };
        let closed = self.ends.source.close().await;
        self.ends.shutdown().await;
        if let (Ok(_), Err(error)) = (&result, closed) {
            // The clone is complete, so this is no failure.
            let message = format!("the clone is complete, but the source could not be closed: {error}");
            self.events.emit(Event::Warning { message });
        }
        result
    }

    /// Removes what the job created. After an error of a resume, and after a lost connection if
    /// a resume would keep a part of it, leaves it instead. Adds to
    /// the error what was left.
    async fn clean_up(&self, error: Error) -> Error {
        self.emit_phase(Phase::Cleanup);
        // An error must not take what earlier processes have loaded.
        let keeps = self.keeps_remains.load(Ordering::Relaxed)
            || self.options.resume && error.kind() != ErrorKind::Cancelled
            || error.kind() == ErrorKind::Connection && self.is_worth_resuming().await;
        let left = if keeps { self.suspend().await } else { self.remove_all().await };
        let error = match keeps {
            true if error.kind() != ErrorKind::Preflight => {
                error.with("what is loaded was left: go on by --resume, or undo it by", "dbgraft abandon")
            }
            _ => error,
        };
        if left.is_empty() { error } else { error.with("not cleaned up:", left.join("; ")) }
    }

    /// Whether a resume would take rows over: those of complete tables, or all durable ones if the source can be read again.
    async fn is_worth_resuming(&self) -> bool {
        let record = match self.ends.sink.clone_record().await {
            Ok(Some(record)) => record,
            Ok(None) => return false,
            // The sink is lost, so that nobody knows.
            Err(_) => return true,
        };
        let is_repeatable = self.ends.source.is_repeatable();
        let is_kept = |table: &TableProgress| table.rows > 0 && (table.complete || is_repeatable);
        record.plan.is_some() && record.tables.iter().any(is_kept)
    }

    /// Ends the sink, and leaves what a resume can take over. Returns what failed.
    async fn suspend(&self) -> Vec<String> {
        let mut failures = Vec::new();
        failures.extend(self.ends.sink.suspend().await.err());
        if let Some(stage) = &self.ends.staging
            && !self.options.keep_archive
        {
            failures.extend(stage.suspend().await.err());
        }
        failures.iter().map(Error::to_string).collect()
    }

    /// Removes what the job created. Returns what could not be removed.
    async fn remove_all(&self) -> Vec<String> {
        let mut left = Vec::new();
        if let Err(error) = self.ends.sink.abort().await {
            left.push(error.to_string());
        }
        if let Some(RecordedStaging { archive, is_kept: false }) = self.recorded_staging.get()
            // A refused resume leaves all as it was.
            && let Ok(record) = self.ends.sink.clone_record().await
            && record.is_none_or(|record| record.state == CloneState::None)
            && let Err(error) = archive.remove().await
        {
            left.push(error.to_string());
        }
        if let Some(stage) = &self.ends.staging
            && !self.options.keep_archive
            && let Err(error) = stage.remove().await
        {
            left.push(error.to_string());
        }
        left
    }
}
