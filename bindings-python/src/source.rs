//! Adapts a source of Python to the library.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use dbgraft::codec::RowEncoder;
use dbgraft::{
    Batch, BatchId, BatchStream, Catalog, Chunk, Finding, MemoryBudget, Note, Plan, Result, Selection, Source,
    TablePlan,
};
use futures::{StreamExt, stream};
use pyo3::prelude::*;

use crate::batch;
use crate::error::{callback_error, internal};
use crate::python_object::{PythonObject, with_python};
use crate::rows::add_row;

/// The number of rows added while attached to the interpreter. Other threads run between two blocks.
const BLOCK_ROWS: usize = 2048;

pub(crate) struct PythonSource(PythonObject);

impl PythonSource {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self(PythonObject::new("source", object))
    }
}

#[async_trait]
impl Source for PythonSource {
    async fn catalog(&self) -> Result<Catalog> {
        self.0.call_json("catalog", &()).await
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        self.0.call_json("check", selection).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        self.0.call_json("plan", selection).await
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.0.call_json("snapshot", selection).await
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        read_rows(&self.0, "read", table, chunk, memory).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.0.call_json("notes", &()).await
    }

    async fn close(&self) -> Result<()> {
        self.0.call_json("close", &()).await
    }
}

/// Calls a method that returns the rows of a chunk, and encodes the rows as batches.
pub(crate) async fn read_rows<'a>(
    object: &PythonObject,
    method: &'static str,
    table: &TablePlan,
    chunk: &Chunk,
    memory: &'a MemoryBudget,
) -> Result<BatchStream<'a>> {
    let arguments = (serde_json::to_string(table).map_err(internal)?, serde_json::to_string(chunk).map_err(internal)?);
    let opened = object.attach_blocking(method, move |_, object| object.call_method1(method, arguments)?.extract());
    let (rows, convert) = opened.await?;
    let reader = RowReader {
        method: object.method_name(method),
        rows,
        convert,
        encoder: RowEncoder::new(&table.table),
        next_id: BatchId { table: table.number, chunk: chunk.number, batch: 0 },
        rows_read: 0,
        ready: None,
        done: false,
        stopped: Arc::default(),
    };
    let guard = StopGuard(reader.stopped.clone());
    let batches = stream::unfold(Some((reader, guard)), move |state| async move {
        let (mut reader, guard) = state?;
        let wanted = memory.batch_bytes();
        let mut lease = memory.reserve(wanted).await;
        let read = tokio::task::spawn_blocking(move || (reader.next_batch(wanted), reader)).await;
        match read.map_err(internal) {
            Ok((Ok(Some(batch)), reader)) => {
                lease.grow(batch.data.len()).await;
                lease.shrink(batch.data.len());
                Some((Ok(batch.with_lease(lease)), Some((reader, guard))))
            }
            Ok((Ok(None), _)) => None,
            Ok((Err(error), _)) | Err(error) => Some((Err(error), None)),
        }
    });
    Ok(batches.boxed())
}

/// Stops a reader when the stream of its batches is dropped.
struct StopGuard(Arc<AtomicBool>);

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads the rows of a chunk from an iterator of Python.
struct RowReader {
    /// The method in error messages: "the source's read".
    method: String,
    rows: Py<PyAny>,
    /// Converts values of other types to plain values.
    convert: Py<PyAny>,
    encoder: RowEncoder,
    next_id: BatchId,
    /// The number of rows so far.
    rows_read: u64,
    /// A batch from the iterator, which follows the encoded rows.
    ready: Option<Batch>,
    done: bool,
    stopped: Arc<AtomicBool>,
}

impl RowReader {
    /// Returns the next batch of about `wanted` bytes.
    fn next_batch(&mut self, wanted: usize) -> Result<Option<Batch>> {
        while !self.done && self.ready.is_none() && self.encoder.len() < wanted {
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(None);
            }
            with_python(|py| self.encode_block(py, wanted))?;
        }
        let rows = if self.encoder.is_empty() { None } else { Some(self.encoder.take_batch(self.next_id)) };
        let Some(mut batch) = rows.or_else(|| self.ready.take()) else { return Ok(None) };
        batch.id = self.next_id;
        self.next_id.batch = self.next_id.batch.checked_add(1).ok_or_else(batch::too_many_batches)?;
        Ok(Some(batch))
    }

    /// Encodes a block of rows.
    fn encode_block(&mut self, py: Python<'_>, wanted: usize) -> Result<()> {
        let mut rows = self.rows.bind(py).try_iter().map_err(|error| callback_error(py, &self.method, error))?;
        let convert = self.convert.bind(py);
        for _ in 0..BLOCK_ROWS {
            let Some(row) = rows.next() else {
                self.done = true;
                return Ok(());
            };
            let row = row.map_err(|error| callback_error(py, &self.method, error))?;
            if let Ok(batch) = row.cast::<crate::batch::Batch>() {
                self.ready = Some(batch.get().with_id(self.next_id));
                return Ok(());
            }
            self.rows_read += 1;
            add_row(&mut self.encoder, &row, convert).map_err(|error| error.with("row", self.rows_read))?;
            if self.encoder.len() >= wanted {
                return Ok(());
            }
        }
        Ok(())
    }
}
