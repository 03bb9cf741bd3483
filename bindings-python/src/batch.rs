//! Batches as Python sees them.

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
    /// How many rows.
    #[pyo3(get)]
    rows: u64,
    text: Bytes,
    digest: Digest,
}

impl Batch {
    /// Without its lease: what Python keeps must not hold up the job.
    pub(crate) fn of(batch: &dbgraft::Batch) -> Self {
        let BatchId { table, chunk, batch: number } = batch.id;
        Self { table, chunk, batch: number, rows: batch.rows, text: batch.data.clone(), digest: batch.digest }
    }

    /// The same rows as a batch of another place.
    pub(crate) fn at(&self, id: BatchId) -> dbgraft::Batch {
        dbgraft::Batch::new(id, self.rows, self.text.clone(), self.digest)
    }
}

#[pymethods]
impl Batch {
    /// A batch of rows that are LOAD DATA text already: fields separated by tabs, rows ended by newlines.
    #[new]
    fn new(text: &[u8]) -> PyResult<Self> {
        if !text.is_empty() && !text.ends_with(b"\n") {
            return Err(PyValueError::new_err("the last row has no newline at its end"));
        }
        let digest = Digest::of_text(text);
        Ok(Self { table: 0, chunk: 0, batch: 0, rows: digest.rows, text: Bytes::copy_from_slice(text), digest })
    }

    /// The rows as text.
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

/// The rows of a batch, one after the other.
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
        let fields = codec::rows(&row).flatten().map(Field::bytes);
        let fields: Vec<_> = fields.map(|field| field.map(|bytes| PyBytes::new(py, &bytes))).collect();
        PyTuple::new(py, fields).map(Some)
    }
}

/// Too many batches in one chunk to be counted.
pub(crate) fn too_many() -> Error {
    Error::usage("a chunk has more than four billion batches")
}
