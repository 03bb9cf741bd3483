//! Which batches of an archive are there: known at once for a complete one, growing for one that is being written.

use std::collections::HashMap;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::layout::{Entry, Manifest};
use crate::batch::{BatchId, StagingEvent};
use crate::error::{Error, ErrorKind, Result};

/// What is known of a chunk.
#[derive(Debug, Default)]
struct Known {
    batches: HashMap<u32, Entry>,
    /// How many batches there are in all, once that is known.
    end: Option<u32>,
}

impl Known {
    /// Whether it can be told what comes at this number.
    fn tells(&self, batch: u32) -> bool {
        self.batches.contains_key(&batch) || self.end.is_some_and(|end| batch >= end)
    }
}

type Chunks = HashMap<(u32, u32), Known>;

/// The batches that are there, and the waiting for those to come. Ends its feed when dropped.
#[derive(Debug)]
pub(super) struct Ledger {
    chunks: watch::Receiver<Chunks>,
    feeding: Option<AbortHandle>,
}

impl Ledger {
    /// The ledger of a complete archive.
    pub(super) fn complete(manifest: Manifest) -> Self {
        let known = manifest.chunks.into_iter().map(|chunk| {
            let end = u32::try_from(chunk.batches.len()).ok();
            ((chunk.table, chunk.chunk), Known { batches: (0..).zip(chunk.batches).collect(), end })
        });
        // Without a sender nothing more comes.
        Self { chunks: watch::channel(known.collect()).1, feeding: None }
    }

    /// The ledger of an archive that is being written. Must be called within a runtime.
    pub(super) fn follow(mut feed: mpsc::UnboundedReceiver<StagingEvent>) -> Self {
        let (sender, chunks) = watch::channel(Chunks::new());
        let feeding = tokio::spawn(async move {
            while let Some(staged) = feed.recv().await {
                sender.send_modify(|chunks| enter(chunks, staged));
            }
        });
        Self { chunks, feeding: Some(feeding.abort_handle()) }
    }

    /// The batch, once it is there; `None` when the chunk has no more.
    ///
    /// # Errors
    /// `Connection` when the feed ended before that could be told.
    pub(super) async fn wait(&self, id: BatchId) -> Result<Option<Entry>> {
        let chunk = (id.table, id.chunk);
        let mut chunks = self.chunks.clone();
        let known = chunks.wait_for(|chunks| chunks.get(&chunk).is_some_and(|known| known.tells(id.batch))).await;
        let Ok(chunks) = known else {
            let message = format!("the export ended before chunk {} of table {} was complete", id.chunk, id.table);
            return Err(Error::new(ErrorKind::Connection, message));
        };
        Ok(chunks.get(&chunk).and_then(|known| known.batches.get(&id.batch)).cloned())
    }

    /// Takes no more; who waits gets an error.
    pub(super) fn close(&self) {
        self.feeding.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

fn enter(chunks: &mut Chunks, staged: StagingEvent) {
    match staged {
        StagingEvent::Batch(receipt) => {
            let BatchId { table, chunk, batch } = receipt.id;
            chunks.entry((table, chunk)).or_default().batches.insert(batch, Entry::from(&receipt));
        }
        StagingEvent::ChunkEnd { table, chunk, batches } => {
            chunks.entry((table, chunk)).or_default().end = Some(batches)
        }
    }
}
