//! A comparison without a clone.

use std::sync::Arc;
use std::time::Instant;

use super::CloneJob;
use super::job_run::JobRun;
use crate::catalog::ObjectKind;
use crate::clone_record::{CloneRecord, CloneState};
use crate::endpoint::JobEndpoints;
use crate::engine::{FollowedComparison, Leg};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventEmitter, LegName, Phase};
use crate::fidelity::Severity;
use crate::options::{IfExists, Verify};
use crate::plan::{Plan, SelectedTable, Selection};
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
        let (_, mut selection) = self.select().await?;
        let findings = self.with_retries("checking the source", || self.ends.source.check(&selection)).await?;
        if let Some(error) = report::preflight_error(&findings) {
            return Err(error);
        }
        let mut warnings: Vec<String> =
            findings.into_iter().filter(|f| f.severity == Severity::Warning).map(|f| f.message).collect();
        let followed = self.followed_clone().await?;
        let mut is_filtered_alike = followed.is_some();
        if let Some((_, recorded)) = &followed {
            for chosen in &mut selection.tables {
                let planned = recorded.tables.iter().find(|planned| planned.table.name == chosen.name);
                let recorded = planned.and_then(|planned| planned.filter.as_ref());
                if chosen.filter.is_none() {
                    chosen.filter = recorded.cloned();
                }
                is_filtered_alike &= chosen.filter.as_ref() == recorded;
            }
        }
        self.emit_phase(Phase::Snapshot);
        let source = &self.ends.source;
        let plan = match &followed {
            // A snapshot would be older than what the target has.
            Some(_) => self.with_retries("preparing to read", || source.open_readers(&selection)).await?,
            None => self.with_retries("taking the snapshot", || source.snapshot(&selection)).await?,
        };
        let plan = Arc::new(plan);
        self.set_needs_cleanup(true);
        let leg = self.leg(LegName::Verify, &plan, self.options.memory);
        let comparison = leg.compare(followed.map(|(job, _)| job), is_filtered_alike);
        let verification = self.throttle.run(Box::pin(comparison)).await?;
        warnings.extend(self.warnings());
        Ok((plan.as_ref().clone(), warnings, verification))
    }

    /// The job by which the target follows this source now, and its plan; `None` if it does not.
    async fn followed_clone(&self) -> Result<Option<(String, Plan)>> {
        let record = self.with_retries("looking for a clone", || self.ends.sink.clone_record()).await?;
        let Some(CloneRecord { state, job, plan: Some(plan), following: Some(following), .. }) = record else {
            return Ok(None);
        };
        let is_named = plan.job.source == self.ends.source_name;
        match self.with_retries("reading the source's position", || self.ends.source.log_end()).await {
            Ok(end) if end.server == following.checkpoint.applied.server => {}
            Err(error) if is_named => return Err(error),
            // The target follows another source.
            _ => return Ok(None),
        }
        if state == CloneState::Following {
            return Ok(Some((job, plan)));
        }
        let message = format!(
            "no process follows into {} now, so that it lacks what the source has committed since: start `dbgraft follow`, and \
             compare while it runs",
            self.ends.target_name
        );
        Err(Error::new(ErrorKind::Preflight, message))
    }

    /// Returns what compares the target with the source while this process applies changes.
    pub(super) fn followed_comparison(&self, plan: &Arc<Plan>) -> FollowedComparison {
        let events = self.events.clone();
        let quiet = EventEmitter::new(move |event| {
            // The phase of the job is another one.
            if !matches!(event, Event::Phase { .. }) {
                events.emit(event);
            }
        });
        let template = Leg { events: quiet, ..self.leg(LegName::Verify, plan, self.options.memory) };
        Box::new(move |plan, verify| {
            let leg = Leg { verify, ..template.clone() };
            Box::pin(async move {
                leg.source.catalog().await?;
                let tables = plan.tables.iter();
                let tables =
                    tables.map(|table| SelectedTable { name: table.table.name.clone(), filter: table.filter.clone() });
                let selection =
                    Selection { tables: tables.collect(), rows: true, schema: true, ..Selection::default() };
                let job = plan.job.id.clone();
                let plan = Arc::new(leg.source.open_readers(&selection).await?);
                Leg { plan, ..leg }.compare(Some(job), true).await
            })
        })
    }
}
