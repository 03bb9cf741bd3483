//! The reading tasks: each takes a chunk, reads it and sends its batches to the writers. After an error that may pass,
//! a chunk is read again from its start; batches that were sent before are compared by digest and skipped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{Pipeline, WriteTask, send_task};
use crate::batch::{Batch, ExportEvent};
use crate::catalog::Printable;
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::plan::{Chunk, TablePlan};

/// The digests of the batches of a chunk that were sent to the writers, by batch number.
#[derive(Default)]
struct SentBatches(Mutex<Vec<Digest>>);

impl SentBatches {
    fn digests(&self) -> MutexGuard<'_, Vec<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, batch: u32) -> Option<Digest> {
        self.digests().get(batch as usize).copied()
    }
}

impl Pipeline {
    pub(super) async fn read_chunks(self: Arc<Self>, sender: mpsc::Sender<WriteTask>) -> Result<()> {
        loop {
            let Some((table, index)) = self.chunks.lock().await.pop() else { return Ok(()) };
            let Some(table) = self.leg.plan.tables.get(table) else { continue };
            let Some(chunk) = table.chunks.get(index) else { continue };
            if self.tables.start(table.number) {
                self.leg.events.emit(Event::Started { leg: self.leg.name, object: table.table.object() });
            }
            let sent = SentBatches::default();
            let warn = self.retry_warning(table, format!("reading chunk {}", chunk.number));
            let read = self.leg.retry.run(|| self.read_chunk(table, chunk, &sent, &sender), warn).await;
            read.map_err(|error| error.with("table", Printable(&table.table.name)))?;
            let digests = std::mem::take(&mut *sent.digests());
            let batches = u32::try_from(digests.len()).unwrap_or(u32::MAX);
            let mut digest = Digest::default();
            digests.iter().for_each(|batch| digest.add(batch));
            self.emit_staged(ExportEvent::ChunkEnd { table: table.number, chunk: chunk.number, batches });
            let has_all_rows = self.tables.update(table.number, |state| {
                state.chunks_unread -= 1;
                if let Some(chunk_digest) = state.digests.get_mut(index) {
                    *chunk_digest = digest;
                }
            });
            if has_all_rows {
                send_task(&sender, WriteTask::CompleteTable(table.number)).await?;
            }
        }
    }

    /// Counts a batch that the sink holds already.
    fn count_loaded(&self, batch: &Batch) {
        let (table, bytes) = (batch.id.table, batch.data.len() as u64);
        self.meter.add(table, batch.rows, bytes);
        self.tables.update(table, |state| {
            state.totals.rows += batch.rows;
            state.totals.bytes += bytes;
        });
    }

    /// Reads a chunk from its start and sends the batches that were not sent before.
    async fn read_chunk(
        &self,
        table: &TablePlan,
        chunk: &Chunk,
        sent: &SentBatches,
        sender: &mpsc::Sender<WriteTask>,
    ) -> Result<()> {
        self.leg.gate.wait_until_open().await;
        let mut stream = self.leg.source.read(table, chunk, &self.leg.memory).await?;
        let mut batches = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let (id, digest) = (batch.id, batch.digest);
            batches += 1;
            match sent.digest(id.batch) {
                Some(before) if before != digest => return Err(changed_chunk_error(chunk)),
                Some(_) => continue,
                None => {}
            }
            if self.resume.loaded.contains(&id) {
                self.count_loaded(&batch);
            } else {
                self.rate_limiter.acquire(batch.data.len() as u64).await;
                self.tables.update(table.number, |state| state.batches_unwritten += 1);
                send_task(sender, WriteTask::Batch(batch)).await?;
            }
            sent.digests().push(digest);
            self.leg.gate.wait_until_open().await;
        }
        if batches < sent.digests().len() { Err(changed_chunk_error(chunk)) } else { Ok(()) }
    }
}

fn changed_chunk_error(chunk: &Chunk) -> Error {
    let message = format!(
        "chunk {} was read again after its connection broke, and its rows had changed: start the clone again",
        chunk.number
    );
    Error::new(ErrorKind::Changed, message)
}
