//! A source in Python.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use dbgraft::codec::RowEncoder;
use dbgraft::{
    Batch, BatchId, BatchStream, Catalog, Chunk, Finding, Memory, Note, Plan, Result, Selection, Source, TablePlan,
};
use futures::{StreamExt, stream};
use pyo3::prelude::*;

use crate::batch;
use crate::error::{failed, internal};
use crate::own::{Own, attached};
use crate::rows::add_row;

/// Rows are added in blocks of so many; between two of them others get their turn in Python.
const BLOCK: usize = 2048;

pub(crate) struct PythonSource(Own);

impl PythonSource {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self(Own::new("source", object))
    }
}

#[async_trait]
impl Source for PythonSource {
    async fn catalog(&self) -> Result<Catalog> {
        self.0.ask("catalog", &()).await
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        self.0.ask("check", selection).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        self.0.ask("plan", selection).await
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.0.ask("snapshot", selection).await
    }

    async fn read<'a>(&'a self, table: &'a TablePlan, chunk: &'a Chunk, memory: &'a Memory) -> Result<BatchStream<'a>> {
        read(&self.0, "read", table, chunk, memory).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.0.ask("notes", &()).await
    }

    async fn close(&self) -> Result<()> {
        self.0.ask("close", &()).await
    }
}

/// The batches of what a method of the user's gives for a chunk.
pub(crate) async fn read<'a>(
    own: &Own,
    method: &'static str,
    table: &TablePlan,
    chunk: &Chunk,
    memory: &'a Memory,
) -> Result<BatchStream<'a>> {
    let words = (serde_json::to_string(table).map_err(internal)?, serde_json::to_string(chunk).map_err(internal)?);
    let opened = own.within(method, move |_, own| own.call_method1(method, words)?.extract());
    let (rows, convert) = opened.await?;
    let reading = Reading {
        what: own.name(method),
        rows,
        convert,
        encoder: RowEncoder::new(&table.table),
        next: BatchId { table: table.number, chunk: chunk.number, batch: 0 },
        read: 0,
        ready: None,
        done: false,
        dropped: Arc::default(),
    };
    let guard = Dropped(reading.dropped.clone());
    let batches = stream::unfold(Some((reading, guard)), move |state| async move {
        let (mut reading, guard) = state?;
        let wanted = memory.batch_bytes();
        let mut lease = memory.reserve(wanted).await;
        let read = tokio::task::spawn_blocking(move || (reading.batch(wanted), reading)).await;
        match read.map_err(internal) {
            Ok((Ok(Some(batch)), reading)) => {
                lease.grow(batch.data.len()).await;
                lease.settle(batch.data.len());
                Some((Ok(batch.with_lease(lease)), Some((reading, guard))))
            }
            Ok((Ok(None), _)) => None,
            Ok((Err(error), _)) | Err(error) => Some((Err(error), None)),
        }
    });
    Ok(batches.boxed())
}

/// Tells a reading that nobody waits for it any more.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The rows of a chunk, which come out of an iterator of Python.
struct Reading {
    /// What gives them: "the source's read".
    what: String,
    rows: Py<PyAny>,
    /// Makes a plain value of any other.
    convert: Py<PyAny>,
    encoder: RowEncoder,
    next: BatchId,
    /// How many rows came so far.
    read: u64,
    /// A batch that came as one, and goes after the rows before it.
    ready: Option<Batch>,
    done: bool,
    dropped: Arc<AtomicBool>,
}

impl Reading {
    /// The next batch of about `wanted` bytes.
    fn batch(&mut self, wanted: usize) -> Result<Option<Batch>> {
        while !self.done && self.ready.is_none() && self.encoder.len() < wanted {
            if self.dropped.load(Ordering::Relaxed) {
                return Ok(None);
            }
            attached(|py| self.block(py, wanted))?;
        }
        let rows = if self.encoder.is_empty() { None } else { Some(self.encoder.batch(self.next)) };
        let Some(mut batch) = rows.or_else(|| self.ready.take()) else { return Ok(None) };
        batch.id = self.next;
        self.next.batch = self.next.batch.checked_add(1).ok_or_else(batch::too_many)?;
        Ok(Some(batch))
    }

    /// Takes a block of rows.
    fn block(&mut self, py: Python<'_>, wanted: usize) -> Result<()> {
        let mut rows = self.rows.bind(py).try_iter().map_err(|error| failed(py, &self.what, error))?;
        let convert = self.convert.bind(py);
        for _ in 0..BLOCK {
            let Some(row) = rows.next() else {
                self.done = true;
                return Ok(());
            };
            let row = row.map_err(|error| failed(py, &self.what, error))?;
            if let Ok(batch) = row.cast::<crate::batch::Batch>() {
                self.ready = Some(batch.get().at(self.next));
                return Ok(());
            }
            self.read += 1;
            add_row(&mut self.encoder, &row, convert).map_err(|error| error.with("row", self.read))?;
            if self.encoder.len() >= wanted {
                return Ok(());
            }
        }
        Ok(())
    }
}
