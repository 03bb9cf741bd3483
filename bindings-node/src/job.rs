//! The native job, which `lib/` drives.

use std::sync::{Arc, Mutex, PoisonError};

use dbgraft::codec::RowEncoder;
use dbgraft::{CancellationToken, CloneJob, CloneOptions, Error, ErrorKind, Event, EventQueue, Result, SecretString};
use dbgraft::{JobControl, NamingStyle, SinkEndpoint, SourceEndpoint};
use napi::bindgen_prelude::{Array, BigInt, Either4, Uint8ArraySlice};
use napi_derive::napi;

use crate::call_queue::{CallQueue, JsCall};
use crate::chunk_reader::ChunkReaders;
use crate::js_object::JsObject;
use crate::outcome;
use crate::selector::JsSelector;
use crate::sink::JsSink;
use crate::source::JsSource;

/// The capacity of each event queue.
const EVENT_CAPACITY: usize = 10_000;
/// The maximum number of events returned at once.
const MAX_EVENTS: usize = 256;

/// The configuration of a job.
#[napi(object)]
pub struct JobRequest {
    /// The source's URL; `null` for a source object.
    pub source: Option<String>,
    /// The methods of the source object.
    pub source_methods: Vec<String>,
    /// The target's URL; `null` for a sink object.
    pub target: Option<String>,
    /// The methods of the sink object.
    pub target_methods: Vec<String>,
    /// The options, as JSON.
    pub options: String,
    /// The source's password.
    pub source_password: Option<String>,
    /// The target's password.
    pub target_password: Option<String>,
    /// The passphrase of encrypted archives.
    pub archive_passphrase: Option<String>,
    /// Whether there is a selector.
    pub selects: bool,
    /// Whether there is an `onQuestion` callback.
    pub answers: bool,
    /// Whether there is an event listener.
    pub listens: bool,
}

/// One run of a clone, a plan or a comparison.
#[napi]
pub struct Job {
    job: Mutex<Option<CloneJob>>,
    token: CancellationToken,
    control: JobControl,
    calls: Arc<CallQueue>,
    readers: Arc<ChunkReaders>,
    /// The events for the listener, and for a loop over the job.
    queues: [Arc<EventQueue>; 2],
}

#[napi]
impl Job {
    /// Creates a job without starting it. Throws an error with JSON as its message.
    #[napi(constructor)]
    pub fn new(request: JobRequest) -> napi::Result<Self> {
        let token = CancellationToken::new();
        let (calls, readers) = (Arc::<CallQueue>::default(), Arc::<ChunkReaders>::default());
        let queues = [Arc::new(EventQueue::new(EVENT_CAPACITY)), Arc::new(EventQueue::new(EVENT_CAPACITY))];
        let js_object = |side, methods| JsObject::new(side, methods, calls.clone(), readers.clone());
        let source = match request.source {
            Some(url) => SourceEndpoint::Url(url),
            None => SourceEndpoint::Own(Arc::new(JsSource(js_object("source", request.source_methods)))),
        };
        let target = match request.target {
            Some(url) => SinkEndpoint::Url(url),
            None => SinkEndpoint::Own(Arc::new(JsSink(js_object("target", request.target_methods)))),
        };
        let active = if request.listens { queues.to_vec() } else { queues[1..].to_vec() };
        let push_event = move |event: Event| active.iter().for_each(|queue| queue.push(event.clone()));
        let options = options(&request.options).map_err(|error| to_exception(&error))?;
        let mut job = CloneJob::new(source, target).options(options).cancellation(token.clone()).on_event(push_event);
        if let Some(password) = request.source_password {
            job = job.source_password(SecretString::from(password));
        }
        if let Some(password) = request.target_password {
            job = job.target_password(SecretString::from(password));
        }
        if let Some(passphrase) = request.archive_passphrase {
            job = job.archive_passphrase(SecretString::from(passphrase));
        }
        if request.selects {
            job = job.selector(JsSelector::new(calls.clone()));
        }
        if request.answers {
            let calls = calls.clone();
            job = job.on_question(move |question| {
                let answer: Option<String> = calls.call_blocking("question", &question).ok()?;
                answer.map(SecretString::from)
            });
        }
        let control = job.control();
        Ok(Self { job: Mutex::new(Some(job)), token, control, calls, readers, queues })
    }

    /// Runs the job to its end: `run`, `plan` or `verify`. Returns the outcome as JSON.
    #[napi]
    pub async fn run(&self, method: String) -> String {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
        let work = async move {
            let Some(job) = job else {
                return outcome::to_json(Err::<(), _>(Error::usage("the job was started already")));
            };
            match method.as_str() {
                "plan" => outcome::to_json(job.plan().await),
                "verify" => outcome::to_json(job.verify().await),
                _ => outcome::to_json(job.run().await),
            }
        };
        // Runs in a separate task, so that a panic becomes an error.
        let outcome = napi::tokio::spawn(work).await.unwrap_or_else(|panic| {
            outcome::to_json(Err::<(), _>(Error::new(ErrorKind::Internal, "this is a bug of dbgraft").caused_by(panic)))
        });
        self.calls.close();
        self.queues.iter().for_each(|queue| queue.close());
        outcome
    }

