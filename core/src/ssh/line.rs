use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// How long nothing may be taken of what is to be sent.
const PATIENCE: Duration = Duration::from_secs(15);

/// A TCP connection that ends when it takes nothing more: keepalives do not see that, since they wait behind the rest.
pub(super) struct Line {
    stream: TcpStream,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// Ends a line at once, whoever holds it and whatever waits to be sent.
pub(super) struct Cut(std::net::TcpStream);

impl Cut {
    pub(super) fn now(&self) {
        let _ = self.0.shutdown(Shutdown::Both); // fails if it has ended
    }
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> io::Result<(Self, Cut)> {
        let cut = Cut(stream.as_fd().try_clone_to_owned()?.into());
        Ok((Self { stream, waiting: None }, cut))
    }

    /// What became of sending something; an error if nothing has been taken for too long.
    fn sent<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.waiting = None;
            return sent;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if waiting.deadline() <= Instant::now() || waiting.as_mut().poll(cx).is_ready() {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the line has taken nothing for 15 s");
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.sent(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
