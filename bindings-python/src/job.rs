//! A job: started, watched and cancelled by Python, run by the library.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dbgraft::{
    CancellationToken, CloneJob, CloneOptions, Error, ErrorKind, Event, EventQueue, Result, SecretString, SinkEndpoint,
    SourceEndpoint, Spelling,
};
use pyo3::prelude::*;
use serde::Serialize;
use tokio::time::timeout;

use crate::error::{internal, raised};
use crate::own::Own;
use crate::runtime::{is_ours, runtime};
use crate::selector::Selector;
use crate::sink::PythonSink;
use crate::source::PythonSource;

/// More events wait for a listener only where it sleeps through the work on thousands of objects.
const EVENTS: usize = 10_000;

/// A job that runs since it was made. Dropping it cancels it.
#[pyclass(frozen, module = "dbgraft._native")]
pub(crate) struct Job(Arc<Running>);

struct Running {
    events: EventQueue,
    cancellation: CancellationToken,
    outcome: Mutex<Option<Result<String>>>,
    /// Is called when something happened after `armed`.
    wake: Option<Own>,
    armed: AtomicBool,
}

impl Running {
    fn hear(&self, event: Event) {
        self.events.push(event);
        self.wake();
    }

    fn end(&self, outcome: Result<String>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.events.close();
        self.wake();
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake
            && self.armed.swap(false, Ordering::SeqCst)
        {
            // A loop that is closed needs no waking.
            let _ = wake.with("wake", |_, wake| wake.call0().map(drop));
        }
    }
}

/// What a job does.
#[derive(Clone, Copy)]
enum Verb {
    Clone,
    Plan,
    Verify,
}

#[pymethods]
impl Job {
    /// Starts a job: `verb` is clone, plan or verify, an end is a URL or an object that speaks for the user's own, options
    /// are JSON.
    #[new]
    #[pyo3(signature = (verb, source, target, options, *, source_password, target_password, selector, question, wake))]
    #[allow(clippy::too_many_arguments, reason = "Python names them")]
    fn new(
        py: Python<'_>,
        verb: &str,
        source: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        options: &str,
        source_password: Option<String>,
        target_password: Option<String>,
        selector: Option<Py<PyAny>>,
        question: Option<Py<PyAny>>,
        wake: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let begun = || -> Result<Self> {
            let verb = match verb {
                "clone" => Verb::Clone,
                "plan" => Verb::Plan,
                _ => Verb::Verify,
            };
            let source = match source.extract::<String>() {
                Ok(url) => SourceEndpoint::Url(url),
                Err(_) => SourceEndpoint::Own(Arc::new(PythonSource::new(source.clone().unbind()))),
            };
            let target = match target.extract::<String>() {
                Ok(url) => SinkEndpoint::Url(url),
                Err(_) => SinkEndpoint::Own(Arc::new(PythonSink::new(target))),
            };
            let options = serde_json::from_str(options).map_err(internal)?;
            let mut job = CloneJob::new(source, target).options(CloneOptions::from_json(options, Spelling::Snake)?);
            if let Some(password) = source_password {
                job = job.source_password(SecretString::from(password));
            }
            if let Some(password) = target_password {
                job = job.target_password(SecretString::from(password));
            }
            if let Some(selector) = selector {
                job = job.selector(Selector::new(selector));
            }
            if let Some(question) = question {
                job = job.on_question(asker(question));
            }
            start(verb, job, wake.map(|wake| Own::new("loop", wake)))
        };
        begun().map_err(|error| raised(py, &error))
    }

    /// Waits so many seconds for the next event: its JSON, or None when none came or the job has ended.
    fn next_event(&self, py: Python<'_>, seconds: f64) -> PyResult<Option<String>> {
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let waited = py.detach(|| {
            let next = async { timeout(patience, self.0.events.next()).await.ok().flatten() };
            Ok(runtime()?.block_on(next))
        });
        waited.and_then(told).map_err(|error| raised(py, &error))
    }

    /// The next event that is there already.
    fn try_event(&self, py: Python<'_>) -> PyResult<Option<String>> {
        runtime().and_then(|_| told(self.0.events.try_next())).map_err(|error| raised(py, &error))
    }

    /// Lets the next thing that happens call `wake`, once.
    fn arm(&self) {
        self.0.armed.store(true, Ordering::SeqCst);
    }

    /// Whether the job has ended; further events may wait all the same.
    #[getter]
    fn ended(&self) -> bool {
        self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How many events nobody fetched in time.
    #[getter]
    fn dropped(&self) -> u64 {
        self.0.events.dropped()
    }

    /// What came out of it, as JSON; None before the end.
    fn result(&self, py: Python<'_>) -> PyResult<Option<String>> {
        match &*self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(None),
            Some(Ok(report)) => Ok(Some(report.clone())),
            Some(Err(error)) => Err(raised(py, error)),
        }
    }

    /// Stops it; the end comes when all is cleaned up.
    fn cancel(&self) {
        if is_ours() {
            self.0.cancellation.cancel();
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn told(event: Option<Event>) -> Result<Option<String>> {
    event.map(|event| serde_json::to_string(&event).map_err(internal)).transpose()
}

fn asker(question: Py<PyAny>) -> impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static {
    let own = Own::new("on_question", question);
    move |words| {
        let answer = own.with("call", |_, own| own.call1((words,))?.extract::<Option<String>>());
        answer.ok().flatten().map(SecretString::from)
    }
}

fn start(verb: Verb, job: CloneJob, wake: Option<Own>) -> Result<Job> {
    let runtime = runtime()?;
    let running = Arc::new(Running {
        events: EventQueue::new(EVENTS),
        cancellation: CancellationToken::new(),
        outcome: Mutex::new(None),
        wake,
        armed: AtomicBool::new(false),
    });
    let listener = running.clone();
    let job = job.cancellation(running.cancellation.clone()).on_event(move |event| listener.hear(event));
    let work = runtime.spawn(async move {
        match verb {
            Verb::Clone => job.run().await.and_then(|report| json(&report)),
            Verb::Plan => job.plan().await.and_then(|overview| json(&overview)),
            Verb::Verify => job.verify().await.and_then(|comparison| json(&comparison)),
        }
    });
    let ending = running.clone();
    runtime.spawn(async move {
        let bug = |error| Err(Error::new(ErrorKind::Internal, "this is a bug of dbgraft").caused_by(error));
        ending.end(work.await.unwrap_or_else(bug));
    });
    Ok(Job(running))
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(internal)
}
