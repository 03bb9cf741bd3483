//! The queue of a job's calls to JavaScript. JavaScript fetches the calls and answers them by number.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dbgraft::{Error, ErrorKind, Result};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, oneshot};

/// A call to JavaScript.
#[napi(object)]
pub struct JsCall {
    /// The number for the answer; 0 if no answer is expected.
    pub id: u32,
    /// The object and the method: `source.catalog`.
    pub method: String,
    /// The argument as JSON.
    pub body: String,
    /// The row text.
    pub data: Option<Buffer>,
}

/// The queue of one job.
#[derive(Default)]
pub(crate) struct CallQueue {
    state: Mutex<QueueState>,
    posted: Notify,
}

#[derive(Default)]
struct QueueState {
    posted: VecDeque<(u32, String, String, Option<Bytes>)>,
    open: HashMap<u32, oneshot::Sender<Result<String>>>,
    last: u32,
    closed: bool,
}

/// Removes a call from the queue on drop.
struct PendingCall<'a>(&'a CallQueue, u32);

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open.remove(&self.1);
        state.posted.retain(|call| call.0 != self.1);
    }
}

impl CallQueue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `method` and waits for its result.
    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T> {
        self.call_with_data(method, body, None).await
    }

    /// Calls `method` with row text and waits for its result.
    pub(crate) async fn call_with_data<T: DeserializeOwned>(
        &self,
        method: &str,
        body: &impl Serialize,
        data: Option<Bytes>,
    ) -> Result<T> {
        let body = json(body)?;
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut state = self.state();
            if state.closed {
                return Err(job_ended_error());
            }
            state.last = state.last.wrapping_add(1).max(1);
            let id = state.last;
            state.open.insert(id, sender);
            state.posted.push_back((id, method.to_owned(), body, data));
            id
        };
        let _pending = PendingCall(self, id);
        self.posted.notify_one();
        let text = answer.await.map_err(|_| job_ended_error())?.map_err(|error| with_method(error, method))?;
        serde_json::from_str(&text).map_err(|error| {
            Error::usage(format!("`{method}` gave what is not of the form that its types describe")).caused_by(error)
        })
    }

    /// Posts a call without an answer.
    pub(crate) fn post(&self, method: &str, body: &impl Serialize) {
        let Ok(body) = json(body) else { return };
        let mut state = self.state();
        if !state.closed {
            state.posted.push_back((0, method.to_owned(), body, None));
        }
        drop(state);
        self.posted.notify_one();
    }

    /// Like [`call`](Self::call), but blocks a thread of the job.
    pub(crate) fn call_blocking<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T> {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.call(method, body)))
    }

    /// Waits for the next call; `None` after the end of the job. Only one task may wait.
    pub(crate) async fn next_call(&self) -> Option<JsCall> {
        loop {
            let posted = self.posted.notified();
            {
                let mut state = self.state();
                if let Some((id, method, body, data)) = state.posted.pop_front() {
                    let data = data.map(|data| Buffer::from(Vec::from(data)));
                    return Some(JsCall { id, method, body, data });
                }
                if state.closed {
                    return None;
                }
            }
            posted.await;
        }
    }

    /// Answers a call. Ignores calls that were dropped.
    pub(crate) fn answer(&self, id: u32, answer: Result<String>) {
        let waiting = self.state().open.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    /// Closes the queue at the end of the job.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.open.clear();
        drop(state);
        self.posted.notify_one();
    }
}

fn json(body: &impl Serialize) -> Result<String> {
    serde_json::to_string(body)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot write a call as JSON").caused_by(error))
}

/// Adds the method to an error of kind `Callback`. Other errors were thrown with their own context.
fn with_method(error: Error, method: &str) -> Error {
    if error.kind() == ErrorKind::Callback { error.with("in", format!("`{method}`")) } else { error }
}

fn job_ended_error() -> Error {
    Error::new(ErrorKind::Cancelled, "the job has ended")
}
