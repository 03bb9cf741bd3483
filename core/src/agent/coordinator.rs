//! The coordinator, as the agent sends messages to it and receives the replies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};
use crate::remote::message::{AgentMessage, StoreRequest};
use crate::remote::outbox::Outbox;

/// Sends messages to the coordinator, and matches its replies to them.
pub(super) struct CoordinatorClient {
    outbox: Arc<Outbox<AgentMessage>>,
    state: Mutex<PendingRequests>,
}

/// The requests that wait for a reply of the coordinator.
struct PendingRequests {
    last_id: u64,
    /// The messages without a reply, by number; `None` when the coordinator is lost.
    pending: Option<HashMap<u64, oneshot::Sender<Bytes>>>,
}

impl CoordinatorClient {
    /// Creates a client whose messages go to `outbox`.
    pub(super) fn new(outbox: Arc<Outbox<AgentMessage>>) -> Self {
        Self { outbox, state: Mutex::new(PendingRequests { last_id: 0, pending: Some(HashMap::new()) }) }
    }

    fn state(&self) -> MutexGuard<'_, PendingRequests> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message that has no reply.
    pub(super) fn send(&self, message: AgentMessage, body: Vec<u8>) {
        self.outbox.push(message, body);
    }

    /// Sends a message with a new number, and returns the receiver of the reply.
    ///
    /// # Errors
    /// `Connection` when the coordinator is lost. The receiver then fails too.
    pub(super) fn request(&self, message: impl FnOnce(u64) -> AgentMessage) -> Result<oneshot::Receiver<Bytes>> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut state = self.state();
            state.last_id += 1;
            let id = state.last_id;
            state.pending.as_mut().ok_or_else(coordinator_lost)?.insert(id, sender);
            id
        };
        self.send(message(id), Vec::new());
        Ok(receiver)
    }

    /// Sends a store request and returns the result.
    pub(super) async fn request_store(&self, request: StoreRequest) -> Result<Value> {
        let reply = self.request(|id| AgentMessage::StoreRequest { id, request })?;
        let body = reply.await.map_err(|_| coordinator_lost())?;
        serde_json::from_slice::<Result<Value>>(&body).map_err(|error| coordinator_lost().caused_by(error))?
    }

    /// Passes a reply to the request of this number.
    pub(super) fn handle_reply(&self, id: u64, body: Bytes) {
        if let Some(request) = self.state().pending.as_mut().and_then(|pending| pending.remove(&id)) {
            let _ = request.send(body);
        }
    }

    /// Fails every pending and every further request: the coordinator is lost.
    pub(super) fn disconnect(&self) {
        self.state().pending = None;
    }
}

fn coordinator_lost() -> Error {
    Error::new(ErrorKind::Connection, "the coordinator is lost")
}
