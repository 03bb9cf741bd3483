//! A clone job: its configuration and its three entry points `plan`, `run` and `verify`.

mod catching_up;
mod changed_definitions;
mod comparison;
mod cut_over;
mod ended_clone;
mod execution;
mod following;
mod following_back;
mod job_control;
mod job_report;
mod job_run;
mod legs;
mod preflight;
mod resume;
mod target_job;
mod throttle;

use std::sync::Arc;
use std::time::Instant;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use self::target_job::TargetJob;

use self::job_run::JobRun;
use self::preflight::PreflightResult;
use crate::checkpoint::LogPlace;
use crate::endpoint::{JobEndpoints, JobRequest, SinkEndpoint, SourceEndpoint};
use crate::engine::PauseGate;
use crate::error::{Error, Result};
use crate::event::{Event, EventEmitter};
use crate::options::CloneOptions;
use crate::report::{PlanReport, Report};
use crate::selector::{ObjectSelector, PatternSelector};
use crate::site::ExecutionSite;
use crate::ssh::PromptCallback;
use crate::verification::Comparison;

use self::job_control::FollowControl;
pub use self::job_control::JobControl;

/// A clone of a database: source, target and options. A job does nothing before [`plan`](Self::plan),
/// [`run`](Self::run) or [`verify`](Self::verify).
pub struct CloneJob {
    source: SourceEndpoint,
    target: SinkEndpoint,
    source_password: Option<SecretString>,
    target_password: Option<SecretString>,
    archive_passphrase: Option<SecretString>,
    replica_password: Option<SecretString>,
    source_site: Option<ExecutionSite>,
    target_site: Option<ExecutionSite>,
    prompt: Option<PromptCallback>,
    options: CloneOptions,
    selector: Option<Box<dyn ObjectSelector>>,
    events: EventEmitter,
    cancellation: CancellationToken,
    gate: PauseGate,
    follow_control: FollowControl,
    skipped_statement: Option<LogPlace>,
}

impl CloneJob {
    /// Creates a full clone of `source` into `target` with the default options.
    pub fn new(source: impl Into<SourceEndpoint>, target: impl Into<SinkEndpoint>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            source_password: None,
            target_password: None,
            archive_passphrase: None,
            replica_password: None,
            source_site: None,
            target_site: None,
            prompt: None,
            options: CloneOptions::default(),
            selector: None,
            events: EventEmitter::default(),
            cancellation: CancellationToken::new(),
            gate: PauseGate::default(),
            follow_control: FollowControl::default(),
            skipped_statement: None,
        }
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: CloneOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets a custom selector of objects and rows. It replaces the patterns and kinds of the options.
    #[must_use]
    pub fn selector(mut self, selector: impl ObjectSelector + 'static) -> Self {
        self.selector = Some(Box::new(selector));
        self
    }

    /// Sets the source's password. A password in the source's URL takes precedence.
    #[must_use]
    pub fn source_password(mut self, password: SecretString) -> Self {
        self.source_password = Some(password);
        self
    }

    /// Sets the target's password. A password in the target's URL takes precedence.
    #[must_use]
    pub fn target_password(mut self, password: SecretString) -> Self {
        self.target_password = Some(password);
        self
    }

    /// Sets the passphrase of encrypted archives, for the option `encrypt`.
    #[must_use]
    pub fn archive_passphrase(mut self, passphrase: SecretString) -> Self {
        self.archive_passphrase = Some(passphrase);
        self
    }

    /// Sets the password of the option `replica`. A password in its URL takes precedence.
    #[must_use]
    pub fn replica_password(mut self, password: SecretString) -> Self {
        self.replica_password = Some(password);
        self
    }

    /// Sets the machine where the source's work runs. It replaces `source_tunnel` and `source_agent` of the options.
    #[must_use]
    pub fn source_site(mut self, site: ExecutionSite) -> Self {
        self.source_site = Some(site);
        self
    }

    /// Sets the machine where the target's work runs. It replaces `target_tunnel` and `target_agent` of the options.
    #[must_use]
    pub fn target_site(mut self, site: ExecutionSite) -> Self {
        self.target_site = Some(site);
        self
    }

    /// Sets the callback that asks the user for SSH passwords, passphrases and one-time codes, and for the passphrase of
    /// an archive. Its argument is a prompt
    /// of one line; `None` means no answer. The callback runs on a thread of its own and may block.
    #[must_use]
    pub fn on_question(mut self, answer: impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static) -> Self {
        self.prompt = Some(Arc::new(answer));
        self
    }

