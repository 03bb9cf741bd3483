//! The clone that a target knows of: how far it is, and its removal.

use std::sync::Arc;
use std::time::SystemTime;

use secrecy::SecretString;

use super::ended_clone::read_ended_clone;
use crate::checkpoint::{Checkpoint, FollowRecord};
use crate::clone_record::{Abandoned, CloneRecord, CloneState, TargetStatus};
use crate::endpoint::{SinkEndpoint, StagingArchive, TargetEndpoint, TargetRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::options::CloneOptions;
use crate::retry::RetryPolicy;
use crate::site::ExecutionSite;
use crate::ssh::PromptCallback;

/// Looks at the clone into a target, or removes what a killed one has left.
pub struct TargetJob {
    target: SinkEndpoint,
    password: Option<SecretString>,
    archive_passphrase: Option<SecretString>,
    site: Option<ExecutionSite>,
    prompt: Option<PromptCallback>,
    pub(super) options: CloneOptions,
}

impl TargetJob {
    /// Creates a job on this target, which does nothing before [`status`](Self::status) or [`abandon`](Self::abandon).
    pub fn new(target: impl Into<SinkEndpoint>) -> Self {
        let options = CloneOptions::default();
        Self { target: target.into(), password: None, archive_passphrase: None, site: None, prompt: None, options }
    }

    /// Sets the options. Only those of the target's site, of locks and of encryption apply, and `verify` to a cut-over.
    #[must_use]
    pub fn options(mut self, options: CloneOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the target's password. A password in the target's URL takes precedence.
    #[must_use]
    pub fn password(mut self, password: SecretString) -> Self {
        self.password = Some(password);
        self
    }

    /// Sets the passphrase of encrypted archives, for the option `encrypt`.
    #[must_use]
    pub fn archive_passphrase(mut self, passphrase: SecretString) -> Self {
        self.archive_passphrase = Some(passphrase);
        self
    }

    /// Sets the machine where the work runs. It replaces `target_tunnel` and `target_agent` of the options.
    #[must_use]
    pub fn site(mut self, site: ExecutionSite) -> Self {
        self.site = Some(site);
        self
    }

    /// Sets the callback that asks the user for SSH passwords, as [`CloneJob::on_question`](crate::CloneJob::on_question).
    #[must_use]
    pub fn on_question(mut self, answer: impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static) -> Self {
        self.prompt = Some(Arc::new(answer));
        self
    }

    /// Returns what the target knows of a clone into it. Changes nothing.
    ///
    /// # Errors
    /// `Usage`, and errors of the connection.
    pub async fn status(self) -> Result<TargetStatus> {
        let target = self.open().await?;
        let record = RetryPolicy::before_first_row().run(|| target.sink.clone_record(), |_| ()).await;
        target.shutdown().await;
        Ok(describe(&target.name, record?))
    }

    /// Removes what a killed clone has left: the objects that it created, its staging archive and its journal. What was
    /// there before stays; tables that it had emptied stay empty.
    ///
    /// # Errors
    /// `Preflight` if the clone runs, or if its record is damaged; errors of the connection. The message names what could
    /// not be removed. `Incomplete` if all is undone, but events that a way back had removed are disabled, as their time has
    /// passed.
    pub async fn abandon(self) -> Result<Abandoned> {
        let target = self.open().await?;
        let abandoned = abandon(&target).await;
        target.shutdown().await;
        abandoned
    }

    pub(super) async fn open(self) -> Result<TargetEndpoint> {
        let Self { target, password, archive_passphrase, site, prompt: ask, options } = self;
        let options = &options;
        TargetEndpoint::open(TargetRequest { target, password, archive_passphrase, site, ask, options }).await
    }
}

fn describe(target: &str, record: Option<CloneRecord>) -> TargetStatus {
    let record = record.unwrap_or_default();
    let age = |time| SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
    let last_write_age = record.last_write.map(age);
    let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let message = match record.state {
        CloneState::None if !record.undo_records.is_empty() => {
            "no clone is under way; one that was killed in its preflight has left what `dbgraft abandon` removes"
                .to_owned()
        }
        CloneState::None => "no clone is under way: a clone that is finished leaves no trace in a server".to_owned(),
        CloneState::Running if record.following.is_some() => {
            let applied = record.following.as_ref().map_or_else(String::new, lag);
            format!("a clone runs, and brings its tables to one moment by the source's binary log: {applied}")
        }
        CloneState::Running => match &record.holder {
            Some(holder) => format!("a clone runs, over connection {holder} of the server"),
            None => "a clone runs".to_owned(),
        },
        CloneState::Dead if record.following.is_some() => {
            "a clone has all rows, and ended while it brought its tables to one moment: go on with it by `dbgraft clone … \
             --resume`, or undo it by `dbgraft abandon`"
                .to_owned()
        }
        CloneState::Dead => {
            "a clone was killed: go on with it by `dbgraft clone … --resume`, or undo it by `dbgraft abandon`"
                .to_owned()
        }
        CloneState::Following => match &record.following {
            Some(following) => format!("complete, and a process follows the source: {}", lag(following)),
            None => "complete, and a process follows the source".to_owned(),
        },
        CloneState::NotFollowing => match &record.following {
            Some(following) if following.is_cutting_over => {
                "the cut-over has begun, and its process has ended: end it by `dbgraft follow`".to_owned()
            }
            _ => "complete, and no process follows the source now: go on by `dbgraft follow`, or undo it by `dbgraft abandon`"
                .to_owned(),
        },
        CloneState::Unfinished => {
            let age = last_write_age.map(|age| format!(", but its newest object is {age} s old")).unwrap_or_default();
            format!("an archive that is being written, or whose export was killed: an archive does not know which{age}")
        }
        CloneState::Damaged => format!(
            "what is known of the clone cannot be used: {}: start again with --if-exists drop",
            record.damage.as_deref().unwrap_or_default()
        ),
        CloneState::Finished => "complete".to_owned(),
    };
    let plan = record.plan.as_ref();
    TargetStatus {
        target: target.to_owned(),
        state: record.state,
        message,
        source: plan.and_then(|plan| known(&plan.job.source)),
        started: known(&record.started),
        dbgraft: known(&record.dbgraft),
        staging: plan.and_then(|plan| plan.job.staging.clone()),
        last_write_age,
        complete: record.tables.iter().filter(|table| table.complete).count() as u64,
        rows: record.tables.iter().map(|table| table.rows).sum(),
        bytes: record.tables.iter().map(|table| table.bytes).sum(),
        rows_total: plan.map_or(0, |plan| plan.rows_estimate()),
        bytes_total: plan.map_or(0, |plan| plan.bytes_estimate()),
        tables: record.tables,
        following: record.following,
    }
}

/// Describes how far a target is behind.
fn lag(following: &FollowRecord) -> String {
    let Checkpoint { applied, lag_ms, lag_bytes, .. } = &following.checkpoint;
    let bytes =
        lag_bytes.filter(|bytes| *bytes > 0).map(|bytes| format!(" and {bytes} bytes of log")).unwrap_or_default();
    match lag_ms {
        0 => format!("everything up to {} is applied", applied.describe()),
        lag => format!("{:.1} s{bytes} behind, at {}", *lag as f64 / 1e3, applied.describe()),
    }
}

async fn abandon(target: &TargetEndpoint) -> Result<Abandoned> {
    let name = &target.name;
    let refused = |why: &str| Error::new(ErrorKind::Preflight, format!("nothing has been removed in {name}: {why}"));
    let read = || read_ended_clone(&*target.sink, true);
    let record = RetryPolicy::before_first_row().run(read, |_| ()).await?.unwrap_or_default();
    if record.following.as_ref().is_some_and(|following| following.is_cutting_over) {
        let why = "the cut-over has begun, so that its data may be in use: end it by `dbgraft follow`, which also removes the \
                   journal";
        return Err(refused(why));
    }
    match record.state {
        CloneState::Dead | CloneState::Unfinished | CloneState::NotFollowing => {}
        CloneState::None => {
            let message = match record.undo_records.is_empty() {
                true => "no clone is under way, and nothing was removed",
                false => "no clone is under way; what one that was killed in its preflight had left was removed",
            };
            target.sink.adopt_undo_records(record.undo_records);
            target.sink.abort().await?;
            return Ok(Abandoned { target: name.clone(), message: message.to_owned(), ..Abandoned::default() });
        }
        CloneState::Running | CloneState::Following => {
            let holder = record.holder.unwrap_or_default();
            return Err(refused(&format!("the clone runs, over connection {holder} of the server: end it first")));
        }
        CloneState::Damaged => return Err(refused(&record.damage.unwrap_or_default())),
        CloneState::Finished => {
            target.sink.conclude().await?;
            return Err(refused("the archive is complete"));
        }
    }
    let has_lines = record.plan.is_some() || record.state != CloneState::Dead;
    let job = record.plan.map(|plan| plan.job).unwrap_or_default();
    // The staging archive first: the journal names it.
    let staging = job.staging.filter(|_| !job.keeps_staging);
    if let Some(url) = &staging {
        let archive = StagingArchive::recorded(url, target.archive_key.clone())?;
        if archive.is_of_job(&record.job).await? {
            archive.remove().await?;
        }
    }
    target.sink.adopt_undo_records(record.undo_records);
    target.sink.abort().await?;
    let source = Some(job.source).filter(|source| !source.is_empty());
    let message = match has_lines {
        true => "the clone was undone",
        false => {
            "the journal was removed, and nothing else: it had no lines, since the clone was killed before it made anything, or \
             since somebody emptied the journal: what the clone may have made is left, and has to be dropped by hand"
        }
    };
    Ok(Abandoned { target: name.clone(), source, staging, message: message.to_owned() })
}
