//! Brings the tables of a resumed clone to one moment: applies the changes in the source's log to each table, from its own
//! moment on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use super::job_run::JobRun;
use crate::change::LogPosition;
use crate::checkpoint::Checkpoint;
use crate::clone_record::CloneRecord;
use crate::engine::{FollowEnd, FollowOutcome, Follower};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Phase};
use crate::fidelity::Severity;
use crate::memory::MemoryBudget;
use crate::options::{IfExists, OnDdl};
use crate::plan::{CatchUp, Plan, Position, Selection};
use crate::report::{CaughtUp, Finding, ResumeCase};
use crate::retry::RetryPolicy;

impl JobRun {
    /// Checks that the complete tables of a clone that was killed can be brought to a later moment.
    ///
    /// # Errors
    /// `Preflight`, with everything that prevents it.
    pub(super) async fn check_catch_up(&self, left: &CloneRecord, plan: &Plan, selection: &Selection) -> Result<()> {
        let is_complete = |number| left.tables.iter().any(|table| table.table == number && table.complete);
        let complete = plan.tables.iter().filter(|table| is_complete(table.number));
        let moments: Vec<&Position> = complete.map(|table| table.position.as_ref().unwrap_or(&plan.position)).collect();
        let problems = match moments_problem(&moments) {
            Some(problem) => vec![problem],
            None => {
                let from = moments.iter().filter_map(|moment| moment.log_position()).min_by_key(LogPosition::order);
                self.change_problems(plan, selection, &from.unwrap_or_default()).await?
            }
        };
        match problems.as_slice() {
            [] => Ok(()),
            problems => Err(self.rows_missing_error(&problems.join("; "))),
        }
    }

    /// Checks that the moment at which the missing rows are about to be read can be reached from those of the other tables.
    pub(super) fn check_new_moment(&self, plan: &Plan) -> Result<()> {
        let earlier = plan.tables.iter().filter_map(|table| table.position.as_ref());
        let moments: Vec<&Position> = earlier.chain([&plan.position]).collect();
        let order = |moment: &&Position| moment.log_position().map(|place| place.order());
        let later = || moments.iter().find(|moment| order(moment) > order(&&plan.position));
        let begun_anew = || {
            let later = describe_moment(later()?);
            Some(format!("the binary log was begun anew: {later} is after {}", describe_moment(&plan.position)))
        };
        match moments_problem(&moments).or_else(begun_anew) {
            None => Ok(()),
            Some(problem) => Err(self.rows_missing_error(&problem)),
        }
    }

    /// Decides how to go on with a clone that has all rows, but of several moments.
    pub(super) async fn decide_moments(&self, left: &CloneRecord, plan: Plan) -> Result<(ResumeCase, Plan)> {
        if self.options.no_consistency {
            return Ok((ResumeCase::SeveralMoments, settle_moments(left, plan)?));
        }
        let (catalog, selection) = self.select_again(&plan.objects()).await?;
        let applied = left.following.as_ref().map(|following| following.checkpoint.applied.clone());
        let from = applied.or_else(|| plan.earliest_position()).unwrap_or_default();
        let mut problems = Vec::new();
        if catalog.server.identity != plan.server.identity {
            problems.push(format!("the source was {}, and is {} now", plan.server.identity, catalog.server.identity));
        } else {
            problems.extend(self.change_problems(&plan, &selection, &from).await?);
        }
        if problems.is_empty() {
            return Ok((ResumeCase::CaughtUp, plan));
        }
        let message = format!(
            "all rows are there, but the tables cannot be brought to one moment by the source's binary log: {}. Nothing has \
             been changed: remove the cause, undo the clone by `dbgraft abandon`, or start again with --if-exists drop",
            problems.join("; ")
        );
        Err(Error::new(ErrorKind::Preflight, message))
    }

    /// What kind of clone this is that cannot catch up; `None` if it can.
    pub(super) fn kind_problem(&self, plan: &Plan) -> Option<String> {
        let problem = if plan.job.staging.is_some() {
            "a clone through an archive does not catch up, and its staging archive is incomplete"
        } else if self.options.schema_only {
            "a clone without rows does not catch up"
        } else if !plan.schema || self.options.if_exists == IfExists::Truncate {
            "the clone did not make the tables, so that they may differ from the source's"
        } else {
            return None;
        };
        Some(problem.to_owned())
    }

