//! Rows that JavaScript gives: encoded here block by block, and handed on as batches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, BytesMut};
use dbgraft::codec::{Digest, RowEncoder};
use dbgraft::{Batch, BatchId, BatchStream, Chunk, Error, Memory, Result, TablePlan};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::calls::Calls;

/// What is being read now, by numbers.
#[derive(Default)]
pub(crate) struct Readings {
    open: Mutex<HashMap<u32, Rows>>,
    last: AtomicU32,
}

/// The rows of one reading that are not in a batch yet.
struct Rows {
    table: String,
    encoder: RowEncoder,
    /// How many rows came before the next one.
    before: u64,
    /// Rows that were given as text.
    text: BytesMut,
}

impl Rows {
    fn len(&self) -> usize {
        self.encoder.len() + self.text.len()
    }
}

impl Readings {
    fn open(&self) -> MutexGuard<'_, HashMap<u32, Rows>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, table: &TablePlan) -> u32 {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (table, encoder) = (table.table.name.clone(), RowEncoder::new(&table.table));
        self.open().insert(number, Rows { table, encoder, before: 0, text: BytesMut::new() });
        number
    }

    /// Adds rows by `encode`; how many bytes there are now. For a reading that has ended there are more than enough.
    pub(crate) fn add<R>(
        &self,
        reading: u32,
        rows: impl Iterator<Item = R>,
        mut encode: impl FnMut(R, &mut RowEncoder) -> Result<()>,
    ) -> Result<usize> {
        let mut open = self.open();
        let Some(read) = open.get_mut(&reading) else { return Ok(usize::MAX) };
        for row in rows {
            read.before += 1;
            encode(row, &mut read.encoder)
                .and_then(|()| read.encoder.end_row())
                .map_err(|error| error.with("row", read.before).with("table", &read.table))?;
        }
        Ok(read.len())
    }

    /// Adds rows that are text already; how many bytes there are now.
    pub(crate) fn add_text(&self, reading: u32, text: &[u8]) -> Result<usize> {
        if text.last().is_some_and(|last| *last != b'\n') {
            return Err(Error::usage("rows as text end by a newline, each of them"));
        }
        let mut open = self.open();
        let Some(rows) = open.get_mut(&reading) else { return Ok(usize::MAX) };
        rows.text.put_slice(text);
        Ok(rows.len())
    }

    /// The batch of what was added since the last one.
    fn take(&self, reading: u32, id: BatchId) -> Option<Batch> {
        let mut open = self.open();
        let rows = open.get_mut(&reading)?;
        let encoded = rows.encoder.batch(id);
        if rows.text.is_empty() {
            return Some(encoded);
        }
        let text = rows.text.split();
        let mut digest = Digest::of_text(&text);
        rows.before += digest.rows;
        digest.add(&encoded.digest);
        let mut data = BytesMut::from(&encoded.data[..]);
        data.unsplit(text);
        Some(Batch::new(id, digest.rows, data.freeze(), digest))
    }

    fn end(&self, reading: u32) {
        self.open().remove(&reading);
    }
}

/// A chunk that JavaScript reads.
pub(crate) struct Reading {
    number: u32,
    method: String,
    calls: Arc<Calls>,
    readings: Arc<Readings>,
    /// What JavaScript has to know first.
    begin: Option<Value>,
    batch: u32,
    ended: bool,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readings.end(self.number);
        if !self.ended && self.begin.is_none() {
            self.calls.tell("release", &self.number);
        }
    }
}

impl Reading {
    /// Reads a chunk by `method`, which is called once for each batch, and first with `begin`.
    pub(crate) fn begin<'a>(
        method: String,
        begin: Value,
        calls: Arc<Calls>,
        readings: Arc<Readings>,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a Memory,
    ) -> BatchStream<'a> {
        let number = readings.begin(table);
        let reading = Self { number, method, calls, readings, begin: Some(begin), batch: 0, ended: false };
        let batches = stream::try_unfold(reading, move |mut reading| async move {
            if reading.ended {
                return Ok(None);
            }
            let mut lease = memory.reserve(memory.batch_bytes()).await;
            let (number, begin) = (reading.number, reading.begin.take());
            let body = json!({ "reading": number, "bytes": memory.batch_bytes(), "begin": begin });
            reading.ended = reading.calls.call(&reading.method, &body).await?;
            let id = BatchId { table: table.number, chunk: chunk.number, batch: reading.batch };
            let batch = reading.readings.take(number, id).filter(|batch| batch.rows > 0);
            let Some(batch) = batch else { return Ok(None) };
            lease.grow(batch.data.len()).await;
            lease.settle(batch.data.len());
            reading.batch += 1;
            Ok(Some((batch.with_lease(lease), reading)))
        });
        batches.boxed()
    }
}
