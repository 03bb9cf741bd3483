//! Reads the events of a log as a stream of changes.

use futures::{StreamExt as _, stream};

use super::log_packets::{LogPacket, LogPackets};
use super::log_reader::{LogReader, UnknownTables};
use super::open_log::{OpenLog, open_log};
use crate::change::{LogEvent, LogPosition};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::connect::Conn;
use crate::plan::Plan;
use crate::source::ChangeStream;

/// A log that is being read.
struct ChangeReader<'a> {
    packets: LogPackets<'a>,
    reader: LogReader<'a>,
    memory: &'a MemoryBudget,
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
    let changes = ChangeReader { packets: LogPackets::new(conn, start), reader, memory };
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
            let mut lease = self.memory.reserve(0).await;
            match self.packets.next(self.reader.checksum, &mut lease).await? {
                LogPacket::Event(bytes) => {
                    let event = self.reader.parse(bytes)?;
                    self.reader.read(event, lease).await?;
                }
                LogPacket::Payload(log_position) => self.reader.pass_payload(log_position),
                LogPacket::Inner(bytes) => {
                    let event = self.reader.parse_inner(&bytes)?;
                    self.reader.read(event, lease).await?;
                }
                LogPacket::Unreadable(error) => return Err(self.reader.unreadable(error)),
                LogPacket::End => {
                    let message =
                        "the server ended its binary log: it shuts down, or another replica has the same server ID";
                    return Err(self.reader.locate(Error::new(ErrorKind::Connection, message).retryable()));
                }
            }
        }
    }
}
