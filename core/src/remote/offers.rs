//! Receives what an agent offers on a lane: the batches of a chunk, or the changes of a source.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;

use super::client::AgentClient;
use super::lane::{BatchLane, unexpected_response};
use super::message::{LaneRequest, LaneResponse};
use crate::batch::Batch;
use crate::change::LogEvent;
use crate::error::Result;
use crate::memory::MemoryBudget;

/// What an agent offers.
pub(super) trait Offered: Sized + Send + 'static {
    /// Reserves memory for what is offered, then accepts and receives it.
    fn accept(
        lane: &mut BatchLane,
        offer: &LaneResponse,
        memory: &MemoryBudget,
    ) -> impl Future<Output = Result<Self>> + Send;
}

impl Offered for Batch {
    async fn accept(lane: &mut BatchLane, offer: &LaneResponse, memory: &MemoryBudget) -> Result<Self> {
        let LaneResponse::Offer(frame) = offer else { return Err(unexpected_response()) };
        let lease = memory.reserve(frame.memory_bytes()).await;
        lane.send(&LaneRequest::Accept, &[]).await?;
        match lane.receive().await? {
            (LaneResponse::Body, body) => frame.decompress(body, lease).await,
            _ => Err(unexpected_response()),
        }
    }
}

impl Offered for Vec<LogEvent> {
    async fn accept(lane: &mut BatchLane, offer: &LaneResponse, memory: &MemoryBudget) -> Result<Self> {
        let LaneResponse::OfferChanges(frame) = offer else { return Err(unexpected_response()) };
        let lease = frame.reserve(memory).await;
        lane.send(&LaneRequest::Accept, &[]).await?;
        match lane.receive().await? {
            (LaneResponse::Body, body) => frame.decompress(body, lease).await.map(|(events, _)| events),
            _ => Err(unexpected_response()),
        }
    }
}

/// Sends a request, and streams what the agent offers. Receives one item ahead. Dropping the stream ends the request.
pub(super) async fn receive_offers<T: Offered>(
    agent: Arc<AgentClient>,
    request: &LaneRequest,
    memory: &MemoryBudget,
) -> Result<BoxStream<'static, Result<T>>> {
    let (lane, first) = agent.run_while_connected(send_request(&agent, request)).await?;
    let (sender, receiver) = mpsc::channel(1);
    let memory = memory.clone();
    tokio::spawn(async move {
        tokio::select! {
            // The stream was dropped: dropping the lane cancels the request on the agent.
            () = sender.closed() => {}
            lane = receive_all(&agent, lane, first, &memory, &sender) => {
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
        // The lane broke while it was idle: nothing was read.
        Err(error) if used && error.is_retryable() => {
            lane = agent.open_lane().await?;
            let (response, _) = send(&mut lane).await?;
            Ok((lane, response))
        }
        outcome => outcome.map(|(response, _)| (lane, response)),
    }
}

/// Accepts every offer until the end. Returns the lane if it can serve another request.
async fn receive_all<T: Offered>(
    agent: &AgentClient,
    mut lane: BatchLane,
    first: LaneResponse,
    memory: &MemoryBudget,
    sender: &mpsc::Sender<Result<T>>,
) -> Option<BatchLane> {
    let mut response = Ok(first);
    loop {
        let item = match response {
            Ok(LaneResponse::End) => return Some(lane),
            Ok(offer) => agent.run_while_connected(T::accept(&mut lane, &offer, memory)).await,
            Err(error) => Err(error),
        };
        let failed = item.is_err();
        sender.send(item).await.ok()?;
        if failed {
            return None;
        }
        response = agent.run_while_connected(lane.receive()).await.map(|(response, _)| response);
    }
}
