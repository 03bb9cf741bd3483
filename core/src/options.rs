//! The options of a clone: one list, under the same names in every language and on the command line.

mod reading;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

pub use reading::{Spelling, parse_seconds, parse_size};

/// What to do with a table that is already there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfExists {
    /// Refuse, before anything is changed.
    #[default]
    Fail,
    /// Drop it and make it anew. Other objects of the same name are replaced too.
    Drop,
    /// Keep its definition, remove its rows. Other objects of the same name are replaced.
    Truncate,
    /// Leave it as it is.
    Skip,
}

impl FromStr for IfExists {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "fail" => Ok(Self::Fail),
            "drop" => Ok(Self::Drop),
            "truncate" => Ok(Self::Truncate),
            "skip" => Ok(Self::Skip),
            _ => Err(Error::usage(format!("if-exists: `{text}` is none of fail, drop, truncate, skip"))),
        }
    }
}

/// What to do with an object that the target cannot carry as it is, which happens between the families.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnsupported {
    /// Refuse the clone, before anything is changed.
    #[default]
    Refuse,
    /// Leave the object out.
    Skip,
    /// Carry the object without what the target cannot have; leave out only what has no image at all.
    Degrade,
}

impl FromStr for OnUnsupported {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "skip" => Ok(Self::Skip),
            "degrade" => Ok(Self::Degrade),
            _ => Err(Error::usage(format!("on-unsupported: `{text}` is none of refuse, skip, degrade"))),
        }
    }
}

/// How the clone is compared with what was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Not at all, beyond the target's own counts of what it took.
    #[default]
    None,
    /// By the number of rows of each chunk.
    Counts,
    /// By the digest of the rows of each chunk: every value is read back.
    Checksum,
}

impl FromStr for Verify {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "counts" => Ok(Self::Counts),
            "checksum" => Ok(Self::Checksum),
            _ => Err(Error::usage(format!("verify: `{text}` is none of none, counts, checksum"))),
        }
    }
}

/// How the work on another host gets at S3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentCredentials {
    /// By presigned URLs, one for each object, which are made here when they are needed: the host never has a key.
    #[default]
    Presigned,
    /// By what the host itself has: a role, a profile, its environment.
    Inherit,
}

impl FromStr for AgentCredentials {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "presigned" => Ok(Self::Presigned),
            "inherit" => Ok(Self::Inherit),
            _ => Err(Error::usage(format!("agent-credentials: `{text}` is none of presigned, inherit"))),
        }
    }
}

/// Who will be the definer of views, routines, triggers and events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Definer {
    /// The account that makes the clone.
    #[default]
    Strip,
    /// The same as at the source.
    Keep,
    /// This account.
    Account {
        /// Its user name.
        user: String,
        /// Its host name.
        host: String,
    },
}

impl FromStr for Definer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.rsplit_once('@')) {
            ("strip", _) => Ok(Self::Strip),
            ("keep", _) => Ok(Self::Keep),
            (_, Some((user, host))) if !user.is_empty() && !host.is_empty() => {
                Ok(Self::Account { user: user.to_owned(), host: host.to_owned() })
            }
            _ => Err(Error::usage(format!("definer: `{text}` is none of strip, keep, USER@HOST"))),
        }
    }
}

impl fmt::Display for Definer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strip => f.write_str("strip"),
            Self::Keep => f.write_str("keep"),
            Self::Account { user, host } => write!(f, "{user}@{host}"),
        }
    }
}

