//! What a job wants of the user's own JavaScript: calls that are fetched there, and answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dbgraft::{Error, ErrorKind, Result};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, oneshot};

/// A call as JavaScript gets it.
#[napi(object)]
pub struct Call {
    /// By what it is answered; 0 where no answer is awaited.
    pub id: u32,
    /// Whom it is for, and what: `source.catalog`.
    pub method: String,
    /// What it says, as JSON.
    pub body: String,
    /// The rows that it carries.
    pub data: Option<Buffer>,
}

/// The calls of one job.
#[derive(Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
    posted: Notify,
}

#[derive(Default)]
struct State {
    posted: VecDeque<(u32, String, String, Option<Bytes>)>,
    open: HashMap<u32, oneshot::Sender<Result<String>>>,
    last: u32,
    closed: bool,
}

/// Forgets a call that nobody waits for any more.
struct Waiting<'a>(&'a Calls, u32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open.remove(&self.1);
        state.posted.retain(|call| call.0 != self.1);
    }
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `method` and waits for what it gives.
    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T> {
        self.call_with(method, body, None).await
    }

    /// The same with rows.
    pub(crate) async fn call_with<T: DeserializeOwned>(
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
                return Err(gone());
            }
            state.last = state.last.wrapping_add(1).max(1);
            let id = state.last;
            state.open.insert(id, sender);
            state.posted.push_back((id, method.to_owned(), body, data));
            id
        };
        let _waiting = Waiting(self, id);
        self.posted.notify_one();
        let text = answer.await.map_err(|_| gone())?.map_err(|error| at(error, method))?;
        serde_json::from_str(&text).map_err(|error| {
            Error::usage(format!("`{method}` gave what is not of the form that its types describe")).caused_by(error)
        })
    }

    /// Says something that needs no answer.
    pub(crate) fn tell(&self, method: &str, body: &impl Serialize) {
        let Ok(body) = json(body) else { return };
        let mut state = self.state();
        if !state.closed {
            state.posted.push_back((0, method.to_owned(), body, None));
        }
        drop(state);
        self.posted.notify_one();
    }

    /// The same as [`call`](Self::call) where the caller cannot wait otherwise: it holds up a thread of the job.
    pub(crate) fn call_blocking<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T> {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.call(method, body)))
    }

    /// Waits for the next call; `None` when the job has ended. For one that waits at a time.
    pub(crate) async fn next(&self) -> Option<Call> {
        loop {
            let posted = self.posted.notified();
            {
                let mut state = self.state();
                if let Some((id, method, body, data)) = state.posted.pop_front() {
                    let data = data.map(|data| Buffer::from(Vec::from(data)));
                    return Some(Call { id, method, body, data });
                }
                if state.closed {
                    return None;
                }
            }
            posted.await;
        }
    }

    /// Gives a call its answer. One that nobody waits for any more needs none.
    pub(crate) fn answer(&self, id: u32, answer: Result<String>) {
        let waiting = self.state().open.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    /// The job has ended.
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

/// Names the function that failed, unless its error says itself where that was.
fn at(error: Error, method: &str) -> Error {
    if error.kind() == ErrorKind::Callback { error.with("in", format!("`{method}`")) } else { error }
}

fn gone() -> Error {
    Error::new(ErrorKind::Cancelled, "the job has ended")
}
