//! Searches the log of a server for what happened to XA transactions, from its last file back.

use std::collections::BTreeSet;

use super::event::{Checksum, Event, kind};
use super::log_packets::{LogPacket, LogPackets};
use super::log_place::LogPlace;
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

/// What the log has of an XA transaction.
enum XaEvent<'a> {
    Prepared(&'a str),
    Committed(&'a str),
    RolledBack(&'a str),
}

/// Returns a place in the log before the XA PREPARE of all transactions of these names, as the log writes them; `None` if it
/// does not have them all.
pub(in crate::mysql) async fn find_prepared(
    address: &ServerAddress,
    connections: &ConnectionRegistry,
    mut names: BTreeSet<String>,
) -> Result<Option<LogPosition>> {
    let mut search = XaSearch::open(address, connections).await?;
    while let Some(file) = search.next_file() {
        let end = search.end.clone();
        let mut visit = |event: XaEvent<'_>, _: &LogPlace| {
            if let XaEvent::Prepared(name) = event {
                names.remove(name);
            }
        };
        search.read_file(&file, &end, &mut visit).await?;
        if names.is_empty() {
            let gtids = start_gtids(&mut search.conn, &file.file).await?;
            return Ok(Some(LogPosition { gtids, ..file }));
        }
    }
    Ok(None)
}

/// Returns the place after the XA COMMIT of the transaction of this name, as the log writes it, if that is what the log has of
/// it last before a place; `None` otherwise.
pub(in crate::mysql) async fn find_commit(
    address: &ServerAddress,
    connections: &ConnectionRegistry,
    name: &str,
    before: &LogPosition,
) -> Result<Option<LogPosition>> {
    let mut search = XaSearch::open(address, connections).await?;
    // Later files do not count: a follower may be far behind.
    let start = |file: &str| LogPosition { file: file.to_owned(), offset: FILE_START, ..LogPosition::default() };
    search.files.retain(|(file, _)| start(file).order() < before.order());
    while let Some(file) = search.next_file() {
        let mut last = None;
        let mut visit = |event: XaEvent<'_>, place: &LogPlace| match event {
            XaEvent::Committed(of) if of == name => last = Some(Some(place.position())),
            XaEvent::Prepared(of) | XaEvent::RolledBack(of) if of == name => last = Some(None),
            _ => {}
        };
        search.read_file(&file, before, &mut visit).await?;
        if let Some(last) = last {
            return Ok(last);
        }
    }
    Ok(None)
}

/// The files of a server's log, from the last one back.
struct XaSearch<'a> {
    address: &'a ServerAddress,
    connections: &'a ConnectionRegistry,
    conn: Conn,
    /// The end of the log.
    end: LogPosition,
    /// The files that are not read yet, with their bytes.
    files: Vec<(String, u64)>,
    bytes: u64,
    memory: MemoryBudget,
}

impl<'a> XaSearch<'a> {
    async fn open(address: &'a ServerAddress, connections: &'a ConnectionRegistry) -> Result<Self> {
        let mut conn = session::open_control(address).await?;
        let end =
            log_position::read_position(&mut conn, SnapshotMethod::None).await?.log_position().unwrap_or_default();
        let files = conn.rows("SHOW BINARY LOGS").await?;
        let files = files.iter().map(|row| (row.string(0), row.number(1))).collect();
        Ok(Self { address, connections, conn, end, files, bytes: 0, memory: MemoryBudget::new(MEMORY, 1) })
    }

    /// The start of the next file; `None` after the first one of the log, or after very many bytes.
    fn next_file(&mut self) -> Option<LogPosition> {
        let (file, bytes) = self.files.pop()?;
        self.bytes += bytes;
        if self.bytes > MAX_BYTES && file != self.end.file {
            return None;
        }
        Some(LogPosition { server: self.end.server.clone(), file, offset: FILE_START, ..LogPosition::default() })
    }

    /// Shows what the file has of XA transactions before a place.
    async fn read_file(
        &self,
        start: &LogPosition,
        end: &LogPosition,
        visit: &mut (impl FnMut(XaEvent<'_>, &LogPlace) + Send),
    ) -> Result<()> {
        let malformed = || {
            let message = "an event of the binary log makes no sense";
            Error::new(ErrorKind::Connection, message).with("file", &start.file)
        };
        let log = self.connections.register(session::open_log_reader(self.address).await?).await?;
        let OpenLog { conn, mut place } = open_log(log, start).await?;
        let mut packets = LogPackets::new(conn, start);
        let (mut checksum, mut name) = (Checksum::Crc32, String::new());
        // On a server that is written to, the log has no end.
        while packets.is_in_payload() || !place.position().has_reached(end) {
            let mut lease = self.memory.reserve(0).await;
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
                        _ => read_event(event, &mut name, &place, visit),
                    }
                }
                LogPacket::Payload(log_position) => place.advance(log_position),
                LogPacket::Inner(bytes) => {
                    let event = Event::parse(&bytes, Checksum::None).map_err(|_| malformed())?;
                    read_event(event, &mut name, &place, visit);
                }
                LogPacket::Unreadable(_) => return Err(malformed()),
                LogPacket::End => return Ok(()),
            }
        }
        Ok(())
    }
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

/// Shows an event of an XA transaction. `name` is that of the last statement on one.
fn read_event(event: Event<'_>, name: &mut String, place: &LogPlace, visit: &mut impl FnMut(XaEvent<'_>, &LogPlace)) {
    match event.kind {
        kind::QUERY => {
            let sql = QueryEvent::parse(event.body, 0).and_then(|query| query.text());
            let Some(sql) = sql.filter(|sql| sql.starts_with("XA ")) else { return };
            *name = xa_name(&sql);
            if sql.starts_with("XA COMMIT ") {
                visit(XaEvent::Committed(name), place);
            } else if sql.starts_with("XA ROLLBACK ") {
                visit(XaEvent::RolledBack(name), place);
            }
        }
        // Its first byte says whether it commits in one phase.
        kind::XA_PREPARE if event.body.first() == Some(&0) => visit(XaEvent::Prepared(name), place),
        kind::XA_PREPARE => visit(XaEvent::Committed(name), place),
        _ => {}
    }
}
