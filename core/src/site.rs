//! Where the work of one end of a clone runs.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where the work of one end of a clone runs, and how its server is reached from here.
///
/// `ssh://user@host:port` may have the parameters `identity=FILE`, `known-hosts=FILE`, `host-key=SHA256:…`, `jump=HOST`,
/// `config=FILE` and, for an agent, `agent-path=FILE`; what it leaves open comes from `~/.ssh/config`, the ssh-agent and
/// `known_hosts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// Here, and the server is reached from here.
    #[default]
    Here,
    /// Here; the connections to the server go through the host of this `ssh://` URL.
    Tunnel(String),
    /// On the host of this `ssh://` URL, by an agent.
    Agent(String),
}

impl Site {
    /// What the options of one end say; `end` is `source` or `target`.
    pub(crate) fn of(end: &str, tunnel: Option<&str>, agent: Option<&str>) -> Result<Self> {
        match (tunnel, agent) {
            (None, None) => Ok(Self::Here),
            (Some(url), None) => Ok(Self::Tunnel(url.to_owned())),
            (None, Some(url)) => Ok(Self::Agent(url.to_owned())),
            (Some(_), Some(_)) => Err(Error::usage(format!(
                "--{end}-tunnel and --{end}-agent are two ways to the same host: say one of them"
            ))),
        }
    }
}
