//! Opens byte streams to servers: directly, or through an SSH host that implements [`Dial`].

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::{Error, ErrorKind, Result};

/// A bidirectional byte stream: TCP, TLS, a Unix socket, an SSH channel.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// The socket that a server listens on, as seen from the machine that opens the connection to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SocketAddress<'a> {
    /// A host name or an IP address, and a TCP port.
    Tcp(&'a str, u16),
    /// The path of a Unix socket.
    Unix(&'a Path),
}

impl fmt::Display for SocketAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a connection carries. A tunnel shares one SSH connection among `Control` connections only, because a `Bulk`
/// reader that pauses would stop every channel beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrafficClass {
    /// Statements and small results.
    Control,
    /// Rows. The reader may pause for minutes.
    Bulk,
}

/// Opens connections to servers.
#[async_trait]
pub(crate) trait Dial: Send + Sync {
    /// Opens a connection to the server at `address`.
    ///
    /// # Errors
    /// `Connection`; retryable if a later attempt may succeed.
    async fn dial(&self, address: SocketAddress<'_>, traffic: TrafficClass) -> Result<Box<dyn Duplex>>;

    /// Whether the stream is encrypted up to a host whose key was verified.
    fn is_encrypted(&self) -> bool {
        false
    }
}

/// Enables TCP keepalive: the system reports a dead connection within a minute, even while nothing is sent.
pub(crate) fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(20)).with_interval(Duration::from_secs(10));
    SockRef::from(stream).set_tcp_keepalive(&probes.with_retries(4))
}

/// Connects from this machine, without a tunnel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DirectDialer;

#[async_trait]
impl Dial for DirectDialer {
    async fn dial(&self, address: SocketAddress<'_>, _traffic: TrafficClass) -> Result<Box<dyn Duplex>> {
        let unreachable = |error: std::io::Error| {
            Error::new(ErrorKind::Connection, "cannot reach the server").retryable().caused_by(error)
        };
        match address {
            SocketAddress::Tcp(host, port) => {
                let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                keep_alive(&stream).map_err(unreachable)?;
                Ok(Box::new(stream))
            }
            SocketAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(stream.map_err(|error| unreachable(error).with("socket", path.display()))?))
            }
        }
    }
}
