//! A lane: a stream of batches to or from an agent on a connection of its own, so that an unread lane blocks no other
//! stream.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::frame::{FrameReader, FrameWriter};
use super::launch::AgentProcess;
use super::message::{CoordinatorMessage, LaneAddress, LaneRequest, LaneResponse};
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::{RemoteProcess, SshSession};

/// A lane. It serves one request at a time; dropping it cancels the request.
pub(super) struct BatchLane {
    writer: FrameWriter,
    reader: FrameReader,
    /// Dropping these closes the connection.
    _process: RemoteProcess,
    _session: SshSession,
}

impl BatchLane {
    /// Makes a started process relay a lane to the agent at this address.
    pub(super) async fn open(agent: AgentProcess, address: LaneAddress) -> Result<Self> {
        let AgentProcess { session, mut process } = agent;
        let mut writer = FrameWriter::new(std::mem::replace(&mut process.stdin, Box::new(tokio::io::sink())));
        let reader = FrameReader::new(std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty())));
        writer.send(&CoordinatorMessage::JoinLane(address), &[]).await?;
        Ok(Self { writer, reader, _process: process, _session: session })
    }

    /// Sends a request.
    pub(super) async fn send(&mut self, request: &LaneRequest, body: &[u8]) -> Result<()> {
        self.writer.send(request, body).await
    }

    /// Receives the next response and its body.
    ///
    /// # Errors
    /// The error of a `Failed` response; a retryable `Connection` when the agent closed the lane.
    pub(super) async fn receive(&mut self) -> Result<(LaneResponse, Bytes)> {
        match self.reader.read_frame::<LaneResponse>().await? {
            Some((LaneResponse::Failed, body)) => Err(parse_body::<Error>(&body)?),
            Some(frame) => Ok(frame),
            None => Err(Error::new(ErrorKind::Connection, "the agent closed a stream of rows").retryable()),
        }
    }
}

/// Parses the JSON body of a response.
pub(super) fn parse_body<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| unexpected_response().caused_by(error))
}

/// The error for a response that does not match the request.
pub(super) fn unexpected_response() -> Error {
    Error::new(ErrorKind::Internal, "the agent sent a response that does not match the request")
}
