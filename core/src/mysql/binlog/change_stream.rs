//! Reads the packets of a log as a stream of changes.

use futures::{StreamExt as _, stream};

use super::event::kind;
use super::log_reader::{LogReader, UnknownTables};
use super::open_log::{OpenLog, explain_error, open_log};
use super::payload_reader::PayloadReader;
use crate::change::{LogEvent, LogPosition};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::connect::{Conn, server_error};
use crate::plan::Plan;
use crate::source::ChangeStream;

/// A log that is being read.
struct ChangeReader<'a> {
    conn: Conn,
    reader: LogReader<'a>,
    memory: &'a MemoryBudget,
    /// Where the log was opened.
    start: &'a LogPosition,
    /// The compressed transaction whose events are next.
    payload: Option<PayloadReader>,
}

/// Streams the changes of the plan's tables after `from`.
pub(in crate::mysql) async fn open_changes<'a>(
    conn: Conn,
    plan: &'a Plan,
    from: &'a LogPosition,
    memory: &'a MemoryBudget,
    unknown_tables: UnknownTables,
) -> Result<ChangeStream<'a>> {
    let start = from.prepared_since.as_deref().unwrap_or(from);
    let OpenLog { conn, place } = open_log(conn, start).await?;
    let reader = LogReader::new(plan, memory, unknown_tables, from, place)?;
    let changes = ChangeReader { conn, reader, memory, start, payload: None };
    let changes = stream::try_unfold(changes, |mut changes| async {
        let event = changes.next().await?;
        Ok(Some((event, changes)))
    });
    Ok(changes.boxed())
}

impl ChangeReader<'_> {
    async fn next(&mut self) -> Result<LogEvent> {
        loop {
            if let Some(event) = self.reader.events.pop_front() {
                return Ok(event);
            }
            match &mut self.payload {
                Some(payload) => {
                    let event = payload.next_event().map_err(|()| self.reader.malformed("compressed"))?;
                    match event {
                        Some(bytes) => {
                            let event = self.reader.parse_inner(&bytes)?;
                            self.reader.read(event, self.memory.reserve(0).await).await?;
                        }
                        None => self.payload = None,
                    }
                }
                None => self.read_packet().await?,
            }
        }
    }

    async fn read_packet(&mut self) -> Result<()> {
        let mut lease = self.memory.reserve(0).await;
        let packet = self.conn.stream.read_packet_with_lease(Some((&mut lease, 0))).await?;
        let event = match packet.split_first() {
            Some((0, event)) => self.reader.parse(event)?,
            Some((0xFE, _)) => {
                let message =
                    "the server ended its binary log: it shuts down, or another replica has the same server ID";
                return Err(self.reader.locate(Error::new(ErrorKind::Connection, message).retryable()));
            }
            _ => return Err(explain_error(server_error(packet), self.start)),
        };
        if event.kind == kind::TRANSACTION_PAYLOAD {
            self.reader.pass_payload(event.log_position);
            // A transaction that held more of the budget could wait for what its own rows need.
            lease.grow(event.body.len().min(self.memory.batch_bytes())).await;
            lease.shrink(self.memory.batch_bytes());
            let payload = PayloadReader::open(event.body, lease);
            self.payload = Some(payload.ok_or_else(|| self.reader.malformed("compressed"))?);
        } else {
            self.reader.read(event, lease).await?;
        }
        // From the first packet on, the server sends another one each second.
        self.conn.stream.expect_heartbeats();
        Ok(())
    }
}
