//! The way of the executable to a host, and its start there.
//!
//! A host needs an sshd and what every POSIX system has: `sh`, `uname`, `cat`, `wc`, `mkdir`, `mv`, `chmod`, `rm`. The
//! executable is kept as `dbgraft-<version>-<hash>` in `${XDG_CACHE_HOME:-~/.cache}/dbgraft`, which only the account may
//! enter, and is checked by size and SHA-256 before it is used; where the host has no `sha256sum`, the size decides.
//! Executables of other versions stay: another coordinator may use them.

mod executable;
mod greet;
mod place;
mod probe;
mod shell;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use self::executable::Executable;
use crate::error::{Error, Result};
use crate::ssh::{RemoteProcess, SshClient, SshSession};

/// Starts agents on a host.
pub(crate) struct Launcher {
    host: Arc<SshClient>,
    binary: Option<PathBuf>,
    /// Where the executable is at the host, once that is known.
    path: OnceCell<String>,
}

/// An agent that has greeted: its output begins after the greeting.
pub(crate) struct Launched {
    /// Its connection: dropping it ends the agent.
    pub(crate) session: SshSession,
    pub(crate) process: RemoteProcess,
}

impl Launcher {
    /// Nothing is connected before the first call. `binary` is the executable to copy there where none is installed.
    pub(crate) fn new(host: Arc<SshClient>, binary: Option<PathBuf>) -> Self {
        Self { host, binary, path: OnceCell::new() }
    }

    /// Starts an agent on a connection of its own. The first call sees to it that the executable is there.
    ///
    /// # Errors
    /// `Usage` without an executable, `Preflight` where the host cannot run it, and those of connecting.
    pub(crate) async fn start(&self) -> Result<Launched> {
        let mut first = None;
        let used = &mut first;
        let path = self.path.get_or_try_init(|| async move {
            let (path, session) = self.prepare().await?;
            *used = Some(session);
            Ok::<_, Error>(path)
        });
        let path = path.await?;
        let session = match first {
            Some(session) => session,
            None => self.host.connect().await?,
        };
        let process = greet::start(&session, path).await.map_err(|error| self.at(error))?;
        Ok(Launched { session, process })
    }

    /// The path of the executable at the host, and the connection that it was learned by.
    async fn prepare(&self) -> Result<(String, SshSession)> {
        if let Some(path) = &self.host.address().agent_path {
            let session = self.host.connect().await?;
            let path = probe::installed(&session, path).await.map_err(|error| self.at(error))?;
            return Ok((path, session));
        }
        let Some(binary) = &self.binary else {
            return Err(self.at(Error::usage(
                "no executable for the agent: say --agent-binary FILE, or agent-path=FILE in the ssh:// URL for one \
                 that is installed on the host",
            )));
        };
        let executable = Executable::read(binary).await?;
        let session = self.host.connect().await?;
        let path = settle(&session, &executable).await.map_err(|error| self.at(error))?;
        Ok((path, session))
    }

    /// Says which host an error is of, where that was not said.
    fn at(&self, error: Error) -> Error {
        if error.context().iter().any(|(name, _)| name == "host") {
            return error;
        }
        error.with("host", self.host.address())
    }
}

/// Sees to it that the executable is at the host; returns its path there.
async fn settle(session: &SshSession, executable: &Executable) -> Result<String> {
    let found = probe::cached(session, executable).await?;
    executable.fits(&found.system)?;
    if found.complete {
        return Ok(format!("{}/{}", found.dir, executable.name()));
    }
    tracing::debug!(dir = found.dir, bytes = executable.bytes.len(), "copying the executable to the host");
    place::place(session, &found.dir, executable).await
}
