//! The control connection to an agent: concurrent calls, and the messages that the agent sends by itself.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::KEEPALIVE_TIMEOUT;
use super::control_task::{AgentStreams, ConnectionWarnings, ControlTask, describe_exit};
use super::frame::{FrameReader, FrameWriter, json_body};
use super::launch::{AgentLauncher, AgentProcess};
use super::message::{AgentCall, AgentMessage, CoordinatorMessage, LaneAddress, ProcessRole, StoreRequest};
use super::outbox::Outbox;
use crate::batch::ExportEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventEmitter;
use crate::source::ReadObserver;
use crate::store::{ObjectStore, PresignedUrl};

/// The control connection to an agent. It is made again when it breaks, and nothing is lost or done twice. Dropping it ends
/// the agent.
pub(super) struct ControlConnection {
    shared: Arc<ConnectionShared>,
    /// Where the agent accepts lanes.
    pub(super) lane_address: LaneAddress,
    /// Becomes true when the agent is lost.
    closed: watch::Receiver<bool>,
    dropped: CancellationToken,
}

/// What the tasks of a connection share.
struct ConnectionShared {
    outbox: Arc<Outbox<CoordinatorMessage>>,
    state: Mutex<ConnectionState>,
    /// Serves the agent's store requests.
    store: Option<Arc<dyn ObjectStore>>,
}

/// The state of a connection.
#[derive(Default)]
struct ConnectionState {
    last_call: u64,
    /// The calls without a result, by number.
    pending: HashMap<u64, mpsc::UnboundedSender<CallUpdate>>,
    /// Why the connection closed.
    loss: Option<String>,
    events: EventEmitter,
    exported: Option<mpsc::UnboundedSender<ExportEvent>>,
    /// What the agent's sink created.
    undo_records: Vec<Value>,
}

/// A message of the agent about a pending call.
enum CallUpdate {
    Result(Bytes),
    BatchRead { id: u64, rows: u64, bytes: u64 },
}

impl ConnectionShared {
    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, message: CoordinatorMessage, body: Vec<u8>) {
        self.outbox.push(message, body);
    }

    fn handle(self: &Arc<Self>, message: AgentMessage, body: Bytes) {
        match message {
            AgentMessage::CallResult { id } => {
                if let Some(call) = self.state().pending.remove(&id) {
                    let _ = call.send(CallUpdate::Result(body));
                }
            }
            AgentMessage::BatchRead { call, id, rows, bytes } => {
                if let Some(call) = self.state().pending.get(&call) {
                    let _ = call.send(CallUpdate::BatchRead { id, rows, bytes });
                }
            }
            AgentMessage::Event(event) => {
                let events = self.state().events.clone();
                events.emit(event);
            }
            AgentMessage::Export(event) => {
                if let Some(exported) = &self.state().exported {
                    let _ = exported.send(event);
                }
            }
            AgentMessage::UndoRecord(record) => self.state().undo_records.push(record),
            AgentMessage::StoreRequest { id, request } => {
                let shared = self.clone();
                tokio::spawn(async move {
                    let reply = shared.serve_store_request(request).await;
                    shared.send(CoordinatorMessage::Reply { id }, json_body(&reply));
                });
            }
        }
    }

    async fn serve_store_request(&self, request: StoreRequest) -> Result<Value> {
        let Some(store) = &self.store else {
            return Err(Error::new(ErrorKind::Internal, "an agent sent a store request in a job without an archive"));
        };
        let reply = match request {
            StoreRequest::Sign { key, method } => {
                serde_json::to_value(PresignedUrl::sign(&**store, &key, method).await?)
            }
            StoreRequest::List { prefix } => serde_json::to_value(store.list(&prefix).await?),
            StoreRequest::Remove { keys } => serde_json::to_value(store.remove(&keys).await?),
        };
        reply.map_err(|error| Error::new(ErrorKind::Internal, "a reply cannot be serialized").caused_by(error))
    }
}

