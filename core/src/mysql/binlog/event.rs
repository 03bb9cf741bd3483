//! Splits a packet of the log into the header, the body and the checksum of its event.
//! Sources: "Binary Log Event" (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html>)
//! and "Replication Events" (<https://mariadb.com/docs/server/reference/clientserver-protocol/replication-protocol>).

use super::byte_cursor::ByteCursor;

/// The length of the header of an event.
pub(super) const HEADER_LENGTH: usize = 19;
pub(super) const CHECKSUM_LENGTH: usize = 4;
/// The log was not closed when the event was written. Not part of the checksum.
const FLAG_IN_USE: u16 = 1;
/// The server made the event for this connection: it is not in the log.
const FLAG_ARTIFICIAL: u16 = 0x20;
/// Servers that do not know the event may ignore it.
const FLAG_IGNORABLE: u16 = 0x80;

/// The types of events.
pub(super) mod kind {
    pub(in super::super) const QUERY: u8 = 2;
    pub(in super::super) const STOP: u8 = 3;
    pub(in super::super) const ROTATE: u8 = 4;
    pub(in super::super) const INTVAR: u8 = 5;
    pub(in super::super) const APPEND_BLOCK: u8 = 9;
    pub(in super::super) const DELETE_FILE: u8 = 11;
    pub(in super::super) const RAND: u8 = 13;
    pub(in super::super) const USER_VAR: u8 = 14;
    pub(in super::super) const FORMAT_DESCRIPTION: u8 = 15;
    pub(in super::super) const XID: u8 = 16;
    pub(in super::super) const BEGIN_LOAD_QUERY: u8 = 17;
    pub(in super::super) const EXECUTE_LOAD_QUERY: u8 = 18;
    pub(in super::super) const TABLE_MAP: u8 = 19;
    pub(in super::super) const WRITE_ROWS_V1: u8 = 23;
    pub(in super::super) const UPDATE_ROWS_V1: u8 = 24;
    pub(in super::super) const DELETE_ROWS_V1: u8 = 25;
    pub(in super::super) const INCIDENT: u8 = 26;
    pub(in super::super) const HEARTBEAT: u8 = 27;
    pub(in super::super) const IGNORABLE: u8 = 28;
    pub(in super::super) const ROWS_QUERY: u8 = 29;
    pub(in super::super) const WRITE_ROWS: u8 = 30;
    pub(in super::super) const UPDATE_ROWS: u8 = 31;
    pub(in super::super) const DELETE_ROWS: u8 = 32;
    pub(in super::super) const GTID: u8 = 33;
    pub(in super::super) const ANONYMOUS_GTID: u8 = 34;
    pub(in super::super) const PREVIOUS_GTIDS: u8 = 35;
    pub(in super::super) const TRANSACTION_CONTEXT: u8 = 36;
    pub(in super::super) const VIEW_CHANGE: u8 = 37;
    pub(in super::super) const XA_PREPARE: u8 = 38;
    pub(in super::super) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(in super::super) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(in super::super) const HEARTBEAT_V2: u8 = 41;
    pub(in super::super) const TAGGED_GTID: u8 = 42;
    pub(in super::super) const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub(in super::super) const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub(in super::super) const MARIADB_GTID: u8 = 162;
    pub(in super::super) const MARIADB_GTID_LIST: u8 = 163;
    pub(in super::super) const MARIADB_START_ENCRYPTION: u8 = 164;
    pub(in super::super) const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub(in super::super) const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub(in super::super) const MARIADB_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub(in super::super) const MARIADB_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub(in super::super) const MARIADB_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub(in super::super) const MARIADB_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub(in super::super) const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// The algorithm of the checksums in a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    None,
    Crc32,
}

/// An event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    /// When it was written, in seconds since 1970, or when its statement began.
    pub(super) timestamp: u32,
    pub(super) kind: u8,
    /// The server that wrote it first.
    pub(super) server_id: u32,
    /// The position after it in the log file, without its upper bits; 0 if it is not in the log.
    pub(super) log_position: u32,
    pub(super) flags: u16,
    /// What follows the header, without the checksum.
    pub(super) body: &'a [u8],
}

