//! A clone from beginning to end: the whole story on one screen.

mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::endpoint::{self, SinkEndpoint, SourceEndpoint, Stage};
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
use crate::sink::Sink;
use crate::source::Source;

/// One clone: what from, where to, and how. Nothing happens before [`plan`](Self::plan) or [`run`](Self::run).
pub struct CloneJob {
    source: SourceEndpoint,
    target: SinkEndpoint,
    source_password: Option<SecretString>,
    target_password: Option<SecretString>,
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

    /// Chooses objects and rows by code, in the place of the options' patterns.
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
        let planned = job.cleaned(job.until_cancelled(job.preflight()).await).await;
        let closed = job.source.close().await;
        let (plan, Checked { findings, mut fidelity }) = planned?;
        closed?;
        fidelity.extend(plan.fidelity.iter().cloned());
        Ok(Overview { source: job.source_name, target: job.target_name, plan, fidelity, findings })
    }

    /// Makes the clone.
    ///
    /// # Errors
    /// After an error nothing that this job made is left, as far as the servers still answered; what could not be
    /// removed is part of the message. Only after an error of kind `Different` the clone is there, complete but not what
    /// was read; [`Report::of`] gives its report.
    pub async fn run(self) -> Result<Report> {
        let started = Instant::now();
        let job = self.open()?;
        let result = job.cleaned(job.until_cancelled(job.clone_all()).await).await;
        let closed = job.source.close().await;
        let (plan, outcome, checked) = result?;
        closed?;
        job.report(&plan, outcome, checked, started.elapsed().as_secs_f64()).verdict()
    }

    fn open(self) -> Result<OpenJob> {
        self.options.check()?;
        let globs = if self.selector.is_none() { Some(Globs::of(&self.options)?) } else { None };
        let (source_name, source) = endpoint::source(self.source, self.source_password, &self.options)?;
        let (target_name, sink) = endpoint::sink(self.target, self.target_password, &self.options)?;
        let stage = self.options.via.as_deref().map(Stage::open).transpose()?;
        let first_leg = if stage.is_some() { LegName::Export } else { LegName::Clone };
        Ok(OpenJob {
            first_leg,
            source,
            sink,
            stage,
            source_name,
            target_name,
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
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    stage: Option<Stage>,
    /// The leg that comes first.
    first_leg: LegName,
    source_name: String,
    target_name: String,
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

    /// Reads the catalog and chooses from it.
    async fn select(&self) -> Result<(Catalog, Selection)> {
        self.phase(Phase::Preflight);
        let catalog = self.source.catalog().await?;
        if let Some(globs) = &self.globs {
            globs.check(&catalog)?;
        }
        let selector: &dyn ObjectSelector = match (&self.selector, &self.globs) {
            (Some(own), _) => own.as_ref(),
            (None, Some(globs)) => globs,
            (None, None) => return Err(Error::new(ErrorKind::Internal, "a job without a selector")),
        };
        let mut selection = choose(&catalog, selector, &self.options);
        if self.options.if_exists == IfExists::Skip {
            selection.leave(&self.sink.existing().await?, "is already at the target");
        }
        Ok((catalog, selection))
    }

    /// Asks both ends what stands against the selection, and leaves out of it what is not to be carried.
    async fn check(&self, catalog: &Catalog, selection: &mut Selection) -> Result<Checked> {
        // It may be cancelled in the middle of a trial.
        self.writing.store(true, Ordering::Relaxed);
        let fidelity = self.sink.unsupported(catalog, selection).await;
        self.writing.store(false, Ordering::Relaxed);
        let mut fidelity = fidelity?;
        let mut findings = self.settle(&mut fidelity, selection);
        findings.extend(self.source.check(selection).await?);
        findings.extend(self.sink.check(catalog, selection).await?);
        if let Some(stage) = &self.stage {
            findings.extend(stage.sink().check(catalog, selection).await?);
        }
        if self.options.verify != Verify::None && !self.sink.reads_back() {
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
        Ok((self.source.plan(&selection).await?, checked))
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
        let plan = Arc::new(self.source.snapshot(&selection).await?);
        self.writing.store(true, Ordering::Relaxed);
        let outcome = match &self.stage {
            None => self.leg(LegName::Clone, &plan, self.options.memory).run().await?,
            Some(stage) => self.through(stage, &plan).await?,
        };
        Ok((plan, outcome, checked))
    }

    /// Two legs through an archive, which is removed afterwards unless it is to be kept.
    async fn through(&self, stage: &Stage, plan: &Arc<Plan>) -> Result<Outcome> {
        let half = self.options.memory / 2;
        // The reader of the archive checks what it gives to the importing leg, which compares the end with the beginning.
        let export = Leg { sink: stage.sink(), verify: Verify::None, ..self.leg(LegName::Export, plan, half) };
        let import = self.leg(LegName::Import, plan, half);
        let outcome = engine::relay(export, import, |feed| stage.follow(plan, feed)).await?;
        if !self.options.keep_archive {
            stage.remove().await?;
        }
        Ok(outcome)
    }

    fn leg(&self, name: LegName, plan: &Arc<Plan>, memory: u64) -> Leg {
        Leg {
            name,
            source: self.source.clone(),
            sink: self.sink.clone(),
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

    /// Leaves nothing behind after a failure.
    async fn cleaned<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(error) if self.writing.load(Ordering::Relaxed) => Err(self.clean_up(error).await),
            other => other,
        }
    }

    /// Removes what the job made; what could not be removed becomes part of the error.
    async fn clean_up(&self, error: Error) -> Error {
        self.phase(Phase::Cleanup);
        let mut left = Vec::new();
        if let Err(error) = self.sink.abort().await {
            left.push(error.to_string());
        }
        if let Some(stage) = &self.stage
            && !self.options.keep_archive
            && let Err(error) = stage.sink().abort().await
        {
            left.push(error.to_string());
        }
        if left.is_empty() { error } else { error.with("not cleaned up:", left.join("; ")) }
    }

    fn report(&self, plan: &Plan, outcome: Outcome, checked: Checked, seconds: f64) -> Report {
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
        for note in outcome.notes {
            match note {
                Note::Fidelity(found) => fidelity.push(found),
                Note::Message { object, message } => {
                    let object = object.and_then(|object| objects.iter_mut().find(|report| report.object == object));
                    object.map_or(&mut warnings, |report| &mut report.warnings).push(message);
                }
            }
        }
        let missing: Vec<_> = fidelity.iter().filter(|f| f.severity == Severity::Error).map(|f| &f.object).collect();
        objects.retain(|report| !missing.contains(&&report.object));
        Report {
            source: self.source_name.clone(),
            target: self.target_name.clone(),
            archive: self.stage.as_ref().filter(|_| self.options.keep_archive).map(Stage::url),
            server: plan.server.clone(),
            database: plan.database.clone(),
            position: plan.position.clone(),
            rows: objects.iter().map(|object| object.rows).sum(),
            bytes: objects.iter().map(|object| object.bytes).sum(),
            objects,
            left_out: plan.left_out.clone(),
            fidelity,
            verified: outcome.verified,
            warnings,
            seconds,
        }
    }
}
