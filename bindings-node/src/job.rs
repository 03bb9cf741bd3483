//! One job, as the face in `lib/` drives it.

use std::sync::{Arc, Mutex, PoisonError};

use dbgraft::codec::RowEncoder;
use dbgraft::{CancellationToken, CloneJob, CloneOptions, Error, ErrorKind, Event, EventQueue, Result, SecretString};
use dbgraft::{SinkEndpoint, SourceEndpoint, Spelling};
use napi::bindgen_prelude::{Array, BigInt, Either4, Uint8ArraySlice};
use napi_derive::napi;

use crate::calls::{Call, Calls};
use crate::outcome;
use crate::own::Own;
use crate::reading::Readings;
use crate::selector::JsSelector;
use crate::sink::JsSink;
use crate::source::JsSource;

/// How many events wait for a listener at most, beside the newest progress.
const EVENTS: usize = 10_000;
/// How many are given at once.
const AT_ONCE: usize = 256;

/// What a job is to do.
#[napi(object)]
pub struct Request {
    /// The source's URL; without one it is the user's own, which has the `source_methods`.
    pub source: Option<String>,
    /// What the user's own source can do.
    pub source_methods: Vec<String>,
    /// The target's URL.
    pub target: Option<String>,
    /// What the user's own sink can do.
    pub target_methods: Vec<String>,
    /// The options, as JSON.
    pub options: String,
    /// The source's password.
    pub source_password: Option<String>,
    /// The target's password.
    pub target_password: Option<String>,
    /// Whether there is a function that chooses objects.
    pub selects: bool,
    /// Whether there is a function that answers questions.
    pub answers: bool,
    /// Whether there is a listener.
    pub listens: bool,
}

/// A clone, a plan or a comparison, once.
#[napi]
pub struct Job {
    job: Mutex<Option<CloneJob>>,
    token: CancellationToken,
    calls: Arc<Calls>,
    readings: Arc<Readings>,
    /// The events for the listener, and those for a loop.
    queues: [Arc<EventQueue>; 2],
}

