//! A change applier whose transactions run on an agent. A transaction is collected here and sent with its commit, so that
//! it takes one round trip; one that is long is sent in parts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::change_frame::ChangeFrame;
use super::client::AgentClient;
use super::lane::{BatchLane, unexpected_response};
use super::message::{AgentCall, ApplierCall, ApplierSession, LaneRequest, LaneResponse, TransactionPart};
use crate::change::{LogEvent, RowChanges};
use crate::change_applier::{ChangeApplier, DefinitionOutcome, LoggedDefinition, TargetTransaction};
use crate::checkpoint::{Checkpoint, CutOver};
use crate::conflict_hasher::ConflictHasher;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::report::Note;

/// Applies changes through an agent, or through those that take its place when it is lost.
pub(super) struct RemoteApplier {
    agent: Arc<AgentClient>,
    plan: Plan,
    state: Mutex<ApplierState>,
}

/// What the agent has told of its applier.
#[derive(Default)]
struct ApplierState {
    hashers: Arc<[ConflictHasher]>,
    part_bytes: usize,
    /// The number of the session; `None` before the first.
    session: Option<u64>,
}

impl RemoteApplier {
    /// Opens the applier of a plan on the agent.
    pub(super) async fn open(agent: Arc<AgentClient>, plan: &Plan) -> Result<Self> {
        call::<()>(&agent, ApplierCall::Open(Box::new(plan.clone()))).await?;
        agent.allow_replacement();
        Ok(Self { agent, plan: plan.clone(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, ApplierState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn call<T: serde::de::DeserializeOwned>(agent: &AgentClient, call: ApplierCall) -> Result<T> {
    agent.call(&AgentCall::Apply(call)).await
}

#[async_trait]
impl ChangeApplier for RemoteApplier {
    async fn take_up(&self) -> Result<(Checkpoint, Option<Plan>)> {
        self.agent.close_idle_lanes();
        // The agent may be another one than before.
        call::<()>(&self.agent, ApplierCall::Open(Box::new(self.plan.clone()))).await?;
        let begun: Result<ApplierSession> = call(&self.agent, ApplierCall::TakeUp).await;
        let mut state = self.state();
        let ApplierSession { session, checkpoint, plan, hashers, part_bytes } = match begun {
            // An agent that is lost ends a moment later, and until then it has the lock of the target.
            Err(error) if error.kind() == ErrorKind::Preflight && state.session.is_some() => {
                return Err(error.retryable());
            }
            begun => begun?,
        };
        *state = ApplierState { hashers: hashers.into(), part_bytes, session: Some(session) };
        Ok((checkpoint, plan))
    }

    fn conflict_hashers(&self) -> Arc<[ConflictHasher]> {
        self.state().hashers.clone()
    }

    async fn begin(&self, applier: u32, is_careful: bool) -> Result<Box<dyn TargetTransaction>> {
        let state = self.state();
        let session = state.session;
        let session = session
            .ok_or_else(|| Error::new(ErrorKind::Internal, "changes are applied before the target is taken up"))?;
        Ok(Box::new(RemoteTransaction {
            agent: self.agent.clone(),
            session,
            applier,
            is_careful,
            part_bytes: state.part_bytes,
            pending: Vec::new(),
            bytes: 0,
            lane: None,
        }))
    }

    async fn apply_definition(&self, definition: &LoggedDefinition, chosen: &[String]) -> Result<DefinitionOutcome> {
        let (definition, chosen) = (definition.clone(), chosen.to_vec());
        call(&self.agent, ApplierCall::ApplyDefinition { definition, chosen }).await
    }

    async fn end_catch_up(&self, plan: &Plan) -> Result<()> {
        call(&self.agent, ApplierCall::EndCatchUp(Box::new(plan.clone()))).await
    }

    async fn pass_definition(&self, definition: &LoggedDefinition, current: &Plan) -> Result<()> {
        let (definition, current) = (definition.clone(), Box::new(current.clone()));
        call(&self.agent, ApplierCall::PassDefinition { definition, current }).await
    }

    async fn read_cut_over(&self) -> Result<Option<CutOver>> {
        call(&self.agent, ApplierCall::ReadCutOver).await
    }

    async fn begin_cut_over(&self, cut_over: &CutOver) -> Result<bool> {
        call(&self.agent, ApplierCall::BeginCutOver(cut_over.clone())).await
    }

    async fn finish(&self) -> Result<Vec<Note>> {
        call(&self.agent, ApplierCall::Finish).await
    }

    async fn end_cut_over(&self, cut_over: &CutOver) -> Result<()> {
        call(&self.agent, ApplierCall::EndCutOver(cut_over.clone())).await
    }

    async fn close(&self) {
        // An agent that is lost ends its statements by itself.
        let _ = self.agent.call_if_open::<()>(&AgentCall::Apply(ApplierCall::Close)).await;
    }
}

/// A transaction that is collected here until its commit.
struct RemoteTransaction {
    agent: Arc<AgentClient>,
    session: u64,
    applier: u32,
    is_careful: bool,
    part_bytes: usize,
    /// The changes that were not sent yet.
    pending: Vec<LogEvent>,
    /// Bytes of their texts.
    bytes: usize,
    /// The lane that has the first parts. Dropping it undoes them.
    lane: Option<BatchLane>,
}

impl RemoteTransaction {
    /// Sends the changes that were collected, and commits the transaction if there is a checkpoint.
    async fn send(&mut self, checkpoint: Option<Checkpoint>) -> Result<()> {
        self.bytes = 0;
        let is_last = checkpoint.is_some();
        let (changes, body) = ChangeFrame::compress(std::mem::take(&mut self.pending), checkpoint).await?;
        let (session, applier, is_careful) = (self.session, self.applier, self.is_careful);
        let request = LaneRequest::Apply(TransactionPart { session, applier, is_careful, changes });
        self.request(&request, &body, is_last).await
    }

    /// Sends a request and receives its response. Keeps the lane unless the request ends the transaction.
    async fn request(&mut self, request: &LaneRequest, body: &[u8], is_last: bool) -> Result<()> {
        let open = self.lane.take();
        let agent = &self.agent;
        let exchange = async {
            let mut lane = match open {
                Some(lane) => lane,
                None => agent.acquire_lane().await?.0,
            };
            lane.send(request, body).await?;
            Ok((lane.receive_outcome().await?, lane))
        };
        let (outcome, lane) = agent.run_while_connected(exchange).await?;
        match outcome {
            Ok((LaneResponse::Applied, _)) if !is_last => self.lane = Some(lane),
            Ok((LaneResponse::Applied, _)) => agent.release_lane(lane),
            Ok(_) => return Err(unexpected_response()),
            // The agent has undone the transaction.
            Err(error) => {
                agent.release_lane(lane);
                return Err(error);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl TargetTransaction for RemoteTransaction {
    async fn apply(&mut self, changes: &RowChanges) -> Result<()> {
        self.bytes += changes.text_bytes();
        self.pending.push(LogEvent::Rows(changes.clone()));
        match self.bytes >= self.part_bytes {
            true => self.send(None).await,
            false => Ok(()),
        }
    }

    async fn commit(mut self: Box<Self>, checkpoint: &Checkpoint) -> Result<()> {
        self.send(Some(checkpoint.clone())).await
    }

    async fn rollback(mut self: Box<Self>) {
        if self.lane.is_some() {
            // A lane that does not answer is closed, which undoes the transaction too.
            let _ = self.request(&LaneRequest::Rollback, &[], true).await;
        }
    }
}
