//! The coordinator's side of one agent: starts it, calls it, and shuts it down.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::timeout;

use super::control::ControlConnection;
use super::control_task::{ConnectionWarnings, SHUTDOWN_TIMEOUT};
use super::lane::BatchLane;
use super::launch::AgentLauncher;
use super::message::{AgentCall, CoordinatorMessage, LegRequest};
use crate::batch::ExportEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventEmitter;
use crate::source::ReadObserver;
use crate::ssh::SshClient;
use crate::store::ObjectStore;

/// How much later than its lanes the control connection of a lost agent may break.
const LOSS_DELAY: Duration = Duration::from_secs(1);

/// An agent on a host, with the endpoints that it opens.
pub(crate) struct AgentClient {
    host: String,
    launcher: Arc<AgentLauncher>,
    /// The endpoints that the agent opens before its first call, as the `endpoint` module encodes them.
    endpoint_requests: Vec<Value>,
    /// The archive for the agent's store requests.
    store: Option<Arc<dyn ObjectStore>>,
    control: tokio::sync::Mutex<Option<Arc<ControlConnection>>>,
    /// Whether another agent takes the place of one that is lost.
    is_replaceable: AtomicBool,
    /// The connection to the agent that cleans up after one that was lost.
    successor: OnceCell<ControlConnection>,
    idle_lanes: Mutex<Vec<BatchLane>>,
    /// The undo records that the agent's sink adopts before it aborts.
    adopted_records: Mutex<Vec<Value>>,
    warnings: Arc<ConnectionWarnings>,
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
            launcher: Arc::new(AgentLauncher::new(host, binary)),
            endpoint_requests,
            store,
            control: Default::default(),
            is_replaceable: AtomicBool::new(false),
            successor: OnceCell::new(),
            idle_lanes: Mutex::default(),
            adopted_records: Mutex::default(),
            warnings: Arc::default(),
        }
    }

    /// Sets the receiver of warnings, once.
    pub(crate) fn set_events(&self, events: EventEmitter) {
        let _ = self.warnings.events.set(events);
    }

    /// The warnings about control connections that were made again.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.to_vec()
    }

    /// Starts the agent, unless it runs.
    pub(crate) async fn connect(&self) -> Result<()> {
        self.control().await.map(drop)
    }

    /// From here on lets another agent take the place of one that is lost: what an agent knows can be found again.
    pub(super) fn allow_replacement(&self) {
        self.is_replaceable.store(true, Ordering::Relaxed);
    }

    /// Returns the connection to the agent; starts the agent if it does not run, or if it is lost and may be replaced.
    async fn control(&self) -> Result<Arc<ControlConnection>> {
        let mut current = self.control.lock().await;
        let is_replaceable = self.is_replaceable.load(Ordering::Relaxed);
        match current.as_ref().filter(|control| control.is_open() || !is_replaceable) {
            Some(control) => Ok(control.clone()),
            None => {
                let control = Arc::new(self.start().await.map_err(|error| self.classify(error))?);
                Ok(current.insert(control).clone())
            }
        }
    }

    /// The connection to the agent, if it was started.
    async fn current(&self) -> Option<Arc<ControlConnection>> {
        self.control.lock().await.clone()
    }

    /// The loss of an agent that is replaced may pass.
    fn classify(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Connection if self.is_replaceable.load(Ordering::Relaxed) => error.retryable(),
            _ => error,
        }
    }

    async fn start(&self) -> Result<ControlConnection> {
        let process = self.launcher.start().await?;
        let (launcher, host, store) = (self.launcher.clone(), self.host.clone(), self.store.clone());
        let control = ControlConnection::open(process, launcher, host, store, self.warnings.clone()).await?;
        for request in &self.endpoint_requests {
            if let Err(error) = self.call_on::<()>(&control, &AgentCall::Open(request.clone()), &()).await {
                shut_down(&control).await;
                return Err(error);
            }
        }
        Ok(control)
    }

    async fn call_on<T: DeserializeOwned>(
        &self,
        control: &ControlConnection,
        call: &AgentCall,
        observer: &dyn ReadObserver,
    ) -> Result<T> {
        let body = control.call(call, observer).await.map_err(|error| self.classify(error))?;
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
        let control = self.control().await?;
        self.call_on(&control, call, observer).await
    }

    /// Makes a call if the agent runs, and never starts one.
    pub(super) async fn call_if_open<T: DeserializeOwned + Default>(&self, call: &AgentCall) -> Result<T> {
        match self.current().await.filter(|control| control.is_open()) {
            Some(control) => self.call_on(&control, call, &()).await,
            None => Ok(T::default()),
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
            let outcome = self.call_on(&control, call, &()).await;
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
        let Some(control) = self.current().await else { return Ok(()) };
        let adopted = std::mem::take(&mut *self.adopted_records.lock().unwrap_or_else(PoisonError::into_inner));
        if !adopted.is_empty() {
            self.call_on::<()>(&control, &AgentCall::AdoptUndoRecords(adopted), &()).await?;
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
            outcome = self.call_on(&control, &call, &()) => outcome,
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
        let control = self.control().await?;
        let idle = {
            let mut lanes = self.idle_lanes.lock().unwrap_or_else(PoisonError::into_inner);
            // An agent that was replaced may still run for a while.
            lanes.retain(|lane| lane.address == control.lane_address);
            lanes.pop()
        };
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

    /// Closes the idle lanes, which may be broken.
    pub(super) fn close_idle_lanes(&self) {
        self.idle_lanes.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
                Err(control.loss().map_or(error, |loss| self.classify(loss)))
            }
            outcome => outcome,
        }
    }

    /// Shuts the agent down after its job, and waits until it has exited.
    pub(crate) async fn shutdown(&self) {
        self.close_idle_lanes();
        let current = self.current().await;
        let controls = current.as_deref().into_iter().chain(self.successor.get());
        futures::future::join_all(controls.filter(|control| control.is_open()).map(shut_down)).await;
    }
}

async fn shut_down(control: &ControlConnection) {
    control.shut_down();
    let _ = timeout(SHUTDOWN_TIMEOUT, control.wait_closed()).await;
}
