//! Reads the events of a log from the packets of a connection, and those inside of compressed transactions.

use super::event::{Checksum, EventError, kind};
use super::open_log::explain_error;
use super::payload_reader::PayloadReader;
use crate::change::LogPosition;
use crate::error::Result;
use crate::memory::MemoryLease;
use crate::mysql::connect::{Conn, server_error};

/// The bytes of a packet that say what it is, and where the compressed bytes of a transaction begin.
const START_LENGTH: usize = 256;
/// The place of an event's type in its packet, after a byte that says that it is an event.
const KIND_INDEX: usize = 5;

/// What a log has next.
pub(super) enum LogPacket<'a> {
    Event(&'a [u8]),
    /// A compressed transaction begins, whose events are next. The position in the log file after it.
    Payload(u32),
    /// An event inside of it.
    Inner(Vec<u8>),
    Unreadable(EventError),
    /// The server sends no more.
    End,
}

/// The packets of a log.
pub(super) struct LogPackets<'a> {
    conn: Conn,
    /// Where the log was opened.
    start: &'a LogPosition,
    /// The compressed transaction whose events are next.
    payload: Option<PayloadReader>,
}

impl<'a> LogPackets<'a> {
    pub(super) fn new(conn: Conn, start: &'a LogPosition) -> Self {
        Self { conn, start, payload: None }
    }

    /// Whether further events of a compressed transaction are next.
    pub(super) fn is_in_payload(&self) -> bool {
        self.payload.as_ref().is_some_and(|payload| !payload.is_over())
    }

    /// Reads the next event. The lease grows with a large one.
    pub(super) async fn next(&mut self, checksum: Checksum, lease: &mut MemoryLease) -> Result<LogPacket<'_>> {
        while let Some(payload) = self.payload.as_mut().filter(|payload| !payload.is_over()) {
            let read = match payload.next_event() {
                Ok(Some(event)) => return Ok(LogPacket::Inner(event)),
                Ok(None) => match self.conn.stream.read_part().await? {
                    Some(part) => payload.feed(part),
                    None => payload.finish(),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                return Ok(LogPacket::Unreadable(error));
            }
        }
        self.payload = None;
        let start = self.conn.stream.peek(START_LENGTH).await?;
        if let [0, event @ ..] = start
            && start.get(KIND_INDEX) == Some(&kind::TRANSACTION_PAYLOAD)
        {
            let Some(mut payload) = PayloadReader::open(event, checksum) else {
                return Ok(LogPacket::Unreadable(EventError::Malformed));
            };
            self.conn.stream.expect_heartbeats();
            let part = self.conn.stream.read_part().await?.unwrap_or_default();
            if let Err(error) = payload.feed(part.get(1..).unwrap_or_default()) {
                return Ok(LogPacket::Unreadable(error));
            }
            let log_position = payload.log_position;
            self.payload = Some(payload);
            return Ok(LogPacket::Payload(log_position));
        }
        // From the first packet on, the server sends another one each second.
        self.conn.stream.expect_heartbeats();
        match self.conn.stream.read_packet_with_lease(Some((lease, 0))).await? {
            [0, event @ ..] => Ok(LogPacket::Event(event)),
            [0xFE, ..] => Ok(LogPacket::End),
            packet => Err(explain_error(server_error(packet), self.start)),
        }
    }
}
