//! The options of a clone: one list, under the same names in every language and on the command line.

mod choices;
mod encryption;
mod json;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use choices::{AgentCredentials, Definer, IfExists, OnDdl, OnUnsupported, Verify};
pub use encryption::Encryption;
pub use json::{NamingStyle, parse_seconds, parse_size};

/// The options of a clone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloneOptions {
    /// Stage the rows through this archive location: `s3://bucket/prefix` or `file:///dir`.
    pub via: Option<String>,
    /// Keep the archive of `via`, after success and after failure.
    pub keep_archive: bool,
    /// Encrypt and decrypt every archive of the job on the machine that writes or reads it.
    pub encrypt: Option<Encryption>,
    /// Connect to the source through the host of this `ssh://` URL; see [`ExecutionSite`](crate::ExecutionSite).
    pub source_tunnel: Option<String>,
    /// Connect to the target through the host of this `ssh://` URL.
    pub target_tunnel: Option<String>,
    /// Run the source's work on the host of this `ssh://` URL.
    pub source_agent: Option<String>,
    /// Run the target's work on the host of this `ssh://` URL.
    pub target_agent: Option<String>,
    /// The `dbgraft` executable that is copied to an agent's host. The command copies itself by default.
    pub agent_binary: Option<PathBuf>,
    /// How an agent on another host gets access to S3.
    pub agent_credentials: AgentCredentials,
    /// Accept any SSH host key. An attacker between the two hosts can then read and change everything.
    pub insecure_accept_any_host_key: bool,
    /// Objects to clone: globs of names, or `kind:glob`. With a pattern, the clone is partial.
    #[serde(deserialize_with = "json::string_list")]
    pub include: Vec<String>,
    /// Objects to leave out: globs of names, or `kind:glob`.
    #[serde(deserialize_with = "json::string_list")]
    pub exclude: Vec<String>,
    /// SQL conditions for the rows of tables, by table name.
    #[serde(rename = "where")]
    pub filters: BTreeMap<String, String>,
    /// Whether triggers are cloned; by default in a full clone only.
    pub triggers: Option<bool>,
    /// Whether functions, procedures and packages are cloned; by default in a full clone only.
    pub routines: Option<bool>,
    /// Whether events are cloned; by default in a full clone only.
    pub events: Option<bool>,
    /// Clone definitions only.
    pub schema_only: bool,
    /// Clone rows only, into existing tables.
    pub data_only: bool,
    /// What to do with a table that already exists at the target.
    pub if_exists: IfExists,
    /// Drop the target database and create it again.
    pub recreate_database: bool,
    /// The definer of views, routines, triggers and events.
    pub definer: Definer,
    /// What to do with an object that the target does not support.
    pub on_unsupported: OnUnsupported,
    /// How each table is compared with what was read, as soon as it is complete. A clone that differs is kept, and the
    /// job fails with an error of kind `Different`, which carries the report.
    pub verify: Verify,
    /// List the keys of differing rows, the first hundred of each table. A custom source must then be able to read a
    /// chunk more than once.
    pub list_rows: bool,
    /// The number of reading connections, and of loading connections.
    pub threads: usize,
    /// The maximum bytes of rows in flight.
    #[serde(deserialize_with = "json::size")]
    pub memory: u64,
    /// The maximum bytes of rows read per second.
    #[serde(deserialize_with = "json::optional_size")]
    pub max_rate: Option<u64>,
    /// Pause while more threads than this run statements at the source or at the target. The threads of this clone at
    /// that end do not count.
    pub max_load: Option<u64>,
    /// Pause while `replica` is more than this many seconds behind the target, or does not replicate.
    #[serde(deserialize_with = "json::optional_seconds")]
    pub max_lag: Option<u64>,
    /// The `mysql://` URL of the target's replica that `max_lag` is about.
    pub replica: Option<String>,
    /// Do not write the target's binary log. The target's replicas do not get the clone.
    pub skip_binlog: bool,
    /// Remove the whole clone when the target refuses an object after the rows are loaded: an index, a foreign key, a
    /// view, a routine, a trigger, an event. By default the rest is kept, and the job fails with an error of kind
    /// `Incomplete`, which carries the report.
    pub all_or_nothing: bool,
    /// The seconds that a statement waits for a lock of another session: on an object at either end, and for the
    /// snapshot at the source.
    #[serde(deserialize_with = "json::seconds")]
    pub lock_wait: u64,
    /// The global read lock is not requested while a statement has been running at the source for this many seconds,
    /// because all other statements would wait behind both. 0 disables the check.
    #[serde(deserialize_with = "json::seconds")]
    pub lock_guard: u64,
    /// Read without a consistent snapshot. With `resume`, tables may be of several moments.
    pub no_consistency: bool,
    /// Go on with a clone that was killed, by the same source, target and options.
    pub resume: bool,
    /// After the copy, apply every change of the source until the cut-over.
    pub follow: bool,
    /// What to do with a statement of the source that changes a definition, with `follow`.
    pub on_ddl: OnDdl,
}

