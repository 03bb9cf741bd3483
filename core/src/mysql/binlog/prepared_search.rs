//! Searches the log of a server for the XA PREPARE of transactions that are prepared now.

use std::collections::BTreeSet;

use super::event::{Checksum, Event, kind};
use super::log_packets::{LogPacket, LogPackets};
use super::open_log::{OpenLog, open_log};
use super::query_event::QueryEvent;
use super::statement::xa_name;
use crate::catalog::Flavor;
use crate::change::LogPosition;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::connect::{Conn, ServerAddress};
use crate::mysql::connection_registry::ConnectionRegistry;
use crate::mysql::ddl::quote_text;
use crate::mysql::{log_position, session};
use crate::plan::SnapshotMethod;

/// The position of the first event of a file.
const FILE_START: u64 = 4;
/// How much of the log is read at most, but for the last file.
const MAX_BYTES: u64 = 4 << 30;
/// The memory for the largest packets.
const MEMORY: u64 = 64 << 20;

/// Returns a place in the log before the XA PREPARE of all transactions of these names, as the log writes them; `None` if it
/// does not have them all. Reads the files of the log from the last one back.
pub(in crate::mysql) async fn find_prepared(
    address: &ServerAddress,
    connections: &ConnectionRegistry,
    mut names: BTreeSet<String>,
) -> Result<Option<LogPosition>> {
    let mut conn = session::open_control(address).await?;
    let end = log_position::read_position(&mut conn, SnapshotMethod::None).await?.log_position().unwrap_or_default();
    let files = conn.rows("SHOW BINARY LOGS").await?;
    let memory = MemoryBudget::new(MEMORY, 1);
    let mut bytes = 0;
    for row in files.iter().rev() {
        bytes += row.number(1);
        if bytes > MAX_BYTES && row.string(0) != end.file {
            break;
        }
        let (server, file) = (end.server.clone(), row.string(0));
        let start = LogPosition { server, file, offset: FILE_START, ..LogPosition::default() };
        let log = connections.register(session::open_log_reader(address).await?).await?;
        read_file(log, &start, &end, &memory, &mut names).await?;
        if names.is_empty() {
            let gtids = start_gtids(&mut conn, &start.file).await?;
            return Ok(Some(LogPosition { gtids, ..start }));
        }
    }
    Ok(None)
}

/// The GTIDs before the first event of a file.
async fn start_gtids(conn: &mut Conn, file: &str) -> Result<Option<String>> {
    let file = quote_text(file);
    match conn.server.flavor {
        Flavor::MariaDb => {
            let row = conn.row(&format!("SELECT BINLOG_GTID_POS({file}, {FILE_START})")).await?;
            // Before its first transaction a server has no GTID from which it could be asked for the log.
            Ok(row.and_then(|row| row.text(0)).filter(|gtids| !gtids.is_empty()))
        }
        Flavor::MySql => {
            let events = conn.rows(&format!("SHOW BINLOG EVENTS IN {file} LIMIT 2")).await?;
            Ok(events.iter().find(|row| row.string(2) == "Previous_gtids").map(|row| row.string(5)))
        }
    }
}

/// Removes the names of the transactions that the file prepares.
async fn read_file(
    conn: Conn,
    start: &LogPosition,
    end: &LogPosition,
    memory: &MemoryBudget,
    names: &mut BTreeSet<String>,
) -> Result<()> {
    let malformed = || {
        let message = "an event of the binary log makes no sense";
        Error::new(ErrorKind::Connection, message).with("file", &start.file)
    };
    let OpenLog { conn, mut place } = open_log(conn, start).await?;
    let mut packets = LogPackets::new(conn, start);
    let (mut checksum, mut name) = (Checksum::Crc32, String::new());
    // On a server that is written to, the log has no end.
    while packets.is_in_payload() || !place.position().has_reached(end) {
        let mut lease = memory.reserve(0).await;
        match packets.next(checksum, &mut lease).await? {
            LogPacket::Event(bytes) => {
                let event = Event::parse(bytes, checksum).map_err(|_| malformed())?;
                if !event.is_artificial() {
                    place.advance(event.log_position);
                }
                match event.kind {
                    kind::FORMAT_DESCRIPTION => checksum = event.format_checksum().ok_or_else(malformed)?,
                    // The first one names this file.
                    kind::ROTATE if event.body.get(8..) != Some(place.file.as_bytes()) => return Ok(()),
                    // The server has nothing more to send.
                    kind::HEARTBEAT | kind::HEARTBEAT_V2 => return Ok(()),
                    _ => read_event(event, &mut name, names),
                }
            }
            LogPacket::Payload(log_position) => place.advance(log_position),
            LogPacket::Inner(bytes) => {
                read_event(Event::parse(&bytes, Checksum::None).map_err(|_| malformed())?, &mut name, names);
            }
            LogPacket::Unreadable(_) => return Err(malformed()),
            LogPacket::End => return Ok(()),
        }
    }
    Ok(())
}

fn read_event(event: Event<'_>, name: &mut String, names: &mut BTreeSet<String>) {
    match event.kind {
        kind::QUERY => {
            let sql = QueryEvent::parse(event.body, 0).and_then(|query| query.text());
            if let Some(sql) = sql.filter(|sql| sql.starts_with("XA ")) {
                *name = xa_name(&sql);
            }
        }
        // Its first byte says whether it commits in one phase.
        kind::XA_PREPARE if event.body.first() == Some(&0) => {
            names.remove(name.as_str());
        }
        _ => {}
    }
}
