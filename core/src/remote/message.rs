//! The messages between a coordinator and an agent. Plain data. Every change of a name or a field here increases
//! `PROTOCOL`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batch_frame::BatchFrame;
use crate::batch::ExportEvent;
use crate::catalog::Catalog;
use crate::event::{Event, LegName};
use crate::options::Verify;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::store::HttpMethod;

/// A message from the coordinator on the control connection. The body of the frame, where there is one, is JSON.
#[derive(Serialize, Deserialize)]
pub(crate) enum CoordinatorMessage {
    /// The first message: makes the process the agent of a job.
    Hello,
    /// The first message to a process that only relays a lane: it connects to the agent at this address.
    JoinLane(LaneAddress),
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
    /// Shows that the coordinator is alive.
    KeepAlive,
    /// Ends the agent after the job: its sink stays as it is.
    Shutdown,
}

/// A message from the agent on the control connection.
#[derive(Serialize, Deserialize)]
pub(crate) enum AgentMessage {
    /// Follows `Hello`: the agent accepts calls, and lanes at this address.
    Ready(LaneAddress),
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
    /// Shows that the agent is alive.
    KeepAlive,
}

/// The address of an agent's lane listener: an abstract Unix socket, and the token that it accepts.
#[derive(Clone, Serialize, Deserialize)]
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
}

/// A response on a lane.
#[derive(Serialize, Deserialize)]
pub(crate) enum LaneResponse {
    /// Offers the next batch of the chunk.
    Offer(BatchFrame),
    /// Sends the accepted batch; it is the body.
    Batch,
    /// Ends the chunk.
    EndOfChunk,
    /// Confirms a written batch; the body is its [`Receipt`](crate::batch::Receipt).
    Receipt,
    /// Ends a request that failed; the body is the [`Error`](crate::error::Error).
    Failed,
}
