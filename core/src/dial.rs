//! How a server is reached: straight from here, or through somebody else.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
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
#[derive(Debug, Default)]
pub(crate) struct Straight {
    /// Whether a server has been there. Before that nothing at the address is a wrong address, or a server that is off, and
    /// trying again would only keep somebody waiting; later it is a server that restarts.
    reached: AtomicBool,
}

impl Straight {
    fn unreachable(&self, error: std::io::Error) -> Error {
        let away = Error::new(ErrorKind::Connection, "cannot reach the server");
        let may_pass = self.reached.load(Ordering::Relaxed) || error.kind() == std::io::ErrorKind::TimedOut;
        if may_pass { away.retryable() } else { away }.caused_by(error)
    }
}

#[async_trait]
impl Dial for Straight {
    async fn dial(&self, place: Place<'_>, _traffic: Traffic) -> Result<Box<dyn Duplex>> {
        let unreachable = |error| self.unreachable(error);
        let stream: Box<dyn Duplex> = match place {
            Place::Port(host, port) => {
                let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                keep_alive(&stream).map_err(unreachable)?;
                Box::new(stream)
            }
            Place::Socket(path) => {
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
        let place = Place::Port("127.0.0.1", listener.local_addr().unwrap().port());
        let dial = Straight::default();
        dial.dial(place, Traffic::Control).await.map(drop).unwrap();
        drop(listener);
        let refused = |error: Error| (error.kind(), error.is_retryable());
        let error = dial.dial(place, Traffic::Control).await.map(drop).unwrap_err();
        assert_eq!(refused(error), (ErrorKind::Connection, true));
        let error = Straight::default().dial(place, Traffic::Control).await.map(drop).unwrap_err();
        assert_eq!(refused(error), (ErrorKind::Connection, false));
        let nowhere = Place::Socket(Path::new("/nowhere/socket"));
        let error = Straight::default().dial(nowhere, Traffic::Control).await.map(drop).unwrap_err();
        assert_eq!(refused(error), (ErrorKind::Connection, false));
    }
}
