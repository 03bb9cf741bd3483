//! A sink whose work runs on an agent.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::applier::RemoteApplier;
use super::batch_frame::BatchFrame;
use super::client::AgentClient;
use super::lane::{parse_body, unexpected_response};
use super::message::{AgentCall, EndpointRole, LaneRequest, LaneResponse};
use super::source::read_chunk;
use crate::batch::{Batch, Receipt};
use crate::catalog::{Catalog, ObjectRef};
use crate::change::LogPosition;
use crate::change_applier::ChangeApplier;
use crate::checkpoint::{Checkpoint, CutOver};
use crate::clone_record::CloneRecord;
use crate::codec::Digest;
use crate::error::Result;
use crate::fidelity::FidelityIssue;
use crate::memory::MemoryBudget;
use crate::options::Verify;
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::sink::{ReplicaLag, Sink};
use crate::source::BatchStream;

/// A sink that an agent has opened. Every kind that an agent opens supports `read_back`.
pub(crate) struct RemoteSink {
    agent: Arc<AgentClient>,
    applies_changes: bool,
}

impl RemoteSink {
    /// `applies_changes` is the value of [`Sink::applies_changes`].
    pub(crate) fn new(agent: Arc<AgentClient>, applies_changes: bool) -> Self {
        Self { agent, applies_changes }
    }
}

#[async_trait]
impl Sink for RemoteSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        self.agent.call(&AgentCall::CheckSink { catalog: catalog.clone(), selection: selection.clone() }).await
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<FidelityIssue>> {
        self.agent.call(&AgentCall::Unsupported { catalog: catalog.clone(), selection: selection.clone() }).await
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        self.agent.call(&AgentCall::Existing).await
    }

    async fn clone_record(&self) -> Result<Option<CloneRecord>> {
        self.agent.call_survivor(&AgentCall::CloneRecord).await
    }

    async fn request_takeover(&self, is_withdrawn: bool) -> Result<()> {
        self.agent.call(&AgentCall::RequestTakeover { is_withdrawn }).await
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        self.agent.call(&AgentCall::Begin(plan.clone())).await
    }

    fn writers(&self, threads: usize) -> usize {
        2 * threads
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let (frame, body) = BatchFrame::compress(&batch).await?;
        let request = LaneRequest::Write { table: table.clone(), batch: frame };
        let send = async {
            // A lane that broke while it was idle fails here, and the engine retries.
            let (mut lane, _) = self.agent.acquire_lane().await?;
            lane.send(&request, &body).await?;
            Ok((lane.receive().await?, lane))
        };
        match self.agent.run_while_connected(send).await? {
            ((LaneResponse::Receipt, receipt), lane) => {
                self.agent.release_lane(lane);
                parse_body(&receipt)
            }
            _ => Err(unexpected_response()),
        }
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        self.agent.call(&AgentCall::Complete(table.clone())).await
    }

    fn reads_back(&self) -> bool {
        true
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        self.agent.call(&AgentCall::Counterparts(plan.clone())).await
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        read_chunk(self.agent.clone(), EndpointRole::Sink, table, chunk, memory).await
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call(&AgentCall::Count { role: EndpointRole::Sink, table, chunk }).await
    }

    async fn digest(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<Digest> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call(&AgentCall::Digest { role: EndpointRole::Sink, table, chunk }).await
    }

    async fn load(&self) -> Result<Option<u64>> {
        self.agent.call(&AgentCall::Load(EndpointRole::Sink)).await
    }

    async fn replica_lag(&self) -> Result<Option<ReplicaLag>> {
        self.agent.call(&AgentCall::ReplicaLag).await
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        self.agent.call(&AgentCall::Finish(plan.clone())).await
    }

    async fn change_applier(&self, plan: &Plan) -> Result<Arc<dyn ChangeApplier>> {
        Ok(Arc::new(RemoteApplier::open(self.agent.clone(), plan).await?))
    }

    async fn begin_way_back(&self, plan: &Plan, unchanged_since: &LogPosition) -> Result<Plan> {
        let (plan, unchanged_since) = (Box::new(plan.clone()), unchanged_since.clone());
        self.agent.call(&AgentCall::BeginWayBack { plan, unchanged_since }).await
    }

    async fn check_catch_up(&self, plan: &Plan) -> Result<Vec<Finding>> {
        self.agent.call(&AgentCall::CheckSinkCatchUp(Box::new(plan.clone()))).await
    }

    async fn read_checkpoint(&self, job: &str) -> Result<Option<Checkpoint>> {
        self.agent.call(&AgentCall::ReadCheckpoint(job.to_owned())).await
    }

    fn applies_changes(&self) -> bool {
        self.applies_changes
    }

    async fn request_cut_over(&self, job: &str, verify: Option<Verify>) -> Result<bool> {
        self.agent.call(&AgentCall::RequestCutOver { job: job.to_owned(), verify }).await
    }

    async fn read_cut_over(&self, job: &str) -> Result<Option<CutOver>> {
        self.agent.call(&AgentCall::ReadCutOver(job.to_owned())).await
    }

    async fn acknowledge_cut_over(&self, job: &str) -> Result<()> {
        self.agent.call(&AgentCall::AcknowledgeCutOver(job.to_owned())).await
    }

    async fn conclude(&self) -> Result<()> {
        self.agent.call(&AgentCall::Conclude).await
    }

    fn adopt_undo_records(&self, records: Vec<Value>) {
        self.agent.adopt_undo_records(records);
    }

    async fn abort(&self) -> Result<()> {
        self.agent.end_sink(&AgentCall::Abort).await
    }

    async fn suspend(&self) -> Result<()> {
        self.agent.end_sink(&AgentCall::Suspend).await
    }
}
