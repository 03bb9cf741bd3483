//! A comparison by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{CloneJob, OpenJob};
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
    /// Compares the source's rows, as they are at one moment, with those at the target, and changes neither. By
    /// checksums unless the options say counts; of the others, those count that choose objects and rows and bound the
    /// work.
    ///
    /// # Errors
    /// Wrong usage, and ends that cannot be read. Differences are no errors: they are in the comparison.
    pub async fn verify(mut self) -> Result<Comparison> {
        let started = Instant::now();
        if self.options.verify == Verify::None {
            self.options.verify = Verify::Checksum;
        }
        // What is there is what is compared.
        self.options.if_exists = IfExists::Fail;
        let mut job = self.open()?;
        job.first_leg = LegName::Verify;
        let (plan, warnings, verification) = job.ended(job.until_cancelled(job.compare()).await).await?;
        let Plan { position, left_out, .. } = plan;
        let left_out = left_out.into_iter().filter(|left| left.object.kind == ObjectKind::Table).collect();
        let seconds = started.elapsed().as_secs_f64();
        let JobEndpoints { source_name: source, target_name: target, .. } = job.ends;
        Ok(Comparison { source, target, position, verification, left_out, warnings, seconds })
    }
}

impl OpenJob {
    async fn compare(&self) -> Result<(Plan, Vec<String>, Verification)> {
        let (_, selection) = self.select().await?;
        let findings = self.asked("checking the source", || self.ends.source.check(&selection)).await?;
        if let Some(refusal) = report::refusal(&findings) {
            return Err(refusal);
        }
        let warnings: Vec<String> =
            findings.into_iter().filter(|f| f.severity == Severity::Warning).map(|f| f.message).collect();
        self.phase(Phase::Snapshot);
        let plan = Arc::new(self.asked("taking the snapshot", || self.ends.source.snapshot(&selection)).await?);
        self.writing.store(true, Ordering::Relaxed);
        let verification = self.leg(LegName::Verify, &plan, self.options.memory).compare().await?;
        Ok((plan.as_ref().clone(), warnings, verification))
    }
}
