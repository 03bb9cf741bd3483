//! Executes the coordinator's calls on the endpoints that this agent has opened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::coordinator::CoordinatorClient;
use super::coordinator_observer::CoordinatorObserver;
use super::remote_signer::RemoteSigner;
use crate::batch::ExportEvent;
use crate::endpoint::{Endpoint, EndpointRequest, StagingArchive};
use crate::engine::{Leg, LegOutcome, PauseCause, PauseGate};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventEmitter, LegName};
use crate::memory::MemoryBudget;
use crate::plan::Plan;
use crate::remote::message::{AgentCall, AgentMessage, EndpointRole, LegRequest};
use crate::retry::RetryPolicy;
use crate::sink::Sink;
use crate::source::Source;

/// The endpoints that are open here, and the calls on them.
pub(super) struct AgentService {
    coordinator: Arc<CoordinatorClient>,
    /// Where the readers of the legs here wait while the job is paused.
    gate: PauseGate,
    state: Mutex<ServiceState>,
}

/// The open endpoints of an agent, and what its calls share.
struct ServiceState {
    source: Option<Arc<dyn Source>>,
    sink: Option<Arc<dyn Sink>>,
    /// The archive that an importing leg follows.
    staging: Option<StagingArchive>,
    memory: MemoryBudget,
    /// One permit for each thread that may load.
    load_permits: Arc<Semaphore>,
    /// Sends the events of another site's exporting leg; `None` after the last event.
    export_sender: Option<mpsc::UnboundedSender<ExportEvent>>,
    /// Receives these events; an importing leg takes it.
    export_receiver: Option<mpsc::UnboundedReceiver<ExportEvent>>,
}

