//! Builds the report of a clone.

use super::execution::Cloned;
use super::job_run::JobRun;
use super::preflight::PreflightResult;
use crate::endpoint::StagingArchive;
use crate::engine::TableTotals;
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::{Note, ObjectReport, Report, ResumeCase, Resumption};

impl JobRun {
    /// The URL of the staging archive that is kept, if it is complete.
    fn kept_archive(&self, resumption: Option<&Resumption>) -> Option<String> {
        let stage = match resumption {
            None => self.ends.staging.as_ref().filter(|_| self.options.keep_archive),
            Some(resumption) if resumption.case == ResumeCase::SeveralMoments => None,
            Some(_) => self.recorded_staging.get().filter(|staging| staging.is_kept).map(|staging| &staging.archive),
        };
        stage.map(StagingArchive::url)
    }

    /// Builds the report. Also returns the issues that the target refused after the rows were loaded.
    pub(super) fn report(&self, cloned: Cloned, seconds: f64) -> (Report, Vec<FidelityIssue>) {
        let Cloned { plan, outcome, preflight: PreflightResult { findings, mut fidelity }, resumption, followed } =
            cloned;
        let mut objects: Vec<ObjectReport> = Vec::new();
        for (table, totals) in plan.tables.iter().zip(&outcome.tables) {
            let TableTotals { rows, bytes, seconds } = *totals;
            let (object, position) = (table.table.object(), table.position.clone());
            objects.push(ObjectReport { object, rows, bytes, seconds, warnings: Vec::new(), position });
        }
        for definition in &plan.definitions {
            let object = definition.object.clone();
            let warnings = Vec::new();
            objects.push(ObjectReport { object, rows: 0, bytes: 0, seconds: 0.0, warnings, position: None });
        }
        fidelity.extend(plan.fidelity.iter().cloned());
        let mut warnings = plan.warnings.clone();
        warnings.extend(findings.iter().filter(|f| f.severity == Severity::Warning).map(|f| f.message.clone()));
        warnings.extend(self.warnings());
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
            archive: self.kept_archive(resumption.as_ref()),
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
            resumed: resumption,
            followed,
            paused_seconds: self.throttle.paused_seconds(),
        };
        (report, refused)
    }
}
