//! Follows the source of a clone, after its copy or in a later process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::CloneJob;
use super::changed_definitions::{recorded_predicate, table_predicate};
use super::ended_clone::read_ended_clone;
use super::execution::Cloned;
use super::job_run::JobRun;
use crate::catalog::Printable;
use crate::clone_record::{CloneRecord, CloneState};
use crate::engine::{FollowEnd, FollowOutcome, Follower, TablePredicate};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventEmitter, Phase};
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::{Finding, Followed, Note, ResumeCase};

impl CloneJob {
    /// Follows the source of a clone that is complete in its target, from what is applied, until the cut-over. Only the
    /// options of sites, means, definers and the target's binary log apply; the target knows what was cloned.
    ///
    /// # Errors
    /// `Preflight` if the target does not follow this source, or if a process follows now. `Changed` before a statement
    /// that changes a definition. `Cancelled` after a cancellation. Following can be taken up again after all of them.
    pub async fn follow(mut self) -> Result<Followed> {
        let started = Instant::now();
        self.options.follow = true;
        let job = self.open(true).await?;
        let outcome = job.finish(job.follow_again().await).await?;
        job.followed_result(outcome, started.elapsed().as_secs_f64())
    }
}

impl JobRun {
    /// The result of a job that only follows.
    pub(super) fn followed_result(&self, outcome: FollowOutcome, seconds: f64) -> Result<Followed> {
        let (followed, refused) = self.followed(outcome, seconds);
        match refused.as_slice() {
            [] => Ok(followed),
            refused => {
                let all: Vec<String> = refused.iter().map(FidelityIssue::describe).collect();
                let message = "the target is cut over, but it refused some objects: remove the cause and create them";
                Err(Error::new(ErrorKind::Incomplete, message).caused_by(all.join("; ")))
            }
        }
    }

    /// Follows the source of a clone that was copied by this job.
    pub(super) async fn follow_copy(&self, mut cloned: Cloned) -> Result<Cloned> {
        if cloned.resumption.as_ref().is_some_and(|resumed| resumed.case == ResumeCase::Finished) {
            let message = "the clone is complete and follows no source any more: nothing has been changed";
            return Err(Error::new(ErrorKind::Preflight, message));
        }
        // From here on the clone is kept, whatever happens.
        self.set_needs_cleanup(false);
        if let Err(error) = self.ends.source.close().await {
            self.events.emit(Event::Warning { message: format!("the snapshot could not be closed: {error}") });
        }
        let started = Instant::now();
        // A custom selector is not asked for what comes later.
        let follows_table: TablePredicate = match self.selector {
            Some(_) => Box::new(|_| false),
            None => table_predicate(&self.options)?,
        };
        let outcome = self.follow_plan(&cloned.plan, follows_table).await?;
        let notes = self.followed(outcome, started.elapsed().as_secs_f64());
        cloned.outcome.notes.extend(notes.1.into_iter().map(Note::Refused));
        cloned.followed = Some(notes.0);
        Ok(cloned)
    }

    /// Takes up a clone that is complete.
    async fn follow_again(&self) -> Result<FollowOutcome> {
        let look = async {
            self.emit_phase(Phase::Preflight);
            self.with_retries("connecting", || self.ends.connect()).await?;
            let record =
                self.with_retries("looking for the clone", || read_ended_clone(&*self.ends.sink, true)).await?;
            let plan = followed_plan(record.unwrap_or_default(), &self.ends.target_name)?;
            self.check_source(&plan)?;
            self.check_options(&plan)?;
            let (record, plan) = plan;
            let follows_table = recorded_predicate(&record, &plan)?;
            Ok((Arc::new(plan), follows_table))
        };
        let (plan, follows_table) = self.until_cancelled(look).await?;
        self.follow_plan(&plan, follows_table).await
    }

    /// Checks that the source is the one that the target follows, or another server whose log is proved by GTIDs to have
    /// the same transactions: the server itself refuses a start that it does not have.
    fn check_source(&self, (record, plan): &(CloneRecord, Plan)) -> Result<()> {
        let (then, now) = (&plan.job.source, &self.ends.source_name);
        let has_gtids = record.following.as_ref().is_some_and(|following| following.checkpoint.applied.gtids.is_some());
        let database = |name: &str| name.rsplit('/').next().map(str::to_owned);
        if then == now || has_gtids && database(then) == database(now) {
            return Ok(());
        }
        let message = format!(
            "the target follows {then}, and the source is {now}: another server can take its place only if the log is \
             followed by GTIDs, and with a database of the same name"
        );
        Err(Error::new(ErrorKind::Preflight, message))
    }

    /// Compares the options that decide what the cut-over makes with those of the clone.
    fn check_options(&self, (record, _): &(CloneRecord, Plan)) -> Result<()> {
        let own = serde_json::to_value(&self.options).unwrap_or_default();
        for name in ["definer", "skip_binlog"] {
            let (then, now) = (record.options.get(name), own.get(name));
            if then.is_some() && then != now {
                let value = then.map(ToString::to_string).unwrap_or_default();
                let message = format!("the clone was made with --{} {value}: give the same", name.replace('_', "-"));
                return Err(Error::new(ErrorKind::Preflight, message));
            }
        }
        Ok(())
    }