impl AgentService {
    pub(super) fn new(coordinator: Arc<CoordinatorClient>) -> Self {
        let (export_sender, export_receiver) = mpsc::unbounded_channel();
        let state = ServiceState {
            source: None,
            sink: None,
            staging: None,
            memory: MemoryBudget::new(0, 1),
            load_permits: Arc::new(Semaphore::new(1)),
            export_sender: Some(export_sender),
            export_receiver: Some(export_receiver),
        };
        Self { coordinator, gate: PauseGate::default(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, ServiceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes an event of the exporting leg to the importing one; `None` ends the events.
    pub(super) fn push_export_event(&self, event: Option<ExportEvent>) {
        let mut state = self.state();
        match event {
            Some(event) => drop(state.export_sender.as_ref().map(|sender| sender.send(event))),
            None => state.export_sender = None,
        }
    }

    /// Pauses the legs here, or lets them go on.
    pub(super) fn set_paused(&self, paused: bool) {
        match paused {
            true => self.gate.close(PauseCause::User, "coordinator"),
            false => self.gate.open(PauseCause::User),
        }
    }

    /// Closes the source, and suspends the sink: what a later process can resume stays.
    pub(super) async fn suspend(&self) -> Result<()> {
        let (source, sink) = {
            let mut state = self.state();
            (state.source.take(), state.sink.take())
        };
        let close = async {
            match source {
                Some(source) => source.close().await,
                None => Ok(()),
            }
        };
        let suspend = async {
            match sink {
                Some(sink) => sink.suspend().await,
                None => Ok(()),
            }
        };
        let (closed, suspended) = tokio::join!(close, suspend);
        suspended.and(closed)
    }

    pub(super) fn memory(&self) -> MemoryBudget {
        self.state().memory.clone()
    }

    pub(super) fn source(&self) -> Result<Arc<dyn Source>> {
        self.state().source.clone().ok_or_else(|| not_open("source"))
    }

    pub(super) fn sink(&self) -> Result<Arc<dyn Sink>> {
        self.state().sink.clone().ok_or_else(|| not_open("sink"))
    }

    /// Waits for a permit to load a batch or to build indexes: more lanes deliver batches than threads may load.
    pub(super) async fn acquire_load_permit(&self) -> Option<OwnedSemaphorePermit> {
        let permits = self.state().load_permits.clone();
        permits.acquire_owned().await.ok()
    }

    /// Executes the call of this number and returns its result in JSON.
    pub(super) async fn execute(&self, id: u64, call: AgentCall) -> Result<Value> {
        match call {
            AgentCall::Open(request) => to_json(self.open(request).await),
            AgentCall::Catalog => to_json(self.source()?.catalog().await),
            AgentCall::CheckSource(selection) => to_json(self.source()?.check(&selection).await),
            AgentCall::Plan(selection) => to_json(self.source()?.plan(&selection).await),
            AgentCall::Snapshot(selection) => to_json(self.source()?.snapshot(&selection).await),
            AgentCall::Notes => to_json(self.source()?.notes().await),
            AgentCall::Close => to_json(self.source()?.close().await),
            AgentCall::CheckSink { catalog, selection } => to_json(self.sink()?.check(&catalog, &selection).await),
            AgentCall::Unsupported { catalog, selection } => {
                to_json(self.sink()?.unsupported(&catalog, &selection).await)
            }
            AgentCall::Existing => to_json(self.sink()?.existing().await),
            AgentCall::CloneRecord => to_json(self.sink()?.clone_record().await),
            AgentCall::Begin(plan) => to_json(self.sink()?.begin(&plan).await),
            AgentCall::Complete(table) => {
                let _permit = self.acquire_load_permit().await;
                to_json(self.sink()?.complete(&table).await)
            }
            AgentCall::Counterparts(plan) => to_json(self.sink()?.counterparts(&plan).await),
            AgentCall::Finish(plan) => to_json(self.sink()?.finish(&plan).await),
            AgentCall::Conclude => to_json(self.sink()?.conclude().await),
            AgentCall::AdoptUndoRecords(records) => to_json(self.sink().map(|sink| sink.adopt_undo_records(records))),
            AgentCall::Abort => to_json(self.sink()?.abort().await),
            AgentCall::Suspend => to_json(self.sink()?.suspend().await),
            AgentCall::Load(EndpointRole::Source) => to_json(self.source()?.load().await),
            AgentCall::Load(EndpointRole::Sink) => to_json(self.sink()?.load().await),
            AgentCall::ReplicaLag => to_json(self.sink()?.replica_lag().await),
            AgentCall::Count { role, table, chunk } => to_json(match role {
                EndpointRole::Source => self.source()?.count(&table, &chunk, &self.memory()).await,
                EndpointRole::Sink => self.sink()?.count(&table, &chunk, &self.memory()).await,
            }),
            AgentCall::Digest { role, table, chunk } => to_json(match role {
                EndpointRole::Source => {
                    let observer = CoordinatorObserver::new(&self.coordinator, id);
                    self.source()?.digest(&table, &chunk, &self.memory(), &observer).await
                }
                EndpointRole::Sink => self.sink()?.digest(&table, &chunk, &self.memory()).await,
            }),
            AgentCall::RunLeg(request) => to_json(self.run_leg(request).await),
        }
    }

    async fn open(&self, request: Value) -> Result<()> {
        let request = EndpointRequest::from_json(request)?;
        let (memory, permits) = (request.memory(), Arc::new(Semaphore::new(request.threads())));
        let endpoint = request.open(Arc::new(RemoteSigner(self.coordinator.clone()))).await?;
        let mut state = self.state();
        (state.memory, state.load_permits) = (memory, permits);
        match endpoint {
            Endpoint::Source(source) => state.source = Some(source),
            Endpoint::Sink(sink) => {
                let coordinator = self.coordinator.clone();
                sink.set_undo_recorder(Arc::new(move |record| {
                    coordinator.send(AgentMessage::UndoRecord(record), Vec::new());
                }));
                state.sink = Some(sink);
            }
            Endpoint::Staging(archive) => state.staging = Some(archive),
        }
        Ok(())
    }

    /// Runs a leg between the endpoints of this agent.
    async fn run_leg(&self, request: LegRequest) -> Result<LegOutcome> {
        let plan = Arc::new(request.plan);
        let source = if request.follow_export { self.follow_export(&plan)? } else { self.source()? };
        let coordinator = self.coordinator.clone();
        let events = EventEmitter::new(move |event| coordinator.send(AgentMessage::Event(event), Vec::new()));
        let (sender, mut exported) = mpsc::unbounded_channel();
        let leg = Leg {
            name: request.name,
            source,
            sink: self.sink()?,
            plan,
            threads: request.threads,
            memory: MemoryBudget::new(request.memory, request.threads),
            max_rate: request.max_rate,
            gate: self.gate.clone(),
            verify: request.verify,
            list_rows: request.list_rows,
            retry: RetryPolicy::default(),
            events,
            staged: (request.name == LegName::Export).then_some(sender),
        };
        let forward = async {
            while let Some(event) = exported.recv().await {
                self.coordinator.send(AgentMessage::Export(event), Vec::new());
            }
        };
        // All export events go out before the result of the call.
        let (outcome, ()) = tokio::join!(leg.run(), forward);
        outcome
    }

    /// Returns a source that reads the staging archive while another site's exporting leg writes it.
    fn follow_export(&self, plan: &Arc<Plan>) -> Result<Arc<dyn Source>> {
        let mut state = self.state();
        let events = state.export_receiver.take().ok_or_else(|| not_open("feed of export events"))?;
        let archive = state.staging.as_ref().ok_or_else(|| not_open("staging archive"))?;
        Ok(archive.follow(plan, events))
    }
}

fn to_json<T: Serialize>(result: Result<T>) -> Result<Value> {
    let failed = |error| Error::new(ErrorKind::Internal, "a result cannot be serialized").caused_by(error);
    serde_json::to_value(result?).map_err(failed)
}

fn not_open(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the agent has no {what} open"))
}
