//! Offers batches or changes on a lane, and sends each offer that is accepted.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::remote::frame::{FrameReader, FrameWriter};
use crate::remote::message::{LaneRequest, LaneResponse};

/// Why a request failed.
pub(super) enum RequestError {
    /// The operation failed; the lane sends the error.
    Operation(Error),
    /// The lane itself failed.
    Lane(Error),
}

/// An offer, and the compressed body that follows when it is accepted.
pub(super) type Offer = (LaneResponse, Bytes);

/// Sends the offers that `produce` puts into the queue, and their end. So the next one is read and compressed while one is
/// sent. Ends when the lane closes.
pub(super) async fn send_offers(
    produce: impl Future<Output = ()>,
    mut offers: mpsc::Receiver<Result<Offer>>,
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
) -> Result<(), RequestError> {
    let produce = async {
        produce.await;
        std::future::pending().await
    };
    let send = async {
        loop {
            let next = tokio::select! {
                next = offers.recv() => next,
                // The coordinator sends nothing before the next offer.
                closed = reader.read_frame::<LaneRequest>() => {
                    return Err(RequestError::Lane(closed.err().unwrap_or_else(not_accepted)));
                }
            };
            let Some(next) = next else { break };
            send_offer(next.map_err(RequestError::Operation)?, reader, writer).await.map_err(RequestError::Lane)?;
        }
        writer.send(&LaneResponse::End, &[]).await.map_err(RequestError::Lane)
    };
    tokio::select! {
        sent = send => sent,
        never = produce => never,
    }
}

async fn send_offer((offer, body): Offer, reader: &mut FrameReader, writer: &mut FrameWriter) -> Result<()> {
    writer.send(&offer, &[]).await?;
    match reader.read_frame::<LaneRequest>().await? {
        Some((LaneRequest::Accept, _)) => writer.send(&LaneResponse::Body, &body).await,
        _ => Err(not_accepted()),
    }
}

fn not_accepted() -> Error {
    Error::new(ErrorKind::Connection, "what was offered was not accepted")
}
