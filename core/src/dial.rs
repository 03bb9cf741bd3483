//! Opens byte streams to servers: directly, or through an SSH host that implements [`Dial`].

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
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
#[derive(Debug, Default)]
pub(crate) struct DirectDialer {
    /// Whether a connection succeeded. Before the first one a refused connection means a wrong address or a stopped
    /// server, and is not retried; later it means a server that restarts.
    reached: AtomicBool,
}

impl DirectDialer {
    fn unreachable(&self, error: std::io::Error) -> Error {
        let away = Error::new(ErrorKind::Connection, "cannot reach the server");
        let may_pass = self.reached.load(Ordering::Relaxed) || error.kind() == std::io::ErrorKind::TimedOut;
        if may_pass { away.retryable() } else { away }.caused_by(error)
    }
}

#[async_trait]
impl Dial for DirectDialer {
    async fn dial(&self, address: SocketAddress<'_>, _traffic: TrafficClass) -> Result<Box<dyn Duplex>> {
        let unreachable = |error| self.unreachable(error);
        let stream: Box<dyn Duplex> = match address {
            SocketAddress::Tcp(host, port) => {
                let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                keep_alive(&stream).map_err(unreachable)?;
                Box::new(stream)
            }
            SocketAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Box::new(stream.map_err(|error| unreachable(error).with("socket", path.display()))?)
            }
        };
        self.reached.store(true, Ordering::Relaxed);
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_server_that_was_never_there_but_for_one_that_restarts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = SocketAddress::Tcp("127.0.0.1", listener.local_addr().unwrap().port());
        let dial = DirectDialer::default();
        dial.dial(place, TrafficClass::Control).await.map(drop).unwrap();
        drop(listener);
        let refused = |error: Error| (error.kind(), error.is_retryable());
        let error = dial.dial(place, TrafficClass::Control).await.map(drop).unwrap_err();
        assert_eq!(refused(error), (ErrorKind::Connection, true));
        let error = DirectDialer::default().dial(place, TrafficClass::Control).await.map(drop).unwrap_err();
        assert_eq!(refused(error), (ErrorKind::Connection, false));
        let nowhere = SocketAddress::Unix(Path::new("/nowhere/socket"));
        let error = DirectDialer::default().dial(nowhere, TrafficClass::Control).await.map(drop).unwrap_err();
        assert_eq!(refused(error), (ErrorKind::Connection, false));
    }
}
