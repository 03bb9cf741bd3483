//! A source whose work runs on an agent.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream;
use tokio::sync::mpsc;

use super::client::AgentClient;
use super::lane::{BatchLane, unexpected_response};
use super::message::{AgentCall, EndpointRole, LaneRequest, LaneResponse};
use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::codec::Digest;
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::source::{BatchStream, ReadObserver, Source};

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

    async fn load(&self) -> Result<Option<u64>> {
        self.agent.call(&AgentCall::Load(EndpointRole::Source)).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.agent.call(&AgentCall::Notes).await
    }

    async fn close(&self) -> Result<()> {
        self.agent.close_source().await
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
    let (lane, first) = agent.run_while_connected(send_request(&agent, &request)).await?;
    let (sender, receiver) = mpsc::channel(1);
    let memory = memory.clone();
    tokio::spawn(async move {
        tokio::select! {
            // The stream was dropped: dropping the lane cancels the read on the agent.
            () = sender.closed() => {}
            lane = receive_batches(&agent, lane, first, &memory, &sender) => {
                if let Some(lane) = lane {
                    agent.release_lane(lane);
                }
            }
        }
    });
    Ok(stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed())
}

/// Sends the request on a free lane, and returns the lane and the first response.
async fn send_request(agent: &AgentClient, request: &LaneRequest) -> Result<(BatchLane, LaneResponse)> {
    let (mut lane, used) = agent.acquire_lane().await?;
    let send = async |lane: &mut BatchLane| {
        lane.send(request, &[]).await?;
        lane.receive().await
    };
    match send(&mut lane).await {
        // The lane broke while it was idle: no batch of the chunk was read.
        Err(error) if used && error.is_retryable() => {
            lane = agent.open_lane().await?;
            let (response, _) = send(&mut lane).await?;
            Ok((lane, response))
        }
        outcome => outcome.map(|(response, _)| (lane, response)),
    }
}

/// Accepts every batch until the end of the chunk. Returns the lane if it can serve another request.
async fn receive_batches(
    agent: &AgentClient,
    mut lane: BatchLane,
    first: LaneResponse,
    memory: &MemoryBudget,
    sender: &mpsc::Sender<Result<Batch>>,
) -> Option<BatchLane> {
    let mut response = Ok(first);
    loop {
        let batch = match response {
            Ok(LaneResponse::EndOfChunk) => return Some(lane),
            Ok(response) => agent.run_while_connected(accept_batch(&mut lane, &response, memory)).await,
            Err(error) => Err(error),
        };
        let failed = batch.is_err();
        sender.send(batch).await.ok()?;
        if failed {
            return None;
        }
        response = agent.run_while_connected(lane.receive()).await.map(|(response, _)| response);
    }
}

/// Reserves memory for an offered batch, then accepts and receives it.
async fn accept_batch(lane: &mut BatchLane, response: &LaneResponse, memory: &MemoryBudget) -> Result<Batch> {
    let LaneResponse::Offer(frame) = response else { return Err(unexpected_response()) };
    let lease = memory.reserve(frame.memory_bytes()).await;
    lane.send(&LaneRequest::Accept, &[]).await?;
    match lane.receive().await? {
        (LaneResponse::Batch, body) => frame.decompress(body, lease).await,
        _ => Err(unexpected_response()),
    }
}
