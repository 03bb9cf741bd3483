//! A selector in Python.

use std::sync::{Mutex, PoisonError};

use dbgraft::{Error, ObjectRef, ObjectSelector, Result};
use pyo3::prelude::*;

use crate::python_object::PythonObject;

/// Calls a selector in Python. Its first exception ends the selection.
pub(crate) struct PythonSelector {
    object: PythonObject,
    failed: Mutex<Option<Error>>,
}

impl PythonSelector {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self { object: PythonObject::new("selector", object), failed: Mutex::new(None) }
    }

    fn call<T: for<'py> FromPyObjectOwned<'py>>(&self, method: &'static str, object: &ObjectRef) -> Option<T> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return None;
        }
        let arguments = (object.kind.name(), object.name.clone(), object.table.clone());
        let called = self
            .object
            .attach(method, |_, selector| selector.call_method1(method, arguments)?.extract().map_err(Into::into));
        called.map_err(|error| *failed = Some(error)).ok()
    }
}

impl ObjectSelector for PythonSelector {
    fn select(&self, object: &ObjectRef) -> bool {
        self.call("select", object).unwrap_or(false)
    }

    fn rows(&self, table: &ObjectRef) -> Option<String> {
        self.call("rows", table).flatten()
    }

    fn finish(&self) -> Result<()> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}
