//! The native half of the Python package `dbgraft`: runs the library's jobs, and carries what they say as JSON. What
//! Python sees of it is made in `python/dbgraft/`.

mod batch;
mod error;
mod job;
mod own;
mod rows;
mod runtime;
mod selector;
mod sink;
mod source;

/// The native half of dbgraft.
#[pyo3::pymodule]
mod _native {
    use dbgraft::{Catalog, CloneOptions, Spelling, Table};
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::batch::{Batch, BatchRows};
    #[pymodule_export]
    use crate::error::Failure;
    #[pymodule_export]
    use crate::job::Job;

    use crate::error::{internal, raised};

    /// The names of all options.
    #[pyfunction]
    fn option_names() -> Vec<String> {
        CloneOptions::names(Spelling::Snake)
    }

    /// The options as they are when nothing is said, as JSON.
    #[pyfunction]
    fn default_options(py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&CloneOptions::default()).map_err(|error| raised(py, &internal(error)))
    }

    /// The version of the library.
    #[pyfunction]
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// A table's name, its columns by name and definition, its primary key, and about how many rows it has.
    type Defined = (String, Vec<(String, String)>, Vec<String>, u64);

    /// The catalog of tables of one's own as JSON.
    #[pyfunction]
    fn catalog_of(py: Python<'_>, tables: Vec<Defined>) -> PyResult<String> {
        let tables = tables.iter().map(|(name, columns, primary_key, rows)| {
            let columns = columns.iter().map(|(name, definition)| (name.as_str(), definition.as_str()));
            Table { rows_estimate: *rows, ..Table::define(name, columns, primary_key) }
        });
        serde_json::to_string(&Catalog::of_tables(tables.collect())).map_err(|error| raised(py, &internal(error)))
    }

    /// The plan for a selection from a catalog in which each table is one chunk; all as JSON.
    #[pyfunction]
    fn plan_of(py: Python<'_>, catalog: &str, selection: &str) -> PyResult<String> {
        let position = dbgraft::Position::unknown(dbgraft::Rung::Given);
        let made = || {
            let (catalog, selection) = (serde_json::from_str(catalog)?, serde_json::from_str(selection)?);
            serde_json::to_string(&dbgraft::Plan::of(&catalog, &selection, position))
        };
        made().map_err(|error| raised(py, &dbgraft::Error::usage("this is no catalog").caused_by(error)))
    }

    /// Lets no thread of dbgraft into Python any more, and waits for those that are inside: Python is about to end.
    #[pyfunction]
    fn leave(py: Python<'_>) {
        crate::own::leave(py);
    }

    /// Whether the threads that do the work were started, by this process or the one that it was forked from.
    #[pyfunction]
    fn is_running() -> bool {
        crate::runtime::is_running()
    }
}
