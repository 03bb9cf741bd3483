//! Uploads the executable to a host and starts it there.
//!
//! A host needs an sshd and what every POSIX system has: `sh`, `uname`, `cat`, `wc`, `mkdir`, `mv`, `chmod`, `rm`. The
//! launcher keeps the executable as `dbgraft-<version>-<hash>` in `${XDG_CACHE_HOME:-~/.cache}/dbgraft`, which only the
//! account may enter, and checks its size and SHA-256 before each use; where the host has no `sha256sum`, it checks
//! only the size. Executables of other versions stay: another coordinator may use them.

mod executable;
mod handshake;
mod probe;
mod shell;
#[cfg(test)]
mod tests;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use self::executable::AgentExecutable;
use crate::error::{Error, Result};
use crate::ssh::{RemoteProcess, SshClient, SshSession};

/// Starts agents on a host.
pub(crate) struct AgentLauncher {
    host: Arc<SshClient>,
    binary: Option<PathBuf>,
    /// The path of the executable on the host; the first start sets it.
    path: OnceCell<String>,
}

/// A started agent; its output begins after the handshake.
pub(crate) struct AgentProcess {
    /// The SSH connection: dropping it ends the agent.
    pub(crate) session: SshSession,
    pub(crate) process: RemoteProcess,
}

impl AgentLauncher {
    /// Creates a launcher without a connection. `binary` is the executable to upload where none is installed.
    pub(crate) fn new(host: Arc<SshClient>, binary: Option<PathBuf>) -> Self {
        Self { host, binary, path: OnceCell::new() }
    }

    /// Starts an agent on an SSH connection of its own. The first call uploads the executable where the host lacks it.
    ///
    /// # Errors
    /// `Usage` without an executable, `Preflight` where the host cannot run it, and the errors of the connection.
    pub(crate) async fn start(&self) -> Result<AgentProcess> {
        let mut first = None;
        let used = &mut first;
        let path = self.path.get_or_try_init(|| async move {
            let (path, session) = self.find_executable().await?;
            *used = Some(session);
            Ok::<_, Error>(path)
        });
        let path = path.await?;
        let session = match first {
            Some(session) => session,
            None => self.host.connect().await?,
        };
        let process = handshake::start(&session, path).await.map_err(|error| self.with_host(error))?;
        Ok(AgentProcess { session, process })
    }

    /// Finds or uploads the executable. Returns its path on the host, and the connection for the first start.
    async fn find_executable(&self) -> Result<(String, SshSession)> {
        if let Some(path) = &self.host.address().agent_path {
            let session = self.host.connect().await?;
            let path = probe::find_installed(&session, path).await.map_err(|error| self.with_host(error))?;
            return Ok((path, session));
        }
        let Some(binary) = &self.binary else {
            return Err(self.with_host(Error::usage(
                "no executable for the agent: say --agent-binary FILE, or agent-path=FILE in the ssh:// URL for one \
                 that is installed on the host",
            )));
        };
        let executable = AgentExecutable::read(binary).await?;
        let session = self.host.connect().await?;
        let path = upload_if_missing(&session, &executable).await.map_err(|error| self.with_host(error))?;
        Ok((path, session))
    }

    /// Adds the host to an error that does not name it.
    fn with_host(&self, error: Error) -> Error {
        if error.context().iter().any(|(name, _)| name == "host") {
            return error;
        }
        error.with("host", self.host.address())
    }
}

/// Uploads the executable unless the host has it; returns its path on the host.
async fn upload_if_missing(session: &SshSession, executable: &AgentExecutable) -> Result<String> {
    let host = probe::probe_host(session, executable).await?;
    executable.check_platform(&host.system)?;
    if host.has_executable {
        return Ok(format!("{}/{}", host.cache_dir, executable.file_name()));
    }
    tracing::debug!(dir = host.cache_dir, bytes = executable.bytes.len(), "uploading the executable to the host");
    upload::upload(session, &host.cache_dir, executable).await
}
