use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::ssh::{Host, Process, Session};

/// Starts agents on a host.
pub(crate) struct Launcher {
    _host: Arc<Host>,
    _binary: Option<PathBuf>,
}

/// An agent that has greeted: its output begins after the greeting.
pub(crate) struct Launched {
    /// Its connection: dropping it ends the agent.
    pub(crate) session: Session,
    pub(crate) process: Process,
}

impl Launcher {
    /// Nothing is connected before the first call. `binary` is the executable to copy there where none is installed.
    pub(crate) fn new(host: Arc<Host>, binary: Option<PathBuf>) -> Self {
        Self { _host: host, _binary: binary }
    }

    /// Starts an agent on a connection of its own. The first call sees to it that the executable is there.
    pub(crate) async fn start(&self) -> Result<Launched> {
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }
}
