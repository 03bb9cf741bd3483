//! Executes the coordinator's calls on the endpoints that this agent has opened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;

use super::coordinator::CoordinatorClient;
use super::coordinator_observer::CoordinatorObserver;
use super::open_applier::OpenApplier;
use super::remote_signer::RemoteSigner;
use crate::batch::ExportEvent;
use crate::endpoint::{Endpoint, EndpointRequest, StagingArchive};
use crate::engine::{Leg, LegOutcome, PauseCause, PauseGate};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventEmitter, LegName};
use crate::memory::MemoryBudget;
use crate::plan::Plan;
use crate::remote::LANE_BATCH_BYTES;
use crate::remote::message::{AgentCall, AgentMessage, ApplierCall, ApplierSession, EndpointRole, LegRequest};
use crate::retry::RetryPolicy;
use crate::sink::Sink;
use crate::source::Source;

/// How often an agent without a coordinator looks whether another process asks for the clone.
const TAKEOVER_INTERVAL: Duration = Duration::from_millis(500);

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
    /// The change applier of the sink, while it follows.
    applier: Option<Arc<OpenApplier>>,
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
            applier: None,
            staging: None,
            memory: MemoryBudget::new(0, 1),
            load_permits: Arc::new(Semaphore::new(1)),
            export_sender: Some(export_sender),
            export_receiver: Some(export_receiver),
        };
        Self { coordinator, gate: PauseGate::default(), state: Mutex::new(state) }
    }

    /// Opens these ends, with a small budget.
    #[cfg(test)]
    pub(super) fn set_ends(&self, source: Arc<dyn Source>, sink: Arc<dyn Sink>) {
        let mut state = self.state();
        (state.source, state.sink, state.memory) = (Some(source), Some(sink), MemoryBudget::new(1 << 20, 1));
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

    /// Pauses the legs here while there is no connection to the coordinator: if another process takes the clone over, what they
    /// do is in vain.
    pub(super) fn set_connected(&self, is_connected: bool) {
        match is_connected {
            true => self.gate.open(PauseCause::Disconnection),
            false => self.gate.close(PauseCause::Disconnection, "no coordinator"),
        }
    }

    /// Waits until another process asks for the clone into the sink of this agent, which has no coordinator.
    pub(super) async fn wait_for_takeover(&self) {
        loop {
            let sink = self.state().sink.clone();
            if let Some(sink) = sink
                && matches!(sink.is_takeover_requested().await, Ok(true))
            {
                return;
            }
            sleep(TAKEOVER_INTERVAL).await;
        }
    }

    /// Closes the source, and suspends the sink: what a later process can resume stays.
    pub(super) async fn suspend(&self) -> Result<()> {
        let (source, sink, applier) = {
            let mut state = self.state();
            (state.source.take(), state.sink.take(), state.applier.take())
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
        let end_transactions = async {
            if let Some(open) = applier {
                open.applier.close().await;
            }
        };
        let (closed, suspended, ()) = tokio::join!(close, suspend, end_transactions);
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

    /// # Errors
    /// `Connection` if this agent has taken the place of one that was lost: the target is to be taken up first.
    pub(super) fn applier(&self) -> Result<Arc<OpenApplier>> {
        let lost = || Error::new(ErrorKind::Connection, "the agent that had taken the target up is lost").retryable();
        self.state().applier.clone().ok_or_else(lost)
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
            AgentCall::RequestTakeover { is_withdrawn } => to_json(self.sink()?.request_takeover(is_withdrawn).await),
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
            AgentCall::LogEnd => to_json(self.source()?.log_end().await),
            AgentCall::LastCutOver => to_json(self.source()?.last_cut_over().await),
            AgentCall::BeginWayBack { plan, unchanged_since } => {
                to_json(self.sink()?.begin_way_back(&plan, &unchanged_since).await)
            }
            AgentCall::LogExtent(from) => to_json(self.source()?.log_extent(&from).await),
            AgentCall::OpenReaders(selection) => to_json(self.source()?.open_readers(&selection).await),
            AgentCall::CheckSourceCatchUp(selection) => to_json(self.source()?.check_catch_up(&selection).await),
            AgentCall::CheckSinkCatchUp(plan) => to_json(self.sink()?.check_catch_up(&plan).await),
            AgentCall::ReadCheckpoint(job) => to_json(self.sink()?.read_checkpoint(&job).await),
            AgentCall::RequestCutOver { job, verify } => to_json(self.sink()?.request_cut_over(&job, verify).await),
            AgentCall::ReadCutOver(job) => to_json(self.sink()?.read_cut_over(&job).await),
            AgentCall::AcknowledgeCutOver(job) => to_json(self.sink()?.acknowledge_cut_over(&job).await),
            AgentCall::Apply(call) => self.execute_applier_call(call).await,
        }
    }

    async fn execute_applier_call(&self, call: ApplierCall) -> Result<Value> {
        match call {
            ApplierCall::Open(plan) => to_json(self.open_applier(*plan).await),
            ApplierCall::TakeUp => to_json(self.take_up().await),
            ApplierCall::ApplyDefinition { definition, chosen } => {
                to_json(self.applier()?.applier.apply_definition(&definition, &chosen).await)
            }
            ApplierCall::EndCatchUp(plan) => to_json(self.applier()?.applier.end_catch_up(&plan).await),
            ApplierCall::PassDefinition { definition, current } => {
                to_json(self.applier()?.applier.pass_definition(&definition, &current).await)
            }
            ApplierCall::ReadCutOver => to_json(self.applier()?.applier.read_cut_over().await),
            ApplierCall::BeginCutOver(cut_over) => to_json(self.applier()?.applier.begin_cut_over(&cut_over).await),
            ApplierCall::Finish => to_json(self.applier()?.applier.finish().await),
            ApplierCall::EndCutOver(cut_over) => to_json(self.applier()?.applier.end_cut_over(&cut_over).await),
            ApplierCall::Close => {
                self.applier()?.applier.close().await;
                to_json(Ok(()))
            }
        }
    }

    /// Opens the change applier of a plan, unless it is open.
    async fn open_applier(&self, plan: Plan) -> Result<()> {
        if self.state().applier.as_ref().is_some_and(|open| open.plan == plan) {
            return Ok(());
        }
        let applier = self.sink()?.change_applier(&plan).await?;
        self.state().applier = Some(Arc::new(OpenApplier::new(plan, applier)));
        Ok(())
    }

    /// Begins a session of the change applier.
    async fn take_up(&self) -> Result<ApplierSession> {
        let open = self.applier()?;
        let (session, checkpoint, plan) = open.take_up().await?;
        let hashers = open.applier.conflict_hashers().to_vec();
        let part_bytes = self.memory().batch_bytes().min(LANE_BATCH_BYTES);
        Ok(ApplierSession { session, checkpoint, plan, hashers, part_bytes })
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