/// Why a packet is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventError {
    Malformed,
    WrongChecksum,
}

impl<'a> Event<'a> {
    /// Parses an event and compares its checksum.
    pub(super) fn parse(bytes: &'a [u8], checksum: Checksum) -> Result<Self, EventError> {
        let mut event = Self::parse_header(bytes).ok_or(EventError::Malformed)?;
        if event.kind == kind::FORMAT_DESCRIPTION {
            // Its last byte says whether it and the following events have a checksum. It always has room for one.
            event.body = split_checksum(event.body).ok_or(EventError::Malformed)?.0;
            if event.format_checksum().ok_or(EventError::Malformed)? == Checksum::Crc32 {
                check_checksum(bytes, event.flags)?;
            }
        } else if checksum == Checksum::Crc32 {
            check_checksum(bytes, event.flags)?;
            event.body = split_checksum(event.body).ok_or(EventError::Malformed)?.0;
        }
        Ok(event)
    }

    fn parse_header(bytes: &'a [u8]) -> Option<Self> {
        let (event, length) = Self::parse_start(bytes)?;
        (length == bytes.len()).then_some(event)
    }

    /// Parses an event whose first bytes these are. Also returns its length, with header and checksum.
    pub(super) fn parse_start(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut rest = ByteCursor(bytes);
        let (timestamp, kind, server_id) = (rest.u32()?, rest.byte()?, rest.u32()?);
        let (length, log_position, flags) = (rest.length(4)?, rest.u32()?, rest.u16()?);
        Some((Self { timestamp, kind, server_id, log_position, flags, body: rest.0 }, length))
    }

    /// The algorithm that a format description gives for its file.
    pub(super) fn format_checksum(&self) -> Option<Checksum> {
        match self.body.last()? {
            0 => Some(Checksum::None),
            1 => Some(Checksum::Crc32),
            _ => None,
        }
    }

    pub(super) fn is_artificial(&self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }

    pub(super) fn is_ignorable(&self) -> bool {
        self.flags & FLAG_IGNORABLE != 0
    }
}

fn split_checksum(bytes: &[u8]) -> Option<(&[u8], u32)> {
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_LENGTH)?)?;
    Some((body, u32::from_le_bytes(checksum.try_into().ok()?)))
}

fn check_checksum(event: &[u8], flags: u16) -> Result<(), EventError> {
    let (content, expected) = split_checksum(event).ok_or(EventError::Malformed)?;
    let mut computed = crc32fast::Hasher::new();
    match content.split_at_checked(HEADER_LENGTH - 2) {
        Some((head, [_, _, body @ ..])) if flags & FLAG_IN_USE != 0 => {
            computed.update(head);
            computed.update(&(flags & !FLAG_IN_USE).to_le_bytes());
            computed.update(body);
        }
        _ => computed.update(content),
    }
    if computed.finalize() == expected { Ok(()) } else { Err(EventError::WrongChecksum) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes of an event with a checksum.
    pub(in super::super) fn event_bytes(kind: u8, body: &[u8], log_position: u32) -> Vec<u8> {
        let mut bytes = 1_700_000_000_u32.to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend_from_slice(&7_u32.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(HEADER_LENGTH + body.len() + CHECKSUM_LENGTH).unwrap().to_le_bytes());
        bytes.extend_from_slice(&log_position.to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(body);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_changed_byte_and_a_wrong_length_are_errors() {
        let bytes = event_bytes(kind::XID, &[1, 0, 0, 0, 0, 0, 0, 0], 500);
        let event = Event::parse(&bytes, Checksum::Crc32).unwrap();
        assert_eq!((event.kind, event.server_id, event.log_position, event.body.len()), (kind::XID, 7, 500, 8));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(Event::parse(&changed, Checksum::Crc32).is_err(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(Event::parse(&bytes[..length], Checksum::Crc32).is_err(), "{length} bytes");
        }
    }
}
