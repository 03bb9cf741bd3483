//! Events that no server writes are errors and no panics.

use futures::FutureExt as _;

use super::super::event::{Checksum, Event, kind};
use super::super::log_place::LogPlace;
use super::super::log_reader::{LogReader, UnknownTables};
use crate::catalog::{Catalog, Column, Database, Flavor, Server, Table};
use crate::change::{LogEvent, LogPosition};
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::plan::{Plan, Position, SelectedTable, Selection, SnapshotMethod};

/// The plan of a table with columns of several forms.
fn plan() -> Plan {
    let column = |(name, declared): &(&str, &str)| Column {
        name: (*name).to_owned(),
        data_type: declared.split('(').next().unwrap().to_owned(),
        column_type: (*declared).to_owned(),
        charset: None,
        collation: None,
        nullable: true,
        generated: false,
        stored: false,
    };
    let columns = [("i", "int"), ("j", "json"), ("v", "varchar(20)"), ("d", "datetime(6)"), ("n", "decimal(14,4)")];
    let table = Table {
        name: "t".into(),
        engine: "InnoDB".into(),
        columns: columns.iter().map(column).collect(),
        history: false,
        late_timestamps: Vec::new(),
        primary_key: Vec::new(),
        rows_estimate: 0,
        data_bytes: 0,
        index_bytes: 0,
        create: String::new(),
    };
    let text = String::new;
    let database = Database { name: "d".into(), charset: text(), collation: text(), comment: text() };
    let server = Server::new(Flavor::MySql, "9.7.4");
    let catalog = Catalog { server, database, tables: vec![table], definitions: Vec::new() };
    let tables = vec![SelectedTable { name: "t".into(), filter: None }];
    let selection = Selection { tables, rows: true, ..Selection::default() };
    Plan::from_selection(&catalog, &selection, Position::unknown(SnapshotMethod::GlobalReadLock))
}

/// The events of a transaction that inserts a row, without checksums.
fn transaction() -> Vec<(u8, Vec<u8>)> {
    let mut gtid = vec![0];
    gtid.extend_from_slice(&[0x11; 16]);
    gtid.extend_from_slice(&5_u64.to_le_bytes());
    let mut begin = vec![0; 8];
    begin.extend_from_slice(&[1, 0, 0, 14, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    begin.extend_from_slice(b"d\0BEGIN");
    let mut map =
        vec![9, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 1, b't', 0, 5, 3, 245, 15, 18, 246, 6, 4, 20, 0, 6, 14, 4, 31];
    map.extend_from_slice(&[1, 1, 0]);
    let mut row = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 5, 0xFF, 0];
    row.extend_from_slice(&7_i32.to_le_bytes());
    // {"a": [1, "x", true]}
    let json = [0, 1, 0, 27, 0, 11, 0, 1, 0, 2, 12, 0, b'a', 3, 0, 15, 0, 5, 1, 0, 12, 13, 0, 4, 1, 0, 1, b'x'];
    row.extend_from_slice(&u32::try_from(json.len()).unwrap().to_le_bytes());
    row.extend_from_slice(&json);
    row.extend_from_slice(&[2, b'h', b'i', 0x99, 0xB2, 0x86, 0x41, 0x05, 0, 0, 1]);
    row.extend_from_slice(&[0x81, 0x0D, 0xFB, 0x38, 0xD2, 0x04, 0xD2]);
    vec![
        (kind::GTID, gtid),
        (kind::QUERY, begin),
        (kind::TABLE_MAP, map),
        (kind::WRITE_ROWS, row),
        (kind::XID, vec![0; 8]),
    ]
}

/// The bytes of an event without a checksum.
fn event_bytes(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 1, kind, 1, 0, 0, 0];
    bytes.extend_from_slice(&u32::try_from(19 + body.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&[0; 6]);
    bytes.extend_from_slice(body);
    bytes
}

/// Reads events one after the other, up to the first error.
fn read(plan: &Plan, events: &[(u8, Vec<u8>)]) -> Result<Vec<LogEvent>> {
    let memory = MemoryBudget::new(64 << 20, 1);
    let from = LogPosition::default();
    let place = LogPlace { server: String::new(), file: "b.1".into(), offset: 4, gtids: None };
    let mut reader = LogReader::new(plan, &memory, UnknownTables::Refused, &from, place, None)?;
    for (kind, body) in events {
        let bytes = event_bytes(*kind, body);
        let event = Event::parse(&bytes, Checksum::None);
        let Ok(event) = event else { continue };
        let lease = memory.reserve(0).now_or_never().unwrap();
        reader.read(event, lease).now_or_never().expect("there is memory for it")?;
    }
    Ok(reader.events.into())
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

#[test]
fn changed_and_cut_events_are_errors_or_other_values() {
    let (plan, whole) = (plan(), transaction());
    let events = read(&plan, &whole).unwrap();
    let LogEvent::Rows(rows) = &events[1] else { panic!("{events:?}") };
    let text = "7\t{\"a\": [1, \"x\", true]}\thi\t2024-02-03 04:04:05.000001\t1234567890.1234\n";
    assert_eq!(rows.after.as_ref().unwrap().text, text);
    assert_eq!(events.len(), 3);
    let (mut numbers, mut errors) = (Numbers(1), 0);
    for _ in 0..20_000 {
        let mut events = whole.clone();
        let at = numbers.below(events.len());
        let (kind, body) = &mut events[at];
        match numbers.below(8) {
            0 => *kind = numbers.byte(),
            1 => body.truncate(numbers.below(body.len())),
            2 => body.extend((0..numbers.below(40)).map(|at| u8::try_from(at * 7 % 256).unwrap())),
            _ => {
                for _ in 0..=numbers.below(3) {
                    let byte = numbers.below(body.len());
                    body[byte] = numbers.byte();
                }
            }
        }
        errors += usize::from(read(&plan, &events).is_err());
    }
    assert!((2_000..18_000).contains(&errors), "{errors} errors");
}
