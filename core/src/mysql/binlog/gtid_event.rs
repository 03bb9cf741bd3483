//! Parses the events that begin a transaction and give its GTID.
//! Sources: `Gtid_event` (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Gtid__event.html>),
//! the library of MySQL that serializes its tagged form, and "GTID_EVENT" of MariaDB's replication protocol.

use super::byte_cursor::ByteCursor;
use super::gtid_set::{Gtid, GtidSource};

/// The type code before the logical timestamps.
const LOGICAL_TIMESTAMPS: u8 = 2;
/// The bit in the commit time of this server which says that that of the first server follows.
const HAS_ORIGINAL_TIME: u64 = 1 << 55;
/// The version of the tagged form.
const TAGGED_VERSION: u8 = 2;
const MARIADB_STANDALONE: u8 = 1;
const MARIADB_GROUP_COMMIT: u8 = 2;
const MARIADB_PREPARED_XA: u8 = 64;
const MARIADB_COMPLETED_XA: u8 = 128;
/// The further flags of an ALTER in two parts (`binlog_alter_two_phase`): its begin, and its end without effect.
const MARIADB_START_ALTER: u8 = 2;
const MARIADB_ROLLBACK_ALTER: u8 = 8;

/// The beginning of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GtidEvent {
    /// `None` for an anonymous transaction.
    pub(super) gtid: Option<Gtid>,
    /// When this server committed it, in milliseconds since 1970; `None` if unknown.
    pub(super) committed_at_ms: Option<u64>,
    /// Whether the transaction is one event, without an end.
    pub(super) is_standalone: bool,
    /// Whether MariaDB says that it is an XA transaction.
    pub(super) is_xa: bool,
    /// Whether MariaDB says that its statement, an ALTER, has no effect here: it only begins, or is rolled back. One that takes
    /// effect is in the log again.
    pub(super) is_unfinished: bool,
}

impl GtidEvent {
    /// Parses MySQL's event without a tag. `anonymous` events have no GTID.
    pub(super) fn parse_mysql(body: &[u8], anonymous: bool) -> Option<Self> {
        let mut rest = ByteCursor(body);
        rest.byte()?;
        let source = GtidSource { uuid: rest.array()?, tag: String::new() };
        let number = rest.little_endian(8)?;
        let mut committed_at_ms = None;
        if rest.byte() == Some(LOGICAL_TIMESTAMPS) {
            rest.take(16)?;
            committed_at_ms = rest.little_endian(7).map(|micros| (micros & !HAS_ORIGINAL_TIME) / 1000);
        }
        let gtid = (!anonymous).then_some(Gtid::MySql { source, number });
        Some(Self { gtid, committed_at_ms, is_standalone: false, is_xa: false, is_unfinished: false })
    }

    /// Parses MySQL's event with a tag: numbered fields of variable length.
    pub(super) fn parse_tagged(body: &[u8]) -> Option<Self> {
        let mut rest = ByteCursor(body);
        if rest.byte()? != TAGGED_VERSION {
            return None;
        }
        let length = usize::try_from(serialized_integer(&mut rest)?).ok()?;
        // The length counts the bytes before it and itself too.
        let mut fields = ByteCursor(body.get(body.len() - rest.len()..length)?);
        let last_required = serialized_integer(&mut fields)?;
        let mut source = GtidSource { uuid: [0; 16], tag: String::new() };
        let (mut number, mut committed_at_ms) = (0, None);
        while !fields.is_empty() {
            match serialized_integer(&mut fields)? {
                1 => {
                    for byte in &mut source.uuid {
                        *byte = u8::try_from(serialized_integer(&mut fields)?).ok()?;
                    }
                }
                // A signed number, with its sign in the lowest bit.
                2 => number = serialized_integer(&mut fields)? >> 1,
                3 => {
                    let length = usize::try_from(serialized_integer(&mut fields)?).ok()?;
                    source.tag = String::from_utf8(fields.take(length)?.to_vec()).ok()?;
                }
                6 => committed_at_ms = Some(serialized_integer(&mut fields)? / 1000),
                0 | 4 | 5 | 7..=11 => drop(serialized_integer(&mut fields)?),
                // The length of an unknown field is unknown too.
                unknown if unknown > last_required => break,
                _ => return None,
            }
        }
        let gtid = Some(Gtid::MySql { source, number });
        Some(Self { gtid, committed_at_ms, is_standalone: false, is_xa: false, is_unfinished: false })
    }

