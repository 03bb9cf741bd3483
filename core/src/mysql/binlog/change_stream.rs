//! Reads the events of a log as a stream of changes.

use futures::{StreamExt as _, stream};

use super::log_packets::{LogPacket, LogPackets};
use super::log_reader::{LogReader, PreparedNow, UnknownDecision, UnknownTables};
use super::open_log::{OpenLog, open_log};
use super::xa_search::find_commit;
use crate::change::{LogEvent, LogPosition};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::connect::{Conn, ServerAddress};
use crate::mysql::connection_registry::ConnectionRegistry;
use crate::mysql::xa_recover::read_prepared;
use crate::mysql::{log_position, session};
use crate::plan::{Plan, SnapshotMethod};
use crate::source::ChangeStream;

/// A log that is being read.
struct ChangeReader<'a> {
    address: &'a ServerAddress,
    connections: &'a ConnectionRegistry,
    plan: &'a Plan,
    packets: LogPackets<'a>,
    reader: LogReader<'a>,
    memory: &'a MemoryBudget,
}

/// Streams the changes of the plan's tables after `from`.
pub(in crate::mysql) async fn open_changes<'a>(
    (address, connections): (&'a ServerAddress, &'a ConnectionRegistry),
    plan: &'a Plan,
    from: &'a LogPosition,
    memory: &'a MemoryBudget,
    unknown_tables: UnknownTables,
) -> Result<ChangeStream<'a>> {
    let mut conn = connections.register(session::open_log_reader(address).await?).await?;
    let prepared_now = read_prepared_now(&mut conn).await?;
    let start = from.prepared_since.as_deref().unwrap_or(from);
    let OpenLog { conn, place } = open_log(conn, start).await?;
    let reader = LogReader::new(plan, memory, unknown_tables, from, place, prepared_now)?;
    let changes = ChangeReader { address, connections, plan, packets: LogPackets::new(conn, start), reader, memory };
    let changes = stream::try_unfold(changes, |mut changes| async {
        let event = changes.next().await?;
        Ok(Some((event, changes)))
    });
    Ok(changes.boxed())
}

/// Reads what the server has prepared now. `None` if the account may not see it.
async fn read_prepared_now(conn: &mut Conn) -> Result<Option<PreparedNow>> {
    let Some(prepared) = read_prepared(conn).await? else { return Ok(None) };
    let end = log_position::read_position(conn, SnapshotMethod::None).await?.log_position();
    Ok(end.map(|log_end| PreparedNow { names: prepared.into_keys().collect(), log_end }))
}

impl ChangeReader<'_> {
    async fn next(&mut self) -> Result<LogEvent> {
        loop {
            if let Some(decision) = self.reader.unknown_decision.take() {
                self.explain(decision).await?;
            }
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

    /// Decides whether the target is right after an XA COMMIT or XA ROLLBACK of what was not known to be prepared. MariaDB logs
    /// both before the engine does them: a transaction that the log has committed may be prepared again after the server was
    /// killed, and is committed twice then.
    async fn explain(&self, decision: UnknownDecision) -> Result<()> {
        let UnknownDecision { name, is_committed, start, error } = decision;
        match find_commit(self.address, self.connections, &name, &start).await {
            // The log has its rows before, and they were applied.
            Ok(Some(place)) if is_committed && is_after_copy(self.plan, &place) => Ok(()),
            // Its rows were never seen.
            Ok(None) if !is_committed => Ok(()),
            Ok(_) => Err(error),
            Err(lost) if lost.is_retryable() => Err(lost),
            Err(refused) => Err(error.caused_by(refused)),
        }
    }
}

/// Whether a place in the log is known to be after the moments of all tables.
fn is_after_copy(plan: &Plan, place: &LogPosition) -> bool {
    let mut moments = plan.tables.iter().filter_map(|planned| planned.position.as_ref()).chain([&plan.position]);
    moments.all(|moment| {
        let moment = moment.log_position();
        moment.is_some_and(|moment| place.is_of_log(&moment) && place.order() > moment.order())
    })
}
