//! Converts errors between Rust and Python.

use std::error::Error as _;

use dbgraft::{Error, ErrorKind, Report};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use serde_json::{Value, json};

create_exception!(
    dbgraft._native,
    NativeError,
    PyException,
    "An error as JSON, which the package converts to a CloneError."
);

/// An internal error.
pub(crate) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "a value cannot be converted for Python").caused_by(error)
}

/// Converts an error to a `NativeError`: its JSON, and the user's exception that caused it.
pub(crate) fn to_exception(py: Python<'_>, error: &Error) -> PyErr {
    let mut json_error = serde_json::to_value(error).unwrap_or_else(|_| json!({"kind": "internal"}));
    if let Value::Object(fields) = &mut json_error {
        fields.insert("text".to_owned(), error.to_string().into());
        fields.insert("report".to_owned(), serde_json::to_value(Report::from_error(error)).unwrap_or_default());
    }
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(exception) = source.downcast_ref::<PyErr>() {
            return NativeError::new_err((json_error.to_string(), exception.value(py).clone().unbind()));
        }
        cause = source.source();
    }
    NativeError::new_err((json_error.to_string(), py.None()))
}

/// Converts an exception of the user's code: a `CloneError` to its error, any other exception to an error of kind
/// `Callback`. `method` is the failed method: "the source's read".
pub(crate) fn callback_error(py: Python<'_>, method: &str, exception: PyErr) -> Error {
    let json = exception.value(py).call_method0("_to_json").and_then(|json| json.extract::<String>());
    match json.ok().and_then(|json| serde_json::from_str(&json).ok()) {
        Some(error) => error,
        None => Error::new(ErrorKind::Callback, format!("{method} failed")).caused_by(exception),
    }
}
