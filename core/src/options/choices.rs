//! The options that choose among words: what each accepts on the command line and in JSON.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// What to do with a table that already exists at the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfExists {
    /// Fail before anything is changed.
    #[default]
    Fail,
    /// Drop it and create it again. Other objects of the same name are replaced too.
    Drop,
    /// Keep its definition and remove its rows. Other objects of the same name are replaced.
    Truncate,
    /// Leave it unchanged.
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
            _ => Err(Error::usage(format!("if-exists: `{text}` is not one of fail, drop, truncate, skip"))),
        }
    }
}

/// What to do with an object that the target does not support, which happens between MySQL and MariaDB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnsupported {
    /// Fail before anything is changed.
    #[default]
    Refuse,
    /// Leave the object out.
    Skip,
    /// Carry the object without its unsupported parts. Leave out only objects that have no equivalent.
    Degrade,
}

impl FromStr for OnUnsupported {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "skip" => Ok(Self::Skip),
            "degrade" => Ok(Self::Degrade),
            _ => Err(Error::usage(format!("on-unsupported: `{text}` is not one of refuse, skip, degrade"))),
        }
    }
}

/// What a clone that follows does with a statement of the source that changes a definition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDdl {
    /// Ends before it.
    #[default]
    Stop,
    /// Runs it at the target, if it changes a followed table within one family. Ends before all others.
    Apply,
}

impl FromStr for OnDdl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "stop" => Ok(Self::Stop),
            "apply" => Ok(Self::Apply),
            _ => Err(Error::usage(format!("on-ddl: `{text}` is not one of stop, apply"))),
        }
    }
}

/// How the clone is compared with what was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// No comparison. The counts of the target's receipts are always checked.
    #[default]
    None,
    /// Compares the number of rows of each chunk.
    Counts,
    /// Compares the digest of the rows of each chunk: reads every value back.
    Checksum,
}

impl FromStr for Verify {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "counts" => Ok(Self::Counts),
            "checksum" => Ok(Self::Checksum),
            _ => Err(Error::usage(format!("verify: `{text}` is not one of none, counts, checksum"))),
        }
    }
}

/// How an agent on another host gets access to S3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentCredentials {
    /// By one presigned URL for each object. The coordinator signs them on request, so the host never has a key.
    #[default]
    Presigned,
    /// By the host's own credentials: a role, a profile, environment variables.
    Inherit,
}

impl FromStr for AgentCredentials {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "presigned" => Ok(Self::Presigned),
            "inherit" => Ok(Self::Inherit),
            _ => Err(Error::usage(format!("agent-credentials: `{text}` is not one of presigned, inherit"))),
        }
    }
}

/// The definer of views, routines, triggers and events at the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Definer {
    /// The account that the clone runs as.
    #[default]
    Strip,
    /// The definer at the source.
    Keep,
    /// The named account.
    Account {
        /// The user name.
        user: String,
        /// The host name.
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
            _ => Err(Error::usage(format!("definer: `{text}` is not one of strip, keep, USER@HOST"))),
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
