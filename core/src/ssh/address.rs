use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::error::{Error, Result};

/// A host and how to log in there: a parsed `ssh://` URL. What it leaves open comes from the user's SSH settings.
#[derive(Debug, Clone)]
pub(crate) struct SshAddress {
    /// A name, an address, or an alias of `~/.ssh/config`.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    /// The key file to log in with.
    pub(crate) identity: Option<PathBuf>,
    pub(crate) known_hosts: Option<PathBuf>,
    /// The host's key, as `SHA256:…`.
    pub(crate) host_key: Option<String>,
    /// Hosts on the way, as `ssh -J` takes them.
    pub(crate) jump: Option<String>,
    /// The file to read in the place of `~/.ssh/config`.
    pub(crate) config: Option<PathBuf>,
    /// A `dbgraft` that is installed on the host.
    pub(crate) agent_path: Option<String>,
}

impl SshAddress {
    /// Parses the URL that `option` (`--source-tunnel`) was given.
    ///
    /// # Errors
    /// `Usage`, by the name of the option and of what is wrong.
    pub(crate) fn parse(option: &str, _url: &str) -> Result<Self> {
        Err(Error::usage(format!("{option}: not yet")))
    }
}

impl fmt::Display for SshAddress {
    /// As a URL, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}", self.host)
    }
}
