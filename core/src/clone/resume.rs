//! Goes on with a clone that was killed.
//!
//! Everything is looked at first. The first difference between the clone that was killed and the one that is asked for ends
//! the job, and nothing has changed then.

use std::sync::Arc;

use super::catching_up::describe_moment;
use super::ended_clone::read_ended_clone;
use super::execution::{Cloned, check_position};
use super::job_run::{JobRun, RecordedStaging};
use super::preflight::PreflightResult;
use crate::catalog::{Catalog, ObjectKind, ObjectRef, Table};
use crate::change::LogPosition;
use crate::clone_record::{CloneRecord, CloneState};
use crate::endpoint::StagingArchive;
use crate::engine::{Leg, LegOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, LegName, Phase};
use crate::options::IfExists;
use crate::plan::{CatchUp, JobDescription, Plan, Position, Selection, SnapshotMethod, TablePlan};
use crate::report::{self, CaughtUp, Finding, ResumeCase, Resumption};
use crate::source::Source;

/// How a clone is resumed.
pub(super) struct ResumeDecision {
    pub(super) case: ResumeCase,
    pub(super) plan: Plan,
    started: String,
    /// The staging archive that holds the missing rows.
    staged_source: Option<Arc<dyn Source>>,
}

impl ResumeDecision {
    /// The line by which a run says what it does.
    pub(super) fn describe(&self) -> String {
        let how = self.case.describe();
        if self.case != ResumeCase::CaughtUp {
            return how.to_owned();
        }
        let earlier = self.plan.tables.iter().filter_map(|table| table.position.as_ref()?.log_position());
        let from = earlier.min_by_key(LogPosition::order).map_or_else(String::new, |from| from.describe());
        match self.plan.position.log_position() {
            Some(to) => format!("{how}: from {from} on, up to {} or a later one", to.describe()),
            None => format!("{how}: from {from} on"),
        }
    }
}

impl JobRun {
    /// Resumes a clone that was killed.
    pub(super) async fn resume(&self) -> Result<Cloned> {
        let decision = self.decide(true).await?;
        self.events.emit(Event::Resumed { message: decision.describe() });
        let ResumeDecision { case, plan, started, staged_source } = decision;
        let findings = plan.job.warnings.iter().map(Finding::warning).collect();
        let preflight = PreflightResult { findings, fidelity: plan.job.fidelity.clone() };
        let (plan, outcome, caught_up) = match case {
            ResumeCase::Finished => (Arc::new(plan), LegOutcome::default(), None),
            _ => self.throttle.run(Box::pin(self.run_missing_leg(Arc::new(plan), staged_source))).await?,
        };
        let resumption = Some(Resumption { caught_up, ..resumption(case, started, &plan, &outcome) });
        Ok(Cloned { plan, outcome, preflight, resumption, followed: None })
    }

    /// Runs the leg that writes what is missing, and removes the staging archive. Returns the plan with the moment that the
    /// tables are of.
    async fn run_missing_leg(
        &self,
        mut plan: Arc<Plan>,
        staged_source: Option<Arc<dyn Source>>,
    ) -> Result<(Arc<Plan>, LegOutcome, Option<CaughtUp>)> {
        let name = if plan.job.staging.is_some() { LegName::Import } else { LegName::Clone };
        let leg = self.leg(name, &plan, self.options.memory);
        let mut caught_up = None;
        self.set_needs_cleanup(true);
        let outcome = match staged_source {
            Some(source) => Leg { source, ..leg }.run().await?,
            // The rest of a clone through an archive does not go through it.
            None if plan.job.staging.is_some() => leg.run().await?,
            None if plan.job.catch_up == CatchUp::Pending => {
                let copied = leg.copy().await?;
                let (reached, changes) = self.catch_up(&plan).await?;
                (plan, caught_up) = (Arc::new(reached), Some(changes));
                copied.finish(&plan).await?
            }
            None => self.run_leg(leg, self.ends.first_leg_agent.as_deref()).await?,
        };
        if let Some(RecordedStaging { archive, is_kept: false }) = self.recorded_staging.get() {
            archive.remove().await?;
        }
        self.conclude().await?;
        Ok((plan, outcome, caught_up))
    }

