//! The messages between a coordinator and an agent. Plain data. Every change of a name or a field here increases
//! `PROTOCOL`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batch_frame::BatchFrame;
use super::change_frame::ChangeFrame;
use crate::batch::ExportEvent;
use crate::catalog::Catalog;
use crate::change::LogPosition;
use crate::change_applier::LoggedDefinition;
use crate::checkpoint::{Checkpoint, CutOver};
use crate::conflict_hasher::ConflictHasher;
use crate::event::{Event, LegName};
use crate::options::Verify;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::store::HttpMethod;

/// The first message to a started process.
#[derive(Serialize, Deserialize)]
pub(crate) enum ProcessRole {
    /// Makes the process the agent of a job. It answers with its [`LaneAddress`] and accepts calls.
    Agent,
    /// Makes the process relay a lane to the agent at this address.
    LaneRelay(LaneAddress),
}

/// A message from the coordinator on the control connection. The body of the frame, where there is one, is JSON.
#[derive(Serialize, Deserialize)]
pub(crate) enum CoordinatorMessage {
    /// Calls the agent; the body is an [`AgentCall`].
    Call { id: u64 },
    /// Cancels a call whose result nobody awaits any more.
    Cancel { id: u64 },
    /// Forwards an event of the exporting leg to the importing one; `None` after the last event.
    Export(Option<ExportEvent>),
    /// Pauses the agent's legs, or lets them go on.
    SetPaused(bool),
    /// Answers the agent's message of this number. The body is the `Result` of a `StoreRequest`, and empty for a
    /// `BatchRead`.
    Reply { id: u64 },
    /// Ends the agent after the job: its sink stays as it is.
    Shutdown,
    /// Ends the agent of a job that was dropped: its sink leaves what can be resumed.
    Suspend,
}

/// A message from the agent on the control connection.
#[derive(Serialize, Deserialize)]
pub(crate) enum AgentMessage {
    /// Returns the result of a call; the body is a `Result`.
    CallResult { id: u64 },
    /// Reports a batch that this call read. The agent reads on after the reply.
    BatchRead { call: u64, id: u64, rows: u64, bytes: u64 },
    /// Forwards a progress event of the leg that the agent runs.
    Event(Event),
    /// Forwards an event of the exporting leg that the agent runs.
    Export(ExportEvent),
    /// Names something that the sink is about to create.
    UndoRecord(Value),
    /// Asks for an operation on the coordinator's archive; the reply has this number.
    StoreRequest { id: u64, request: StoreRequest },
}

/// The address of an agent's lane listener: an abstract Unix socket, and the token that it accepts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneAddress {
    pub(crate) socket: String,
    pub(crate) token: String,
}

/// An operation on the archive whose keys the coordinator holds.
#[derive(Serialize, Deserialize)]
pub(crate) enum StoreRequest {
    Sign { key: String, method: HttpMethod },
    List { prefix: String },
    Remove { keys: Vec<String> },
}

/// The role of an endpoint in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndpointRole {
    Source,
    Sink,
}

/// A call to an agent: a method of [`Source`](crate::source::Source) or [`Sink`](crate::sink::Sink), or a whole leg.
#[derive(Serialize, Deserialize)]
pub(crate) enum AgentCall {
    /// Opens an endpoint without a connection. Only the `endpoint` module knows the content of the value.
    Open(Value),
    Catalog,
    CheckSource(Selection),
    Plan(Selection),
    Snapshot(Selection),
    Notes,
    Close,
    CheckSink {
        catalog: Catalog,
        selection: Selection,
    },
    Unsupported {
        catalog: Catalog,
        selection: Selection,
    },
    Existing,
    CloneRecord,
    RequestTakeover {
        is_withdrawn: bool,
    },
    Begin(Plan),
    Complete(TablePlan),
    Counterparts(Plan),
    Finish(Plan),
    Conclude,
    AdoptUndoRecords(Vec<Value>),
    Load(EndpointRole),
    ReplicaLag,
    Abort,
    Suspend,
    Count {
        role: EndpointRole,
        table: TablePlan,
        chunk: Chunk,
    },
    Digest {
        role: EndpointRole,
        table: TablePlan,
        chunk: Chunk,
    },
    RunLeg(LegRequest),
    LogEnd,
    LastCutOver,
    BeginWayBack {
        plan: Box<Plan>,
        unchanged_since: LogPosition,
    },
    LogExtent(LogPosition),
    OpenReaders(Selection),
    CheckSourceCatchUp(Selection),
    CheckSinkCatchUp(Box<Plan>),
    ReadCheckpoint(String),
    RequestCutOver {
        job: String,
        verify: Option<Verify>,
    },
    ReadCutOver(String),
    AcknowledgeCutOver(String),
    Apply(ApplierCall),
}

