//! A sink on another site.

use std::sync::Arc;

use async_trait::async_trait;

use super::client::Agent;
use super::lane::{parsed, unexpected};
use super::message::{Call, End, Gift, Wish};
use super::parcel::pack;
use super::source::rows;
use crate::batch::{Batch, Receipt};
use crate::catalog::{Catalog, ObjectRef};
use crate::codec::Digest;
use crate::error::Result;
use crate::fidelity::FidelityIssue;
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::sink::Sink;
use crate::source::BatchStream;

/// A sink that an agent has opened. All that have one can be read back.
pub(crate) struct RemoteSink {
    agent: Arc<Agent>,
}

impl RemoteSink {
    pub(crate) fn new(agent: Arc<Agent>) -> Self {
        Self { agent }
    }
}

#[async_trait]
impl Sink for RemoteSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        self.agent.call(&Call::CheckSink { catalog: catalog.clone(), selection: selection.clone() }).await
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<FidelityIssue>> {
        self.agent.call(&Call::Unsupported { catalog: catalog.clone(), selection: selection.clone() }).await
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        self.agent.call(&Call::Existing).await
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        self.agent.call(&Call::Begin(plan.clone())).await
    }

    fn writers(&self, threads: usize) -> usize {
        2 * threads
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let (parcel, packed) = pack(&batch).await?;
        let wish = Wish::Write { table: table.clone(), batch: parcel };
        let send = async {
            // A lane that broke while it was idle fails here, and the engine tries again.
            let (mut lane, _) = self.agent.lane().await?;
            lane.wish(&wish, &packed).await?;
            Ok((lane.gift().await?, lane))
        };
        match self.agent.unless_lost(send).await? {
            ((Gift::Receipt, receipt), lane) => {
                self.agent.give_back(lane);
                parsed(&receipt)
            }
            _ => Err(unexpected()),
        }
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        self.agent.call(&Call::Complete(table.clone())).await
    }

    fn reads_back(&self) -> bool {
        true
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        self.agent.call(&Call::Counterparts(plan.clone())).await
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        rows(self.agent.clone(), End::Sink, table, chunk, memory).await
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call(&Call::Count { end: End::Sink, table, chunk }).await
    }

    async fn digest(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<Digest> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call(&Call::Digest { end: End::Sink, table, chunk }).await
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        self.agent.call(&Call::Finish(plan.clone())).await
    }

    async fn abort(&self) -> Result<()> {
        self.agent.abort().await
    }
}
