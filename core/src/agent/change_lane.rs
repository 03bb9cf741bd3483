//! Serves the requests of a lane that read the changes of the source or apply transactions to the sink.

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::offers::{Offer, RequestError, send_offers};
use super::service::AgentService;
use crate::change::{LogEvent, LogPosition};
use crate::change_applier::TargetTransaction;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryLease;
use crate::plan::Plan;
use crate::remote::frame::{FrameReader, FrameWriter};
use crate::remote::message::{LaneResponse, TransactionPart};
use crate::remote::{ChangeFrame, LANE_BATCH_BYTES};
use crate::source::ChangeStream;

/// The bytes that an event takes apart from its rows.
const EVENT_BYTES: usize = 256;

/// Sends the changes of the source after a position, until the lane closes.
pub(super) async fn read_changes(
    service: &AgentService,
    (plan, from): (&Plan, &LogPosition),
    frame_bytes: usize,
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
) -> Result<(), RequestError> {
    let source = service.source().map_err(RequestError::Operation)?;
    let memory = service.memory();
    let changes = source.changes(plan, from, &memory).await.map_err(RequestError::Operation)?;
    let (sender, offers) = mpsc::channel(1);
    // The events of a frame keep their memory until the frame is compressed.
    let limit = frame_bytes.min(LANE_BATCH_BYTES).min(memory.batch_bytes() / 2).max(1);
    send_offers(collect_frames(changes, limit, sender), offers, reader, writer).await
}

/// Collects events into frames. A frame ends at its size, or when the lane can take it and no further event has arrived.
async fn collect_frames(mut changes: ChangeStream<'_>, limit: usize, sender: mpsc::Sender<Result<Offer>>) {
    loop {
        let (mut events, mut bytes, mut end) = (Vec::new(), 0, None);
        let permit = loop {
            tokio::select! {
                biased;
                event = changes.next(), if bytes < limit && end.is_none() => match event {
                    Some(Ok(event)) => {
                        bytes += event_bytes(&event);
                        events.push(event);
                    }
                    Some(Err(error)) => end = Some(Some(error)),
                    None => end = Some(None),
                },
                permit = sender.reserve(), if !events.is_empty() || end.is_some() => break permit,
            }
        };
        // The lane is closed.
        let Ok(permit) = permit else { return };
        match (events.is_empty(), end) {
            (true, None | Some(None)) => return,
            (true, Some(Some(error))) => return permit.send(Err(error)),
            (false, end) => {
                permit.send(ChangeFrame::compress(events, None).await.map(|(frame, body)| offer(frame, body)));
                if let Some(Some(error)) = end {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
    }
}

fn offer(frame: ChangeFrame, body: Bytes) -> Offer {
    (LaneResponse::OfferChanges(frame), body)
}

fn event_bytes(event: &LogEvent) -> usize {
    EVENT_BYTES
        + match event {
            LogEvent::Rows(changes) => changes.text_bytes(),
            LogEvent::Commit { end, .. } | LogEvent::Idle { end, .. } => end.gtids.as_ref().map_or(0, String::len),
            _ => 0,
        }
}

/// Applies a part of a transaction, and commits it if the part has a checkpoint. An error undoes the transaction.
pub(super) async fn apply_part(
    service: &AgentService,
    open: &mut Option<Box<dyn TargetTransaction>>,
    part: TransactionPart,
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
) -> Result<(), RequestError> {
    // Read the body when memory is available; until then it waits in the network.
    let lease = part.changes.reserve(&service.memory()).await;
    let body = reader.read_body().await.map_err(RequestError::Lane)?;
    if let Err(error) = apply(service, open, part, body, lease).await {
        roll_back(open).await;
        return Err(RequestError::Operation(error));
    }
    writer.send(&LaneResponse::Applied, &[]).await.map_err(RequestError::Lane)
}

async fn apply(
    service: &AgentService,
    open: &mut Option<Box<dyn TargetTransaction>>,
    part: TransactionPart,
    body: Bytes,
    lease: MemoryLease,
) -> Result<()> {
    let (events, checkpoint) = part.changes.decompress(body, lease).await?;
    let mut transaction = match open.take() {
        Some(transaction) => transaction,
        None => service.applier()?.begin(part.session, part.applier, part.is_careful).await?,
    };
    for event in &events {
        let applied = match event {
            LogEvent::Rows(changes) => transaction.apply(changes).await,
            _ => Err(Error::new(ErrorKind::Internal, "a transaction has something that is no change of rows")),
        };
        if let Err(error) = applied {
            transaction.rollback().await;
            return Err(error);
        }
    }
    match checkpoint {
        Some(checkpoint) => transaction.commit(&checkpoint).await,
        None => {
            *open = Some(transaction);
            Ok(())
        }
    }
}

/// Undoes the open transaction, if there is one.
pub(super) async fn roll_back(open: &mut Option<Box<dyn TargetTransaction>>) {
    if let Some(transaction) = open.take() {
        transaction.rollback().await;
    }
}
