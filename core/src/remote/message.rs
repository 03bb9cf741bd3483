//! What a coordinator and an agent tell each other. Plain data.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batch::{BatchId, StagingEvent};
use crate::catalog::Catalog;
use crate::codec::Digest;
use crate::event::{Event, LegName};
use crate::options::VerifyMode;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::store::Verb;

/// What a coordinator tells an agent on its main stream. Where it says so, the frame has a body in JSON.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// The first order: be the agent of a job.
    Serve,
    /// The first order to a process that only carries a lane: take it to the agent that listens there.
    Join(Door),
    /// Do this (a [`Call`] is the body), and answer under this number.
    Call { id: u64 },
    /// Nobody waits for this answer any more: stop.
    Forget { id: u64 },
    /// What the exporting leg tells the importing one; at its end `None`.
    Staged(Option<StagingEvent>),
    /// The answer (`Result`, in the body) to what was asked; to what has passed, that the next may.
    Given { id: u64 },
    /// The coordinator is still there.
    Alive,
    /// The job has ended, and what was made is to stay, or is gone already.
    Farewell,
}

/// What an agent tells its coordinator on its main stream.
#[derive(Serialize, Deserialize)]
pub(crate) enum Word {
    /// Ready to serve; lanes come in here.
    Ready(Door),
    /// The answer (`Result`, in the body) to a call.
    Answer { id: u64 },
    /// For this call so much was read; more is when it is answered under this number.
    Passed { call: u64, id: u64, rows: u64, bytes: u64 },
    /// Something happened in the leg that runs here.
    Event(Event),
    /// A batch is in the archive, or a chunk came to its end.
    Staged(StagingEvent),
    /// The sink is about to make this.
    Made(Value),
    /// A question that the coordinator answers under this number.
    Ask { id: u64, ask: Ask },
    /// The agent is still there.
    Alive,
}

/// Where lanes come in: a socket of the agent's machine that has no file, and the word that opens it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Door {
    pub(crate) socket: String,
    pub(crate) token: String,
}

/// What an agent asks of the archive's owner.
#[derive(Serialize, Deserialize)]
pub(crate) enum Ask {
    Presign { key: String, verb: Verb },
    List { prefix: String },
    Remove { keys: Vec<String> },
}

/// Which of the agent's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    Source,
    Sink,
}

/// A call of one of the traits, or of a whole leg.
#[derive(Serialize, Deserialize)]
pub(crate) enum Call {
    /// Opens an end: what exactly, only those know who name the concrete kinds. Nothing is connected yet.
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
    Begin(Plan),
    Complete(TablePlan),
    Counterparts(Plan),
    Finish(Plan),
    /// What a sink that was killed has made is the sink's from now on.
    TakeOver(Vec<Value>),
    Abort,
    Count {
        end: End,
        table: TablePlan,
        chunk: Chunk,
    },
    Digest {
        end: End,
        table: TablePlan,
        chunk: Chunk,
    },
    /// Runs a leg whose ends are both here.
    Run(Errand),
}

/// A leg, as it is told to the agent that runs it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Errand {
    pub(crate) name: LegName,
    pub(crate) plan: Plan,
    pub(crate) threads: usize,
    pub(crate) memory: u64,
    pub(crate) max_rate: Option<u64>,
    pub(crate) verify: VerifyMode,
    pub(crate) list_rows: bool,
    /// Whether its source is the staged archive, as far as the coordinator tells of it.
    pub(crate) follow: bool,
}

/// What is wanted of a lane, which does one thing at a time.
#[derive(Serialize, Deserialize)]
pub(crate) enum Wish {
    /// The chunk's batches: each is offered, and sent when it is taken.
    Read { end: End, table: TablePlan, chunk: Chunk },
    /// The batch that was offered.
    Take,
    /// To write the batch in the body.
    Write { table: TablePlan, batch: Parcel },
}

/// What a lane gives.
#[derive(Serialize, Deserialize)]
pub(crate) enum Gift {
    /// This is ready.
    Offer(Parcel),
    /// The batch that was offered, in the body.
    Batch,
    /// The chunk has no more batches.
    End,
    /// The batch is durable; its receipt is the body.
    Receipt,
    /// It failed; the error is the body.
    Failed,
}

/// A batch on its way, whose rows are compressed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Parcel {
    pub(crate) id: BatchId,
    pub(crate) rows: u64,
    /// Bytes of text.
    pub(crate) bytes: usize,
    /// Bytes of the body.
    pub(crate) packed: usize,
    pub(crate) digest: Digest,
}
