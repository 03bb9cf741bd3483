//! The control connection to an agent: concurrent calls, and the messages that the agent sends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frame::{FrameReader, FrameWriter, json_body};
use super::launch::AgentProcess;
use super::message::{AgentCall, AgentMessage, CoordinatorMessage, LaneAddress, StoreRequest};
use super::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_TIMEOUT};
use crate::batch::ExportEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventEmitter;
use crate::source::ReadObserver;
use crate::ssh::RemoteProcess;
use crate::store::{ObjectStore, PresignedUrl};

/// How long to wait for the exit status of an agent whose output has ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The control connection to an agent. Dropping it ends the agent.
pub(super) struct ControlConnection {
    shared: Arc<ConnectionShared>,
    /// Where the agent accepts lanes.
    pub(super) lane_address: LaneAddress,
    /// Becomes true when the agent's process has ended.
    closed: watch::Receiver<bool>,
    /// Owns the SSH session: dropping the task closes it, and the agent sees the end of its input.
    _reader: JoinSet<()>,
}

/// What the tasks of a connection share.
struct ConnectionShared {
    outgoing: mpsc::UnboundedSender<(CoordinatorMessage, Vec<u8>)>,
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
        // On a broken connection every pending call gets an error.
        let _ = self.outgoing.send((message, body));
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
            AgentMessage::KeepAlive | AgentMessage::Ready(_) => {}
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
    /// Sends `Hello` to a started process, and waits until it is ready as an agent.
    pub(super) async fn open(agent: AgentProcess, host: String, store: Option<Arc<dyn ObjectStore>>) -> Result<Self> {
        let AgentProcess { session, mut process } = agent;
        let mut writer = FrameWriter::new(std::mem::replace(&mut process.stdin, Box::new(tokio::io::sink())));
        let mut reader = FrameReader::new(std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty())));
        writer.send(&CoordinatorMessage::Hello, &[]).await?;
        let lane_address = match timeout(KEEPALIVE_TIMEOUT, reader.read_frame::<AgentMessage>()).await {
            Ok(Ok(Some((AgentMessage::Ready(address), _)))) => address,
            Ok(Err(error)) => return Err(error.with("host", host)),
            _ => return Err(agent_lost(&host, &describe_exit(&mut process).await)),
        };
        let (outgoing, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(ConnectionShared { outgoing, state: Mutex::default(), store });
        let (close, closed) = watch::channel(false);
        let (mut write_task, mut read_task) = (JoinSet::new(), JoinSet::new());
        write_task.spawn(write_messages(writer, queue));
        let handler = shared.clone();
        read_task.spawn(async move {
            let error = read_messages(&handler, reader).await;
            drop(write_task);
            let why = match error {
                Some(error) => error.to_string(),
                None => describe_exit(&mut process).await,
            };
            let mut state = handler.state();
            state.loss = Some(agent_lost(&host, &why).to_string());
            state.pending.clear();
            state.exported = None;
            drop(state);
            drop((process, session));
            let _ = close.send(true);
        });
        Ok(Self { shared, lane_address, closed, _reader: read_task })
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

    /// Sends a message without a body and without a reply.
    pub(super) fn send(&self, message: CoordinatorMessage) {
        self.shared.send(message, Vec::new());
    }

    /// Sets the receivers of the events of a leg that the agent runs.
    pub(super) fn set_leg_outputs(&self, events: EventEmitter, exported: Option<mpsc::UnboundedSender<ExportEvent>>) {
        let mut state = self.shared.state();
        (state.events, state.exported) = (events, exported);
    }

    /// Waits until the agent's process has ended.
    pub(super) async fn wait_closed(&self) {
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
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

/// Writes the messages of a queue, and keep-alives while it is empty.
async fn write_messages(mut writer: FrameWriter, mut queue: mpsc::UnboundedReceiver<(CoordinatorMessage, Vec<u8>)>) {
    loop {
        let sent = match timeout(KEEPALIVE_INTERVAL, queue.recv()).await {
            Ok(Some((message, body))) => {
                let sent = writer.send(&message, &body).await;
                if matches!(message, CoordinatorMessage::Shutdown) { writer.close().await } else { sent }
            }
            // The connection was dropped: the agent sees the end of its input.
            Ok(None) => return drop(writer.close().await),
            Err(_) => writer.send(&CoordinatorMessage::KeepAlive, &[]).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Handles the agent's messages until its stream ends or fails; returns the error, if there is one.
async fn read_messages(shared: &Arc<ConnectionShared>, mut reader: FrameReader) -> Option<Error> {
    loop {
        let message = match timeout(KEEPALIVE_TIMEOUT, reader.read_head::<AgentMessage>()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => return Some(error),
            Err(_) => {
                let message = format!("it was silent for {} s", KEEPALIVE_TIMEOUT.as_secs());
                return Some(Error::new(ErrorKind::Connection, message));
            }
        };
        match timeout(MESSAGE_TIMEOUT, reader.read_body()).await {
            Ok(Ok(body)) => shared.handle(message, body),
            Ok(Err(error)) => return Some(error),
            Err(_) => return Some(Error::new(ErrorKind::Connection, "one of its messages took too long")),
        }
    }
}

/// Describes how the process ended, with the last line of its standard error.
async fn describe_exit(process: &mut RemoteProcess) -> String {
    let ended = timeout(EXIT_TIMEOUT, process.exit_status()).await.ok();
    let stderr = process.stderr();
    let last_line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let how = match ended {
        Some(ended) => match (ended.signal, ended.code) {
            (Some(signal), _) => format!("it was ended by the signal {signal}"),
            (None, Some(code)) => format!("it ended with exit code {code}"),
            (None, None) => "the connection to it broke".to_owned(),
        },
        None => "it has closed its output".to_owned(),
    };
    if last_line.is_empty() { how } else { format!("{how}: {last_line}") }
}

fn agent_lost(host: &str, why: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the agent on {host} is lost: {why}"))
}
