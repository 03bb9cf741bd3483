//! A source whose work runs on an agent.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::client::AgentClient;
use super::message::{AgentCall, EndpointRole, LaneRequest};
use super::offers::receive_offers;
use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::change::{LogEvent, LogExtent, LogPosition};
use crate::clone_record::CutOverRecord;
use crate::codec::Digest;
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::source::{BatchStream, ChangeStream, ReadObserver, Source};

/// A source that an agent has opened.
pub(crate) struct RemoteSource {
    agent: Arc<AgentClient>,
    any_range: bool,
}

impl RemoteSource {
    /// `any_range` is the value of [`Source::reads_any_range`].
    pub(crate) fn new(agent: Arc<AgentClient>, any_range: bool) -> Self {
        Self { agent, any_range }
    }
}

#[async_trait]
impl Source for RemoteSource {
    async fn catalog(&self) -> Result<Catalog> {
        self.agent.call(&AgentCall::Catalog).await
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        self.agent.call(&AgentCall::CheckSource(selection.clone())).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        self.agent.call(&AgentCall::Plan(selection.clone())).await
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.agent.call(&AgentCall::Snapshot(selection.clone())).await
    }

    async fn open_readers(&self, selection: &Selection) -> Result<Plan> {
        self.agent.call(&AgentCall::OpenReaders(selection.clone())).await
    }

    async fn check_catch_up(&self, selection: &Selection) -> Result<Vec<Finding>> {
        self.agent.call(&AgentCall::CheckSourceCatchUp(selection.clone())).await
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        read_chunk(self.agent.clone(), EndpointRole::Source, table, chunk, memory).await
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call(&AgentCall::Count { role: EndpointRole::Source, table, chunk }).await
    }

    async fn digest(
        &self,
        table: &TablePlan,
        chunk: &Chunk,
        _memory: &MemoryBudget,
        observer: &dyn ReadObserver,
    ) -> Result<Digest> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call_observed(&AgentCall::Digest { role: EndpointRole::Source, table, chunk }, observer).await
    }

    fn reads_any_range(&self) -> bool {
        self.any_range
    }

    fn is_repeatable(&self) -> bool {
        // An agent opens a server, which reads any range, or a complete archive.
        !self.any_range
    }

    async fn changes<'a>(
        &'a self,
        plan: &'a Plan,
        from: &'a LogPosition,
        memory: &'a MemoryBudget,
    ) -> Result<ChangeStream<'a>> {
        self.agent.allow_replacement();
        // An open transaction keeps the memory of the whole frames that it has a part of.
        let frame_bytes = memory.batch_bytes() / 2;
        let request = LaneRequest::ReadChanges { plan: Box::new(plan.clone()), from: from.clone(), frame_bytes };
        let frames = receive_offers::<Vec<LogEvent>>(self.agent.clone(), &request, memory).await?;
        Ok(frames.map_ok(|events| stream::iter(events).map(Ok)).try_flatten().boxed())
    }

    fn filters_changes(&self) -> bool {
        // An agent opens a server, or an archive, which has no changes.
        self.any_range
    }

    async fn log_end(&self) -> Result<LogPosition> {
        self.agent.call(&AgentCall::LogEnd).await
    }

    async fn last_cut_over(&self) -> Result<Option<CutOverRecord>> {
        self.agent.call(&AgentCall::LastCutOver).await
    }

    async fn log_extent(&self, from: &LogPosition) -> Result<Option<LogExtent>> {
        self.agent.call_if_open(&AgentCall::LogExtent(from.clone())).await
    }

    async fn load(&self) -> Result<Option<u64>> {
        self.agent.call(&AgentCall::Load(EndpointRole::Source)).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.agent.call(&AgentCall::Notes).await
    }

    async fn close(&self) -> Result<()> {
        self.agent.call_if_open(&AgentCall::Close).await
    }
}

/// Reads a chunk of the agent's source or sink; receives one batch ahead.
pub(super) async fn read_chunk<'a>(
    agent: Arc<AgentClient>,
    role: EndpointRole,
    table: &TablePlan,
    chunk: &Chunk,
    memory: &MemoryBudget,
) -> Result<BatchStream<'a>> {
    let request = LaneRequest::Read { role, table: table.clone(), chunk: chunk.clone() };
    receive_offers::<Batch>(agent, &request, memory).await
}