    /// Cancels the job, which then cleans up.
    #[napi]
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Pauses the job.
    #[napi]
    pub fn pause(&self) {
        self.control.pause();
    }

    /// Cuts over a job that follows, after a comparison of this kind.
    #[napi]
    pub fn cut_over(&self, verify: String) -> napi::Result<()> {
        verify.parse().map(|verify| self.control.cut_over(verify)).map_err(|error| to_exception(&error))
    }

    /// Lets the job go on.
    #[napi]
    pub fn unpause(&self) {
        self.control.unpause();
    }

    /// Whether `pause` pauses the job.
    #[napi]
    pub fn is_paused(&self) -> bool {
        self.control.is_paused()
    }

    /// Waits for events of the listener (queue 0) or of a loop (queue 1): a JSON list, or null at the end.
    #[napi]
    pub async fn next_events(&self, queue: u32) -> Option<String> {
        let queue = self.queues.get(usize::try_from(queue).ok()?)?;
        let first = queue.next().await?;
        let more = std::iter::from_fn(|| queue.try_next()).take(MAX_EVENTS - 1);
        serde_json::to_string(&std::iter::once(first).chain(more).collect::<Vec<_>>()).ok()
    }

    /// The number of dropped events of a queue.
    #[napi]
    pub fn dropped(&self, queue: u32) -> f64 {
        let queue = usize::try_from(queue).ok().and_then(|queue| self.queues.get(queue));
        #[allow(clippy::cast_precision_loss, reason = "numbers of events are small")]
        queue.map_or(0.0, |queue| queue.dropped() as f64)
    }

    /// Waits for the next call of JavaScript; null at the end.
    #[napi]
    pub async fn next_call(&self) -> Option<JsCall> {
        self.calls.next_call().await
    }

    /// Answers a call with JSON.
    #[napi]
    pub fn answer(&self, id: u32, json: String) {
        self.calls.answer(id, Ok(json));
    }

    /// Answers a call with an error as JSON.
    #[napi]
    pub fn fail(&self, id: u32, error: String) {
        let error = serde_json::from_str(&error).unwrap_or_else(|_| Error::new(ErrorKind::Internal, error));
        self.calls.answer(id, Err(error));
    }

    /// Adds rows, each a list of values, to a chunk reader. Returns the bytes of pending rows.
    #[napi]
    pub fn add_rows(&self, reading: u32, rows: Array<'_>) -> napi::Result<f64> {
        let lists = (0..rows.len()).map(|index| rows.get::<Array<'_>>(index));
        size(self.readers.add_rows(reading, lists, |list, encoder| {
            let list =
                list.map_err(|error| conversion_error(&error))?.ok_or_else(|| Error::usage("a row is missing"))?;
            (0..list.len())
                .try_for_each(|index| encode(list.get(index).map_err(|error| conversion_error(&error))?, encoder))
        }))
    }

    /// Adds row text to a chunk reader. Returns the bytes of pending rows.
    #[napi]
    pub fn add_text(&self, reading: u32, text: Uint8ArraySlice<'_>) -> napi::Result<f64> {
        size(self.readers.add_text(reading, &text))
    }
}

/// Whole numbers are numbers, all other numbers are texts.
type Value<'a> = Option<Either4<String, i64, BigInt, Uint8ArraySlice<'a>>>;

fn encode(value: Option<Value<'_>>, encoder: &mut RowEncoder) -> Result<()> {
    match value.flatten() {
        None => encoder.push_null(),
        Some(Either4::A(text)) => encoder.push_text(&text),
        Some(Either4::B(number)) => encoder.push_integer(number.into()),
        Some(Either4::C(number)) => encoder.push_integer(number.get_i128().0),
        Some(Either4::D(bytes)) => encoder.push_bytes(&bytes),
    }
}

fn conversion_error(error: &napi::Error) -> Error {
    Error::usage(format!("a value that no column takes: {}", error.reason))
}

fn size(bytes: Result<usize>) -> napi::Result<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a batch is far below 2^53 bytes")]
    bytes.map(|bytes| bytes as f64).map_err(|error| to_exception(&error))
}

pub(crate) fn options(json: &str) -> Result<CloneOptions> {
    let given = serde_json::from_str(json).map_err(|error| Error::usage("options are an object").caused_by(error))?;
    CloneOptions::from_json(given, NamingStyle::Camel)
}

/// Converts an error to an exception with JSON as its message.
fn to_exception(error: &Error) -> napi::Error {
    napi::Error::from_reason(outcome::error_json(error).to_string())
}