impl ControlConnection {
    /// Makes a started process the agent, and waits until it is ready. `launcher` makes the connection again when it breaks,
    /// and `warnings` gets a warning then.
    pub(super) async fn open(
        agent: AgentProcess,
        launcher: Arc<AgentLauncher>,
        host: String,
        store: Option<Arc<dyn ObjectStore>>,
        warnings: Arc<ConnectionWarnings>,
    ) -> Result<Self> {
        let AgentProcess { session, mut process } = agent;
        let mut writer = FrameWriter::new(std::mem::replace(&mut process.stdin, Box::new(tokio::io::sink())));
        let mut reader = FrameReader::new(std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty())));
        writer.send(&ProcessRole::Agent, &[]).await?;
        let lane_address = match timeout(KEEPALIVE_TIMEOUT, reader.read_frame::<LaneAddress>()).await {
            Ok(Ok(Some((address, _)))) => address,
            Ok(Err(error)) => return Err(error.with("host", host)),
            _ => return Err(agent_lost(&host, &describe_exit(&mut process).await)),
        };
        let (outbox, dropped) = (Arc::<Outbox<_>>::default(), CancellationToken::new());
        let task = ControlTask {
            launcher,
            host,
            lane_address: lane_address.clone(),
            outbox: outbox.clone(),
            warnings,
            dropped: dropped.clone(),
            attempts: AtomicU64::new(0),
        };
        let shared = Arc::new(ConnectionShared { outbox, state: Mutex::default(), store });
        let (close, closed) = watch::channel(false);
        let handler = shared.clone();
        let process = AgentProcess { session, process };
        let streams = AgentStreams { reader, writer, process, is_agent: true, sent: 0 };
        tokio::spawn(async move {
            let host = task.host.clone();
            let why = task.run(streams, |message, body| handler.handle(message, body)).await;
            handler.outbox.close();
            let mut state = handler.state();
            state.loss = Some(agent_lost(&host, &why).to_string());
            state.pending.clear();
            state.exported = None;
            drop(state);
            let _ = close.send(true);
        });
        Ok(Self { shared, lane_address, closed, dropped })
    }

    /// Calls the agent and returns the result, a `Result` in JSON. Reports the batches that the call reads to
    /// `observer`. Dropping the future cancels the call.
    pub(super) async fn call(&self, call: &AgentCall, observer: &dyn ReadObserver) -> Result<Bytes> {
        let body = serde_json::to_vec(call)
            .map_err(|error| Error::new(ErrorKind::Internal, "a call cannot be serialized").caused_by(error))?;
        let (sender, mut updates) = mpsc::unbounded_channel();
        let id = {
            let mut state = self.shared.state();
            if let Some(why) = &state.loss {
                return Err(Error::new(ErrorKind::Connection, why));
            }
            state.last_call += 1;
            let id = state.last_call;
            state.pending.insert(id, sender);
            id
        };
        let _guard = CancelGuard { shared: &self.shared, id };
        self.shared.send(CoordinatorMessage::Call { id }, body);
        while let Some(update) = updates.recv().await {
            match update {
                CallUpdate::Result(result) => return Ok(result),
                CallUpdate::BatchRead { id, rows, bytes } => {
                    observer.on_batch(rows, bytes).await;
                    self.shared.send(CoordinatorMessage::Reply { id }, Vec::new());
                }
            }
        }
        Err(self.loss().unwrap_or_else(|| Error::new(ErrorKind::Connection, "the connection to the agent broke")))
    }

    /// Whether the agent accepts calls.
    pub(super) fn is_open(&self) -> bool {
        self.shared.state().loss.is_none()
    }

    /// The error that says why the agent is lost; `None` while the connection is open.
    pub(super) fn loss(&self) -> Option<Error> {
        self.shared.state().loss.as_ref().map(|why| Error::new(ErrorKind::Connection, why))
    }

    /// The undo records that the agent's sink has sent.
    pub(super) fn undo_records(&self) -> Vec<Value> {
        self.shared.state().undo_records.clone()
    }

    /// Sends the last message: the agent ends.
    pub(super) fn shut_down(&self) {
        self.send(CoordinatorMessage::Shutdown);
        self.shared.outbox.close();
    }

    /// Sends a message without a body and without a reply.
    pub(super) fn send(&self, message: CoordinatorMessage) {
        self.shared.send(message, Vec::new());
    }

    /// Sets the receivers of the events of a leg that the agent runs.
    pub(super) fn set_leg_outputs(&self, events: EventEmitter, exported: Option<mpsc::UnboundedSender<ExportEvent>>) {
        let mut state = self.shared.state();
        (state.events, state.exported) = (events, exported);
    }

    /// Waits until the agent has ended or is lost.
    pub(super) async fn wait_closed(&self) {
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }
}

impl Drop for ControlConnection {
    fn drop(&mut self) {
        self.send(CoordinatorMessage::Suspend);
        self.shared.outbox.close();
        self.dropped.cancel();
    }
}

/// Cancels the call when it is dropped before the result.
struct CancelGuard<'a> {
    shared: &'a ConnectionShared,
    id: u64,
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        let pending = self.shared.state().pending.remove(&self.id).is_some();
        if pending {
            self.shared.send(CoordinatorMessage::Cancel { id: self.id }, Vec::new());
        }
    }
}

fn agent_lost(host: &str, why: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the agent on {host} is lost: {why}"))
}
