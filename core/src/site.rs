//! The machine where the work of one end of a clone runs.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The machine where the work of one end of a clone runs, and how connections reach the server.
///
/// `ssh://user@host:port` may have the parameters `identity=FILE`, `known-hosts=FILE`, `host-key=SHA256:…`,
/// `jump=HOST`, `config=FILE` and, for an agent, `agent-path=FILE`. Defaults come from `~/.ssh/config`, the ssh-agent
/// and `known_hosts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionSite {
    /// This machine, with direct connections to the server.
    #[default]
    Here,
    /// This machine, with connections through the host of this `ssh://` URL.
    Tunnel(String),
    /// The host of this `ssh://` URL, where an agent runs.
    Agent(String),
}

impl ExecutionSite {
    /// Reads the site from the options of one end; `end` is `source` or `target`.
    ///
    /// # Errors
    /// `Usage` if both options are set.
    pub(crate) fn from_options(end: &str, tunnel: Option<&str>, agent: Option<&str>) -> Result<Self> {
        match (tunnel, agent) {
            (None, None) => Ok(Self::Here),
            (Some(url), None) => Ok(Self::Tunnel(url.to_owned())),
            (None, Some(url)) => Ok(Self::Agent(url.to_owned())),
            (Some(_), Some(_)) => {
                Err(Error::usage(format!("--{end}-tunnel and --{end}-agent exclude each other: give one of them")))
            }
        }
    }
}
