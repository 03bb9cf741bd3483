//! The readers: each takes a chunk, reads it, and hands its batches over. A chunk whose reading broke is read again from
//! its start, and what was handed over before is compared and left out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{Running, Work, hand_over};
use crate::batch::ExportEvent;
use crate::catalog::Printable;
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::plan::{Chunk, TablePlan};

/// The digests of the batches of a chunk that were handed over, by their numbers.
#[derive(Default)]
struct HandedOver(Mutex<Vec<Digest>>);

impl HandedOver {
    fn digests(&self) -> MutexGuard<'_, Vec<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, batch: u32) -> Option<Digest> {
        self.digests().get(batch as usize).copied()
    }
}

impl Running {
    pub(super) async fn read_chunks(self: Arc<Self>, sender: mpsc::Sender<Work>) -> Result<()> {
        loop {
            let Some((table, index)) = self.chunks.lock().await.pop() else { return Ok(()) };
            let Some(table) = self.leg.plan.tables.get(table) else { continue };
            let Some(chunk) = table.chunks.get(index) else { continue };
            if self.start(table.number) {
                self.leg.events.emit(Event::Started { leg: self.leg.name, object: table.table.object() });
            }
            let handed_over = HandedOver::default();
            let warn = self.again(table, format!("reading chunk {}", chunk.number));
            let read = self.leg.retry.run(|| self.read_chunk(table, chunk, &handed_over, &sender), warn).await;
            read.map_err(|error| error.with("table", Printable(&table.table.name)))?;
            let digests = std::mem::take(&mut *handed_over.digests());
            let batches = u32::try_from(digests.len()).unwrap_or(u32::MAX);
            let mut digest = Digest::default();
            digests.iter().for_each(|batch| digest.add(batch));
            self.tell(ExportEvent::ChunkEnd { table: table.number, chunk: chunk.number, batches });
            let is_complete = self.change(table.number, |state| {
                state.chunks_unread -= 1;
                if let Some(place) = state.digests.get_mut(index) {
                    *place = digest;
                }
            });
            if is_complete {
                hand_over(&sender, Work::Complete(table.number)).await?;
            }
        }
    }

    /// Reads a chunk from its start, and hands over what was not handed over before.
    async fn read_chunk(
        &self,
        table: &TablePlan,
        chunk: &Chunk,
        handed_over: &HandedOver,
        sender: &mpsc::Sender<Work>,
    ) -> Result<()> {
        let mut stream = self.leg.source.read(table, chunk, &self.leg.memory).await?;
        let mut batches = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let (id, digest) = (batch.id, batch.digest);
            batches += 1;
            match handed_over.digest(id.batch) {
                Some(before) if before != digest => return Err(other_rows(chunk)),
                Some(_) => continue,
                None => {}
            }
            if !self.done.loaded.contains(&id) {
                self.budget.take(batch.data.len() as u64).await;
                self.change(table.number, |state| state.batches_unwritten += 1);
                hand_over(sender, Work::Batch(batch)).await?;
            }
            handed_over.digests().push(digest);
        }
        if batches < handed_over.digests().len() { Err(other_rows(chunk)) } else { Ok(()) }
    }
}

/// The second reading of a chunk is not the first.
fn other_rows(chunk: &Chunk) -> Error {
    let message = format!(
        "chunk {} was read again after its connection broke, and its rows were no longer those of the first time: start \
         the clone again",
        chunk.number
    );
    Error::new(ErrorKind::Changed, message)
}
