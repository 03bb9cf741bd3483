//! The steps of a plan and of a clone: preflight, snapshot, legs.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::job_run::JobRun;
use super::preflight::PreflightResult;
use crate::clone_record::{CloneRecord, CloneState};
use crate::endpoint::StagingArchive;
use crate::engine::LegOutcome;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Phase};
use crate::fidelity::Severity;
use crate::plan::{CatchUp, JobDescription, Plan};
use crate::report::{self, Finding, Followed, Resumption};

impl JobRun {
    /// Runs the preflight and plans the clone.
    pub(super) async fn plan(&self) -> Result<(Plan, PreflightResult)> {
        if self.options.resume {
            let decision = self.decide(false).await?;
            let findings = vec![Finding::note(decision.describe())];
            let fidelity = decision.plan.job.fidelity.clone();
            return Ok((decision.plan, PreflightResult { findings, fidelity }));
        }
        let (catalog, mut selection) = self.select().await?;
        let preflight = self.check(&catalog, &mut selection).await?;
        let plan = self.with_retries("planning", || self.ends.source.plan(&selection)).await?;
        Ok((plan, preflight))
    }

    /// Runs the preflight, takes the snapshot and copies everything.
    pub(super) async fn clone_all(&self) -> Result<Cloned> {
        let (catalog, mut selection) = self.select().await?;
        let preflight = self.check(&catalog, &mut selection).await?;
        if let Some(error) = report::preflight_error(&preflight.findings) {
            return Err(error);
        }
        for finding in preflight.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
            self.events.emit(Event::Warning { message: finding.message.clone() });
        }
        self.remove_stale_staging().await?;
        self.emit_phase(Phase::Snapshot);
        let mut plan = self.with_retries("taking the snapshot", || self.ends.source.snapshot(&selection)).await?;
        if self.options.follow {
            check_position(&plan)?;
        }
        plan.job = JobDescription { export: plan.job.id, ..self.describe_job(&preflight) };
        let plan = Arc::new(plan);
        self.set_needs_cleanup(true);
        let outcome = self.throttle.run(Box::pin(self.run_legs(&plan))).await?;
        Ok(Cloned { plan, outcome, preflight, resumption: None, followed: None })
    }

    /// Removes the staging archive of a killed clone whose place this one takes: its journal alone names it.
    async fn remove_stale_staging(&self) -> Result<()> {
        let record = self.with_retries("looking for another clone", || self.ends.sink.clone_record()).await?;
        let Some(CloneRecord { state: CloneState::Dead, plan: Some(plan), .. }) = record else { return Ok(()) };
        let Some(url) = plan.job.staging.filter(|_| !plan.job.keeps_staging) else { return Ok(()) };
        let remove = async {
            let stage = StagingArchive::recorded(&url, self.ends.archive_key.clone())?;
            if stage.is_of_job(&plan.job.id).await? {
                stage.remove().await?;
            }
            Ok(())
        };
        let removed: Result<()> = remove.await;
        if let Err(error) = removed {
            let message = format!("the archive that a killed clone staged at {url} is left: {error}");
            self.events.emit(Event::Warning { message });
        }
        Ok(())
    }

    /// Describes the job for the records of its target.
    fn describe_job(&self, preflight: &PreflightResult) -> JobDescription {
        let PreflightResult { findings, fidelity } = preflight;
        let warnings = findings.iter().filter(|finding| finding.severity == Severity::Warning);
        JobDescription {
            id: new_job_id(),
            source: self.ends.source_name.clone(),
            export: String::new(),
            staging: self.ends.staging.as_ref().map(|stage| stage.location().to_owned()),
            keeps_staging: self.options.keep_archive,
            fidelity: fidelity.clone(),
            warnings: warnings.map(|finding| finding.message.clone()).collect(),
            reads_again: false,
            catch_up: CatchUp::None,
            way_back: None,
        }
    }
}

/// Refuses a snapshot whose place in the log is not known.
pub(super) fn check_position(plan: &Plan) -> Result<()> {
    let problem = match plan.position.log_position() {
        None => "its position in the source's binary log is not known",
        Some(_) if plan.position.before_snapshot => {
            "it was taken without a lock, so that its position in the log is not exact"
        }
        Some(_) => return Ok(()),
    };
    let refused = plan.position.refused.join("; ");
    let message = format!("the snapshot cannot be followed: {problem}: grant what a lock needs ({refused})");
    Err(Error::new(ErrorKind::Preflight, message))
}

/// The random name of a new job.
pub(super) fn new_job_id() -> String {
    format!("{:016x}{:016x}", random_number(), random_number())
}

/// A random number: the standard library seeds every `RandomState` anew.
fn random_number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A clone that was made, and how.
pub(super) struct Cloned {
    pub(super) plan: Arc<Plan>,
    pub(super) outcome: LegOutcome,
    pub(super) preflight: PreflightResult,
    /// What a resumed clone took over; `None` for one that was made in one run.
    pub(super) resumption: Option<Resumption>,
    /// What was applied after the copy.
    pub(super) followed: Option<Followed>,
}
