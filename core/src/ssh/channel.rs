//! Channels as streams. Unlike with those of `russh`, an SSH connection that broke is not taken for the end of the data.

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

/// How much is written at once.
const PIECE: usize = 64 << 10;

/// The channels of a connection that the host has closed; its sender is gone with the connection.
pub(super) type Closed = watch::Receiver<HashSet<ChannelId>>;

/// Both ways of a channel. Dropping it closes the channel.
pub(super) fn duplex(channel: Channel<Msg>, closed: Closed) -> impl Duplex {
    let (read, write) = channel.split();
    let pieces = stream::unfold(read, |mut read| async {
        loop {
            match read.wait().await {
                Some(ChannelMsg::Data { data }) => return Some((Ok(data), read)),
                Some(ChannelMsg::Eof | ChannelMsg::Close) => return None,
                Some(_) => {}
                None => return Some((Err(broken()), read)),
            }
        }
    });
    let closer = Closer::new(write, closed);
    With { stream: join(reader(pieces), closer.writer()), _kept: closer }
}

/// Pieces as a stream of bytes.
pub(super) fn reader(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
) -> impl AsyncRead + Send + Sync + Unpin {
    StreamReader::new(Box::pin(pieces))
}

pub(super) fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the SSH connection broke")
}

/// Closes a channel when it is dropped.
pub(super) struct Closer {
    channel: Arc<ChannelWriteHalf<Msg>>,
    closed: Closed,
}

impl Drop for Closer {
    fn drop(&mut self) {
        if let Ok(runtime) = runtime::Handle::try_current() {
            let channel = Arc::clone(&self.channel);
            runtime.spawn(async move { channel.close().await });
        }
    }
}

impl Closer {
    pub(super) fn new(channel: ChannelWriteHalf<Msg>, closed: Closed) -> Self {
        Self { channel: Arc::new(channel), closed }
    }

    pub(super) fn writer(&self) -> Writer {
        Writer { channel: Arc::clone(&self.channel), closed: self.closed.clone(), sending: None }
    }
}

/// The writing end of a channel.
pub(super) struct Writer {
    channel: Arc<ChannelWriteHalf<Msg>>,
    closed: Closed,
    /// What is being sent, and how long it is.
    sending: Option<(ReusableBoxFuture<'static, Result<(), russh::Error>>, usize)>,
}

impl Writer {
    /// Sends what `begin` gives: data, or the end of it where there is none.
    fn send(&mut self, cx: &mut Context<'_>, begin: impl FnOnce() -> Option<Bytes>) -> Poll<io::Result<usize>> {
        let (channel, closed) = (&self.channel, &self.closed);
        let (sending, length) = self.sending.get_or_insert_with(|| {
            let piece = begin();
            let length = piece.as_ref().map_or(0, Bytes::len);
            (ReusableBoxFuture::new(sent(Arc::clone(channel), closed.clone(), piece)), length)
        });
        let (sent, length) = (ready!(sending.poll(cx)), *length);
        self.sending = None;
        Poll::Ready(sent.map(|()| length).map_err(|_| broken()))
    }
}

async fn sent(
    channel: Arc<ChannelWriteHalf<Msg>>,
    mut closed: Closed,
    piece: Option<Bytes>,
) -> Result<(), russh::Error> {
    let id = channel.id();
    tokio::select! {
        biased;
        // Otherwise it would wait for room in a channel where nothing is taken any more.
        _ = closed.wait_for(|closed| closed.contains(&id)) => Err(russh::Error::Disconnect),
        sent = async {
            match piece {
                Some(piece) => channel.data_bytes(piece).await,
                None => channel.eof().await,
            }
        } => sent,
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.send(cx, || Some(Bytes::copy_from_slice(buf.get(..PIECE).unwrap_or(buf))))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(cx, || None).map_ok(|_| ())
    }
}

/// A stream with something that it needs.
pub(super) struct With<S, K> {
    pub(super) stream: S,
    pub(super) _kept: K,
}

impl<S: AsyncRead + Unpin, K: Unpin> AsyncRead for With<S, K> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, K: Unpin> AsyncWrite for With<S, K> {
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
