//! Carries the changes of a target back to its source, from the cut-over on.

use std::sync::Arc;
use std::time::Instant;

use futures::TryStreamExt as _;

use super::CloneJob;
use super::changed_definitions::recorded_predicate;
use super::execution::new_job_id;
use super::job_run::JobRun;
use crate::clone_record::{CloneRecord, CutOverRecord};
use crate::engine::FollowOutcome;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Phase;
use crate::memory::MemoryBudget;
use crate::plan::{JobDescription, Plan, WayBack};
use crate::report::Followed;

impl CloneJob {
    /// Follows a source that took the place of the target by a cut-over: carries all changes since then back, so that people
    /// can return by another cut-over. What is known of the cut-over is in the source's log. Later processes go on by
    /// [`follow`](Self::follow).
    ///
    /// # Errors
    /// `Preflight` if the source's log has no cut-over, or is not read from there on any more; if the target was changed since
    /// then, or its log does not prove that it was not; or if it cannot take what the source has. Nothing is changed then.
    /// Otherwise as [`follow`](Self::follow).
    pub async fn follow_from_cutover(mut self) -> Result<Followed> {
        let started = Instant::now();
        if self.skipped_statement.is_some() {
            return Err(Error::usage("--skip-ddl goes on with a job, and --from-cutover begins one: give one of them"));
        }
        self.options.follow = true;
        let job = self.open(true).await?;
        let followed = job.finish(job.follow_back().await).await;
        job.followed_result(followed?, started.elapsed().as_secs_f64())
    }
}

impl JobRun {
    /// Begins to carry changes back, and follows until told to end.
    async fn follow_back(&self) -> Result<FollowOutcome> {
        let plan = self.until_cancelled(self.begin_way_back()).await?;
        // From here on the job is kept, whatever happens.
        self.set_needs_cleanup(false);
        let options = serde_json::to_value(&self.options).unwrap_or_default();
        let follows_table = recorded_predicate(&CloneRecord { options, ..CloneRecord::default() }, &plan)?;
        self.follow_plan(&plan, follows_table).await
    }

    async fn begin_way_back(&self) -> Result<Arc<Plan>> {
        self.emit_phase(Phase::Preflight);
        self.with_retries("connecting", || self.ends.connect()).await?;
        let found = self.with_retries("looking for the cut-over", || self.ends.source.last_cut_over()).await?;
        let (source, target) = (&self.ends.source_name, &self.ends.target_name);
        let unknown = || {
            let message = format!(
                "the binary log of {source} has no cut-over of this database from which changes can be carried back: it was \
                 none, or this part of the log is removed: clone {source} into {target} anew"
            );
            Error::new(ErrorKind::Preflight, message)
        };
        let CutOverRecord { cut_over, plan } = found.ok_or_else(unknown)?;
        let completed = cut_over.target_log.and_then(|log| log.completed).ok_or_else(unknown)?;
        let applied = cut_over.position.ok_or_else(unknown)?;
        check_database(&plan, target)?;
        let job = JobDescription {
            id: new_job_id(),
            source: source.clone(),
            way_back: Some(WayBack { completed }),
            ..JobDescription::default()
        };
        let plan = Plan { job, ..plan };
        self.check_log(&plan).await?;
        self.set_needs_cleanup(true);
        self.ends.sink.begin_way_back(&plan, &applied).await.map(Arc::new)
    }

    /// Checks that the source still sends its log from the plan's position on.
    async fn check_log(&self, plan: &Plan) -> Result<()> {
        let start = plan.position.log_position().unwrap_or_default();
        let memory = MemoryBudget::new(self.options.memory, 1);
        let look = || async {
            let mut events = self.ends.source.changes(plan, &start, &memory).await?;
            events.try_next().await.map(drop)
        };
        self.with_retries("reading the source's log", look).await
    }
}

/// Checks that the target is the database of the source of the cut-over. Its log is compared later.
fn check_database(plan: &Plan, target: &str) -> Result<()> {
    let database = |name: &str| name.split('?').next().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
    let then = &plan.job.source;
    if database(then) == database(target) {
        return Ok(());
    }
    let message =
        format!("the cut-over was from {then}, and the target is {target}: give the one as the target that was");
    Err(Error::new(ErrorKind::Preflight, message))
}
