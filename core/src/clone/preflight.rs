//! The preflight: selects objects and checks both ends before anything is written.

use super::job_run::JobRun;
use crate::catalog::{Catalog, ObjectRef};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Phase;
use crate::fidelity::{FidelityIssue, Severity};
use crate::options::{IfExists, OnUnsupported, Verify};
use crate::plan::Selection;
use crate::report::Finding;
use crate::selector::{ObjectSelector, select_objects};

/// The result of the preflight.
pub(super) struct PreflightResult {
    /// The most serious come first.
    pub(super) findings: Vec<Finding>,
    pub(super) fidelity: Vec<FidelityIssue>,
}

impl JobRun {
    /// Connects, reads the catalog and selects objects from it.
    pub(super) async fn select(&self) -> Result<(Catalog, Selection)> {
        self.select_again(&[]).await
    }

    /// Selects what a clone of these objects, which an earlier process began, selects now.
    pub(super) async fn select_again(&self, own: &[ObjectRef]) -> Result<(Catalog, Selection)> {
        self.emit_phase(Phase::Preflight);
        self.with_retries("connecting", || self.ends.connect()).await?;
        let catalog = self.with_retries("reading the source's catalog", || self.ends.source.catalog()).await?;
        if let Some(patterns) = &self.patterns {
            patterns.check(&catalog)?;
        }
        let selector: &dyn ObjectSelector = match (&self.selector, &self.patterns) {
            (Some(custom), _) => custom.as_ref(),
            (None, Some(patterns)) => patterns,
            (None, None) => return Err(Error::new(ErrorKind::Internal, "a job without a selector")),
        };
        let mut selection = select_objects(&catalog, selector, &self.options)?;
        if self.options.if_exists == IfExists::Skip {
            let mut existing = self.with_retries("reading the target's objects", || self.ends.sink.existing()).await?;
            existing.retain(|object| !own.contains(object));
            selection.omit(&existing, "is already at the target");
        }
        Ok((catalog, selection))
    }

    /// Checks both ends, and omits the objects that are not to be carried from the selection.
    pub(super) async fn check(&self, catalog: &Catalog, selection: &mut Selection) -> Result<PreflightResult> {
        // The trial of definitions creates a database, which a cancelled job must remove.
        self.set_needs_cleanup(true);
        let fidelity = self.with_retries("trying definitions", || self.ends.sink.unsupported(catalog, selection)).await;
        self.set_needs_cleanup(false);
        let mut fidelity = fidelity?;
        let mut findings = self.apply_unsupported_policy(&mut fidelity, selection);
        let selection = &*selection;
        findings.extend(self.with_retries("checking the source", || self.ends.source.check(selection)).await?);
        findings.extend(self.with_retries("checking the target", || self.ends.sink.check(catalog, selection)).await?);
        if let Some(stage) = &self.ends.staging {
            let sink = stage.sink();
            findings.extend(self.with_retries("checking the archive", || sink.check(catalog, selection)).await?);
        }
        if self.options.verify != Verify::None && !self.ends.sink.reads_back() {
            findings.push(Finding::error("this target cannot be read back: omit --verify"));
        }
        if self.options.follow {
            findings.extend(self.check_following(selection.tables.iter().any(|table| table.filter.is_some())).await);
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(PreflightResult { findings, fidelity })
    }

    /// Applies `--on-unsupported` to the objects that the target does not support: refuses them by findings, or omits
    /// them from the selection. Only tables and sequences are refused; unsupported views and programs are omitted.
    fn apply_unsupported_policy(&self, fidelity: &mut Vec<FidelityIssue>, selection: &mut Selection) -> Vec<Finding> {
        let policy = self.options.on_unsupported;
        let omitted_from = if policy == OnUnsupported::Skip { Severity::Warning } else { Severity::Error };
        let is_refused = |issue: &&FidelityIssue| {
            policy == OnUnsupported::Refuse && issue.severity > Severity::Note && issue.object.kind.holds_data()
        };
        let remedy = "add --on-unsupported degrade or skip, or leave it out by --exclude";
        let refused = fidelity.iter().filter(is_refused);
        let findings = refused.map(|issue| Finding::error(format!("{}: {remedy}", issue.describe()))).collect();
        let omitted: Vec<_> = fidelity
            .iter()
            .filter(|issue| issue.severity >= omitted_from && !is_refused(issue))
            .map(|issue| issue.object.clone())
            .collect();
        fidelity.retain(|issue| issue.severity >= omitted_from || !omitted.contains(&issue.object));
        for issue in fidelity.iter_mut().filter(|issue| omitted.contains(&issue.object)) {
            issue.severity = Severity::Error;
            issue.target.clear();
        }
        selection.omit(&omitted, "the target cannot carry it");
        findings
    }
}