    /// What prevents the changes after a place from being read and applied.
    async fn change_problems(&self, plan: &Plan, selection: &Selection, from: &LogPosition) -> Result<Vec<String>> {
        let (source, sink) = (&self.ends.source, &self.ends.sink);
        let mut findings = self.with_retries("checking the log", || source.check_catch_up(selection)).await?;
        findings.extend(self.with_retries("checking the target", || sink.check_catch_up(plan)).await?);
        let is_error = |finding: &&Finding| finding.severity == Severity::Error;
        let mut problems: Vec<String> =
            findings.iter().filter(is_error).map(|finding| finding.message.clone()).collect();
        if problems.is_empty() {
            let read = self.with_retries("reading the log", || self.read_log_once(plan, from)).await;
            problems.extend(read.err().map(|error| error.to_string()));
        }
        Ok(problems)
    }

    /// Reads the log from a place on, until the first event.
    async fn read_log_once(&self, plan: &Plan, from: &LogPosition) -> Result<()> {
        let end = self.ends.source.log_end().await?;
        if end.server != from.server {
            let message =
                format!("the position is of the log of server {}, and this one is {}", from.server, end.server);
            return Err(Error::new(ErrorKind::Changed, message));
        }
        let budget = MemoryBudget::new(self.options.memory, self.options.threads);
        self.ends.source.changes(plan, from, &budget).await?.try_next().await.map(drop)
    }

    /// The error of a clone that lacks rows which only its source at that moment had.
    pub(super) fn rows_missing_error(&self, why: &str) -> Error {
        let several = match self.options.follow {
            true => "",
            false => ", or add --no-consistency to read tables that are not complete again, at another moment",
        };
        let message = format!(
            "rows are missing, and the source has moved on; its binary log cannot bring all tables to one moment: {why}. Nothing \
             has been changed: undo the clone by `dbgraft abandon`, start again with --if-exists drop{several}"
        );
        Error::new(ErrorKind::Preflight, message)
    }

    /// Applies to each table what it lacks, until all are of one moment: that of the plan, or a later one. Returns the plan
    /// with this moment.
    ///
    /// # Errors
    /// After all of them the clone is kept, and can be resumed.
    pub(super) async fn catch_up(&self, plan: &Arc<Plan>) -> Result<(Plan, CaughtUp)> {
        self.emit_phase(Phase::CatchingUp);
        self.set_keeps_remains(true);
        if let Err(error) = self.ends.source.close().await {
            self.events.emit(Event::Warning { message: format!("the snapshot could not be closed: {error}") });
        }
        let unknown = || Error::new(ErrorKind::Internal, "the moment of a table is not known");
        let (goal, start) = (plan.position.log_position(), plan.earliest_position().ok_or_else(unknown)?);
        let applier = self.with_retries("preparing to catch up", || self.ends.sink.change_applier(plan)).await?;
        let follower = Follower {
            source: self.ends.source.clone(),
            applier: applier.clone(),
            plan: plan.clone(),
            threads: self.options.threads,
            memory: self.options.memory,
            max_rate: self.options.max_rate,
            gate: self.throttle.gate.clone(),
            events: self.events.clone(),
            // A cancellation of the job drops the future.
            stop: CancellationToken::new(),
            goal: Some(goal.ok_or_else(unknown)?),
            cut_over: Arc::default(),
            skipped_definition: None,
            on_ddl: OnDdl::Stop,
            follows_table: Box::new(|_| false),
            compare: self.followed_comparison(plan),
            careful: AtomicBool::new(false),
        };
        let FollowOutcome { end, checkpoint, rows } = follower.run().await?;
        if let FollowEnd::Definition(definition, _) = end {
            let message = format!(
                "the tables cannot be brought to one moment: a statement changed a definition in between, at {}: {}: undo the \
                 clone by `dbgraft abandon` and start again, or add --no-consistency to leave the tables of several moments",
                definition.start.describe(),
                definition.sql
            );
            return Err(Error::new(ErrorKind::Changed, message));
        }
        let (end, transactions) = (checkpoint.applied, checkpoint.transactions);
        let mut caught_up = Plan { position: plan.position.at(&end), ..plan.as_ref().clone() };
        caught_up.job.catch_up = CatchUp::Ended;
        caught_up.tables.iter_mut().for_each(|table| table.position = None);
        let warn = |error: &Error| {
            self.events.emit(Event::Warning { message: format!("recording the moment is tried again: {error}") });
        };
        RetryPolicy::default().run(|| applier.end_catch_up(&caught_up), warn).await?;
        self.set_keeps_remains(false);
        Ok((caught_up, CaughtUp { start, end, transactions, rows }))
    }
}

