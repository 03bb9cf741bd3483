use std::sync::Arc;
use std::time::Duration;

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelOpenFailure};
use tokio::time::timeout;

use super::channel::{self, Closed};
use super::host_key::Checker;
use super::line::Cut;
use super::process::Process;
use crate::dial::{Duplex, Place};
use crate::error::{Error, ErrorKind, Result};

/// How long opening something on the other side may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to a host. Dropping it closes it, with all that runs over it.
pub(crate) struct Session {
    handle: Handle<Checker>,
    closed: Closed,
    /// Of the line to the first host on the way.
    cut: Arc<Cut>,
    /// `user@host:port`
    label: String,
}

impl Session {
    pub(super) fn new(handle: Handle<Checker>, closed: Closed, cut: Arc<Cut>, label: String) -> Self {
        Self { handle, closed, cut, label }
    }

    pub(super) fn cut(&self) -> &Arc<Cut> {
        &self.cut
    }

    /// Whether the connection is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Starts a command by the account's shell.
    ///
    /// # Errors
    /// `Connection`, retryable, if the connection broke; else what the host says.
    pub(crate) async fn exec(&self, command: &str) -> Result<Process> {
        let start = async {
            let channel = self.handle.channel_open_session().await?;
            let (mut read, write) = channel.split();
            write.exec(true, command).await?;
            loop {
                match read.wait().await {
                    Some(ChannelMsg::Success) => return Ok(Some(Process::new(read, write, self.closed.clone()))),
                    Some(ChannelMsg::Failure | ChannelMsg::Close) => return Ok(None),
                    Some(_) => {}
                    None => return Err(russh::Error::Disconnect),
                }
            }
        };
        match timeout(PATIENCE, start).await {
            Err(_) => Err(self.broke("cannot start a command: the host did not answer within 20 s")),
            Ok(Ok(Some(process))) => Ok(process),
            Ok(Ok(None)) => Err(self.refused("the host refuses to run commands for this account")),
            Ok(Err(russh::Error::ChannelOpenFailure(why))) => Err(self
                .refused("the host opens no further session: is its MaxSessions too small?")
                .retryable()
                .caused_by(why.description().to_owned())),
            Ok(Err(error)) => Err(self.broke("cannot start a command").caused_by(error)),
        }
    }

    /// A connection from the host to a place.
    ///
    /// # Errors
    /// `Connection`, retryable but where the host forbids it.
    pub(crate) async fn forward(&self, place: Place<'_>) -> Result<Box<dyn Duplex>> {
        match timeout(PATIENCE, self.open(place)).await {
            Err(_) => Err(self.broke("cannot connect from the host: it did not answer within 20 s").with("to", place)),
            Ok(Ok(channel)) => Ok(Box::new(channel::duplex(channel, self.closed.clone()))),
            Ok(Err(russh::Error::ChannelOpenFailure(why))) => Err(self.not_opened(&why, place)),
            Ok(Err(error)) => Err(self.broke("cannot connect from the host").with("to", place).caused_by(error)),
        }
    }

    async fn open(&self, place: Place<'_>) -> Result<Channel<Msg>, russh::Error> {
        match place {
            Place::Port(host, port) => {
                self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await
            }
            Place::Socket(path) => self.handle.channel_open_direct_streamlocal(path.to_string_lossy()).await,
        }
    }

    fn not_opened(&self, why: &ChannelOpenFailure, place: Place<'_>) -> Error {
        let (setting, what) = match place {
            Place::Port(..) => ("AllowTcpForwarding, PermitOpen", "does its server listen there?"),
            Place::Socket(_) => ("AllowStreamLocalForwarding", "is the socket there?"),
        };
        let error = match why {
            ChannelOpenFailure::AdministrativelyProhibited => {
                self.refused(&format!("the host forbids forwarding (its sshd_config: {setting})"))
            }
            ChannelOpenFailure::ConnectFailed => {
                self.refused(&format!("the host cannot connect to the place: {what}")).retryable()
            }
            other => self.refused("the host does not forward").retryable().caused_by(other.description().to_owned()),
        };
        error.with("to", place)
    }

    fn refused(&self, what: &str) -> Error {
        Error::new(ErrorKind::Connection, what).with("host", &self.label)
    }

    fn broke(&self, what: &str) -> Error {
        self.refused(what).retryable()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not by a message: channels that others still hold would keep the connection open, and with it what a server
        // has locked, until the runtime gets to sending it.
        self.cut.now();
    }
}
