//! A selector in Python.

use std::sync::{Mutex, PoisonError};

use dbgraft::{Error, ObjectRef, ObjectSelector, Result};
use pyo3::prelude::*;

use crate::own::Own;

/// Asks Python; its first exception is the verdict.
pub(crate) struct Selector {
    own: Own,
    failed: Mutex<Option<Error>>,
}

impl Selector {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self { own: Own::new("selector", object), failed: Mutex::new(None) }
    }

    fn ask<T: for<'py> FromPyObjectOwned<'py>>(&self, method: &'static str, object: &ObjectRef) -> Option<T> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return None;
        }
        let words = (object.kind.name(), object.name.clone(), object.table.clone());
        let asked = self.own.with(method, |_, own| own.call_method1(method, words)?.extract().map_err(Into::into));
        asked.map_err(|error| *failed = Some(error)).ok()
    }
}

impl ObjectSelector for Selector {
    fn select(&self, object: &ObjectRef) -> bool {
        self.ask("select", object).unwrap_or(false)
    }

    fn rows(&self, table: &ObjectRef) -> Option<String> {
        self.ask("rows", table).flatten()
    }

    fn verdict(&self) -> Result<()> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}
