//! Builds the report of a clone.

use super::job_run::JobRun;
use super::preflight::PreflightResult;
use crate::endpoint::StagingArchive;
use crate::engine::{LegOutcome, TableTotals};
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::{Note, ObjectReport, Report};

impl JobRun {
    /// Builds the report. Also returns the issues that the target refused after the rows were loaded.
    pub(super) fn report(
        &self,
        plan: &Plan,
        outcome: LegOutcome,
        preflight: PreflightResult,
        seconds: f64,
    ) -> (Report, Vec<FidelityIssue>) {
        let PreflightResult { findings, mut fidelity } = preflight;
        let mut objects: Vec<ObjectReport> = Vec::new();
        for (table, totals) in plan.tables.iter().zip(&outcome.tables) {
            let TableTotals { rows, bytes, seconds } = *totals;
            objects.push(ObjectReport { object: table.table.object(), rows, bytes, seconds, warnings: Vec::new() });
        }
        for definition in &plan.definitions {
            let object = definition.object.clone();
            objects.push(ObjectReport { object, rows: 0, bytes: 0, seconds: 0.0, warnings: Vec::new() });
        }
        fidelity.extend(plan.fidelity.iter().cloned());
        let mut warnings = plan.warnings.clone();
        warnings.extend(findings.iter().filter(|f| f.severity == Severity::Warning).map(|f| f.message.clone()));
        warnings.extend(self.throttle.warnings());
        let (mut verified, mut refused) = (outcome.verified, Vec::new());
        for note in outcome.notes {
            match note {
                Note::Fidelity(issue) => fidelity.push(issue),
                Note::Difference(difference) => verified.get_or_insert_default().differences.push(difference),
                Note::Refused(issue) => {
                    refused.push(issue.clone());
                    fidelity.push(issue);
                }
                Note::Message { object, message } => {
                    let object = object.and_then(|object| objects.iter_mut().find(|report| report.object == object));
                    object.map_or(&mut warnings, |report| &mut report.warnings).push(message);
                }
            }
        }
        let missing: Vec<_> = fidelity.iter().filter(|f| f.severity == Severity::Error).map(|f| &f.object).collect();
        objects.retain(|report| !missing.contains(&&report.object));
        let report = Report {
            source: self.ends.source_name.clone(),
            target: self.ends.target_name.clone(),
            archive: self.ends.staging.as_ref().filter(|_| self.options.keep_archive).map(StagingArchive::url),
            server: plan.server.clone(),
            database: plan.database.clone(),
            position: plan.position.clone(),
            rows: objects.iter().map(|object| object.rows).sum(),
            bytes: objects.iter().map(|object| object.bytes).sum(),
            objects,
            left_out: plan.left_out.clone(),
            fidelity,
            verified,
            warnings,
            seconds,
            paused_seconds: self.throttle.paused_seconds(),
        };
        (report, refused)
    }
}
