use tokio::io::{AsyncRead, AsyncWrite};

use super::{Login, SshAddress};
use crate::dial::{Duplex, Place};
use crate::error::{Error, ErrorKind, Result};

/// A host that is reached by SSH.
pub(crate) struct Host {
    address: SshAddress,
    _login: Login,
}

impl Host {
    /// Nothing is connected before the first call.
    pub(crate) fn new(address: SshAddress, login: Login) -> Self {
        Self { address, _login: login }
    }

    pub(crate) fn address(&self) -> &SshAddress {
        &self.address
    }

    /// A new connection: through the jumps, with the host's key checked, logged in.
    pub(crate) async fn connect(&self) -> Result<Session> {
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }
}

/// One connection to a host. Dropping it closes it, with all that runs over it.
pub(crate) struct Session {}

impl Session {
    /// Starts a command by the account's shell.
    pub(crate) async fn exec(&self, _command: &str) -> Result<Process> {
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// A connection from the host to a place.
    pub(crate) async fn forward(&self, _place: Place<'_>) -> Result<Box<dyn Duplex>> {
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }
}

/// A command that runs on a host. Dropping it closes its standard input and output.
pub(crate) struct Process {
    /// Its standard input; shutting it down is the end of file.
    pub(crate) stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Its standard output.
    pub(crate) stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it, or the connection broke.
    pub(crate) code: Option<u32>,
    /// The signal's name (`KILL`).
    pub(crate) signal: Option<String>,
}

impl Process {
    /// The end of what it has written to standard error so far, at most 8 KiB.
    pub(crate) fn stderr(&self) -> String {
        String::new()
    }

    /// Waits until it has ended. Its output must be read, or it may not come to its end.
    pub(crate) async fn ended(&mut self) -> Ended {
        Ended { code: None, signal: None }
    }
}