    /// Sets the listener of events. The engine's tasks call it, so it must return at once.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.events = EventEmitter::new(listener);
        self
    }

    /// Sets the token whose cancellation stops the job and cleans up. Dropping the future of [`run`](Self::run) stops
    /// the job without clean-up.
    #[must_use]
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = token;
        self
    }

    /// Lets [`follow`](Self::follow) go on after the statement at this place of the source's log, `binlog.000012:1234`,
    /// before which following has ended: it was run at the target by hand.
    ///
    /// # Errors
    /// `Usage` for any other text.
    pub fn skip_statement(mut self, place: &str) -> Result<Self> {
        let parsed = place.rsplit_once(':').and_then(|(file, offset)| Some((file.to_owned(), offset.parse().ok()?)));
        let wrong =
            || Error::usage(format!("`{place}` is no place of a log: give FILE:OFFSET, as the error has named it"));
        self.skipped_statement = Some(parsed.ok_or_else(wrong)?);
        Ok(self)
    }

    /// Returns a handle that pauses the job and lets it go on, and that cuts over a clone that follows, also while it runs.
    pub fn control(&self) -> JobControl {
        JobControl::new(self.gate.clone(), self.follow_control.clone())
    }

    /// Runs the preflight and plans the clone without writing anything.
    ///
    /// # Errors
    /// `Usage`, and errors of the connections. The problems that the preflight finds are in the report's `findings`.
    pub async fn plan(self) -> Result<PlanReport> {
        let job = self.open(true).await?;
        let planned = job.finish(job.until_cancelled(job.plan()).await).await;
        let (plan, PreflightResult { findings, mut fidelity }) = planned?;
        fidelity.extend(plan.fidelity.iter().cloned());
        let JobEndpoints { source_name: source, target_name: target, .. } = job.ends;
        Ok(PlanReport { source, target, plan, fidelity, findings })
    }

    /// Makes the clone. With the option `follow`, then follows the source until the cut-over; a cancellation after the copy
    /// keeps the clone, which [`follow`](Self::follow) takes up.
    ///
    /// # Errors
    /// After an error the job removes everything that it created, as far as the servers still answer; the message names
    /// what is left. After an error of kind `Different` or `Incomplete` the clone is kept, and [`Report::from_error`]
    /// returns its report.
    pub async fn run(self) -> Result<Report> {
        let started = Instant::now();
        let job = self.open(true).await?;
        let work = async {
            match job.options.resume {
                true => job.resume().await,
                false => job.clone_all().await,
            }
        };
        let copied = job.until_cancelled(work).await;
        let cloned = match copied {
            Ok(copied) if job.options.follow => job.follow_copy(copied).await,
            copied => copied,
        };
        let cloned = job.finish(cloned).await?;
        let (report, refused) = job.report(cloned, started.elapsed().as_secs_f64());
        report.into_result(&refused)
    }

    /// Compares the rows of the source's snapshot with the rows of the target and changes neither. Compares by
    /// checksums unless the option `verify` says `counts`. The options that select objects and rows and that bound the
    /// work apply, all others do not.
    ///
    /// # Errors
    /// `Usage`, and errors of reading. Differences are not errors: they are in the comparison.
    pub async fn verify(self) -> Result<Comparison> {
        self.run_comparison().await
    }

    /// Checks the options and opens both ends without connecting. `writes` says that the target is to be written.
    async fn open(self, writes: bool) -> Result<JobRun> {
        self.options.check()?;
        let patterns = match self.selector {
            None => Some(PatternSelector::from_options(&self.options)?),
            Some(_) => self.options.check_custom_selector().map(|()| None)?,
        };
        let ends = JobEndpoints::open(JobRequest {
            source: self.source,
            target: self.target,
            source_password: self.source_password,
            target_password: self.target_password,
            archive_passphrase: self.archive_passphrase,
            replica_password: self.replica_password,
            source_site: self.source_site,
            target_site: self.target_site,
            ask: self.prompt,
            writes,
            options: &self.options,
        })
        .await?;
        Ok(JobRun::new(ends, self.options, self.selector, patterns, self.events, self.cancellation, self.gate)
            .with_follow_control(self.follow_control, self.skipped_statement))
    }
}
