//! A lane: a stream of batches to or from an agent on a connection of its own, so that an unread lane blocks no other
//! stream.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::frame::{FrameReader, FrameWriter};
use super::launch::AgentProcess;
use super::message::{LaneAddress, LaneRequest, LaneResponse, ProcessRole};
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::{RemoteProcess, SshSession};

/// A lane. It serves one request at a time; dropping it cancels the request.
pub(super) struct BatchLane {
    writer: FrameWriter,
    reader: FrameReader,
    /// The agent that serves it.
    pub(super) address: LaneAddress,
    /// Dropping these closes the connection.
    process: RemoteProcess,
    session: SshSession,
}

impl BatchLane {
    /// Makes a started process relay a lane to the agent at this address.
    pub(super) async fn open(agent: AgentProcess, address: LaneAddress) -> Result<Self> {
        let AgentProcess { session, mut process } = agent;
        let mut writer = FrameWriter::new(std::mem::replace(&mut process.stdin, Box::new(tokio::io::sink())));
        let reader = FrameReader::new(std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty())));
        writer.send(&ProcessRole::LaneRelay(address.clone()), &[]).await?;
        Ok(Self { writer, reader, address, process, session })
    }

    /// Returns the streams, and the process that relays them.
    pub(super) fn into_parts(self) -> (FrameReader, FrameWriter, AgentProcess) {
        (self.reader, self.writer, AgentProcess { session: self.session, process: self.process })
    }

    /// The exit code of the process that relays the lane, once it has ended by itself.
    pub(super) async fn exit_code(&mut self) -> Option<u32> {
        self.process.exit_status().await.code
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
        self.receive_outcome().await?
    }

    /// Does the same as [`receive`](Self::receive), and tells the error of a `Failed` response, after which the lane can be
    /// used, from those of the lane.
    pub(super) async fn receive_outcome(&mut self) -> Result<Result<(LaneResponse, Bytes)>> {
        match self.reader.read_frame::<LaneResponse>().await? {
            Some((LaneResponse::Failed, body)) => Ok(Err(parse_body::<Error>(&body)?)),
            Some(frame) => Ok(Ok(frame)),
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