    /// Decides how the clone is resumed. Without `snapshot` it only plans, and reads nothing.
    pub(super) async fn decide(&self, snapshot: bool) -> Result<ResumeDecision> {
        self.emit_phase(Phase::Preflight);
        self.with_retries("connecting", || self.ends.connect()).await?;
        let left = self.with_retries("looking for the clone", || read_ended_clone(&*self.ends.sink, snapshot)).await?;
        let left = match left {
            None | Some(CloneRecord { state: CloneState::None, .. }) => return self.check_finished().await,
            Some(left) => left,
        };
        let plan = usable_plan(&left, &self.ends.target_name)?;
        self.check_request(&left, &plan)?;
        if left.state == CloneState::Finished {
            if snapshot {
                self.with_retries("removing what the export has left", || self.ends.sink.conclude()).await?;
            }
            let (case, started) = (ResumeCase::Finished, left.started);
            return Ok(ResumeDecision { case, plan, started, staged_source: None });
        }
        let recorded = |url| StagingArchive::recorded(url, self.ends.archive_key.clone());
        let stage = plan.job.staging.as_deref().map(recorded).transpose()?;
        let staged_source = match &stage {
            Some(stage) if !left.has_all_rows() => stage.complete_source(&plan.job.id).await?,
            _ => None,
        };
        if let Some(archive) = stage {
            // Only one job runs, so it is set once.
            let _ = self.recorded_staging.set(RecordedStaging { archive, is_kept: plan.job.keeps_staging });
        }
        let started = left.started.clone();
        if left.has_all_rows() {
            let plan = Plan { job: JobDescription { reads_again: false, ..plan.job }, ..plan };
            let (case, plan) = match plan.job.catch_up {
                CatchUp::Pending => self.decide_moments(&left, plan).await?,
                CatchUp::None | CatchUp::Ended => (ResumeCase::NoRowMissing, plan),
            };
            return Ok(ResumeDecision { case, plan, started, staged_source });
        }
        if staged_source.is_some() {
            return Ok(ResumeDecision { case: ResumeCase::OneMoment, plan, started, staged_source });
        }
        if self.ends.source.is_repeatable() {
            let plan = self.check_archive(plan).await?;
            return Ok(ResumeDecision { case: ResumeCase::OneMoment, plan, started, staged_source });
        }
        let has_complete = left.tables.iter().any(|table| table.complete);
        let reads_all =
            left.state == CloneState::Unfinished || plan.job.staging.is_none() && !self.options.no_consistency;
        let case = match (has_complete, self.options.no_consistency) {
            (false, _) if reads_all => ResumeCase::ReadAgain,
            (_, true) => ResumeCase::SeveralMoments,
            (_, false) => ResumeCase::CaughtUp,
        };
        if case == ResumeCase::CaughtUp
            && let Some(problem) = self.kind_problem(&plan)
        {
            return Err(self.rows_missing_error(&problem));
        }
        let selected = self.select_again(&plan.objects()).await?;
        if case == ResumeCase::CaughtUp {
            self.check_catch_up(&left, &plan, &selected.1).await?;
        }
        let plan = self.plan_rest(&left, plan, selected, snapshot).await?;
        let plan = match case {
            ResumeCase::CaughtUp => {
                if snapshot {
                    self.check_new_moment(&plan)?;
                }
                Plan { job: JobDescription { catch_up: CatchUp::Pending, ..plan.job }, ..plan }
            }
            _ if snapshot && self.options.follow => check_position(&plan).map(|()| plan)?,
            _ => plan,
        };
        Ok(ResumeDecision { case, plan, started, staged_source })
    }

