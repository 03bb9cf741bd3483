//! Errors on their way from Rust to Python and back.

use std::error::Error as _;

use dbgraft::{Error, ErrorKind, Report};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use serde_json::{Value, json};

create_exception!(dbgraft._native, Failure, PyException, "An error as JSON, of which Python makes a CloneError.");

/// A bug of ours.
pub(crate) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "a value cannot be brought to Python").caused_by(error)
}

/// The error as Python raises it: its JSON, and the exception of the user's own code that caused it.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let mut told = serde_json::to_value(error).unwrap_or_else(|_| json!({"kind": "internal"}));
    if let Value::Object(told) = &mut told {
        told.insert("text".to_owned(), error.to_string().into());
        told.insert("report".to_owned(), serde_json::to_value(Report::of(error)).unwrap_or_default());
    }
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(exception) = source.downcast_ref::<PyErr>() {
            return Failure::new_err((told.to_string(), exception.value(py).clone().unbind()));
        }
        cause = source.source();
    }
    Failure::new_err((told.to_string(), py.None()))
}

/// What a job makes of an exception of the user's own code: an error of the same words for a `CloneError`, else one of
/// kind `Callback`. `what` is what failed: "the source's read".
pub(crate) fn failed(py: Python<'_>, what: &str, exception: PyErr) -> Error {
    let told = exception.value(py).call_method0("_told").and_then(|told| told.extract::<String>());
    match told.ok().and_then(|told| serde_json::from_str(&told).ok()) {
        Some(error) => error,
        None => Error::new(ErrorKind::Callback, format!("{what} failed")).caused_by(exception),
    }
}
