//! Calls of the user's own code: on a thread that may wait, with JSON in and out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dbgraft::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{failed, internal};

/// Whether Python is about to end, and how many threads of ours are in it or on their way.
static ENDING: AtomicBool = AtomicBool::new(false);
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// How long the end of Python waits for a call of the user's own code.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does something in Python, unless that is about to end: it kills threads that come in too late, and the process with
/// them.
pub(crate) fn attached<T>(act: impl FnOnce(Python<'_>) -> Result<T>) -> Result<T> {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            INSIDE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let _inside = Inside;
    let ended = || Error::new(ErrorKind::Cancelled, "Python has ended");
    if ENDING.load(Ordering::SeqCst) {
        return Err(ended());
    }
    Python::try_attach(act).unwrap_or_else(|| Err(ended()))
}

/// Lets none of our threads into Python any more, and waits for those that are inside.
pub(crate) fn leave(py: Python<'_>) {
    ENDING.store(true, Ordering::SeqCst);
    let began = Instant::now();
    py.detach(|| {
        while INSIDE.load(Ordering::SeqCst) > 0 && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// An object of the package that speaks for one of the user's own.
#[derive(Clone)]
pub(crate) struct Own {
    object: Arc<Py<PyAny>>,
    /// What it is: "source".
    what: &'static str,
}

impl Own {
    pub(crate) fn new(what: &'static str, object: Py<PyAny>) -> Self {
        Self { object: Arc::new(object), what }
    }

    /// What a method is called in messages.
    pub(crate) fn name(&self, method: &str) -> String {
        format!("the {}'s {method}", self.what)
    }

    /// Does something with the object while Python is held.
    pub(crate) fn with<T>(
        &self,
        method: &str,
        act: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T> {
        attached(|py| {
            let object = self.object.bind(py);
            act(py, object).map_err(|error| failed(py, &self.name(method), error))
        })
    }

    /// The same on a thread that may wait.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        method: &'static str,
        act: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T> + Send + 'static,
    ) -> Result<T> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || own.with(method, act)).await.map_err(internal)?
    }

    /// Calls a method with a value; both it and the answer travel as JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, method: &'static str, value: &impl Serialize) -> Result<T> {
        let value = serde_json::to_string(value).map_err(internal)?;
        let answer: String =
            self.within(method, move |_, object| object.call_method1(method, (value,))?.extract()).await?;
        serde_json::from_str(&answer).map_err(|error| {
            Error::new(ErrorKind::Callback, format!("{} gave something else than it should", self.name(method)))
                .caused_by(error)
        })
    }
}
