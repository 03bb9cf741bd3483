//! The coordinator's side of one agent: starts it, calls it, and shuts it down.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::timeout;

use super::control::ControlConnection;
use super::lane::BatchLane;
use super::launch::AgentLauncher;
use super::message::{AgentCall, CoordinatorMessage, LegRequest};
use crate::batch::ExportEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventEmitter;
use crate::source::ReadObserver;
use crate::ssh::SshClient;
use crate::store::ObjectStore;

/// How long an agent may take to exit after `Shutdown`.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How much later than its lanes the control connection of a lost agent may break.
const LOSS_DELAY: Duration = Duration::from_secs(1);

/// An agent on a host, with the endpoints that it opens.
pub(crate) struct AgentClient {
    host: String,
    launcher: AgentLauncher,
    /// The endpoints that the agent opens before its first call, as the `endpoint` module encodes them.
    endpoint_requests: Vec<Value>,
    /// The archive for the agent's store requests.
    store: Option<Arc<dyn ObjectStore>>,
    control: OnceCell<ControlConnection>,
    /// The connection to the agent that cleans up after one that was lost.
    successor: OnceCell<ControlConnection>,
    idle_lanes: Mutex<Vec<BatchLane>>,
    /// The undo records that the agent's sink adopts before it aborts.
    adopted_records: Mutex<Vec<Value>>,
}

impl AgentClient {
    /// Creates the client. The first call connects, starts the agent and opens the endpoints; the agent's store
    /// requests go to `store`.
    pub(crate) fn new(
        host: Arc<SshClient>,
        binary: Option<PathBuf>,
        endpoint_requests: Vec<Value>,
        store: Option<Arc<dyn ObjectStore>>,
    ) -> Self {
        Self {
            host: host.address().to_string(),
            launcher: AgentLauncher::new(host, binary),
            endpoint_requests,
            store,
            control: OnceCell::new(),
            successor: OnceCell::new(),
            idle_lanes: Mutex::default(),
            adopted_records: Mutex::default(),
        }
    }

    /// Starts the agent, unless it runs.
    pub(crate) async fn connect(&self) -> Result<()> {
        self.control().await.map(drop)
    }

    async fn control(&self) -> Result<&ControlConnection> {
        self.control.get_or_try_init(|| self.start()).await
    }

    async fn start(&self) -> Result<ControlConnection> {
        let process = self.launcher.start().await?;
        let control = ControlConnection::open(process, self.host.clone(), self.store.clone()).await?;
        for request in &self.endpoint_requests {
            self.call_on::<()>(&control, &AgentCall::Open(request.clone()), &()).await?;
        }
        Ok(control)
    }

