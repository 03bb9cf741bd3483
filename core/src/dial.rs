//! How a server is reached: straight from here, or through somebody else.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::{Error, ErrorKind, Result};

/// Anything that carries bytes both ways: TCP, TLS, a Unix socket, a channel of another protocol.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// Where a server listens, as seen from where the last part of the way begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// A host's name or address, and a TCP port.
    Port(&'a str, u16),
    /// A Unix socket.
    Socket(&'a Path),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a connection is for. Connections that share a line must not wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Statements and small answers.
    Control,
    /// Rows: its reader may pause for long.
    Bulk,
}

/// A way to servers.
#[async_trait]
pub(crate) trait Dial: Send + Sync {
    /// Opens a connection.
    ///
    /// # Errors
    /// `Connection`, retryable where another try may help.
    async fn dial(&self, place: Place<'_>, traffic: Traffic) -> Result<Box<dyn Duplex>>;

    /// Whether the way is encrypted, to a host that was verified.
    fn is_encrypted(&self) -> bool {
        false
    }
}

/// Lets the system notice a line that is dead, also while nothing is sent: within a minute.
pub(crate) fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(20)).with_interval(Duration::from_secs(10));
    SockRef::from(stream).set_tcp_keepalive(&probes.with_retries(4))
}

/// From this machine, with nothing between.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Straight;

#[async_trait]
impl Dial for Straight {
    async fn dial(&self, place: Place<'_>, _traffic: Traffic) -> Result<Box<dyn Duplex>> {
        let unreachable = |error: std::io::Error| {
            Error::new(ErrorKind::Connection, "cannot reach the server").retryable().caused_by(error)
        };
        match place {
            Place::Port(host, port) => {
                let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                keep_alive(&stream).map_err(unreachable)?;
                Ok(Box::new(stream))
            }
            Place::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(stream.map_err(|error| unreachable(error).with("socket", path.display()))?))
            }
        }
    }
}
