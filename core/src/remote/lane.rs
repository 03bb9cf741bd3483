//! A stream of rows to or from an agent, on a connection of its own: one that is not read holds up nobody else.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::launch::Launched;
use super::message::{Door, Gift, Order, Wish};
use super::wire::{Reader, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::{RemoteProcess, SshSession};

/// A lane. It does one thing at a time; dropping it ends what it does.
pub(super) struct Lane {
    writer: Writer,
    reader: Reader,
    /// These end with the lane.
    _process: RemoteProcess,
    _session: SshSession,
}

impl Lane {
    /// Lets a process that was launched carry a lane to the agent behind the door.
    pub(super) async fn open(launched: Launched, door: Door) -> Result<Self> {
        let Launched { session, mut process } = launched;
        let mut writer = Writer::new(std::mem::replace(&mut process.stdin, Box::new(tokio::io::sink())));
        let reader = Reader::new(std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty())));
        writer.send(&Order::Join(door), &[]).await?;
        Ok(Self { writer, reader, _process: process, _session: session })
    }

    /// Asks for something.
    pub(super) async fn wish(&mut self, wish: &Wish, body: &[u8]) -> Result<()> {
        self.writer.send(wish, body).await
    }

    /// What is given next; the error that the agent tells.
    pub(super) async fn gift(&mut self) -> Result<(Gift, Bytes)> {
        let frame = self.reader.frame::<Gift>().await?;
        match frame {
            Some((Gift::Failed, body)) => Err(parsed::<Error>(&body)?),
            Some(frame) => Ok(frame),
            None => Err(Error::new(ErrorKind::Connection, "the agent closed a stream of rows").retryable()),
        }
    }
}

pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| unexpected().caused_by(error))
}

/// The agent gave something that was not asked for.
pub(super) fn unexpected() -> Error {
    Error::new(ErrorKind::Internal, "the agent gave something that was not asked for")
}
