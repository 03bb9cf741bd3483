//! The option `encrypt`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// How archives are encrypted: where their key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// By a passphrase: [`CloneJob::archive_passphrase`](crate::CloneJob::archive_passphrase), else the variable
    /// `DBGRAFT_ARCHIVE_PASSPHRASE` of the environment, else the answer to a question.
    Passphrase,
    /// By the key in this file: 32 bytes, or 64 hexadecimal digits.
    KeyFile(PathBuf),
}

impl FromStr for Encryption {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("key-file=")) {
            ("passphrase", _) => Ok(Self::Passphrase),
            (_, Some(path)) if !path.is_empty() => Ok(Self::KeyFile(path.into())),
            // It may be a passphrase.
            _ => Err(Error::usage("encrypt: it is one of passphrase, key-file=FILE, and never the passphrase itself")),
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase => f.write_str("passphrase"),
            Self::KeyFile(path) => write!(f, "key-file={}", path.display()),
        }
    }
}

impl Serialize for Encryption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Encryption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
