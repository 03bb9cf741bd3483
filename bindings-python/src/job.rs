//! The native job of the Python package.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dbgraft::{
    CancellationToken, CloneJob, CloneOptions, Error, ErrorKind, Event, EventQueue, JobControl, NamingStyle, Result,
    SecretString, SinkEndpoint, SourceEndpoint,
};
use pyo3::prelude::*;
use serde::Serialize;
use tokio::time::timeout;

use crate::error::{internal, to_exception};
use crate::python_object::PythonObject;
use crate::runtime::{is_ours, runtime};
use crate::selector::PythonSelector;
use crate::sink::PythonSink;
use crate::source::PythonSource;

/// The capacity of the event queue.
const EVENT_CAPACITY: usize = 10_000;

/// A running job. Dropping it cancels it.
#[pyclass(frozen, module = "dbgraft._native")]
pub(crate) struct Job(Arc<JobState>);

/// The state that a job shares with its tasks.
struct JobState {
    events: EventQueue,
    cancellation: CancellationToken,
    control: JobControl,
    outcome: Mutex<Option<Result<String>>>,
    /// The callback for the next event or the end, if `armed` is set.
    wake: Option<PythonObject>,
    armed: AtomicBool,
}

impl JobState {
    fn push_event(&self, event: Event) {
        self.events.push(event);
        self.wake();
    }

    fn finish(&self, outcome: Result<String>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.events.close();
        self.wake();
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake
            && self.armed.swap(false, Ordering::SeqCst)
        {
            // Fails if the event loop is closed.
            let _ = wake.attach("wake", |_, wake| wake.call0().map(drop));
        }
    }
}

/// The method of `CloneJob` that a job runs.
#[derive(Clone, Copy)]
enum JobMethod {
    Clone,
    Plan,
    Verify,
}

#[pymethods]
impl Job {
    /// Starts a job. `method` is clone, plan or verify; an end is a URL or an adapter object; options are JSON.
    #[new]
    #[pyo3(signature = (method, source, target, options, *, source_password, target_password, archive_passphrase, selector, question, wake))]
    #[allow(clippy::too_many_arguments, reason = "Python names them")]
    fn new(
        py: Python<'_>,
        method: &str,
        source: &Bound<'_, PyAny>,
        target: &Bound<'_, PyAny>,
        options: &str,
        source_password: Option<String>,
        target_password: Option<String>,
        archive_passphrase: Option<String>,
        selector: Option<Py<PyAny>>,
        question: Option<Py<PyAny>>,
        wake: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let start_job = || -> Result<Self> {
            let method = match method {
                "clone" => JobMethod::Clone,
                "plan" => JobMethod::Plan,
                _ => JobMethod::Verify,
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
            let mut job = CloneJob::new(source, target).options(CloneOptions::from_json(options, NamingStyle::Snake)?);
            if let Some(password) = source_password {
                job = job.source_password(SecretString::from(password));
            }
            if let Some(password) = target_password {
                job = job.target_password(SecretString::from(password));
            }
            if let Some(passphrase) = archive_passphrase {
                job = job.archive_passphrase(SecretString::from(passphrase));
            }
            if let Some(selector) = selector {
                job = job.selector(PythonSelector::new(selector));
            }
            if let Some(question) = question {
                job = job.on_question(prompt_callback(question));
            }
            start(method, job, wake.map(|wake| PythonObject::new("loop", wake)))
        };
        start_job().map_err(|error| to_exception(py, &error))
    }

    /// Waits up to `seconds` for the next event and returns its JSON; None without an event.
    fn next_event(&self, py: Python<'_>, seconds: f64) -> PyResult<Option<String>> {
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let waited = py.detach(|| {
            let next = async { timeout(limit, self.0.events.next()).await.ok().flatten() };
            Ok(runtime()?.block_on(next))
        });
        waited.and_then(event_json).map_err(|error| to_exception(py, &error))
    }

    /// Returns the next available event.
    fn try_event(&self, py: Python<'_>) -> PyResult<Option<String>> {
        runtime().and_then(|_| event_json(self.0.events.try_next())).map_err(|error| to_exception(py, &error))
    }

    /// Requests one call of `wake` at the next event or at the end.
    fn arm(&self) {
        self.0.armed.store(true, Ordering::SeqCst);
    }

    /// Whether the job has ended. Events may still be available.
    #[getter]
    fn ended(&self) -> bool {
        self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The number of dropped events.
    #[getter]
    fn dropped(&self) -> u64 {
        self.0.events.dropped()
    }

    /// Returns the result as JSON; None before the end.
    fn result(&self, py: Python<'_>) -> PyResult<Option<String>> {
        match &*self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(None),
            Some(Ok(report)) => Ok(Some(report.clone())),
            Some(Err(error)) => Err(to_exception(py, error)),
        }
    }

    /// Pauses the job.
    fn pause(&self) {
        self.0.control.pause();
    }

    /// Cuts over a job that follows, after a comparison of this kind.
    fn cut_over(&self, py: Python<'_>, verify: &str) -> PyResult<()> {
        let verify = verify.parse().map_err(|error| to_exception(py, &error))?;
        self.0.control.cut_over(verify);
        Ok(())
    }

    /// Lets the job go on.
    fn unpause(&self) {
        self.0.control.unpause();
    }

    /// Cancels the job, which ends after its clean-up.
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

fn event_json(event: Option<Event>) -> Result<Option<String>> {
    event.map(|event| serde_json::to_string(&event).map_err(internal)).transpose()
}

fn prompt_callback(question: Py<PyAny>) -> impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static {
    let callback = PythonObject::new("on_question", question);
    move |prompt| {
        let answer = callback.attach("call", |_, callback| callback.call1((prompt,))?.extract::<Option<String>>());
        answer.ok().flatten().map(SecretString::from)
    }
}

fn start(method: JobMethod, job: CloneJob, wake: Option<PythonObject>) -> Result<Job> {
    let runtime = runtime()?;
    let running = Arc::new(JobState {
        events: EventQueue::new(EVENT_CAPACITY),
        cancellation: CancellationToken::new(),
        control: job.control(),
        outcome: Mutex::new(None),
        wake,
        armed: AtomicBool::new(false),
    });
    let listener = running.clone();
    let job = job.cancellation(running.cancellation.clone()).on_event(move |event| listener.push_event(event));
    let work = runtime.spawn(async move {
        match method {
            JobMethod::Clone => job.run().await.and_then(|report| json(&report)),
            JobMethod::Plan => job.plan().await.and_then(|overview| json(&overview)),
            JobMethod::Verify => job.verify().await.and_then(|comparison| json(&comparison)),
        }
    });
    let ending = running.clone();
    runtime.spawn(async move {
        let bug = |error| Err(Error::new(ErrorKind::Internal, "this is a bug of dbgraft").caused_by(error));
        ending.finish(work.await.unwrap_or_else(bug));
    });
    Ok(Job(running))
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(internal)
}
