//! A session on an SSH host: runs commands and forwards connections.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelOpenFailure};
use tokio::time::timeout;

use super::channel::{self, ClosedChannels, GuardedStream};
use super::host_key_policy::ConnectionHandler;
use super::process::RemoteProcess;
use super::stall_timeout::ShutdownHandle;
use crate::dial::{Duplex, SocketAddress};
use crate::error::{Error, ErrorKind, Result};

/// The time limit for opening a channel.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// An authenticated SSH connection to a host. Dropping it closes the connection and all its channels.
pub(crate) struct SshSession {
    handle: Handle<ConnectionHandler>,
    closed: ClosedChannels,
    /// Shuts down the TCP connection to the first host of the route.
    shutdown_handle: Arc<ShutdownHandle>,
    /// `user@host:port`
    label: String,
}

impl SshSession {
    pub(super) fn new(
        handle: Handle<ConnectionHandler>,
        closed: ClosedChannels,
        shutdown_handle: Arc<ShutdownHandle>,
        label: String,
    ) -> Self {
        Self { handle, closed, shutdown_handle, label }
    }

    pub(super) fn shutdown_handle(&self) -> &Arc<ShutdownHandle> {
        &self.shutdown_handle
    }

    /// Whether the connection is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Starts a command in the account's shell.
    ///
    /// # Errors
    /// `Connection`; retryable if the connection broke or the host has too many sessions.
    pub(crate) async fn exec(&self, command: &str) -> Result<RemoteProcess> {
        let start = async {
            let channel = self.handle.channel_open_session().await?;
            let (mut read, write) = channel.split();
            write.exec(true, command).await?;
            loop {
                match read.wait().await {
                    Some(ChannelMsg::Success) => return Ok(Some(RemoteProcess::new(read, write, self.closed.clone()))),
                    Some(ChannelMsg::Failure | ChannelMsg::Close) => return Ok(None),
                    Some(_) => {}
                    None => return Err(russh::Error::Disconnect),
                }
            }
        };
        match timeout(OPEN_TIMEOUT, start).await {
            Err(_) => Err(self.broken_error("cannot start a command: the host did not answer within 20 s")),
            Ok(Ok(Some(process))) => Ok(process),
            Ok(Ok(None)) => Err(self.connection_error("the host refuses to run commands for this account")),
            Ok(Err(russh::Error::ChannelOpenFailure(why))) => Err(self
                .connection_error("the host opens no further session: is its MaxSessions too small?")
                .retryable()
                .caused_by(why.description().to_owned())),
            Ok(Err(error)) => Err(self.broken_error("cannot start a command").caused_by(error)),
        }
    }

    /// Opens a connection from the host to `address`.
    ///
    /// # Errors
    /// `Connection`; retryable unless the host forbids forwarding.
    pub(crate) async fn forward(&self, address: SocketAddress<'_>) -> Result<Box<dyn Duplex>> {
        match timeout(OPEN_TIMEOUT, self.open_channel(address)).await {
            Err(_) => Err(self
                .broken_error("cannot connect from the host: it did not answer within 20 s")
                .with("to", address)),
            Ok(Ok(channel)) => Ok(Box::new(channel::into_duplex(channel, self.closed.clone()))),
            Ok(Err(russh::Error::ChannelOpenFailure(why))) => Err(self.forward_error(&why, address)),
            Ok(Err(error)) => {
                Err(self.broken_error("cannot connect from the host").with("to", address).caused_by(error))
            }
        }
    }

    /// Opens a connection that keeps the session open as long as it lives.
    ///
    /// # Errors
    /// Those of [`forward`](Self::forward).
    pub(super) async fn forward_owned(self: Arc<Self>, address: SocketAddress<'_>) -> Result<Box<dyn Duplex>> {
        Ok(Box::new(GuardedStream { stream: self.forward(address).await?, _owner: self }))
    }

    async fn open_channel(&self, address: SocketAddress<'_>) -> Result<Channel<Msg>, russh::Error> {
        match address {
            SocketAddress::Tcp(host, port) => {
                self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await
            }
            SocketAddress::Unix(path) => self.handle.channel_open_direct_streamlocal(path.to_string_lossy()).await,
        }
    }

    fn forward_error(&self, why: &ChannelOpenFailure, address: SocketAddress<'_>) -> Error {
        let (setting, what) = match address {
            SocketAddress::Tcp(..) => ("AllowTcpForwarding, PermitOpen", "does its server listen there?"),
            SocketAddress::Unix(_) => ("AllowStreamLocalForwarding", "is the socket there?"),
        };
        let error = match why {
            ChannelOpenFailure::AdministrativelyProhibited => {
                self.connection_error(&format!("the host forbids forwarding (its sshd_config: {setting})"))
            }
            ChannelOpenFailure::ConnectFailed => {
                self.connection_error(&format!("the host cannot connect to the address: {what}")).retryable()
            }
            other => {
                self.connection_error("the host does not forward").retryable().caused_by(other.description().to_owned())
            }
        };
        error.with("to", address)
    }

    fn connection_error(&self, what: &str) -> Error {
        Error::new(ErrorKind::Connection, what).with("host", &self.label)
    }

    fn broken_error(&self, what: &str) -> Error {
        self.connection_error(what).retryable()
    }
}

impl Drop for SshSession {
    fn drop(&mut self) {
        // Shuts down the socket instead of sending a disconnect message. The message could be late, and open channels
        // would keep the connection open, and with it the locks of a server.
        self.shutdown_handle.shutdown();
    }
}
