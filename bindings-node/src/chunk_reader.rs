//! Encodes rows of JavaScript block by block, and passes them on as batches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, BytesMut};
use dbgraft::codec::{Digest, RowEncoder};
use dbgraft::{Batch, BatchId, BatchStream, Chunk, Error, MemoryBudget, Result, TablePlan};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::call_queue::CallQueue;

/// The chunks that are being read, by number.
#[derive(Default)]
pub(crate) struct ChunkReaders {
    open: Mutex<HashMap<u32, PendingRows>>,
    last: AtomicU32,
}

/// The rows of one chunk that are not in a batch yet.
struct PendingRows {
    table: String,
    encoder: RowEncoder,
    /// The number of rows so far.
    rows_read: u64,
    /// Rows passed as text.
    text: BytesMut,
}

impl PendingRows {
    fn len(&self) -> usize {
        self.encoder.len() + self.text.len()
    }
}

impl ChunkReaders {
    fn open(&self) -> MutexGuard<'_, HashMap<u32, PendingRows>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_reader(&self, table: &TablePlan) -> u32 {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (table, encoder) = (table.table.name.clone(), RowEncoder::new(&table.table));
        self.open().insert(number, PendingRows { table, encoder, rows_read: 0, text: BytesMut::new() });
        number
    }

    /// Adds rows by `encode` and returns the bytes of pending rows; `usize::MAX` for a closed reader.
    pub(crate) fn add_rows<R>(
        &self,
        reader: u32,
        rows: impl Iterator<Item = R>,
        mut encode: impl FnMut(R, &mut RowEncoder) -> Result<()>,
    ) -> Result<usize> {
        let mut open = self.open();
        let Some(pending) = open.get_mut(&reader) else { return Ok(usize::MAX) };
        for row in rows {
            pending.rows_read += 1;
            encode(row, &mut pending.encoder)
                .and_then(|()| pending.encoder.end_row())
                .map_err(|error| error.with("row", pending.rows_read).with("table", &pending.table))?;
        }
        Ok(pending.len())
    }

    /// Adds row text and returns the bytes of pending rows; `usize::MAX` for a closed reader.
    pub(crate) fn add_text(&self, reader: u32, text: &[u8]) -> Result<usize> {
        if text.last().is_some_and(|last| *last != b'\n') {
            return Err(Error::usage("rows as text end by a newline, each of them"));
        }
        let mut open = self.open();
        let Some(rows) = open.get_mut(&reader) else { return Ok(usize::MAX) };
        rows.text.put_slice(text);
        Ok(rows.len())
    }

    /// Takes the batch of the pending rows.
    fn take_batch(&self, reader: u32, id: BatchId) -> Option<Batch> {
        let mut open = self.open();
        let rows = open.get_mut(&reader)?;
        let encoded = rows.encoder.take_batch(id);
        if rows.text.is_empty() {
            return Some(encoded);
        }
        let text = rows.text.split();
        let mut digest = Digest::from_text(&text);
        rows.rows_read += digest.rows;
        digest.add(&encoded.digest);
        let mut data = BytesMut::from(&encoded.data[..]);
        data.unsplit(text);
        Some(Batch::new(id, digest.rows, data.freeze(), digest))
    }

    fn close_reader(&self, reader: u32) {
        self.open().remove(&reader);
    }
}

/// Reads one chunk by calls of JavaScript.
pub(crate) struct ChunkReader {
    number: u32,
    method: String,
    calls: Arc<CallQueue>,
    readers: Arc<ChunkReaders>,
    /// The argument of the first call.
    begin: Option<Value>,
    batch: u32,
    ended: bool,
}

impl Drop for ChunkReader {
    fn drop(&mut self) {
        self.readers.close_reader(self.number);
        if !self.ended && self.begin.is_none() {
            self.calls.post("release", &self.number);
        }
    }
}

impl ChunkReader {
    /// Reads a chunk by one call of `method` for each batch. The first call gets `begin`.
    pub(crate) fn start<'a>(
        method: String,
        begin: Value,
        calls: Arc<CallQueue>,
        readers: Arc<ChunkReaders>,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> BatchStream<'a> {
        let number = readers.open_reader(table);
        let reader = Self { number, method, calls, readers, begin: Some(begin), batch: 0, ended: false };
        let batches = stream::try_unfold(reader, move |mut reader| async move {
            if reader.ended {
                return Ok(None);
            }
            let mut lease = memory.reserve(memory.batch_bytes()).await;
            let (number, begin) = (reader.number, reader.begin.take());
            let body = json!({ "reading": number, "bytes": memory.batch_bytes(), "begin": begin });
            reader.ended = reader.calls.call(&reader.method, &body).await?;
            let id = BatchId { table: table.number, chunk: chunk.number, batch: reader.batch };
            let batch = reader.readers.take_batch(number, id).filter(|batch| batch.rows > 0);
            let Some(batch) = batch else { return Ok(None) };
            lease.grow(batch.data.len()).await;
            lease.shrink(batch.data.len());
            reader.batch += 1;
            Ok(Some((batch.with_lease(lease), reader)))
        });
        batches.boxed()
    }
}
