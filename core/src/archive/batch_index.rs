//! The index of an archive's batches: fixed for a complete archive, growing for one that is being written.

use std::collections::HashMap;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::layout::{BatchEntry, Manifest};
use crate::batch::{BatchId, ExportEvent};
use crate::error::{Error, ErrorKind, Result};

/// The known batches of a chunk.
#[derive(Debug, Default)]
struct ChunkBatches {
    batches: HashMap<u32, BatchEntry>,
    /// The number of batches, once it is known.
    count: Option<u32>,
}

impl ChunkBatches {
    /// Whether this batch is known to exist or known not to exist.
    fn is_decided(&self, batch: u32) -> bool {
        self.batches.contains_key(&batch) || self.count.is_some_and(|count| batch >= count)
    }
}

type Chunks = HashMap<(u32, u32), ChunkBatches>;

/// The batches of an archive; a caller can wait for those to come. Dropping it stops its feed.
#[derive(Debug)]
pub(super) struct BatchIndex {
    chunks: watch::Receiver<Chunks>,
    /// The task that applies export events.
    feed_task: Option<AbortHandle>,
}

impl BatchIndex {
    /// Builds the index of a complete archive.
    pub(super) fn complete(manifest: Manifest) -> Self {
        let known = manifest.chunks.into_iter().map(|chunk| {
            let count = u32::try_from(chunk.batches.len()).ok();
            ((chunk.table, chunk.chunk), ChunkBatches { batches: (0..).zip(chunk.batches).collect(), count })
        });
        // Without a sender the index does not change.
        Self { chunks: watch::channel(known.collect()).1, feed_task: None }
    }

    /// Builds the index of an archive that is being written, from its export events. Requires a Tokio runtime.
    pub(super) fn follow(mut feed: mpsc::UnboundedReceiver<ExportEvent>) -> Self {
        let (sender, chunks) = watch::channel(Chunks::new());
        let feed_task = tokio::spawn(async move {
            while let Some(event) = feed.recv().await {
                sender.send_modify(|chunks| apply_event(chunks, event));
            }
        });
        Self { chunks, feed_task: Some(feed_task.abort_handle()) }
    }

    /// Waits for a batch; `None` when the chunk has fewer batches.
    ///
    /// # Errors
    /// `Connection` when the events ended before.
    pub(super) async fn wait(&self, id: BatchId) -> Result<Option<BatchEntry>> {
        let chunk = (id.table, id.chunk);
        let mut chunks = self.chunks.clone();
        let known = chunks.wait_for(|chunks| chunks.get(&chunk).is_some_and(|known| known.is_decided(id.batch))).await;
        let Ok(chunks) = known else {
            let message = format!("the export ended before chunk {} of table {} was complete", id.chunk, id.table);
            return Err(Error::new(ErrorKind::Connection, message));
        };
        Ok(chunks.get(&chunk).and_then(|known| known.batches.get(&id.batch)).cloned())
    }

    /// Stops the feed: callers that wait get an error.
    pub(super) fn close(&self) {
        self.feed_task.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for BatchIndex {
    fn drop(&mut self) {
        self.close();
    }
}

fn apply_event(chunks: &mut Chunks, event: ExportEvent) {
    match event {
        ExportEvent::Batch(receipt) => {
            let BatchId { table, chunk, batch } = receipt.id;
            chunks.entry((table, chunk)).or_default().batches.insert(batch, BatchEntry::from(&receipt));
        }
        ExportEvent::ChunkEnd { table, chunk, batches } => {
            chunks.entry((table, chunk)).or_default().count = Some(batches)
        }
    }
}
