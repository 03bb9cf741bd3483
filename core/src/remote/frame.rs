//! Reads and writes frames on any byte stream: the lengths of head and body, the head in JSON, and the body.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::{Error, ErrorKind, Result};

/// The size of the two lengths: a `u32` for the head and a `u64` for the body, little-endian.
const LENGTHS: usize = 12;
/// The maximum length of a head: a plan of very many tables has some hundred megabytes.
const MAX_HEAD: u32 = 256 << 20;
/// The maximum length of a body: no row is longer.
const MAX_BODY: u64 = 1 << 33;

/// Encodes a value as JSON for the body of a frame. Serialization of these messages cannot fail.
pub(crate) fn json_body<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Encodes the lengths and the head of a frame.
fn encode_head<T: Serialize>(head: &T, body: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; LENGTHS];
    serde_json::to_writer(&mut bytes, head)
        .map_err(|error| Error::new(ErrorKind::Internal, "a message cannot be serialized").caused_by(error))?;
    let head = u32::try_from(bytes.len() - LENGTHS).ok().filter(|head| *head <= MAX_HEAD);
    let head = head.ok_or_else(|| Error::new(ErrorKind::Internal, "a message is too long"))?;
    let lengths = head.to_le_bytes().into_iter().chain((body as u64).to_le_bytes());
    bytes.iter_mut().zip(lengths).for_each(|(place, byte)| *place = byte);
    Ok(bytes)
}

/// Decodes the lengths of head and body; `None` when they exceed the maximum.
fn decode_lengths(bytes: [u8; LENGTHS]) -> Option<(usize, usize)> {
    let [a, b, c, d, body @ ..] = bytes;
    let (head, body) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(body));
    let valid = head <= MAX_HEAD && body <= MAX_BODY;
    if valid { Some((usize::try_from(head).ok()?, usize::try_from(body).ok()?)) } else { None }
}

/// Writes frames to a stream.
pub(crate) struct FrameWriter(Box<dyn AsyncWrite + Send + Sync + Unpin>);

impl FrameWriter {
    pub(crate) fn new(io: impl AsyncWrite + Send + Sync + Unpin + 'static) -> Self {
        Self(Box::new(io))
    }

    /// Writes a frame and flushes the stream.
    pub(crate) async fn send<T: Serialize>(&mut self, head: &T, body: &[u8]) -> Result<()> {
        let encoded = encode_head(head, body.len())?;
        let write = async {
            self.0.write_all(&encoded).await?;
            self.0.write_all(body).await?;
            self.0.flush().await
        };
        write.await.map_err(connection_broke)
    }

    /// Shuts the stream down: the reader sees its end.
    pub(crate) async fn close(&mut self) -> Result<()> {
        self.0.shutdown().await.map_err(connection_broke)
    }
}

/// Reads frames from a stream.
pub(crate) struct FrameReader {
    io: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// The unread bytes of the current frame's body.
    unread: usize,
}

impl FrameReader {
    pub(crate) fn new(io: impl AsyncRead + Send + Sync + Unpin + 'static) -> Self {
        Self { io: Box::new(io), unread: 0 }
    }

    /// Returns the stream, which continues with the next frame.
    pub(crate) fn into_inner(self) -> Box<dyn AsyncRead + Send + Sync + Unpin> {
        self.io
    }

    /// Reads the head of the next frame; `None` at the end of the stream. [`read_body`](Self::read_body) must follow.
    pub(crate) async fn read_head<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut bytes = [0; LENGTHS];
        let (first, rest) = bytes.split_at_mut(1);
        if self.io.read(first).await.map_err(connection_broke)? == 0 {
            return Ok(None);
        }
        self.io.read_exact(rest).await.map_err(connection_broke)?;
        let (head, body) = decode_lengths(bytes).ok_or_else(no_message)?;
        let head = self.read_bytes(head).await?;
        self.unread = body;
        serde_json::from_slice(&head).map(Some).map_err(|error| no_message().caused_by(error))
    }

    /// Reads the body of the frame whose head was read last.
    pub(crate) async fn read_body(&mut self) -> Result<Bytes> {
        let length = std::mem::take(&mut self.unread);
        self.read_bytes(length).await
    }

    /// Reads the next frame as a whole; `None` at the end of the stream.
    pub(crate) async fn read_frame<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Bytes)>> {
        match self.read_head().await? {
            None => Ok(None),
            Some(head) => Ok(Some((head, self.read_body().await?))),
        }
    }

    async fn read_bytes(&mut self, length: usize) -> Result<Bytes> {
        // The length may be wrong: the buffer grows only with the bytes that arrive.
        let mut bytes = Vec::with_capacity(length.min(1 << 20));
        let read = (&mut self.io).take(length as u64).read_to_end(&mut bytes).await.map_err(connection_broke)?;
        if read == length { Ok(bytes.into()) } else { Err(connection_broke(std::io::ErrorKind::UnexpectedEof.into())) }
    }
}

fn connection_broke(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Connection, "the connection to the other site broke").retryable().caused_by(error)
}

fn no_message() -> Error {
    Error::new(ErrorKind::Connection, "the other site sent something that is no message of dbgraft")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn decode(bytes: &'static [u8]) -> Result<Option<(String, Bytes)>> {
        FrameReader::new(bytes).read_frame().await
    }

    #[tokio::test]
    async fn frames_of_every_size_arrive_in_order() {
        let (near, far) = tokio::io::duplex(1000);
        let sizes = [0, 1, 999, 1000, 1 << 20, 3];
        let sending = tokio::spawn(async move {
            let mut writer = FrameWriter::new(near);
            for size in sizes {
                writer.send(&size, &vec![7; size]).await.unwrap();
            }
        });
        let mut reader = FrameReader::new(far);
        for size in sizes {
            let (head, body) = reader.read_frame::<usize>().await.unwrap().unwrap();
            assert!(head == size && body == vec![7; size]);
        }
        assert!(reader.read_frame::<usize>().await.unwrap().is_none());
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn the_end_of_the_stream_differs_from_a_truncated_frame() {
        assert!(decode(b"").await.unwrap().is_none());
        assert!(decode(b"\x03\0\0\0\0\0\0\0\0\0\0\0\"a\"").await.unwrap().is_some());
        for broken in [&b"\x03"[..], b"\x03\0\0\0\0\0\0\0\0\0\0\0\"a", b"\x03\0\0\0\x02\0\0\0\0\0\0\0\"a\"x"] {
            assert!(decode(broken).await.unwrap_err().is_retryable(), "{broken:?}");
        }
    }

    #[tokio::test]
    async fn noise_is_refused_and_allocates_little() {
        for noise in
            [&b"Welcome to the host!"[..], b"\x03\0\0\0\0\0\0\0\0\0\0\0{a}", &[0xFF; 12], b"\0\0\0\x40\0\0\0\0\0\0\0\0"]
        {
            let error = decode(noise).await.unwrap_err();
            assert!(error.to_string().contains("no message of dbgraft"), "{error}");
        }
        // The frame announces a body of 8 GiB, and contains one byte.
        assert!(decode(b"\x03\0\0\0\0\0\0\0\x02\0\0\0\"a\"x").await.unwrap_err().is_retryable());
    }
}
