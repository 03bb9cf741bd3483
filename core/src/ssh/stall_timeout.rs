//! Detects TCP connections that no longer accept data.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// The maximum time that a write may make no progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A TCP stream whose writes fail after 15 s without progress. Keepalives do not detect this, since they wait behind
/// the unsent data.
pub(super) struct StallTimeoutStream {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Shuts down a TCP stream at once, even while another task holds it.
pub(super) struct ShutdownHandle(std::net::TcpStream);

impl ShutdownHandle {
    pub(super) fn shutdown(&self) {
        let _ = self.0.shutdown(Shutdown::Both); // fails if the connection has ended
    }
}

impl StallTimeoutStream {
    pub(super) fn new(stream: TcpStream) -> io::Result<(Self, ShutdownHandle)> {
        let shutdown_handle = ShutdownHandle(stream.as_fd().try_clone_to_owned()?.into());
        Ok((Self { stream, stalled: None }, shutdown_handle))
    }

    /// Returns the result of a write; an error if writes have been pending for too long.
    fn check_stall<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_TIMEOUT)));
        if stalled.deadline() <= Instant::now() || stalled.as_mut().poll(cx).is_ready() {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the connection has accepted no data for 15 s");
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

impl AsyncRead for StallTimeoutStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for StallTimeoutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.check_stall(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