    /// Parses MariaDB's event.
    pub(super) fn parse_mariadb(body: &[u8], server_id: u32) -> Option<Self> {
        let mut rest = ByteCursor(body);
        let (number, domain, flags) = (rest.little_endian(8)?, rest.u32()?, rest.byte()?);
        let gtid = Some(Gtid::MariaDb { domain, server_id, number });
        if flags & MARIADB_GROUP_COMMIT != 0 {
            rest.take(8)?;
        }
        if flags & (MARIADB_PREPARED_XA | MARIADB_COMPLETED_XA) != 0 {
            rest.take(4)?;
            let (global, branch) = (usize::from(rest.byte()?), usize::from(rest.byte()?));
            rest.take(global + branch)?;
        }
        // Zeros fill the event where there are no further flags.
        let further = rest.byte().unwrap_or(0);
        Some(Self {
            gtid,
            committed_at_ms: None,
            is_standalone: flags & MARIADB_STANDALONE != 0,
            is_xa: flags & MARIADB_PREPARED_XA != 0,
            is_unfinished: further & (MARIADB_START_ALTER | MARIADB_ROLLBACK_ALTER) != 0,
        })
    }
}

/// An integer whose first byte tells by its trailing ones how many bytes follow.
fn serialized_integer(rest: &mut ByteCursor<'_>) -> Option<u64> {
    let first = *rest.0.first()?;
    match first.trailing_ones() {
        8 => {
            rest.byte()?;
            rest.little_endian(8)
        }
        following => {
            let value = rest.little_endian(usize::try_from(following).ok()? + 1)?;
            Some(value >> (following + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialized_integers_of_every_length_are_read() {
        let read = |bytes: &[u8]| serialized_integer(&mut ByteCursor(bytes));
        assert_eq!(read(&[2]), Some(1));
        assert_eq!(read(&[0b0000_0001, 1]), Some(64));
        assert_eq!(read(&[0xFF, 5, 0, 0, 0, 0, 0, 0, 0]), Some(5));
        assert_eq!(read(&[0x7F, 0, 0, 0, 0, 0, 0, 1]), Some(1 << 48));
        assert_eq!((read(&[]), read(&[1]), read(&[0xFF, 1])), (None, None, None));
    }

    #[test]
    fn a_mysql_event_has_a_gtid_and_a_time() {
        let mut body = vec![0];
        body.extend_from_slice(&[0x11; 16]);
        body.extend_from_slice(&7_u64.to_le_bytes());
        let old = GtidEvent::parse_mysql(&body, false).unwrap();
        assert_eq!(old.gtid.unwrap().to_string(), "11111111-1111-1111-1111-111111111111:7");
        body.push(LOGICAL_TIMESTAMPS);
        body.extend_from_slice(&[0; 16]);
        let micros = 1_700_000_000_123_456_u64 | HAS_ORIGINAL_TIME;
        body.extend_from_slice(&micros.to_le_bytes()[..7]);
        let event = GtidEvent::parse_mysql(&body, true).unwrap();
        assert_eq!((event.gtid, event.committed_at_ms), (None, Some(1_700_000_000_123)));
        assert_eq!(GtidEvent::parse_mysql(&body[..20], false), None);
    }

    #[test]
    fn a_tagged_event_has_its_fields_in_any_order() {
        let mut fields = vec![11 << 1, 3 << 1, 2 << 1, b'a', b'b', 2 << 1, 9 << 2, 1 << 1];
        fields.extend_from_slice(&[0x11 << 1; 16]);
        let body = [&[TAGGED_VERSION, u8::try_from(2 + fields.len()).unwrap() << 1], &fields[..]].concat();
        let event = GtidEvent::parse_tagged(&body).unwrap();
        assert_eq!(event.gtid.unwrap().to_string(), "11111111-1111-1111-1111-111111111111:ab:9");
        for length in 0..body.len() {
            assert_eq!(GtidEvent::parse_tagged(&body[..length]), None);
        }
    }

    #[test]
    fn a_mariadb_event_says_whether_it_stands_alone() {
        let body = [5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, MARIADB_STANDALONE];
        let event = GtidEvent::parse_mariadb(&body, 3).unwrap();
        assert_eq!((event.gtid.unwrap().to_string(), event.is_standalone), ("2-3-5".to_owned(), true));
        assert!(!event.is_unfinished);
    }

    #[test]
    fn a_mariadb_event_says_whether_its_alter_takes_effect() {
        let event = |flags: u8, rest: &[u8]| {
            let body = [&[5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, flags], rest].concat();
            GtidEvent::parse_mariadb(&body, 3).map(|event| event.is_unfinished)
        };
        const COMMIT_ALTER: u8 = 4;
        for (further, expected) in [(MARIADB_START_ALTER, true), (MARIADB_ROLLBACK_ALTER, true), (COMMIT_ALTER, false)]
        {
            assert_eq!(event(0, &[further, 0, 0, 0, 0, 0]), Some(expected));
            assert_eq!(event(MARIADB_GROUP_COMMIT, &[9, 9, 9, 9, 9, 9, 9, 9, further]), Some(expected));
            assert_eq!(event(MARIADB_COMPLETED_XA, &[1, 0, 0, 0, 2, 1, b'a', b'b', b'c', further]), Some(expected));
        }
        assert_eq!(event(MARIADB_GROUP_COMMIT, &[8, 8, 8, 8, 8, 8, 8, 8, 0, 0]), Some(false));
        assert_eq!(event(MARIADB_PREPARED_XA, &[1, 0, 0, 0, 2, 1, b'a']), None);
    }
}
