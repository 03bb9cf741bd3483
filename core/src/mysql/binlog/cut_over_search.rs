//! Searches the log of a server for the last cut-over that made a database of it the source: for the lines of its journal.

use std::collections::HashMap;

use super::byte_cursor::ByteCursor;
use super::compressed_value::decompress_event;
use super::event::{Checksum, Event, kind};
use super::log_packets::{LogPacket, LogPackets};
use super::log_place::LogPlace;
use super::open_log::{OpenLog, open_log};
use super::rows_event::{RowsEvent, holds_rows};
use super::table_map::{LoggedTable, TableMap};
use crate::batch::BatchId;
use crate::catalog::Table;
use crate::change::LogPosition;
use crate::checkpoint::CutOver;
use crate::codec::split_rows;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::mysql::connect::{Conn, ServerAddress};
use crate::mysql::connection_registry::ConnectionRegistry;
use crate::mysql::journal::{self, JobLine, LoggedJournal};
use crate::mysql::{log_position, session};
use crate::plan::SnapshotMethod;

/// The position of the first event of a file.
const FILE_START: u64 = 4;
/// The memory for the largest packets.
const MEMORY: u64 = 64 << 20;

/// Returns the last cut-over that has ended, with the job as it was recorded then. Reads the files of the log from the last
/// one on, each over a connection of its own.
pub(in crate::mysql) async fn find_cut_over(
    address: &ServerAddress,
    connections: &ConnectionRegistry,
    database: &str,
) -> Result<Option<(JobLine, CutOver)>> {
    let mut conn = session::open_control(address).await?;
    let end = log_position::read_position(&mut conn, SnapshotMethod::None).await?.log_position().unwrap_or_default();
    let files = conn.column("SHOW BINARY LOGS", "Log_name").await?;
    let memory = MemoryBudget::new(MEMORY, 1);
    for file in files.into_iter().flatten().rev() {
        let start = LogPosition { server: end.server.clone(), file, offset: FILE_START, ..LogPosition::default() };
        let log = connections.register(session::open_log_reader(address).await?).await?;
        let found = JournalSearch::new(database).read_file(log, &start, &end, &memory).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The search in one file.
struct JournalSearch<'a> {
    database: &'a str,
    table: Table,
    checksum: Checksum,
    /// The maps of the journal, by their numbers.
    maps: HashMap<u64, LoggedTable>,
    journal: LoggedJournal,
}

impl<'a> JournalSearch<'a> {
    fn new(database: &'a str) -> Self {
        let (maps, journal) = Default::default();
        Self { database, table: journal::logged_table(), checksum: Checksum::Crc32, maps, journal }
    }

    async fn read_file(
        mut self,
        conn: Conn,
        start: &LogPosition,
        end: &LogPosition,
        memory: &MemoryBudget,
    ) -> Result<Option<(JobLine, CutOver)>> {
        let OpenLog { conn, mut place } = open_log(conn, start).await?;
        let mut packets = LogPackets::new(conn, start);
        loop {
            let mut lease = memory.reserve(0).await;
            let is_over = match packets.next(self.checksum, &mut lease).await? {
                LogPacket::Event(event) => self.read_event(event, &mut place),
                LogPacket::Payload(log_position) => {
                    place.advance(log_position);
                    Some(false)
                }
                LogPacket::Inner(event) => {
                    let event = Event::parse(&event, Checksum::None).ok();
                    event.and_then(|event| self.read_rows(event)).map(|()| false)
                }
                LogPacket::Unreadable(_) => None,
                LogPacket::End => Some(true),
            };
            match is_over {
                // On a server that is written to, the log has no end.
                Some(false) if packets.is_in_payload() || !place.position().has_reached(end) => {}
                Some(_) => return Ok(self.journal.into_ended()),
                None => {
                    let message = "an event of the binary log makes no sense";
                    return Err(Error::new(ErrorKind::Connection, message).with("file", &start.file));
                }
            }
        }
    }

    /// Reads an event. Returns whether the file is over; `None` if the event is malformed.
    fn read_event(&mut self, bytes: &[u8], place: &mut LogPlace) -> Option<bool> {
        let event = Event::parse(bytes, self.checksum).ok()?;
        if !event.is_artificial() {
            place.advance(event.log_position);
        }
        match event.kind {
            kind::FORMAT_DESCRIPTION => self.checksum = event.format_checksum()?,
            // The first one names this file.
            kind::ROTATE => {
                let mut rest = ByteCursor(event.body);
                rest.take(8)?;
                return Some(rest.0 != place.file.as_bytes());
            }
            // The server has nothing more to send.
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => return Some(true),
            _ => self.read_rows(event)?,
        }
        Some(false)
    }

    fn read_rows(&mut self, event: Event<'_>) -> Option<()> {
        if event.kind == kind::TABLE_MAP {
            // A map that cannot be read is of another table.
            let Some(map) = TableMap::parse(event.body) else { return Some(()) };
            let is_journal = map.database == self.database.as_bytes() && map.table == self.table.name.as_bytes();
            match LoggedTable::match_columns(0, &self.table, &map).ok().filter(|_| is_journal) {
                Some(table) => self.maps.insert(map.id, table),
                None => self.maps.remove(&map.id),
            };
        } else if holds_rows(event.kind) {
            let rows = RowsEvent::parse(event.kind, event.body)?;
            let Some(table) = self.maps.get(&rows.table) else { return Some(()) };
            let decompressed = match rows.is_compressed {
                true => Some(decompress_event(rows.rows)?),
                false => None,
            };
            let (_, _, after) = rows.write(decompressed.as_deref().unwrap_or(rows.rows), table).ok()?;
            if let Some(after) = after {
                let batch = after.text.finish(BatchId { table: 0, chunk: 0, batch: 0 });
                split_rows(&batch.data).for_each(|row| self.journal.add(row));
            }
        }
        Some(())
    }
}