    async fn call_on<T: DeserializeOwned>(
        &self,
        control: &ControlConnection,
        call: &AgentCall,
        observer: &dyn ReadObserver,
    ) -> Result<T> {
        let body = control.call(call, observer).await?;
        let result: Result<T> = serde_json::from_slice(&body).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the agent on {} sent a result that cannot be parsed", self.host))
                .caused_by(error)
        })?;
        result.map_err(|error| error.with("host", &self.host))
    }

    /// Calls the agent and returns the result; starts the agent first if it does not run. Dropping the future cancels
    /// the call.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &AgentCall) -> Result<T> {
        self.call_observed(call, &()).await
    }

    /// Does the same as [`call`](Self::call), and reports each batch that the agent reads to `observer`.
    pub(super) async fn call_observed<T: DeserializeOwned>(
        &self,
        call: &AgentCall,
        observer: &dyn ReadObserver,
    ) -> Result<T> {
        self.call_on(self.control().await?, call, observer).await
    }

    /// Closes the source, if the agent runs.
    pub(super) async fn close_source(&self) -> Result<()> {
        match self.control.get().filter(|control| control.is_open()) {
            Some(control) => self.call_on(control, &AgentCall::Close, &()).await,
            None => Ok(()),
        }
    }

    /// Passes these records to the agent's sink before it aborts.
    pub(super) fn adopt_undo_records(&self, records: Vec<Value>) {
        *self.adopted_records.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    /// Calls the agent; if it was lost, another one that is started for the clean-up and has adopted its undo records.
    pub(super) async fn call_survivor<T: DeserializeOwned>(&self, call: &AgentCall) -> Result<T> {
        let control = self.control().await?;
        if control.is_open() {
            let outcome = self.call_on(control, call, &()).await;
            if outcome.is_ok() || control.is_open() {
                return outcome;
            }
        }
        let records = control.undo_records();
        let start = async || {
            let successor = self.start().await?;
            self.call_on::<()>(&successor, &AgentCall::AdoptUndoRecords(records), &()).await?;
            Ok(successor)
        };
        self.call_on(self.successor.get_or_try_init(start).await?, call, &()).await
    }

    /// Ends the sink by `call`: `Abort` or `Suspend`. If the agent was lost, another one does it.
    pub(super) async fn end_sink(&self, call: &AgentCall) -> Result<()> {
        let Some(control) = self.control.get() else { return Ok(()) };
        let adopted = std::mem::take(&mut *self.adopted_records.lock().unwrap_or_else(PoisonError::into_inner));
        if !adopted.is_empty() {
            self.call_on::<()>(control, &AgentCall::AdoptUndoRecords(adopted), &()).await?;
        }
        if !control.is_open() && control.undo_records().is_empty() {
            return Ok(());
        }
        self.call_survivor(call).await
    }

    /// Runs a leg on the agent. Its progress goes to `events`. An exporting leg sends its export events to `exported`;
    /// an importing leg follows those of `feed`.
    pub(crate) async fn run_leg<T: DeserializeOwned>(
        &self,
        request: LegRequest,
        events: EventEmitter,
        exported: Option<mpsc::UnboundedSender<ExportEvent>>,
        feed: Option<mpsc::UnboundedReceiver<ExportEvent>>,
    ) -> Result<T> {
        let control = self.control().await?;
        control.set_leg_outputs(events, exported);
        let call = AgentCall::RunLeg(request);
        let forward_feed = async {
            if let Some(mut feed) = feed {
                while let Some(event) = feed.recv().await {
                    control.send(CoordinatorMessage::Export(Some(event)));
                }
                control.send(CoordinatorMessage::Export(None));
            }
            std::future::pending().await
        };
        let outcome = tokio::select! {
            // Send the call before the feed.
            biased;
            outcome = self.call_on(control, &call, &()) => outcome,
            never = forward_feed => never,
        };
        control.set_leg_outputs(EventEmitter::default(), None);
        outcome
    }

    /// Pauses the legs that the agent runs, or lets them go on.
    pub(crate) async fn set_paused(&self, paused: bool) -> Result<()> {
        self.control().await?.send(CoordinatorMessage::SetPaused(paused));
        Ok(())
    }

    /// Returns a free lane, and whether it was used before: an idle lane may have broken.
    pub(super) async fn acquire_lane(&self) -> Result<(BatchLane, bool)> {
        let idle = self.idle_lanes.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(lane) => Ok((lane, true)),
            None => Ok((self.open_lane().await?, false)),
        }
    }

    /// Opens a new lane.
    pub(super) async fn open_lane(&self) -> Result<BatchLane> {
        let address = self.control().await?.lane_address.clone();
        BatchLane::open(self.launcher.start().await?, address).await
    }

    /// Makes an idle lane available again.
    pub(super) fn release_lane(&self, lane: BatchLane) {
        self.idle_lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// Runs work on lanes, and fails when the agent is lost. A lane may not notice the loss, or may break a moment
    /// before the control connection, whose error names the cause.
    pub(super) async fn run_while_connected<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let control = self.control().await?;
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = control.wait_closed() => Err(Error::new(ErrorKind::Connection, "the agent is lost")),
        };
        match outcome {
            Err(error) if error.kind() == ErrorKind::Connection => {
                let _ = timeout(LOSS_DELAY, control.wait_closed()).await;
                Err(control.loss().unwrap_or(error))
            }
            outcome => outcome,
        }
    }

    /// Shuts the agent down after its job, and waits until it has exited.
    pub(crate) async fn shutdown(&self) {
        self.idle_lanes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let controls = [&self.control, &self.successor].into_iter().filter_map(OnceCell::get);
        futures::future::join_all(controls.filter(|control| control.is_open()).map(shut_down)).await;
    }
}

async fn shut_down(control: &ControlConnection) {
    control.send(CoordinatorMessage::Shutdown);
    let _ = timeout(SHUTDOWN_TIMEOUT, control.wait_closed()).await;
}