    /// Whether a target without an unfinished clone has everything that is selected.
    async fn check_finished(&self) -> Result<ResumeDecision> {
        if self.options.data_only || self.options.if_exists == IfExists::Truncate {
            let message = format!(
                "no clone is under way in {}, and tables that are there may be older than it: there is nothing to resume: see \
                 by `dbgraft verify` whether it is complete, or start the clone without --resume",
                self.ends.target_name
            );
            return Err(Error::new(ErrorKind::Preflight, message));
        }
        let (catalog, selection) = self.select().await?;
        let existing = self.with_retries("reading the target's objects", || self.ends.sink.existing()).await?;
        let folds = catalog.server.folds_names;
        let is_same = |one: &ObjectRef, other: &ObjectRef| {
            one.kind == other.kind
                && (one.name == other.name || folds && one.name.to_lowercase() == other.name.to_lowercase())
        };
        let missing = selected_objects(&selection).find(|wanted| !existing.iter().any(|there| is_same(there, wanted)));
        if let Some(missing) = missing {
            let message = format!(
                "no clone is under way in {}, and it does not have {missing}: there is nothing to resume: start the clone \
                 without --resume",
                self.ends.target_name
            );
            return Err(Error::new(ErrorKind::Preflight, message));
        }
        let plan = Plan::from_selection(&catalog, &selection, Position::unknown(SnapshotMethod::External));
        Ok(ResumeDecision { case: ResumeCase::Finished, plan, started: String::new(), staged_source: None })
    }

    /// Compares source and options with those of the clone that was killed.
    fn check_request(&self, left: &CloneRecord, plan: &Plan) -> Result<()> {
        if plan.job.source != self.ends.source_name {
            return Err(mismatch("the source", &plan.job.source, &self.ends.source_name));
        }
        let own = serde_json::to_value(&self.options).unwrap_or_default();
        for (name, then) in left.options.as_object().into_iter().flatten() {
            let now = own.get(name).cloned().unwrap_or_default();
            if now != *then {
                let option = format!("the option --{}", name.replace('_', "-"));
                return Err(mismatch(&option, &then.to_string(), &now.to_string()));
            }
        }
        Ok(())
    }

    /// Compares the archive that is the source with the plan, and prepares it for reading.
    async fn check_archive(&self, plan: Plan) -> Result<Plan> {
        let (_, selection) = self.select().await?;
        let now = self.with_retries("reading the archive", || self.ends.source.snapshot(&selection)).await?;
        if now.job.id != plan.job.export {
            return Err(mismatch("the export that wrote the archive", &plan.job.export, &now.job.id));
        }
        if now.position != plan.position || now.database != plan.database {
            return Err(mismatch(
                "the moment of the archive",
                &describe_moment(&plan.position),
                &describe_moment(&now.position),
            ));
        }
        if let Some(table) = first_difference(&plan.tables, &now.tables, |then, now| then == now) {
            return Err(changed(&format!("table {table} of the archive")));
        }
        if plan.definitions != now.definitions {
            return Err(changed("a definition of the archive"));
        }
        Ok(plan)
    }

    /// Plans to read the tables that are not complete at a new moment.
    async fn plan_rest(
        &self,
        left: &CloneRecord,
        plan: Plan,
        (catalog, selection): (Catalog, Selection),
        snapshot: bool,
    ) -> Result<Plan> {
        if catalog.server.identity != plan.server.identity {
            return Err(mismatch("the identity of the source", &plan.server.identity, &catalog.server.identity));
        }
        let findings = self.with_retries("checking the source", || self.ends.source.check(&selection)).await?;
        if let Some(error) = report::preflight_error(&findings) {
            return Err(error);
        }
        let source = &self.ends.source;
        let now = match snapshot {
            true => self.with_retries("taking the snapshot", || source.snapshot(&selection)).await?,
            false => self.with_retries("planning", || source.plan(&selection)).await?,
        };
        let same = |then: &TablePlan, now: &TablePlan| {
            then.number == now.number && then.filter == now.filter && is_same_table(&then.table, &now.table)
        };
        if let Some(table) = first_difference(&plan.tables, &now.tables, same) {
            return Err(changed(&format!("table {table} of the source")));
        }
        let texts = |plan: &Plan| {
            plan.definitions.iter().map(|found| (found.object.clone(), found.create.clone())).collect::<Vec<_>>()
        };
        let (then_texts, now_texts) = (texts(&plan), texts(&now));
        if let Some((object, _)) = then_texts
            .iter()
            .find(|text| !now_texts.contains(text))
            .or_else(|| now_texts.iter().find(|text| !then_texts.contains(text)))
        {
            return Err(changed(&format!("{object} of the source")));
        }
        let Plan { mut job, position, tables, .. } = plan;
        (job.reads_again, job.catch_up) = (true, CatchUp::None);
        let mut rest = Plan { job, ..now };
        for (table, then) in rest.tables.iter_mut().zip(tables) {
            if left.tables.iter().any(|progress| progress.table == then.number && progress.complete) {
                let moment = then.position.clone().unwrap_or_else(|| position.clone());
                *table = TablePlan { position: Some(moment), ..then };
            }
        }
        Ok(rest)
    }
}

