//! Serves the requests of one lane: reads chunks and writes batches.

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::service::AgentService;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Chunk, TablePlan};
use crate::remote::BatchFrame;
use crate::remote::frame::{FrameReader, FrameWriter, json_body};
use crate::remote::message::{EndpointRole, LaneRequest, LaneResponse};

/// The intended size of a batch on a lane, in bytes. Small batches keep the network busy from the start to the end.
const BATCH_BYTES: usize = 4 << 20;

/// Why a request failed.
enum RequestError {
    /// The operation failed; the lane sends the error.
    Operation(Error),
    /// The lane itself failed.
    Lane(Error),
}

/// Serves requests one after the other until the lane closes.
pub(super) async fn serve_lane(stream: UnixStream, service: &AgentService) -> Result<()> {
    let (input, output) = stream.into_split();
    let (mut reader, mut writer) = (FrameReader::new(input), FrameWriter::new(output));
    while let Some(request) = reader.read_head::<LaneRequest>().await? {
        let outcome = match request {
            LaneRequest::Read { role, table, chunk } => {
                reader.read_body().await?;
                read_chunk(service, (role, &table, &chunk), &mut reader, &mut writer).await
            }
            LaneRequest::Write { table, batch } => write_batch(service, &table, batch, &mut reader, &mut writer).await,
            LaneRequest::Accept => {
                Err(RequestError::Lane(Error::new(ErrorKind::Internal, "no batch was offered on this lane")))
            }
        };
        match outcome {
            Ok(()) => {}
            Err(RequestError::Operation(error)) => writer.send(&LaneResponse::Failed, &json_body(&error)).await?,
            Err(RequestError::Lane(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Sends the batches of a chunk.
async fn read_chunk(
    service: &AgentService,
    (role, table, chunk): (EndpointRole, &TablePlan, &Chunk),
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
) -> Result<(), RequestError> {
    let memory = service.memory().with_max_batch_bytes(BATCH_BYTES);
    let (source, sink);
    let batches = match role {
        EndpointRole::Source => {
            source = service.source().map_err(RequestError::Operation)?;
            source.read(table, chunk, &memory).await
        }
        EndpointRole::Sink => {
            sink = service.sink().map_err(RequestError::Operation)?;
            sink.read_back(table, chunk, &memory).await
        }
    };
    let mut batches = batches.map_err(RequestError::Operation)?;
    let (sender, mut compressed) = mpsc::channel(1);
    // Read and compress the next batch while one is sent. Only compressed batches wait.
    let compress = async move {
        while let Some(batch) = batches.next().await {
            let next = match batch {
                Ok(batch) => BatchFrame::compress(&batch).await,
                Err(error) => Err(error),
            };
            if sender.send(next).await.is_err() {
                break;
            }
        }
        drop(sender);
        std::future::pending().await
    };
    let send = async {
        while let Some(next) = compressed.recv().await {
            let (frame, body) = next.map_err(RequestError::Operation)?;
            send_batch(frame, body, reader, writer).await.map_err(RequestError::Lane)?;
        }
        writer.send(&LaneResponse::EndOfChunk, &[]).await.map_err(RequestError::Lane)
    };
    tokio::select! {
        sent = send => sent,
        never = compress => never,
    }
}

/// Offers a batch, and sends it when it is accepted.
async fn send_batch(frame: BatchFrame, body: Bytes, reader: &mut FrameReader, writer: &mut FrameWriter) -> Result<()> {
    writer.send(&LaneResponse::Offer(frame), &[]).await?;
    match reader.read_frame::<LaneRequest>().await? {
        Some((LaneRequest::Accept, _)) => writer.send(&LaneResponse::Batch, &body).await,
        _ => Err(Error::new(ErrorKind::Connection, "the offered batch was not accepted")),
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
