//! The Python class `Batch`.

use bytes::Bytes;
use dbgraft::codec::{self, Digest, Field};
use dbgraft::{BatchId, Error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

/// Whole rows of one chunk of a table, as the text that LOAD DATA takes.
///
/// Iterating gives each row as a tuple of bytes, with None for NULL.
#[pyclass(frozen, module = "dbgraft")]
pub(crate) struct Batch {
    /// The number of the table in the plan.
    #[pyo3(get)]
    table: u32,
    /// The number of the chunk in its table.
    #[pyo3(get)]
    chunk: u32,
    /// The number of the batch in its chunk.
    #[pyo3(get)]
    batch: u32,
    /// The number of rows.
    #[pyo3(get)]
    rows: u64,
    text: Bytes,
    digest: Digest,
}

impl Batch {
    /// Drops the lease: a batch that Python keeps must not block the job.
    pub(crate) fn from_batch(batch: &dbgraft::Batch) -> Self {
        let BatchId { table, chunk, batch: number } = batch.id;
        Self { table, chunk, batch: number, rows: batch.rows, text: batch.data.clone(), digest: batch.digest }
    }

    /// Copies the batch with another identifier.
    pub(crate) fn with_id(&self, id: BatchId) -> dbgraft::Batch {
        dbgraft::Batch::new(id, self.rows, self.text.clone(), self.digest)
    }
}

#[pymethods]
impl Batch {
    /// Create a batch from LOAD DATA text: fields separated by tabs, rows ended by newlines.
    #[new]
    fn new(text: &[u8]) -> PyResult<Self> {
        if !text.is_empty() && !text.ends_with(b"\n") {
            return Err(PyValueError::new_err("the last row has no newline at its end"));
        }
        let digest = Digest::from_text(text);
        Ok(Self { table: 0, chunk: 0, batch: 0, rows: digest.rows, text: Bytes::copy_from_slice(text), digest })
    }

    /// The row text.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.text)
    }

    /// The digest of the rows: their number, and the sum of their hashes.
    #[getter]
    fn digest(&self) -> PyResult<String> {
        let text = serde_json::to_value(self.digest).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    fn __len__(&self) -> PyResult<usize> {
        usize::try_from(self.rows).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn __iter__(&self) -> BatchRows {
        BatchRows { rest: std::sync::Mutex::new(self.text.clone()) }
    }

    fn __repr__(&self) -> String {
        format!("Batch(table={}, chunk={}, batch={}, rows={})", self.table, self.chunk, self.batch, self.rows)
    }
}

/// Iterates over the rows of a batch.
#[pyclass(frozen, module = "dbgraft._native")]
pub(crate) struct BatchRows {
    rest: std::sync::Mutex<Bytes>,
}

#[pymethods]
impl BatchRows {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let mut rest = self.rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let row = rest.split_to(end);
        let fields = codec::split_rows(&row).flatten().map(Field::unescape);
        let fields: Vec<_> = fields.map(|field| field.map(|bytes| PyBytes::new(py, &bytes))).collect();
        PyTuple::new(py, fields).map(Some)
    }
}

/// The error for a batch number beyond 32 bits.
pub(crate) fn too_many_batches() -> Error {
    Error::usage("a chunk has more than four billion batches")
}
