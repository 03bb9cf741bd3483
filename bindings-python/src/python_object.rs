//! Calls the user's Python objects with JSON, on blocking threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dbgraft::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{callback_error, internal};

/// Whether the interpreter is about to exit.
static IS_FINALIZING: AtomicBool = AtomicBool::new(false);
/// The number of dbgraft's threads that run or enter Python code.
static THREADS_INSIDE: AtomicUsize = AtomicUsize::new(0);

/// The time that the exit of the interpreter waits for running calls.
const FINALIZE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `act` attached to the interpreter, unless it is about to exit. Attaching during the exit would kill the
/// process.
pub(crate) fn with_python<T>(act: impl FnOnce(Python<'_>) -> Result<T>) -> Result<T> {
    struct InsideGuard;
    impl Drop for InsideGuard {
        fn drop(&mut self) {
            THREADS_INSIDE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    THREADS_INSIDE.fetch_add(1, Ordering::SeqCst);
    let _inside = InsideGuard;
    let ended = || Error::new(ErrorKind::Cancelled, "Python has ended");
    if IS_FINALIZING.load(Ordering::SeqCst) {
        return Err(ended());
    }
    Python::try_attach(act).unwrap_or_else(|| Err(ended()))
}

/// Refuses further calls into Python and waits for running ones.
pub(crate) fn leave(py: Python<'_>) {
    IS_FINALIZING.store(true, Ordering::SeqCst);
    let began = Instant::now();
    py.detach(|| {
        while THREADS_INSIDE.load(Ordering::SeqCst) > 0 && began.elapsed() < FINALIZE_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// An adapter object of the package for a source, a sink, a selector or a callback of the user.
#[derive(Clone)]
pub(crate) struct PythonObject {
    object: Arc<Py<PyAny>>,
    /// The role in error messages: "source".
    what: &'static str,
}

impl PythonObject {
    pub(crate) fn new(what: &'static str, object: Py<PyAny>) -> Self {
        Self { object: Arc::new(object), what }
    }

    /// The name of a method in error messages.
    pub(crate) fn method_name(&self, method: &str) -> String {
        format!("the {}'s {method}", self.what)
    }

    /// Runs `act` with the object, attached to the interpreter.
    pub(crate) fn attach<T>(
        &self,
        method: &str,
        act: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T> {
        with_python(|py| {
            let object = self.object.bind(py);
            act(py, object).map_err(|error| callback_error(py, &self.method_name(method), error))
        })
    }

    /// Runs `act` with the object on a blocking thread.
    pub(crate) async fn attach_blocking<T: Send + 'static>(
        &self,
        method: &'static str,
        act: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T> + Send + 'static,
    ) -> Result<T> {
        let object = self.clone();
        tokio::task::spawn_blocking(move || object.attach(method, act)).await.map_err(internal)?
    }

    /// Calls a method with a value as JSON and parses its result.
    pub(crate) async fn call_json<T: DeserializeOwned>(
        &self,
        method: &'static str,
        value: &impl Serialize,
    ) -> Result<T> {
        let value = serde_json::to_string(value).map_err(internal)?;
        let answer: String =
            self.attach_blocking(method, move |_, object| object.call_method1(method, (value,))?.extract()).await?;
        serde_json::from_str(&answer).map_err(|error| {
            Error::new(ErrorKind::Callback, format!("{} returned a value of the wrong type", self.method_name(method)))
                .caused_by(error)
        })
    }
}
