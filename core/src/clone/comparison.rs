//! A comparison without a clone.

use std::sync::Arc;
use std::time::Instant;

use super::CloneJob;
use super::job_run::JobRun;
use crate::catalog::ObjectKind;
use crate::endpoint::JobEndpoints;
use crate::error::Result;
use crate::event::{LegName, Phase};
use crate::fidelity::Severity;
use crate::options::{IfExists, Verify};
use crate::plan::Plan;
use crate::report;
use crate::verification::{Comparison, Verification};

impl CloneJob {
    pub(super) async fn run_comparison(mut self) -> Result<Comparison> {
        let started = Instant::now();
        if self.options.verify == Verify::None {
            self.options.verify = Verify::Checksum;
        }
        // `--if-exists skip` would omit all existing tables, which are those to compare.
        self.options.if_exists = IfExists::Fail;
        // Nothing is written, so that no replica falls behind.
        (self.options.max_lag, self.options.replica) = (None, None);
        let mut job = self.open(false).await?;
        job.first_leg = LegName::Verify;
        let (plan, warnings, verification) = job.finish(job.until_cancelled(job.compare()).await).await?;
        let Plan { position, left_out, .. } = plan;
        let left_out = left_out.into_iter().filter(|omitted| omitted.object.kind == ObjectKind::Table).collect();
        let seconds = started.elapsed().as_secs_f64();
        let JobEndpoints { source_name: source, target_name: target, .. } = job.ends;
        Ok(Comparison { source, target, position, verification, left_out, warnings, seconds })
    }
}

impl JobRun {
    async fn compare(&self) -> Result<(Plan, Vec<String>, Verification)> {
        let (_, selection) = self.select().await?;
        let findings = self.with_retries("checking the source", || self.ends.source.check(&selection)).await?;
        if let Some(error) = report::preflight_error(&findings) {
            return Err(error);
        }
        let mut warnings: Vec<String> =
            findings.into_iter().filter(|f| f.severity == Severity::Warning).map(|f| f.message).collect();
        self.emit_phase(Phase::Snapshot);
        let plan = Arc::new(self.with_retries("taking the snapshot", || self.ends.source.snapshot(&selection)).await?);
        self.set_needs_cleanup(true);
        let comparison = self.leg(LegName::Verify, &plan, self.options.memory).compare();
        let verification = self.throttle.run(Box::pin(comparison)).await?;
        warnings.extend(self.throttle.warnings());
        Ok((plan.as_ref().clone(), warnings, verification))
    }
}
