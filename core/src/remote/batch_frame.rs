//! Compressed batches for the network.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::batch::{Batch, BatchId};
use crate::codec::{Digest, compress, decompress};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryLease;

/// Describes a compressed batch, whose bytes are the body of a frame.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BatchFrame {
    id: BatchId,
    rows: u64,
    /// Bytes of text.
    text_bytes: usize,
    /// Bytes of the body.
    compressed_bytes: usize,
    digest: Digest,
}

impl BatchFrame {
    /// Compresses a batch; returns its description and the body.
    pub(crate) async fn compress(batch: &Batch) -> Result<(Self, Bytes)> {
        let Batch { id, rows, digest, .. } = *batch;
        let data = batch.data.clone();
        let text_bytes = data.len();
        let body = spawn_blocking(move || compress(&data)).await.map_err(|error| damaged("compressed", error))?;
        let body = body.map_err(|error| damaged("compressed", error).with("batch", id))?;
        Ok((Self { id, rows, text_bytes, compressed_bytes: body.len(), digest }, body))
    }

    /// The bytes to reserve for [`decompress`](Self::decompress): the text and the body.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text_bytes.saturating_add(self.compressed_bytes)
    }

    /// Decompresses the body. The lease covers [`memory_bytes`](Self::memory_bytes), and shrinks to the text.
    ///
    /// # Errors
    /// `Data` when the rows differ from those that were sent.
    pub(crate) async fn decompress(self, body: Bytes, mut lease: MemoryLease) -> Result<Batch> {
        let Self { id, rows, text_bytes, digest, .. } = self;
        let work = move || {
            let data = decompress(&body, text_bytes)?;
            let received = Digest::from_text(&data);
            let same = received == digest && received.rows == rows;
            same.then_some(data).ok_or_else(|| std::io::Error::other("its rows are not those that were sent"))
        };
        let data = spawn_blocking(work).await.map_err(|error| damaged("decompressed", error))?;
        let data = data.map_err(|error| damaged("decompressed", error).with("batch", id))?;
        lease.shrink(text_bytes);
        Ok(Batch::new(id, rows, data, digest).with_lease(lease))
    }
}

fn damaged(action: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Data, format!("a batch could not be {action}")).caused_by(error)
}
