//! SSH channels as byte streams. Unlike the streams of `russh`, they report a broken connection as an error and not as
//! the end of the data.

use std::collections::HashSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, stream};
use russh::client::Msg;
use russh::{Channel, ChannelId, ChannelMsg, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, join};
use tokio::runtime;
use tokio::sync::watch;
use tokio_util::io::StreamReader;
use tokio_util::sync::ReusableBoxFuture;

use crate::dial::Duplex;

/// The maximum bytes of one write.
const MAX_WRITE: usize = 64 << 10;

/// The channels that the host has closed. The sender is dropped with the connection.
pub(super) type ClosedChannels = watch::Receiver<HashSet<ChannelId>>;

/// Turns a channel into a bidirectional stream. Dropping the stream closes the channel.
pub(super) fn into_duplex(channel: Channel<Msg>, closed: ClosedChannels) -> impl Duplex {
    let (read, write) = channel.split();
    let chunks = stream::unfold(read, |mut read| async {
        loop {
            match read.wait().await {
                Some(ChannelMsg::Data { data }) => return Some((Ok(data), read)),
                Some(ChannelMsg::Eof | ChannelMsg::Close) => return None,
                Some(_) => {}
                None => return Some((Err(broken_error()), read)),
            }
        }
    });
    let guard = ChannelGuard::new(write, closed);
    GuardedStream { stream: join(into_reader(chunks), guard.writer()), _owner: guard }
}

/// Turns a stream of chunks into a byte stream.
pub(super) fn into_reader(
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
) -> impl AsyncRead + Send + Sync + Unpin {
    StreamReader::new(Box::pin(chunks))
}

pub(super) fn broken_error() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the SSH connection broke")
}

/// Closes a channel on drop.
pub(super) struct ChannelGuard {
    channel: Arc<ChannelWriteHalf<Msg>>,
    closed: ClosedChannels,
}

impl Drop for ChannelGuard {
    fn drop(&mut self) {
        if let Ok(runtime) = runtime::Handle::try_current() {
            let channel = Arc::clone(&self.channel);
            runtime.spawn(async move { channel.close().await });
        }
    }
}

impl ChannelGuard {
    pub(super) fn new(channel: ChannelWriteHalf<Msg>, closed: ClosedChannels) -> Self {
        Self { channel: Arc::new(channel), closed }
    }

    pub(super) fn writer(&self) -> ChannelWriter {
        ChannelWriter { channel: Arc::clone(&self.channel), closed: self.closed.clone(), sending: None }
    }
}

/// The writing end of a channel.
pub(super) struct ChannelWriter {
    channel: Arc<ChannelWriteHalf<Msg>>,
    closed: ClosedChannels,
    /// The pending send, and its number of bytes.
    sending: Option<(ReusableBoxFuture<'static, Result<(), russh::Error>>, usize)>,
}

impl ChannelWriter {
    /// Polls the pending send, or starts one with the data that `begin` returns; `None` sends the end of the data.
    fn send(&mut self, cx: &mut Context<'_>, begin: impl FnOnce() -> Option<Bytes>) -> Poll<io::Result<usize>> {
        let (channel, closed) = (&self.channel, &self.closed);
        let (sending, length) = self.sending.get_or_insert_with(|| {
            let data = begin();
            let length = data.as_ref().map_or(0, Bytes::len);
            (ReusableBoxFuture::new(send_or_fail(Arc::clone(channel), closed.clone(), data)), length)
        });
        let (sent, length) = (ready!(sending.poll(cx)), *length);
        self.sending = None;
        Poll::Ready(sent.map(|()| length).map_err(|_| broken_error()))
    }
}

/// Sends data, or the end of the data. Fails when the host closes the channel.
async fn send_or_fail(
    channel: Arc<ChannelWriteHalf<Msg>>,
    mut closed: ClosedChannels,
    data: Option<Bytes>,
) -> Result<(), russh::Error> {
    let id = channel.id();
    tokio::select! {
        biased;
        // Without this, sending would wait forever for the window of a closed channel.
        _ = closed.wait_for(|closed| closed.contains(&id)) => Err(russh::Error::Disconnect),
        sent = async {
            match data {
                Some(data) => channel.data_bytes(data).await,
                None => channel.eof().await,
            }
        } => sent,
    }
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.send(cx, || Some(Bytes::copy_from_slice(buf.get(..MAX_WRITE).unwrap_or(buf))))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(cx, || None).map_ok(|_| ())
    }
}

/// A stream together with an owner that must live as long as the stream.
pub(super) struct GuardedStream<S, O> {
    pub(super) stream: S,
    pub(super) _owner: O,
}

impl<S: AsyncRead + Unpin, O: Unpin> AsyncRead for GuardedStream<S, O> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, O: Unpin> AsyncWrite for GuardedStream<S, O> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