impl Serialize for Definer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Definer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Everything that can be asked of a clone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloneOptions {
    /// Stage the rows through this archive location: `s3://bucket/prefix` or `file:///dir`.
    pub via: Option<String>,
    /// Keep the staged archive, after success and after failure.
    pub keep_archive: bool,
    /// Reach the source's server through the host of this `ssh://` URL; see [`Site`](crate::Site).
    pub source_tunnel: Option<String>,
    /// Reach the target's server through the host of this `ssh://` URL.
    pub target_tunnel: Option<String>,
    /// Let the source's work run on the host of this `ssh://` URL.
    pub source_agent: Option<String>,
    /// Let the target's work run on the host of this `ssh://` URL.
    pub target_agent: Option<String>,
    /// The executable that a host gets on which work is to run: a `dbgraft` built for it. The command takes itself.
    pub agent_binary: Option<PathBuf>,
    /// How the work on another host gets at S3.
    pub agent_credentials: AgentCredentials,
    /// Trust any key that a host shows: whoever is on the line can then read and change everything.
    pub insecure_accept_any_host_key: bool,
    /// Objects to take: globs of names, or `kind:glob`. With one, the clone is partial.
    #[serde(deserialize_with = "reading::texts")]
    pub include: Vec<String>,
    /// Objects to leave out: globs of names, or `kind:glob`.
    #[serde(deserialize_with = "reading::texts")]
    pub exclude: Vec<String>,
    /// A condition in SQL for the rows of a table, by the table's name.
    #[serde(rename = "where")]
    pub filters: BTreeMap<String, String>,
    /// Whether triggers are taken; by default in a full clone only.
    pub triggers: Option<bool>,
    /// Whether functions, procedures and packages are taken; by default in a full clone only.
    pub routines: Option<bool>,
    /// Whether events are taken; by default in a full clone only.
    pub events: Option<bool>,
    /// Take definitions, no rows.
    pub schema_only: bool,
    /// Take rows only, into tables that are there.
    pub data_only: bool,
    /// What to do with a table that is already there.
    pub if_exists: IfExists,
    /// Drop the target database and create it anew.
    pub recreate_database: bool,
    /// Who will be the definer of views, routines, triggers and events.
    pub definer: Definer,
    /// What to do with an object that the target cannot carry as it is.
    pub on_unsupported: OnUnsupported,
    /// How the clone is compared with what was read, each table as soon as it is complete. A clone that is found different
    /// is left as it is, and the job fails with an error of kind `Different`, which has the report.
    pub verify: Verify,
    /// Name the keys of the rows that a comparison finds different, the first hundred of each table. A source of your own
    /// must then be able to read a chunk more than once.
    pub list_rows: bool,
    /// How many connections read, and how many load, at once.
    pub threads: usize,
    /// At most this many bytes of rows are in flight.
    #[serde(deserialize_with = "reading::size")]
    pub memory: u64,
    /// At most this many bytes of rows are read a second.
    #[serde(deserialize_with = "reading::size_if_any")]
    pub max_rate: Option<u64>,
    /// Keep the target's changes out of its binary log. Its replicas will not have the clone.
    pub skip_binlog: bool,
    /// Remove everything again when the target refuses an object after the rows are in: an index, a foreign key, a view, a
    /// routine, a trigger, an event. By default the rest stays, and the job fails with an error of kind `Incomplete`,
    /// which has the report.
    pub all_or_nothing: bool,
    /// So many seconds a statement waits for a lock that another session holds: on an object at either end, and for the
    /// moment of the rows at the source.
    #[serde(deserialize_with = "reading::seconds")]
    pub lock_wait: u64,
    /// The source is not asked for its global read lock while a statement runs there for so many seconds: all others
    /// would wait behind both. 0 does not look.
    #[serde(deserialize_with = "reading::seconds")]
    pub lock_guard: u64,
    /// Read without any guarantee that the tables are of one moment.
    pub no_consistency: bool,
}

impl Default for CloneOptions {
    fn default() -> Self {
        Self {
            via: None,
            keep_archive: false,
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
            skip_binlog: false,
            all_or_nothing: false,
            lock_wait: 60,
            lock_guard: 2,
            no_consistency: false,
        }
    }
}

impl CloneOptions {
    /// Refuses what a selector by code would pass over in silence.
    pub(crate) fn check_free_choice(&self) -> Result<()> {
        let kinds = self.triggers.or(self.routines).or(self.events);
        if self.include.is_empty() && self.exclude.is_empty() && kinds.is_none() {
            return Ok(());
        }
        Err(Error::usage(
            "a selector of your own chooses in the place of include, exclude, triggers, routines and events: say one of them",
        ))
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = [
            (
                self.schema_only && self.data_only,
                "--schema-only and --data-only leave nothing to clone: say one of them",
            ),
            (
                self.schema_only && !self.filters.is_empty(),
                "--where chooses rows, and --schema-only takes none: say one of them",
            ),
            (
                self.data_only && self.recreate_database,
                "--data-only needs the tables that --recreate-database would drop: say one of them",
            ),
            (
                self.data_only && self.if_exists == IfExists::Drop,
                "--data-only needs the tables that --if-exists drop would drop: say --if-exists truncate",
            ),
            (self.keep_archive && self.via.is_none(), "--keep-archive needs --via: there is no archive to keep"),
            (
                self.schema_only && self.verify != Verify::None,
                "--verify compares rows, and --schema-only takes none: say one of them",
            ),
            (
                self.list_rows && self.verify == Verify::None,
                "--list-rows names rows that a comparison finds: say --verify checksum too",
            ),
            (self.threads == 0, "--threads must be at least 1"),
            (self.threads > 256, "--threads must be at most 256"),
            (self.memory < 8 << 20, "--memory must be at least 8 MiB"),
            (self.lock_wait == 0, "--lock-wait must be at least 1 second"),
            (self.lock_wait > 31_536_000, "--lock-wait must be at most a year"),
            (self.max_rate == Some(0), "--max-rate must be at least 1 byte a second"),
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
    fn options_survive_json_and_an_unknown_one_is_named() {
        let options = CloneOptions { definer: "app@%".parse().unwrap(), ..CloneOptions::default() };
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<CloneOptions>(&json).unwrap(), options);
        let error = serde_json::from_str::<CloneOptions>(r#"{"thread": 3}"#).unwrap_err();
        assert!(error.to_string().contains("`thread`"));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(CloneOptions::default().check().is_ok());
        assert!(CloneOptions { schema_only: true, data_only: true, ..CloneOptions::default() }.check().is_err());
        assert!(CloneOptions { threads: 0, ..CloneOptions::default() }.check().is_err());
    }
}