#[napi]
impl Job {
    /// A job that does nothing yet. What is wrong with the request is told as JSON.
    #[napi(constructor)]
    pub fn new(request: Request) -> napi::Result<Self> {
        let token = CancellationToken::new();
        let (calls, readings) = (Arc::<Calls>::default(), Arc::<Readings>::default());
        let queues = [Arc::new(EventQueue::new(EVENTS)), Arc::new(EventQueue::new(EVENTS))];
        let own = |side, methods| Own::new(side, methods, calls.clone(), readings.clone());
        let source = match request.source {
            Some(url) => SourceEndpoint::Url(url),
            None => SourceEndpoint::Own(Arc::new(JsSource(own("source", request.source_methods)))),
        };
        let target = match request.target {
            Some(url) => SinkEndpoint::Url(url),
            None => SinkEndpoint::Own(Arc::new(JsSink(own("target", request.target_methods)))),
        };
        let heard = if request.listens { queues.to_vec() } else { queues[1..].to_vec() };
        let tell = move |event: Event| heard.iter().for_each(|queue| queue.push(event.clone()));
        let options = options(&request.options).map_err(|error| thrown(&error))?;
        let mut job = CloneJob::new(source, target).options(options).cancellation(token.clone()).on_event(tell);
        if let Some(password) = request.source_password {
            job = job.source_password(SecretString::from(password));
        }
        if let Some(password) = request.target_password {
            job = job.target_password(SecretString::from(password));
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
        Ok(Self { job: Mutex::new(Some(job)), token, calls, readings, queues })
    }

    /// Runs the job to its end: `run`, `plan` or `verify`. How it ended is told as JSON.
    #[napi]
    pub async fn run(&self, verb: String) -> String {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
        let work = async move {
            let Some(job) = job else {
                return outcome::text(Err::<(), _>(Error::usage("the job was started already")));
            };
            match verb.as_str() {
                "plan" => outcome::text(job.plan().await),
                "verify" => outcome::text(job.verify().await),
                _ => outcome::text(job.run().await),
            }
        };
        // A task of its own: a bug in there must end as an error here.
        let outcome = napi::tokio::spawn(work).await.unwrap_or_else(|panic| {
            outcome::text(Err::<(), _>(Error::new(ErrorKind::Internal, "this is a bug of dbgraft").caused_by(panic)))
        });
        self.calls.close();
        self.queues.iter().for_each(|queue| queue.close());
        outcome
    }

    /// Stops the job, which then cleans up.
    #[napi]
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Waits for events, 0 for the listener and 1 for a loop: a list as JSON, or null at the end.
    #[napi]
    pub async fn next_events(&self, whose: u32) -> Option<String> {
        let queue = self.queues.get(usize::try_from(whose).ok()?)?;
        let first = queue.next().await?;
        let more = std::iter::from_fn(|| queue.try_next()).take(AT_ONCE - 1);
        serde_json::to_string(&std::iter::once(first).chain(more).collect::<Vec<_>>()).ok()
    }

    /// How many events were lost, because nobody fetched them.
    #[napi]
    pub fn dropped(&self, whose: u32) -> f64 {
        let queue = usize::try_from(whose).ok().and_then(|whose| self.queues.get(whose));
        #[allow(clippy::cast_precision_loss, reason = "numbers of events are small")]
        queue.map_or(0.0, |queue| queue.dropped() as f64)
    }

    /// Waits for the next call of the user's own code; null at the end.
    #[napi]
    pub async fn next_call(&self) -> Option<Call> {
        self.calls.next().await
    }

    /// Answers a call by JSON.
    #[napi]
    pub fn answer(&self, id: u32, json: String) {
        self.calls.answer(id, Ok(json));
    }

    /// Answers a call by an error, as JSON.
    #[napi]
    pub fn fail(&self, id: u32, error: String) {
        let error = serde_json::from_str(&error).unwrap_or_else(|_| Error::new(ErrorKind::Internal, error));
        self.calls.answer(id, Err(error));
    }

    /// Adds rows to what is being read, each a list of values; how many bytes there are now.
    #[napi]
    pub fn add_rows(&self, reading: u32, rows: Array<'_>) -> napi::Result<f64> {
        let lists = (0..rows.len()).map(|index| rows.get::<Array<'_>>(index));
        size(self.readings.add(reading, lists, |list, encoder| {
            let list = list.map_err(|error| misfit(&error))?.ok_or_else(|| Error::usage("a row is missing"))?;
            (0..list.len()).try_for_each(|index| encode(list.get(index).map_err(|error| misfit(&error))?, encoder))
        }))
    }

    /// Adds rows that are text already; how many bytes there are now.
    #[napi]
    pub fn add_text(&self, reading: u32, text: Uint8ArraySlice<'_>) -> napi::Result<f64> {
        size(self.readings.add_text(reading, &text))
    }
}

/// Whole numbers are numbers, all other numbers are texts.
type Value<'a> = Option<Either4<String, i64, BigInt, Uint8ArraySlice<'a>>>;

fn encode(value: Option<Value<'_>>, encoder: &mut RowEncoder) -> Result<()> {
    match value.flatten() {
        None => encoder.null(),
        Some(Either4::A(text)) => encoder.text(&text),
        Some(Either4::B(number)) => encoder.integer(number.into()),
        Some(Either4::C(number)) => encoder.integer(number.get_i128().0),
        Some(Either4::D(bytes)) => encoder.bytes(&bytes),
    }
}

fn misfit(error: &napi::Error) -> Error {
    Error::usage(format!("a value that no column takes: {}", error.reason))
}

fn size(bytes: Result<usize>) -> napi::Result<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a batch is far below 2^53 bytes")]
    bytes.map(|bytes| bytes as f64).map_err(|error| thrown(&error))
}

fn options(json: &str) -> Result<CloneOptions> {
    let given = serde_json::from_str(json).map_err(|error| Error::usage("options are an object").caused_by(error))?;
    CloneOptions::from_json(given, Spelling::Camel)
}

/// An error that JavaScript throws at once.
fn thrown(error: &Error) -> napi::Error {
    napi::Error::from_reason(outcome::failed(error).to_string())
}