    /// Follows until told to end.
    pub(super) async fn follow_plan(&self, plan: &Arc<Plan>, follows_table: TablePredicate) -> Result<FollowOutcome> {
        self.emit_phase(Phase::Following);
        let applier = self.with_retries("preparing to follow", || self.ends.sink.change_applier(plan)).await?;
        let (events, control) = (self.events.clone(), self.follow_control.clone());
        let follower = Follower {
            source: self.ends.source.clone(),
            applier,
            plan: plan.clone(),
            threads: self.options.threads,
            memory: self.options.memory,
            max_rate: self.options.max_rate,
            gate: self.throttle.gate.clone(),
            events: EventEmitter::new(move |event| {
                if let Event::Following(progress) = &event {
                    control.progress.send_replace(Some(progress.clone()));
                }
                events.emit(event);
            }),
            stop: self.cancellation.clone(),
            goal: None,
            cut_over: self.follow_control.cut_over.clone(),
            skipped_definition: self.skipped_statement.clone(),
            on_ddl: self.options.on_ddl,
            follows_table,
            compare: self.followed_comparison(plan),
            careful: AtomicBool::new(false),
        };
        let outcome = self.throttle.run(Box::pin(self.follow_past_statement(&follower))).await;
        let again = |error: Error| {
            error.with(
                "the target keeps what is applied; go on by `dbgraft follow` with the target",
                &self.ends.target_name,
            )
        };
        let outcome = outcome.map_err(again)?;
        let position = outcome.checkpoint.applied.describe();
        match &outcome.end {
            FollowEnd::CutOver(_) => Ok(outcome),
            FollowEnd::Stopped | FollowEnd::Reached => {
                let message = format!("following has ended, and everything up to {position} is applied");
                Err(again(Error::new(ErrorKind::Cancelled, message)))
            }
            FollowEnd::PassedByHand(definition, _) => {
                let message = "the statement that was run by hand is in the log again";
                Err(again(Error::new(ErrorKind::Internal, message).with("position", definition.start.describe())))
            }
            FollowEnd::Definition(definition, reason) => {
                let start = definition.start.describe();
                let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                let message = format!(
                    "following has ended before a statement that changes a definition, at {start}: {}{reason}: run it at the \
                     target too, then go on by `dbgraft follow` with --skip-ddl {start}",
                    printable_lines(&definition.sql)
                );
                Err(Error::new(ErrorKind::Changed, message))
            }
        }
    }

    /// Follows, and passes the statement that was run at the target by hand.
    async fn follow_past_statement(&self, follower: &Follower) -> Result<FollowOutcome> {
        let outcome = follower.run().await?;
        let FollowEnd::PassedByHand(definition, plan) = &outcome.end else { return Ok(outcome) };
        let current = self.plan_anew(plan).await?;
        let pass = || follower.applier.pass_definition(definition, &current);
        self.with_retries("passing the statement that was run by hand", pass).await?;
        let next = follower.run().await?;
        Ok(FollowOutcome { rows: outcome.rows + next.rows, ..next })
    }

    /// Describes what was followed. Also returns the objects that the target refused.
    fn followed(&self, outcome: FollowOutcome, seconds: f64) -> (Followed, Vec<FidelityIssue>) {
        let FollowOutcome { end, checkpoint, rows } = outcome;
        let notes = match end {
            FollowEnd::CutOver(notes) => notes,
            FollowEnd::Stopped | FollowEnd::Reached | FollowEnd::Definition(..) | FollowEnd::PassedByHand(..) => {
                Vec::new()
            }
        };
        let (mut fidelity, mut warnings, mut refused) = (Vec::new(), self.warnings(), Vec::new());
        for note in notes {
            match note {
                Note::Fidelity(issue) => fidelity.push(issue),
                Note::Refused(issue) => refused.push(issue),
                Note::Message { message, .. } => warnings.push(message),
                Note::Difference(difference) => warnings.push(difference.to_string()),
            }
        }
        let (source, target) = (self.ends.source_name.clone(), self.ends.target_name.clone());
        let (position, transactions) = (checkpoint.applied, checkpoint.transactions);
        (Followed { source, target, position, transactions, rows, fidelity, warnings, seconds }, refused)
    }

    /// Finds what prevents following, apart from the checks of both ends.
    pub(super) async fn check_following(&self, has_filters: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.ends.sink.applies_changes() {
            findings.push(Finding::error("--follow: this target cannot apply changes: only a server can"));
        }
        if has_filters && !self.ends.source.filters_changes() {
            findings.push(Finding::error(
                "--follow: this source cannot leave out changes by a row filter: clone all rows of these tables",
            ));
        }
        if let Err(error) = self.ends.source.log_end().await {
            findings.push(Finding::error(format!("--follow: {error}")));
        }
        findings.retain(|finding| finding.severity == Severity::Error);
        findings
    }
}

/// The plan of a clone that can be followed.
fn followed_plan(record: CloneRecord, target: &str) -> Result<(CloneRecord, Plan)> {
    let refused = |message: String| Err(Error::new(ErrorKind::Preflight, message));
    let holder = record.holder.as_deref().unwrap_or_default();
    match record.state {
        CloneState::NotFollowing => {}
        CloneState::Following => {
            return refused(format!("a process follows into {target} now, over connection {holder} of its server"));
        }
        CloneState::Running => return refused(format!("a clone into {target} runs now, over connection {holder}")),
        CloneState::Damaged => {
            let damage = record.damage.unwrap_or_default();
            return refused(format!("the clone into {target} cannot be followed: {damage}"));
        }
        CloneState::Dead => {
            return refused(format!(
                "the clone into {target} is not complete: go on with it by `dbgraft clone … --follow --resume`"
            ));
        }
        CloneState::None | CloneState::Unfinished | CloneState::Finished => {
            return refused(format!("{target} follows no source: begin by `dbgraft clone … --follow`"));
        }
    }
    match record.plan.clone() {
        Some(plan) => Ok((record, plan)),
        None => refused(format!("the journal of {target} has no plan")),
    }
}

/// Formats a statement for a terminal, line by line, so that it can be copied.
fn printable_lines(sql: &str) -> String {
    sql.lines().map(|line| Printable(line).to_string()).collect::<Vec<_>>().join("\n")
}
