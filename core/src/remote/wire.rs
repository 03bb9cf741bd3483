//! Frames over any stream of bytes: a head in JSON and a body of bytes, with the lengths of both before them.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::{Error, ErrorKind, Result};

/// The lengths of head and body, little-endian.
const LENGTHS: usize = 12;
/// No head is longer: a plan of very many tables has some hundred megabytes.
const LONGEST_HEAD: u32 = 256 << 20;
/// No body is longer: a row cannot be.
const LONGEST_BODY: u64 = 1 << 33;

/// The bytes of a frame before its body.
pub(crate) fn opening<T: Serialize>(head: &T, body: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; LENGTHS];
    serde_json::to_writer(&mut bytes, head)
        .map_err(|error| Error::new(ErrorKind::Internal, "a message cannot be written").caused_by(error))?;
    let head = u32::try_from(bytes.len() - LENGTHS).ok().filter(|head| *head <= LONGEST_HEAD);
    let head = head.ok_or_else(|| Error::new(ErrorKind::Internal, "a message is too long"))?;
    let lengths = head.to_le_bytes().into_iter().chain((body as u64).to_le_bytes());
    bytes.iter_mut().zip(lengths).for_each(|(place, byte)| *place = byte);
    Ok(bytes)
}

/// Undoes the lengths of [`opening`]; `None` for what no frame begins with.
fn lengths(bytes: [u8; LENGTHS]) -> Option<(usize, usize)> {
    let [a, b, c, d, body @ ..] = bytes;
    let (head, body) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(body));
    let fits = head <= LONGEST_HEAD && body <= LONGEST_BODY;
    if fits { Some((usize::try_from(head).ok()?, usize::try_from(body).ok()?)) } else { None }
}

/// Writes frames.
pub(crate) struct Writer(Box<dyn AsyncWrite + Send + Sync + Unpin>);

impl Writer {
    pub(crate) fn new(io: impl AsyncWrite + Send + Sync + Unpin + 'static) -> Self {
        Self(Box::new(io))
    }

    /// Writes a frame, and what was held back before it.
    pub(crate) async fn send<T: Serialize>(&mut self, head: &T, body: &[u8]) -> Result<()> {
        let opening = opening(head, body.len())?;
        let write = async {
            self.0.write_all(&opening).await?;
            self.0.write_all(body).await?;
            self.0.flush().await
        };
        write.await.map_err(lost)
    }

    /// Says that nothing comes any more.
    pub(crate) async fn end(&mut self) -> Result<()> {
        self.0.shutdown().await.map_err(lost)
    }
}

/// Reads frames.
pub(crate) struct Reader {
    io: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// How much of the current frame's body was not read yet.
    left: usize,
}

impl Reader {
    pub(crate) fn new(io: impl AsyncRead + Send + Sync + Unpin + 'static) -> Self {
        Self { io: Box::new(io), left: 0 }
    }

    /// The stream again, from the next frame on.
    pub(crate) fn into_inner(self) -> Box<dyn AsyncRead + Send + Sync + Unpin> {
        self.io
    }

    /// The head of the next frame, and how long its body is, which must be read next; `None` at the end of the stream.
    pub(crate) async fn head<T: DeserializeOwned>(&mut self) -> Result<Option<(T, usize)>> {
        let mut bytes = [0; LENGTHS];
        let (first, rest) = bytes.split_at_mut(1);
        if self.io.read(first).await.map_err(lost)? == 0 {
            return Ok(None);
        }
        self.io.read_exact(rest).await.map_err(lost)?;
        let (head, body) = lengths(bytes).ok_or_else(garbled)?;
        let head = self.bytes(head).await?;
        self.left = body;
        serde_json::from_slice(&head).map(|head| Some((head, body))).map_err(|error| garbled().caused_by(error))
    }

    /// The body of the frame whose head was read last.
    pub(crate) async fn body(&mut self) -> Result<Bytes> {
        let left = std::mem::take(&mut self.left);
        self.bytes(left).await
    }

    /// The next frame as a whole.
    pub(crate) async fn frame<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Bytes)>> {
        match self.head().await? {
            None => Ok(None),
            Some((head, _)) => Ok(Some((head, self.body().await?))),
        }
    }

    async fn bytes(&mut self, length: usize) -> Result<Bytes> {
        // Only as much as really comes: the length may be a lie.
        let mut bytes = Vec::with_capacity(length.min(1 << 20));
        let read = (&mut self.io).take(length as u64).read_to_end(&mut bytes).await.map_err(lost)?;
        if read == length { Ok(bytes.into()) } else { Err(lost(std::io::ErrorKind::UnexpectedEof.into())) }
    }
}

fn lost(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Connection, "the connection to the other site broke").retryable().caused_by(error)
}

fn garbled() -> Error {
    Error::new(ErrorKind::Connection, "the other site sent something that is no message of dbgraft")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(bytes: &'static [u8]) -> Result<Option<(String, Bytes)>> {
        Reader::new(bytes).frame().await
    }

    #[tokio::test]
    async fn frames_of_every_size_arrive_in_their_order() {
        let (near, far) = tokio::io::duplex(1000);
        let sizes = [0, 1, 999, 1000, 1 << 20, 3];
        let sending = tokio::spawn(async move {
            let mut writer = Writer::new(near);
            for size in sizes {
                writer.send(&size, &vec![7; size]).await.unwrap();
            }
        });
        let mut reader = Reader::new(far);
        for size in sizes {
            let (head, body) = reader.frame::<usize>().await.unwrap().unwrap();
            assert!(head == size && body == vec![7; size]);
        }
        assert!(reader.frame::<usize>().await.unwrap().is_none());
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_told_from_a_frame_that_breaks_off() {
        assert!(through(b"").await.unwrap().is_none());
        assert!(through(b"\x03\0\0\0\0\0\0\0\0\0\0\0\"a\"").await.unwrap().is_some());
        for broken in [&b"\x03"[..], b"\x03\0\0\0\0\0\0\0\0\0\0\0\"a", b"\x03\0\0\0\x02\0\0\0\0\0\0\0\"a\"x"] {
            assert!(through(broken).await.unwrap_err().is_retryable(), "{broken:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused_and_takes_no_memory() {
        for noise in
            [&b"Welcome to the host!"[..], b"\x03\0\0\0\0\0\0\0\0\0\0\0{a}", &[0xFF; 12], b"\0\0\0\x40\0\0\0\0\0\0\0\0"]
        {
            let error = through(noise).await.unwrap_err();
            assert!(error.to_string().contains("no message of dbgraft"), "{error}");
        }
        // A body of 8 GiB is announced, and one byte comes.
        assert!(through(b"\x03\0\0\0\0\0\0\0\x02\0\0\0\"a\"x").await.unwrap_err().is_retryable());
    }
}