/// A call to the change applier of an agent's sink.
#[derive(Serialize, Deserialize)]
pub(crate) enum ApplierCall {
    /// Opens the applier of this plan, unless it is open.
    Open(Box<Plan>),
    /// The result is an [`ApplierSession`].
    TakeUp,
    ApplyDefinition {
        definition: LoggedDefinition,
        chosen: Vec<String>,
    },
    PassDefinition {
        definition: LoggedDefinition,
        current: Box<Plan>,
    },
    EndCatchUp(Box<Plan>),
    ReadCutOver,
    BeginCutOver(CutOver),
    Finish,
    EndCutOver(CutOver),
    Close,
}

/// What the coordinator needs to know of a session of a change applier.
#[derive(Serialize, Deserialize)]
pub(crate) struct ApplierSession {
    /// Its number.
    pub(crate) session: u64,
    pub(crate) checkpoint: Checkpoint,
    /// The plan that the target records.
    pub(crate) plan: Option<Plan>,
    pub(crate) hashers: Vec<ConflictHasher>,
    /// The bytes of text at which a transaction is sent in parts.
    pub(crate) part_bytes: usize,
}

/// A leg that one agent runs as a whole.
#[derive(Serialize, Deserialize)]
pub(crate) struct LegRequest {
    pub(crate) name: LegName,
    pub(crate) plan: Plan,
    pub(crate) threads: usize,
    pub(crate) memory: u64,
    pub(crate) max_rate: Option<u64>,
    pub(crate) verify: Verify,
    pub(crate) list_rows: bool,
    /// Whether the source is the staging archive, which the leg reads while the exporting leg writes it.
    pub(crate) follow_export: bool,
}

/// A request on a lane, which serves one request at a time.
#[derive(Serialize, Deserialize)]
pub(crate) enum LaneRequest {
    /// Reads a chunk: the agent offers each batch, and sends it after `Accept`.
    Read { role: EndpointRole, table: TablePlan, chunk: Chunk },
    /// Accepts the offered batch.
    Accept,
    /// Writes the batch in the body.
    Write { table: TablePlan, batch: BatchFrame },
    /// Reads the changes of the source until the lane closes: the agent offers them, and sends them after `Accept`.
    ReadChanges {
        plan: Box<Plan>,
        from: LogPosition,
        /// The bytes at which the agent ends a frame.
        frame_bytes: usize,
    },
    /// Applies a part of a transaction, and commits it if the part has a checkpoint. The transaction is open until then.
    Apply(TransactionPart),
    /// Undoes the open transaction.
    Rollback,
    /// Makes the lane the control connection in the place of one that broke.
    Attach {
        /// Counts the attempts of the coordinator: the agent refuses one that is not later than the last.
        attempt: u64,
        /// The number of the last message that the coordinator has received.
        received: u64,
    },
}

/// A part of a transaction; the body has the changes.
#[derive(Serialize, Deserialize)]
pub(crate) struct TransactionPart {
    /// The session that [`ApplierCall::TakeUp`] has begun. The agent refuses the transactions of earlier ones.
    pub(crate) session: u64,
    /// The number of the applier.
    pub(crate) applier: u32,
    pub(crate) is_careful: bool,
    pub(crate) changes: ChangeFrame,
}

/// A response on a lane.
#[derive(Serialize, Deserialize)]
pub(crate) enum LaneResponse {
    /// Offers the next batch of the chunk.
    Offer(BatchFrame),
    /// Offers the next changes.
    OfferChanges(ChangeFrame),
    /// Sends what was accepted; it is the body.
    Body,
    /// Ends the chunk, or the changes.
    End,
    /// Confirms a written batch; the body is its [`Receipt`](crate::batch::Receipt).
    Receipt,
    /// Confirms that a part of a transaction is applied, and committed if it was the last one; or that it is undone.
    Applied,
    /// The lane is the control connection now.
    Attached {
        /// The number of the last message that the agent has received.
        received: u64,
    },
    /// Ends a request that failed, and undoes the open transaction; the body is the [`Error`](crate::error::Error).
    Failed,
}
