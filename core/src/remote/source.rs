//! A source on another site.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream;
use tokio::sync::mpsc;

use super::client::Agent;
use super::lane::{Lane, unexpected};
use super::message::{Call, End, Gift, Wish};
use super::parcel::unpack;
use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::codec::Digest;
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::plan::{Chunk, Plan, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::source::{BatchStream, Pace, Source};

/// A source that an agent has opened.
pub(crate) struct RemoteSource {
    agent: Arc<Agent>,
    any_range: bool,
}

impl RemoteSource {
    /// `any_range` is what [`Source::reads_any_range`] says of it there.
    pub(crate) fn new(agent: Arc<Agent>, any_range: bool) -> Self {
        Self { agent, any_range }
    }
}

#[async_trait]
impl Source for RemoteSource {
    async fn catalog(&self) -> Result<Catalog> {
        self.agent.call(&Call::Catalog).await
    }

    async fn check(&self, selection: &Selection) -> Result<Vec<Finding>> {
        self.agent.call(&Call::CheckSource(selection.clone())).await
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        self.agent.call(&Call::Plan(selection.clone())).await
    }

    async fn snapshot(&self, selection: &Selection) -> Result<Plan> {
        self.agent.call(&Call::Snapshot(selection.clone())).await
    }

    async fn read<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        rows(self.agent.clone(), End::Source, table, chunk, memory).await
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call(&Call::Count { end: End::Source, table, chunk }).await
    }

    async fn digest(
        &self,
        table: &TablePlan,
        chunk: &Chunk,
        _memory: &MemoryBudget,
        pace: &dyn Pace,
    ) -> Result<Digest> {
        let (table, chunk) = (table.clone(), chunk.clone());
        self.agent.call_at(&Call::Digest { end: End::Source, table, chunk }, pace).await
    }

    fn reads_any_range(&self) -> bool {
        self.any_range
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.agent.call(&Call::Notes).await
    }

    async fn close(&self) -> Result<()> {
        self.agent.close().await
    }
}

/// The batches of a chunk of that end, fetched one ahead.
pub(super) async fn rows<'a>(
    agent: Arc<Agent>,
    end: End,
    table: &TablePlan,
    chunk: &Chunk,
    memory: &MemoryBudget,
) -> Result<BatchStream<'a>> {
    let wish = Wish::Read { end, table: table.clone(), chunk: chunk.clone() };
    let (lane, first) = agent.unless_lost(begin(&agent, &wish)).await?;
    let (sender, receiver) = mpsc::channel(1);
    let memory = memory.clone();
    tokio::spawn(async move {
        tokio::select! {
            // Nobody wants the rest: the lane is dropped in the middle of its work, which ends the reading there.
            () = sender.closed() => {}
            lane = fetch(&agent, lane, first, &memory, &sender) => if let Some(lane) = lane { agent.give_back(lane) },
        }
    });
    Ok(stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed())
}

/// Starts the reading, and gives what comes first.
async fn begin(agent: &Agent, wish: &Wish) -> Result<(Lane, Gift)> {
    let (mut lane, used) = agent.lane().await?;
    let first = async |lane: &mut Lane| {
        lane.wish(wish, &[]).await?;
        lane.gift().await
    };
    match first(&mut lane).await {
        // It broke while it was idle; nothing of the chunk was read yet.
        Err(error) if used && error.is_retryable() => {
            lane = agent.fresh_lane().await?;
            let (gift, _) = first(&mut lane).await?;
            Ok((lane, gift))
        }
        other => other.map(|(gift, _)| (lane, gift)),
    }
}

/// Takes what is offered until nothing is; the lane, if it can be used again.
async fn fetch(
    agent: &Agent,
    mut lane: Lane,
    first: Gift,
    memory: &MemoryBudget,
    sender: &mpsc::Sender<Result<Batch>>,
) -> Option<Lane> {
    let mut gift = Ok(first);
    loop {
        let batch = match gift {
            Ok(Gift::End) => return Some(lane),
            Ok(gift) => agent.unless_lost(take(&mut lane, &gift, memory)).await,
            Err(error) => Err(error),
        };
        let failed = batch.is_err();
        sender.send(batch).await.ok()?;
        if failed {
            return None;
        }
        gift = agent.unless_lost(lane.gift()).await.map(|(gift, _)| gift);
    }
}

async fn take(lane: &mut Lane, gift: &Gift, memory: &MemoryBudget) -> Result<Batch> {
    let Gift::Offer(parcel) = gift else { return Err(unexpected()) };
    let lease = memory.reserve(parcel.bytes.saturating_add(parcel.packed)).await;
    lane.wish(&Wish::Take, &[]).await?;
    match lane.gift().await? {
        (Gift::Batch, packed) => unpack(*parcel, packed, lease).await,
        _ => Err(unexpected()),
    }
}
