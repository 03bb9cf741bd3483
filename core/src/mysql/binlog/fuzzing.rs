//! The fuzz target of a binary log.

use futures::FutureExt as _;

use super::byte_cursor::ByteCursor;
use super::event::{Checksum, Event, HEADER_LENGTH, kind};
use super::log_place::LogPlace;
use super::log_reader::{LogReader, UnknownTables};
use super::payload_reader::PayloadReader;
use crate::catalog::{Catalog, Flavor, Server, Table};
use crate::change::LogPosition;
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::plan::{Plan, Position, SelectedTable, Selection, SnapshotMethod};

/// The bytes of a compressed transaction that arrive at once.
const PART_LENGTH: usize = 100;

/// The columns of the followed table `own.t`, for both families.
const COLUMNS: [(&str, &str); 23] = [
    ("id", "int"),
    ("tiny", "tinyint unsigned"),
    ("medium", "mediumint"),
    ("big", "bigint unsigned"),
    ("price", "decimal(30,10)"),
    ("single", "float"),
    ("real_number", "double"),
    ("bits", "bit(13)"),
    ("year_only", "year"),
    ("day", "date"),
    ("day_time", "datetime(6)"),
    ("moment", "timestamp(3)"),
    ("duration", "time(2)"),
    ("letters", "char(10)"),
    ("text_value", "varchar(300)"),
    ("bytes", "varbinary(20)"),
    ("padded", "binary(8)"),
    ("long_text", "mediumtext"),
    ("raw", "blob"),
    ("color", "enum('red','green')"),
    ("flags", "set('a','b','c')"),
    ("shape", "geometry"),
    ("document", "json"),
];

fn plan(flavor: Flavor, filter: Option<&str>) -> Plan {
    let json = if flavor == Flavor::MySql { "json" } else { "longtext" };
    let columns = COLUMNS.map(|(name, kind)| (name, if kind == "json" { json } else { kind }));
    let version = if flavor == Flavor::MySql { "9.7.4" } else { "10.11.19-MariaDB" };
    let mut catalog = Catalog::from_tables(vec![Table::define("t", columns, &["id".to_owned()])]);
    catalog.server = Server::new(flavor, version);
    let tables = vec![SelectedTable { name: "t".into(), filter: filter.map(str::to_owned) }];
    let selection = Selection { tables, rows: true, ..Selection::default() };
    Plan::from_selection(&catalog, &selection, Position::unknown(SnapshotMethod::GlobalReadLock))
}

/// Reads a log of these events, up to the first error. The first byte chooses the family, and whether the table has a filter.
/// For each event follow its kind, the length of its body in two bytes, and the body.
pub(in crate::mysql) fn log_events(data: &[u8]) {
    let _ = count_changes(data);
}

/// The number of changes in the log; `None` if it is malformed, or a reader waits for memory that nobody gives back.
fn count_changes(data: &[u8]) -> Option<usize> {
    let (choice, data) = data.split_first()?;
    let flavor = if choice & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb };
    let plan = plan(flavor, (choice & 2 != 0).then_some("id % 2 = 0 AND tiny IS NOT NULL"));
    let memory = MemoryBudget::new(16 << 20, 1);
    let from = LogPosition::default();
    let place = LogPlace { server: String::new(), file: "b.1".into(), offset: 4, gtids: None };
    let mut reader = LogReader::new(&plan, &memory, UnknownTables::Refused, &from, place, None).ok()?;
    let (mut data, mut position, mut count) = (ByteCursor(data), 4, 0);
    while !data.is_empty() {
        let (kind, length) = (data.byte()?, data.length(2)?);
        position += 100;
        let bytes = event_bytes(kind, data.take(length)?, position)?;
        let event = Event::parse(&bytes, Checksum::None).ok()?;
        if event.kind == kind::TRANSACTION_PAYLOAD {
            let mut payload = PayloadReader::open(&bytes, Checksum::None)?;
            reader.pass_payload(payload.log_position);
            for part in bytes.chunks(PART_LENGTH) {
                payload.feed(part).ok()?;
                read_payload(&mut payload, &mut reader, &memory)?;
            }
            payload.finish().ok()?;
            read_payload(&mut payload, &mut reader, &memory)?;
        } else {
            read(&mut reader, &memory, event)?.ok()?;
        }
        count += reader.events.len();
        reader.events.clear();
    }
    Some(count)
}

fn read_payload(payload: &mut PayloadReader, reader: &mut LogReader<'_>, memory: &MemoryBudget) -> Option<()> {
    while let Some(inner) = payload.next_event().ok()? {
        let event = reader.parse_inner(&inner).ok()?;
        read(reader, memory, event)?.ok()?;
    }
    Some(())
}

fn read(reader: &mut LogReader<'_>, memory: &MemoryBudget, event: Event<'_>) -> Option<Result<()>> {
    let lease = memory.reserve(0).now_or_never()?;
    reader.read(event, lease).now_or_never()
}

/// The bytes of an event without a checksum.
fn event_bytes(kind: u8, body: &[u8], position: u32) -> Option<Vec<u8>> {
    let length = u32::try_from(HEADER_LENGTH + body.len()).ok()?;
    let mut bytes =
        [&1_700_000_000_u32.to_le_bytes()[..], &[kind], &7_u32.to_le_bytes(), &length.to_le_bytes()].concat();
    bytes.extend_from_slice(&position.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(body);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Seeds that were refused at their first event would lead a fuzzer nowhere.
    #[test]
    fn the_seeds_are_whole_logs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/log_events");
        let seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(seeds.len() >= 15, "{seeds:?}");
        for seed in seeds {
            let count = count_changes(&fs::read(&seed).unwrap());
            assert!(count.is_some_and(|count| count >= 3), "{}: {count:?}", seed.display());
        }
    }
}
