//! The steps of a plan and of a clone: preflight, snapshot, legs.

use std::sync::Arc;

use super::job_run::JobRun;
use super::preflight::PreflightResult;
use crate::engine::LegOutcome;
use crate::error::Result;
use crate::event::{Event, Phase};
use crate::fidelity::Severity;
use crate::plan::Plan;
use crate::report;

impl JobRun {
    /// Runs the preflight and plans the clone.
    pub(super) async fn plan(&self) -> Result<(Plan, PreflightResult)> {
        let (catalog, mut selection) = self.select().await?;
        let preflight = self.check(&catalog, &mut selection).await?;
        let plan = self.with_retries("planning", || self.ends.source.plan(&selection)).await?;
        Ok((plan, preflight))
    }

    /// Runs the preflight, takes the snapshot and copies everything.
    pub(super) async fn clone_all(&self) -> Result<(Arc<Plan>, LegOutcome, PreflightResult)> {
        let (catalog, mut selection) = self.select().await?;
        let preflight = self.check(&catalog, &mut selection).await?;
        if let Some(error) = report::preflight_error(&preflight.findings) {
            return Err(error);
        }
        for finding in preflight.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
            self.events.emit(Event::Warning { message: finding.message.clone() });
        }
        self.emit_phase(Phase::Snapshot);
        let plan = Arc::new(self.with_retries("taking the snapshot", || self.ends.source.snapshot(&selection)).await?);
        self.set_needs_cleanup(true);
        let outcome = self.throttle.run(Box::pin(self.run_legs(&plan))).await?;
        Ok((plan, outcome, preflight))
    }
}