impl Default for CloneOptions {
    fn default() -> Self {
        Self {
            via: None,
            keep_archive: false,
            encrypt: None,
            source_tunnel: None,
            target_tunnel: None,
            source_agent: None,
            target_agent: None,
            agent_binary: None,
            agent_credentials: AgentCredentials::Presigned,
            insecure_accept_any_host_key: false,
            include: Vec::new(),
            exclude: Vec::new(),
            filters: BTreeMap::new(),
            triggers: None,
            routines: None,
            events: None,
            schema_only: false,
            data_only: false,
            if_exists: IfExists::Fail,
            recreate_database: false,
            definer: Definer::Strip,
            on_unsupported: OnUnsupported::Refuse,
            verify: Verify::None,
            list_rows: false,
            threads: 4,
            memory: 256 << 20,
            max_rate: None,
            max_load: None,
            max_lag: None,
            replica: None,
            skip_binlog: false,
            all_or_nothing: false,
            lock_wait: 60,
            lock_guard: 2,
            no_consistency: false,
            resume: false,
            follow: false,
            on_ddl: OnDdl::Stop,
        }
    }
}

impl CloneOptions {
    /// Refuses options that a custom selector would ignore.
    pub(crate) fn check_custom_selector(&self) -> Result<()> {
        let kinds = self.triggers.or(self.routines).or(self.events);
        if self.include.is_empty() && self.exclude.is_empty() && kinds.is_none() {
            return Ok(());
        }
        Err(Error::usage("a custom selector replaces include, exclude, triggers, routines and events: give either"))
    }

    /// Refuses contradictory and invalid options.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = [
            (
                self.schema_only && self.data_only,
                "--schema-only and --data-only leave nothing to clone: give one of them",
            ),
            (
                self.schema_only && !self.filters.is_empty(),
                "--where chooses rows, and --schema-only takes none: give one of them",
            ),
            (
                self.data_only && self.recreate_database,
                "--data-only needs the tables that --recreate-database would drop: give one of them",
            ),
            (
                self.data_only && self.if_exists == IfExists::Drop,
                "--data-only needs the tables that --if-exists drop would drop: use --if-exists truncate",
            ),
            (self.keep_archive && self.via.is_none(), "--keep-archive needs --via: there is no archive to keep"),
            (
                self.schema_only && self.verify != Verify::None,
                "--verify compares rows, and --schema-only takes none: give one of them",
            ),
            (
                self.list_rows && self.verify == Verify::None,
                "--list-rows lists the rows of a comparison: add --verify checksum",
            ),
            (
                self.follow && (self.schema_only || self.data_only),
                "--follow needs a whole clone: give it without --schema-only and --data-only",
            ),
            (
                self.follow && self.no_consistency,
                "--follow begins at the moment of the snapshot, and --no-consistency takes none: give one of them",
            ),
            (
                self.follow && self.if_exists == IfExists::Truncate,
                "--follow makes its tables: use --if-exists drop in the place of --if-exists truncate",
            ),
            (
                self.follow && self.all_or_nothing,
                "--all-or-nothing would remove a clone that has followed for long: give it without --follow",
            ),
            (
                self.on_ddl == OnDdl::Apply && !self.follow,
                "--on-ddl apply is for a clone that follows its source: add --follow",
            ),
            (self.threads == 0, "--threads must be at least 1"),
            (self.threads > 256, "--threads must be at most 256"),
            (self.memory < 8 << 20, "--memory must be at least 8 MiB"),
            (self.lock_wait == 0, "--lock-wait must be at least 1 second"),
            (self.lock_wait > 31_536_000, "--lock-wait must be at most a year"),
            (self.max_rate == Some(0), "--max-rate must be at least 1 byte a second"),
            (self.max_load == Some(0), "--max-load must be at least 1 thread"),
            (
                self.max_lag.is_some() && self.replica.is_none(),
                "--max-lag needs --replica: the URL of the target's replica whose lag counts",
            ),
            (
                self.replica.is_some() && self.max_lag.is_none(),
                "--replica has no effect without --max-lag: add --max-lag SECONDS",
            ),
            (
                self.replica.is_some() && self.skip_binlog,
                "--replica does not get a clone with --skip-binlog: give one of them",
            ),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, message)) => Err(Error::usage(message)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_json_and_errors_name_unknown_options() {
        let (definer, encrypt) = ("app@%".parse().unwrap(), "key-file=/k".parse().ok());
        let options = CloneOptions { definer, encrypt, ..CloneOptions::default() };
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<CloneOptions>(&json).unwrap(), options);
        let error = serde_json::from_str::<CloneOptions>(r#"{"thread": 3}"#).unwrap_err();
        assert!(error.to_string().contains("`thread`"));
    }

    #[test]
    fn contradictory_options_are_refused() {
        assert!(CloneOptions::default().check().is_ok());
        assert!(CloneOptions { schema_only: true, data_only: true, ..CloneOptions::default() }.check().is_err());
        let replica = || Some("mysql://u@h/d".to_owned());
        assert!(CloneOptions { max_lag: Some(1), replica: replica(), ..CloneOptions::default() }.check().is_ok());
        assert!(CloneOptions { max_lag: Some(1), ..CloneOptions::default() }.check().is_err());
        assert!(CloneOptions { replica: replica(), ..CloneOptions::default() }.check().is_err());
        assert!(CloneOptions { threads: 0, ..CloneOptions::default() }.check().is_err());
    }
}
