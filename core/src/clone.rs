//! A clone from beginning to end: the whole story on one screen.

mod leg;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::endpoint::{JobEndpoints, JobRequest, SinkEndpoint, SourceEndpoint, StagingArchive};
use crate::engine::{self, Leg, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Events, LegName, Phase};
use crate::fidelity::{Fidelity, Severity};
use crate::memory::Memory;
use crate::options::{CloneOptions, IfExists, OnUnsupported, Verify};
use crate::plan::{Plan, Selection};
use crate::report::{self, Finding, Note, ObjectReport, Overview, Report};
use crate::retry::Retry;
use crate::selector::{Globs, ObjectSelector, choose};
use crate::site::Site;
use crate::ssh::Ask;

/// One clone: what from, where to, and how. Nothing happens before [`plan`](Self::plan) or [`run`](Self::run).
pub struct CloneJob {
    source: SourceEndpoint,
    target: SinkEndpoint,
    source_password: Option<SecretString>,
    target_password: Option<SecretString>,
    source_site: Option<Site>,
    target_site: Option<Site>,
    ask: Option<Ask>,
    options: CloneOptions,
    selector: Option<Box<dyn ObjectSelector>>,
    events: Events,
    cancellation: CancellationToken,
}

impl CloneJob {
    /// A full clone of `source` into `target` with the default options.
    pub fn new(source: impl Into<SourceEndpoint>, target: impl Into<SinkEndpoint>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            source_password: None,
            target_password: None,
            source_site: None,
            target_site: None,
            ask: None,
            options: CloneOptions::default(),
            selector: None,
            events: Events::default(),
            cancellation: CancellationToken::new(),
        }
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: CloneOptions) -> Self {
        self.options = options;
        self
    }

    /// Chooses objects and rows by code, in the place of the options' patterns and kinds.
    #[must_use]
    pub fn selector(mut self, selector: impl ObjectSelector + 'static) -> Self {
        self.selector = Some(Box::new(selector));
        self
    }

    /// Sets the source's password, unless its URL has one.
    #[must_use]
    pub fn source_password(mut self, password: SecretString) -> Self {
        self.source_password = Some(password);
        self
    }

    /// Sets the target's password, unless its URL has one.
    #[must_use]
    pub fn target_password(mut self, password: SecretString) -> Self {
        self.target_password = Some(password);
        self
    }

    /// Says where the source's work runs, in the place of the options.
    #[must_use]
    pub fn source_site(mut self, site: Site) -> Self {
        self.source_site = Some(site);
        self
    }

    /// Says where the target's work runs, in the place of the options.
    #[must_use]
    pub fn target_site(mut self, site: Site) -> Self {
        self.target_site = Some(site);
        self
    }

    /// Answers what SSH wants to know and nothing else says, a password or a key's passphrase: the question is one line
    /// for a person. `None` is no answer. It may take its time.
    #[must_use]
    pub fn on_question(mut self, answer: impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static) -> Self {
        self.ask = Some(Arc::new(answer));
        self
    }

    /// Hears of what happens, from the engine's own tasks: the listener must return at once.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.events = Events::to(listener);
        self
    }

    /// Stops and cleans up when the token is cancelled. Dropping the future of [`run`](Self::run) stops at once, but
    /// leaves what was made so far.
    #[must_use]
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = token;
        self
    }

    /// Everything but the writing: what would be done, and what the preflight finds.
    ///
    /// # Errors
    /// Wrong usage, and servers that cannot be reached. Problems that the preflight finds are in the overview.
    pub async fn plan(self) -> Result<Overview> {
        let job = self.open()?;
        let planned = job.ended(job.until_cancelled(job.preflight()).await).await;
        let (plan, Checked { findings, mut fidelity }) = planned?;
        fidelity.extend(plan.fidelity.iter().cloned());
        let JobEndpoints { source_name: source, target_name: target, .. } = job.ends;
        Ok(Overview { source, target, plan, fidelity, findings })
    }

    /// Makes the clone.
    ///
    /// # Errors
    /// After an error nothing that this job made is left, as far as the servers still answered; what could not be
    /// removed is part of the message. Only after an error of kind `Different` or `Incomplete` the clone is there, with all
    /// that could be made; [`Report::of`] gives its report.
    pub async fn run(self) -> Result<Report> {
        let started = Instant::now();
        let job = self.open()?;
        let (plan, outcome, checked) = job.ended(job.until_cancelled(job.clone_all()).await).await?;
        let (report, refused) = job.report(&plan, outcome, checked, started.elapsed().as_secs_f64());
        report.verdict(&refused)
    }

    fn open(self) -> Result<OpenJob> {
        self.options.check()?;
        let globs = match self.selector {
            None => Some(Globs::of(&self.options)?),
            Some(_) => self.options.check_free_choice().map(|()| None)?,
        };
        let ends = JobEndpoints::open(JobRequest {
            source: self.source,
            target: self.target,
            source_password: self.source_password,
            target_password: self.target_password,
            source_site: self.source_site,
            target_site: self.target_site,
            ask: self.ask,
            options: &self.options,
        })?;
        Ok(OpenJob {
            first_leg: if ends.staging.is_some() { LegName::Export } else { LegName::Clone },
            ends,
            options: self.options,
            selector: self.selector,
            globs,
            events: self.events,
            cancellation: self.cancellation,
            writing: AtomicBool::new(false),
        })
    }
}

