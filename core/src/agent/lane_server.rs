//! Serves the requests of one lane: reads chunks and changes, writes batches, applies transactions.

use futures::StreamExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::change_lane::{apply_part, read_changes, roll_back};
use super::coordinator_connection::Attachment;
use super::offers::{Offer, RequestError, send_offers};
use super::service::AgentService;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Chunk, TablePlan};
use crate::remote::frame::{FrameReader, FrameWriter, json_body};
use crate::remote::message::{EndpointRole, LaneRequest, LaneResponse};
use crate::remote::{BatchFrame, LANE_BATCH_BYTES};
use crate::source::BatchStream;

/// Serves requests one after the other until the lane closes, or becomes the control connection, which is returned. An open
/// transaction ends with the lane.
pub(super) async fn serve_lane(stream: UnixStream, service: &AgentService) -> Result<Option<Attachment>> {
    let (input, output) = stream.into_split();
    let (mut reader, mut writer) = (FrameReader::new(input), FrameWriter::new(output));
    let mut open = None;
    while let Some(request) = reader.read_head::<LaneRequest>().await? {
        let outcome = match request {
            LaneRequest::Read { role, table, chunk } => {
                reader.read_body().await?;
                read_chunk(service, (role, table, chunk), &mut reader, &mut writer).await
            }
            LaneRequest::Write { table, batch } => write_batch(service, &table, batch, &mut reader, &mut writer).await,
            LaneRequest::ReadChanges { plan, from, frame_bytes } => {
                reader.read_body().await?;
                read_changes(service, (&plan, &from), frame_bytes, &mut reader, &mut writer).await
            }
            LaneRequest::Apply(part) => apply_part(service, &mut open, part, &mut reader, &mut writer).await,
            LaneRequest::Rollback => {
                reader.read_body().await?;
                roll_back(&mut open).await;
                writer.send(&LaneResponse::Applied, &[]).await.map_err(RequestError::Lane)
            }
            LaneRequest::Attach { attempt, received } => {
                reader.read_body().await?;
                return Ok(Some(Attachment { attempt, received, reader, writer }));
            }
            LaneRequest::Accept => {
                Err(RequestError::Lane(Error::new(ErrorKind::Internal, "nothing was offered on this lane")))
            }
        };
        match outcome {
            Ok(()) => {}
            Err(RequestError::Operation(error)) => writer.send(&LaneResponse::Failed, &json_body(&error)).await?,
            Err(RequestError::Lane(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// Sends the batches of a chunk.
async fn read_chunk(
    service: &AgentService,
    (role, table, chunk): (EndpointRole, TablePlan, Chunk),
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
) -> Result<(), RequestError> {
    let memory = service.memory().with_max_batch_bytes(LANE_BATCH_BYTES);
    let (sender, offers) = mpsc::channel(1);
    match role {
        EndpointRole::Source => {
            let source = service.source().map_err(RequestError::Operation)?;
            // A connection that stops in the middle of a chunk is lost, and with the last one the snapshot. So the chunk is
            // read to its end, also when the lane has closed.
            tokio::spawn(async move {
                let drains = !source.is_repeatable();
                offer_batches(source.read(&table, &chunk, &memory).await, sender, drains).await;
            });
            send_offers(std::future::ready(()), offers, reader, writer).await
        }
        EndpointRole::Sink => {
            let sink = service.sink().map_err(RequestError::Operation)?;
            let offer = async { offer_batches(sink.read_back(&table, &chunk, &memory).await, sender, false).await };
            send_offers(offer, offers, reader, writer).await
        }
    }
}

/// Compresses batches into a queue of offers. When the queue closes, stops, or reads the rest.
async fn offer_batches(batches: Result<BatchStream<'_>>, sender: mpsc::Sender<Result<Offer>>, drains: bool) {
    let mut batches = match batches {
        Ok(batches) => batches,
        Err(error) => return drop(sender.send(Err(error)).await),
    };
    while let Some(batch) = batches.next().await {
        if sender.is_closed() && drains {
            continue;
        }
        let next = match batch {
            Ok(batch) => BatchFrame::compress(&batch).await.map(|(frame, body)| (LaneResponse::Offer(frame), body)),
            Err(error) => Err(error),
        };
        if sender.send(next).await.is_err() && !drains {
            return;
        }
    }
}

/// Receives a batch, writes it to the sink, and sends the receipt.
async fn write_batch(
    service: &AgentService,
    table: &TablePlan,
    frame: BatchFrame,
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
) -> Result<(), RequestError> {
    let sink = service.sink().map_err(RequestError::Operation)?;
    // Read the body when memory is available; until then it waits in the network.
    let lease = service.memory().reserve(frame.memory_bytes()).await;
    let body = reader.read_body().await.map_err(RequestError::Lane)?;
    let batch = frame.decompress(body, lease).await.map_err(RequestError::Operation)?;
    let _permit = service.acquire_load_permit().await;
    let receipt = sink.write(table, batch).await.map_err(RequestError::Operation)?;
    writer.send(&LaneResponse::Receipt, &json_body(&receipt)).await.map_err(RequestError::Lane)
}
