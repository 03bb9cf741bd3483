//! The native module of the Python package `dbgraft`: runs the library's jobs and exchanges values as JSON. The public
//! classes are in `python/dbgraft/`.

mod batch;
mod error;
mod job;
mod python_object;
mod rows;
mod runtime;
mod selector;
mod sink;
mod source;
mod target;

/// The native module of dbgraft.
#[pyo3::pymodule]
mod _native {
    use dbgraft::{Catalog, CloneOptions, NamingStyle, Table};
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::batch::{Batch, BatchRows};
    #[pymodule_export]
    use crate::error::NativeError;
    #[pymodule_export]
    use crate::job::Job;
    #[pymodule_export]
    use crate::target::run_target_job;

    use crate::error::{internal, to_exception};

    /// The names of all options.
    #[pyfunction]
    fn option_names() -> Vec<String> {
        CloneOptions::names(NamingStyle::Snake)
    }

    /// The default options as JSON.
    #[pyfunction]
    fn default_options(py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&CloneOptions::default()).map_err(|error| to_exception(py, &internal(error)))
    }

    /// The version of the library.
    #[pyfunction]
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// A table's name, its columns by name and definition, its primary key, and about how many rows it has.
    type Defined = (String, Vec<(String, String)>, Vec<String>, u64);

    /// Creates the catalog of defined tables, as JSON.
    #[pyfunction]
    fn catalog_of(py: Python<'_>, tables: Vec<Defined>) -> PyResult<String> {
        let tables = tables.iter().map(|(name, columns, primary_key, rows)| {
            let columns = columns.iter().map(|(name, definition)| (name.as_str(), definition.as_str()));
            Table { rows_estimate: *rows, ..Table::define(name, columns, primary_key) }
        });
        serde_json::to_string(&Catalog::from_tables(tables.collect()))
            .map_err(|error| to_exception(py, &internal(error)))
    }

    /// Creates the plan of a selection with one chunk for each table; all values are JSON.
    #[pyfunction]
    fn plan_of(py: Python<'_>, catalog: &str, selection: &str) -> PyResult<String> {
        let position = dbgraft::Position::unknown(dbgraft::SnapshotMethod::External);
        let made = || {
            let (catalog, selection) = (serde_json::from_str(catalog)?, serde_json::from_str(selection)?);
            serde_json::to_string(&dbgraft::Plan::from_selection(&catalog, &selection, position))
        };
        made().map_err(|error| to_exception(py, &dbgraft::Error::usage("this is no catalog").caused_by(error)))
    }

    /// Refuses further calls into Python and waits for running ones, before the interpreter exits.
    #[pyfunction]
    fn leave(py: Python<'_>) {
        crate::python_object::leave(py);
    }

    /// Whether the worker threads were started, by this process or by the one that it was forked from.
    #[pyfunction]
    fn is_running() -> bool {
        crate::runtime::is_running()
    }
}