/// What the preflight found.
struct Checked {
    findings: Vec<Finding>,
    fidelity: Vec<Fidelity>,
}

/// A job whose request was understood.
struct OpenJob {
    ends: JobEndpoints,
    /// The leg that comes first.
    first_leg: LegName,
    options: CloneOptions,
    selector: Option<Box<dyn ObjectSelector>>,
    globs: Option<Globs>,
    events: Events,
    cancellation: CancellationToken,
    /// Whether there may be something to clean up.
    writing: AtomicBool,
}

impl OpenJob {
    async fn until_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancellation.cancelled() => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
            result = work => result,
        }
    }

    /// Asks an end, and again where the answer may have been lost: nothing has been written yet.
    async fn asked<T, F: Future<Output = Result<T>>>(&self, what: &str, ask: impl FnMut() -> F) -> Result<T> {
        let warn =
            |error: &Error| self.events.emit(Event::Warning { message: format!("{what} is tried again: {error}") });
        Retry::briefly().run(ask, warn).await
    }

    /// Reads the catalog and chooses from it.
    async fn select(&self) -> Result<(Catalog, Selection)> {
        self.phase(Phase::Preflight);
        self.asked("connecting", || self.ends.connect()).await?;
        let catalog = self.asked("reading the source's catalog", || self.ends.source.catalog()).await?;
        if let Some(globs) = &self.globs {
            globs.check(&catalog)?;
        }
        let selector: &dyn ObjectSelector = match (&self.selector, &self.globs) {
            (Some(own), _) => own.as_ref(),
            (None, Some(globs)) => globs,
            (None, None) => return Err(Error::new(ErrorKind::Internal, "a job without a selector")),
        };
        let mut selection = choose(&catalog, selector, &self.options)?;
        if self.options.if_exists == IfExists::Skip {
            let existing = self.asked("looking at the target", || self.ends.sink.existing()).await?;
            selection.leave(&existing, "is already at the target");
        }
        Ok((catalog, selection))
    }

    /// Asks both ends what stands against the selection, and leaves out of it what is not to be carried.
    async fn check(&self, catalog: &Catalog, selection: &mut Selection) -> Result<Checked> {
        // It may be cancelled in the middle of a trial.
        self.writing.store(true, Ordering::Relaxed);
        let fidelity = self.asked("trying definitions", || self.ends.sink.unsupported(catalog, selection)).await;
        self.writing.store(false, Ordering::Relaxed);
        let mut fidelity = fidelity?;
        let mut findings = self.settle(&mut fidelity, selection);
        let selection = &*selection;
        findings.extend(self.asked("checking the source", || self.ends.source.check(selection)).await?);
        findings.extend(self.asked("checking the target", || self.ends.sink.check(catalog, selection)).await?);
        if let Some(stage) = &self.ends.staging {
            let sink = stage.sink();
            findings.extend(self.asked("checking the archive", || sink.check(catalog, selection)).await?);
        }
        if self.options.verify != Verify::None && !self.ends.sink.reads_back() {
            findings.push(Finding::error("this target cannot be read back: do without --verify"));
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(Checked { findings, fidelity })
    }

    /// What becomes of objects that the target cannot carry as they are. Only tables and sequences refuse a clone: views
    /// and programs that the target does not take are left out, and the rest stands.
    fn settle(&self, fidelity: &mut Vec<Fidelity>, selection: &mut Selection) -> Vec<Finding> {
        let policy = self.options.on_unsupported;
        let worst = if policy == OnUnsupported::Skip { Severity::Warning } else { Severity::Error };
        let refuses = |found: &&Fidelity| {
            policy == OnUnsupported::Refuse && found.severity > Severity::Note && found.object.kind.holds_data()
        };
        let remedy = "say --on-unsupported degrade or skip, or leave it out by --exclude";
        let refused = fidelity.iter().filter(refuses);
        let findings = refused.map(|found| Finding::error(format!("{}: {remedy}", found.describe()))).collect();
        let bad: Vec<_> = fidelity
            .iter()
            .filter(|found| found.severity >= worst && !refuses(found))
            .map(|found| found.object.clone())
            .collect();
        fidelity.retain(|found| found.severity >= worst || !bad.contains(&found.object));
        for found in fidelity.iter_mut().filter(|found| bad.contains(&found.object)) {
            found.severity = Severity::Error;
            found.target.clear();
        }
        selection.leave(&bad, "the target cannot carry it");
        findings
    }

    async fn preflight(&self) -> Result<(Plan, Checked)> {
        let (catalog, mut selection) = self.select().await?;
        let checked = self.check(&catalog, &mut selection).await?;
        let plan = self.asked("planning", || self.ends.source.plan(&selection)).await?;
        Ok((plan, checked))
    }

    async fn clone_all(&self) -> Result<(Arc<Plan>, Outcome, Checked)> {
        let (catalog, mut selection) = self.select().await?;
        let checked = self.check(&catalog, &mut selection).await?;
        if let Some(refusal) = report::refusal(&checked.findings) {
            return Err(refusal);
        }
        for finding in checked.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
            self.events.emit(Event::Warning { message: finding.message.clone() });
        }
        self.phase(Phase::Snapshot);
        let plan = Arc::new(self.asked("taking the snapshot", || self.ends.source.snapshot(&selection)).await?);
        self.writing.store(true, Ordering::Relaxed);
        let outcome = match &self.ends.staging {
            None => {
                self.run(self.leg(LegName::Clone, &plan, self.options.memory), self.ends.first_leg_agent.as_deref())
                    .await?
            }
            Some(stage) => self.through(stage, &plan).await?,
        };
        Ok((plan, outcome, checked))
    }

    /// Two legs through an archive, which is removed afterwards unless it is to be kept.
    async fn through(&self, stage: &StagingArchive, plan: &Arc<Plan>) -> Result<Outcome> {
        let (first, second) = (self.ends.first_leg_agent.as_deref(), self.ends.second_leg_agent.as_deref());
        let share = if first.is_none() && second.is_none() { self.options.memory / 2 } else { self.options.memory };
        // The reader of the archive checks what it gives to the importing leg, which compares the end with the beginning.
        let export = Leg { sink: stage.sink(), verify: Verify::None, ..self.leg(LegName::Export, plan, share) };
        let import = self.leg(LegName::Import, plan, share);
        let exporting = |staged| self.run(Leg { staged: Some(staged), ..export }, first);
        let importing = |feed| self.run_from(stage, import, feed, second);
        let outcome = engine::relay(exporting, importing).await?;
        if !self.options.keep_archive {
            stage.remove().await?;
        }
        Ok(outcome)
    }

    fn leg(&self, name: LegName, plan: &Arc<Plan>, memory: u64) -> Leg {
        Leg {
            name,
            source: self.ends.source.clone(),
            sink: self.ends.sink.clone(),
            plan: plan.clone(),
            threads: self.options.threads,
            memory: Memory::new(memory, self.options.threads),
            max_rate: self.options.max_rate,
            verify: self.options.verify,
            list_rows: self.options.list_rows,
            retry: Retry::default(),
            events: self.events.clone(),
            staged: None,
        }
    }

    fn phase(&self, phase: Phase) {
        self.events.emit(Event::Phase { leg: self.first_leg, phase });
    }

    /// Ends what the job began: after a failure nothing is left behind.
    async fn ended<T>(&self, result: Result<T>) -> Result<T> {
        let result = match result {
            Err(error) if self.writing.load(Ordering::Relaxed) => Err(self.clean_up(error).await),
            other => other,
        };
        let closed = self.ends.source.close().await;
        self.ends.shutdown().await;
        if let (Ok(_), Err(error)) = (&result, closed) {
            // The work is done, and stays so.
            let message = format!("all is done, but the source could not be closed: {error}");
            self.events.emit(Event::Warning { message });
        }
        result
    }

    /// Removes what the job made; what could not be removed becomes part of the error.
    async fn clean_up(&self, error: Error) -> Error {
        self.phase(Phase::Cleanup);
        let mut left = Vec::new();
        if let Err(error) = self.ends.sink.abort().await {
            left.push(error.to_string());
        }
        if let Some(stage) = &self.ends.staging
            && !self.options.keep_archive
            && let Err(error) = stage.remove().await
        {
            left.push(error.to_string());
        }
        if left.is_empty() { error } else { error.with("not cleaned up:", left.join("; ")) }
    }

    /// The report, and what of it the target refused when the rows were in.
    fn report(&self, plan: &Plan, outcome: Outcome, checked: Checked, seconds: f64) -> (Report, Vec<Fidelity>) {
        let Checked { findings, mut fidelity } = checked;
        let mut objects: Vec<ObjectReport> = Vec::new();
        for (table, done) in plan.tables.iter().zip(&outcome.tables) {
            let engine::TableOutcome { rows, bytes, seconds } = *done;
            objects.push(ObjectReport { object: table.table.object(), rows, bytes, seconds, warnings: Vec::new() });
        }
        for definition in &plan.definitions {
            let object = definition.object.clone();
            objects.push(ObjectReport { object, rows: 0, bytes: 0, seconds: 0.0, warnings: Vec::new() });
        }
        fidelity.extend(plan.fidelity.iter().cloned());
        let mut warnings = plan.warnings.clone();
        warnings.extend(findings.iter().filter(|f| f.severity == Severity::Warning).map(|f| f.message.clone()));
        let (mut verified, mut refused) = (outcome.verified, Vec::new());
        for note in outcome.notes {
            match note {
                Note::Fidelity(found) => fidelity.push(found),
                Note::Difference(found) => verified.get_or_insert_default().differences.push(found),
                Note::Refused(found) => {
                    refused.push(found.clone());
                    fidelity.push(found);
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
        };
        (report, refused)
    }
}
