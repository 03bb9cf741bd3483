//! Channels as streams. Unlike with those of `russh`, an SSH connection that broke is not taken for the end of the data.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, stream};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, join};
use tokio::runtime;
use tokio_util::io::StreamReader;
use tokio_util::sync::ReusableBoxFuture;

use crate::dial::Duplex;

/// How much is written at once.
const PIECE: usize = 64 << 10;

/// Both ways of a channel. Dropping it closes the channel.
pub(super) fn duplex(channel: Channel<Msg>) -> impl Duplex {
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
    let closer = Closer(Arc::new(write));
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
pub(super) struct Closer(pub(super) Arc<ChannelWriteHalf<Msg>>);

impl Drop for Closer {
    fn drop(&mut self) {
        if let Ok(runtime) = runtime::Handle::try_current() {
            let channel = Arc::clone(&self.0);
            runtime.spawn(async move { channel.close().await });
        }
    }
}

impl Closer {
    pub(super) fn writer(&self) -> Writer {
        Writer { channel: Arc::clone(&self.0), sending: None }
    }
}

/// The writing end of a channel.
pub(super) struct Writer {
    channel: Arc<ChannelWriteHalf<Msg>>,
    /// What is being sent, and how long it is.
    sending: Option<(ReusableBoxFuture<'static, Result<(), russh::Error>>, usize)>,
}

impl Writer {
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        begin: impl FnOnce(Arc<ChannelWriteHalf<Msg>>) -> (ReusableBoxFuture<'static, Result<(), russh::Error>>, usize),
    ) -> Poll<io::Result<usize>> {
        let (sending, length) = self.sending.get_or_insert_with(|| begin(Arc::clone(&self.channel)));
        let (sent, length) = (ready!(sending.poll(cx)), *length);
        self.sending = None;
        Poll::Ready(sent.map(|()| length).map_err(|_| broken()))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.send(cx, |channel| {
            let piece = Bytes::copy_from_slice(buf.get(..PIECE).unwrap_or(buf));
            let length = piece.len();
            (ReusableBoxFuture::new(async move { channel.data_bytes(piece).await }), length)
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = |channel: Arc<ChannelWriteHalf<Msg>>| (ReusableBoxFuture::new(async move { channel.eof().await }), 0);
        self.send(cx, end).map_ok(|_| ())
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