/// The plan of a clone that can be resumed.
fn usable_plan(left: &CloneRecord, target: &str) -> Result<Plan> {
    let refused = |message: String| Err(Error::new(ErrorKind::Preflight, message));
    match left.state {
        CloneState::Running => {
            let holder = left.holder.as_deref().unwrap_or_default();
            return refused(format!(
                "a clone into {target} runs now, over connection {holder} of its server: wait for its end"
            ));
        }
        CloneState::Damaged => {
            let damage = left.damage.as_deref().unwrap_or_default();
            return refused(format!(
                "the clone into {target} cannot be resumed: {damage}: start again with --if-exists drop"
            ));
        }
        CloneState::Following | CloneState::NotFollowing => {
            return refused(format!(
                "the clone into {target} is complete and follows its source: go on by `dbgraft follow`"
            ));
        }
        // Whether an export runs is not known: who asks for a resume says that it does not.
        CloneState::None | CloneState::Dead | CloneState::Unfinished | CloneState::Finished => {}
    }
    left.plan.clone().map_or_else(
        || refused(format!("the clone into {target} was killed before it had a plan: undo it by `dbgraft abandon`")),
        Ok,
    )
}

fn mismatch(what: &str, then: &str, now: &str) -> Error {
    let message =
        format!("the clone cannot be resumed, and nothing has been changed: {what} was {then}, and is {now} now");
    Error::new(ErrorKind::Preflight, message)
}

fn changed(what: &str) -> Error {
    let message = format!("the clone cannot be resumed, and nothing has been changed: {what} is not as it was");
    Error::new(ErrorKind::Preflight, message)
}

/// The name of the first table that only one plan has, or that differs.
fn first_difference(
    then: &[TablePlan],
    now: &[TablePlan],
    is_same: impl Fn(&TablePlan, &TablePlan) -> bool,
) -> Option<String> {
    let differing = then.iter().zip(now).find(|(then, now)| !is_same(then, now)).map(|(then, _)| then);
    let unpaired = || then.get(now.len()).or_else(|| now.get(then.len()));
    differing.or_else(unpaired).map(|table| table.table.name.clone())
}

/// Whether two entries of a catalog are of one table: sizes and the AUTO_INCREMENT counter do not count.
fn is_same_table(then: &Table, now: &Table) -> bool {
    let text = |table: &Table| {
        let mut parts = table.create.split(" AUTO_INCREMENT=");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + " " + part.trim_start_matches(|c: char| c.is_ascii_digit()))
    };
    then.name == now.name && then.columns == now.columns && text(then).replace(' ', "") == text(now).replace(' ', "")
}

/// The objects of a selection.
fn selected_objects(selection: &Selection) -> impl Iterator<Item = ObjectRef> + '_ {
    let tables = selection.tables.iter().map(|table| ObjectRef::new(ObjectKind::Table, &table.name));
    tables.chain(selection.objects.iter().cloned())
}

/// Says what was taken over and what was read again.
fn resumption(case: ResumeCase, started: String, plan: &Plan, outcome: &LegOutcome) -> Resumption {
    let named = |is_chosen: &dyn Fn(u32) -> bool| -> Vec<String> {
        let chosen = plan.tables.iter().filter(|table| is_chosen(table.number));
        chosen.map(|table| table.table.name.clone()).collect()
    };
    let is_over = |number: u32| case == ResumeCase::Finished || outcome.taken_over.contains(&number);
    Resumption {
        case,
        started,
        taken_over: named(&is_over),
        continued: named(&|number| outcome.continued.contains(&number)),
        read_again: named(&|number| !is_over(number) && !outcome.continued.contains(&number)),
        caught_up: None,
    }
}