/// What prevents tables of these moments from being brought to one.
fn moments_problem(moments: &[&Position]) -> Option<String> {
    let mut last: Option<LogPosition> = None;
    for moment in moments {
        let Some(place) = moment.log_position() else {
            return Some("the position of a snapshot in the binary log is not known".to_owned());
        };
        if moment.before_snapshot {
            let how = "a snapshot was taken without a lock, so that its position in the binary log is not exact";
            return Some(format!("{how} ({})", moment.refused.join("; ")));
        }
        let log =
            |place: &LogPosition| (place.server.clone(), place.file.rsplit_once('.').map(|(name, _)| name.to_owned()));
        if let Some(last) = last.as_ref().filter(|last| log(last) != log(&place)) {
            return Some(format!("{} and {} are places of different logs", last.describe(), place.describe()));
        }
        last = Some(place);
    }
    None
}

/// Takes the tables as they are, each of its own moment.
fn settle_moments(left: &CloneRecord, mut plan: Plan) -> Result<Plan> {
    plan.job.catch_up = CatchUp::None;
    let Some(following) = &left.following else { return Ok(plan) };
    let checkpoint = &following.checkpoint;
    let latest = plan.position.log_position().map(|place| place.order());
    if !is_at_moments(checkpoint, latest) {
        let message = "the tables are between moments, as some changes of the source's binary log were applied before others: go \
                       on by --resume without --no-consistency, or undo the clone by `dbgraft abandon`";
        return Err(Error::new(ErrorKind::Preflight, message));
    }
    plan.job.catch_up = CatchUp::Ended;
    for moment in plan.tables.iter_mut().filter_map(|table| table.position.as_mut()) {
        if moment.log_position().is_some_and(|place| place.order() < checkpoint.applied.order()) {
            *moment = moment.at(&checkpoint.applied);
        }
    }
    Ok(plan)
}

/// Whether each table is of one moment: nothing was applied out of turn, and nothing after the latest snapshot, whose tables
/// have their rows from there.
fn is_at_moments(checkpoint: &Checkpoint, latest: Option<(u64, u64)>) -> bool {
    checkpoint.ahead.is_empty() && Some(checkpoint.applied.order()) <= latest
}

/// Describes a moment in words.
pub(super) fn describe_moment(position: &Position) -> String {
    position.log_position().map_or_else(|| "its snapshot".to_owned(), |place| place.describe())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SnapshotMethod;

    fn place(file: &str, offset: u64) -> LogPosition {
        LogPosition { server: "s".to_owned(), file: file.to_owned(), offset, ..LogPosition::default() }
    }

    #[test]
    fn only_exact_moments_of_one_log_can_be_brought_to_one() {
        let unknown = Position::unknown(SnapshotMethod::GlobalReadLock);
        let at = |file: &str, offset| unknown.at(&place(file, offset));
        let (one, other) = (at("binlog.000009", 4), at("binlog.000010", 4));
        assert_eq!(moments_problem(&[&other, &one]), None);
        assert!(moments_problem(&[&one, &unknown]).unwrap().contains("not known"));
        let early = Position { before_snapshot: true, refused: vec!["no RELOAD".to_owned()], ..one.clone() };
        assert!(moments_problem(&[&other, &early]).unwrap().contains("not exact (no RELOAD)"));
        assert!(moments_problem(&[&one, &at("mysql-bin.000010", 4)]).unwrap().contains("different logs"));
        let elsewhere = Position { log_server: Some("t".to_owned()), ..other };
        assert!(moments_problem(&[&one, &elsewhere]).unwrap().contains("different logs"));
    }

    #[test]
    fn tables_to_which_something_was_applied_out_of_turn_are_at_no_moment() {
        let applied = Checkpoint::at_snapshot(place("binlog.000009", 50));
        assert!(is_at_moments(&applied, Some((9, 50))) && is_at_moments(&applied, Some((10, 4))));
        assert!(!is_at_moments(&applied, Some((9, 49))) && !is_at_moments(&applied, None));
        let ahead = Checkpoint { ahead: [("binlog.000009".to_owned(), 70)].into(), ..applied };
        assert!(!is_at_moments(&ahead, Some((10, 4))));
    }
}
