//! The packets of responses to statements.

use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{CommonOkPacket, OkPacketDeserializer};
use mysql_common::proto::MyDeserialize;

use crate::error::{Error, ErrorKind, Result};

/// The servers' limit of columns.
const MAX_COLUMNS: usize = 4096;

/// The server's response to a statement without rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::mysql) struct OkPacket {
    pub(in crate::mysql) affected: u64,
    pub(in crate::mysql) warnings: u16,
    /// For example `Records: 2  Deleted: 0  Skipped: 0  Warnings: 0`.
    pub(in crate::mysql) info: String,
    /// Whether the response to a further statement of the same packet follows.
    pub(super) has_more_results: bool,
}

/// One row of a small result: each column's bytes, or `None` for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct Row(Vec<Option<Vec<u8>>>);

impl Row {
    /// The column as text; NULL and a missing column are `None`.
    pub(in crate::mysql) fn text(&self, index: usize) -> Option<String> {
        self.0.get(index)?.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The column as text; NULL and a missing column are empty.
    pub(in crate::mysql) fn string(&self, index: usize) -> String {
        self.text(index).unwrap_or_default()
    }

    /// The column's bytes; NULL and a missing column are empty.
    pub(in crate::mysql) fn bytes(&self, index: usize) -> &[u8] {
        self.0.get(index).and_then(Option::as_deref).unwrap_or_default()
    }

    /// The column as text.
    ///
    /// # Errors
    /// `Unsupported` if the text is not UTF-8: for text that is written back without a change.
    pub(in crate::mysql) fn utf8_text(&self, index: usize) -> Result<String> {
        String::from_utf8(self.bytes(index).to_vec())
            .map_err(|error| Error::new(ErrorKind::Unsupported, "a definition is not valid text").caused_by(error))
    }

    /// The column as a number; anything else is 0.
    pub(in crate::mysql) fn number(&self, index: usize) -> u64 {
        self.text(index).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Whether a packet that begins with 0xFE ends a result. A row that begins with this byte has at least 16 MiB.
pub(in crate::mysql) fn is_result_end(packet: &[u8]) -> bool {
    packet.len() < 0xFF_FFFF
}

/// Whether this is an EOF packet: a marker, the number of warnings and the status.
pub(super) fn is_eof(packet: &[u8]) -> bool {
    packet.first() == Some(&0xFE) && packet.len() <= 5
}

/// Parses the first packet of a result.
pub(in crate::mysql) fn parse_column_count(packet: &[u8]) -> Result<usize> {
    if packet.first() == Some(&0xFB) {
        let message = "the server asks for a file where no file is to be sent: it is no MySQL or MariaDB server, or an attacker is between";
        return Err(Error::new(ErrorKind::Connection, message));
    }
    let mut rest = ParseBuf(packet);
    let count = rest.checked_eat_lenenc_int().filter(|_| rest.is_empty()).ok_or_else(malformed_packet)?;
    usize::try_from(count).ok().filter(|count| (1..=MAX_COLUMNS).contains(count)).ok_or_else(malformed_packet)
}

/// Parses the name in the definition of a column. The catalog, the database and two names of the table precede it.
pub(super) fn parse_column_name(packet: &[u8]) -> Result<&[u8]> {
    let mut rest = ParseBuf(packet);
    let mut parts = std::iter::from_fn(|| rest.checked_eat_lenenc_str());
    parts.nth(4).ok_or_else(malformed_packet)
}

/// Parses a row of the text protocol.
pub(super) fn parse_text_row(packet: &[u8], columns: usize) -> Result<Row> {
    let mut rest = ParseBuf(packet);
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        if rest.0.first() == Some(&0xFB) {
            rest.skip(1);
            values.push(None);
        } else {
            values.push(Some(rest.checked_eat_lenenc_str().ok_or_else(malformed_packet)?.to_vec()));
        }
    }
    Ok(Row(values))
}

/// Parses an OK packet.
pub(super) fn parse_ok_packet(packet: &[u8]) -> Result<OkPacket> {
    let capabilities = CapabilityFlags::CLIENT_PROTOCOL_41;
    let ok = OkPacketDeserializer::<CommonOkPacket>::deserialize(capabilities, &mut ParseBuf(packet))
        .map_err(|error| malformed_packet().caused_by(error))?
        .into_inner();
    let info = ok.info_str().unwrap_or_default().into_owned();
    let has_more_results = ok.status_flags().contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS);
    Ok(OkPacket { affected: ok.affected_rows(), warnings: ok.warnings(), info, has_more_results })
}

pub(in crate::mysql) fn malformed_packet() -> Error {
    Error::new(ErrorKind::Connection, "the server sent a packet that makes no sense")
}

pub(super) fn connection_closed() -> Error {
    Error::new(ErrorKind::Connection, "the server closed the connection").retryable()
}

/// Parses an error packet.
pub(in crate::mysql) fn server_error(packet: &[u8]) -> Error {
    // An error before the login has no SQL state.
    let (code, text) = match packet {
        [0xFF, low, high, b'#', _, _, _, _, _, text @ ..] | [0xFF, low, high, text @ ..] => {
            (u16::from_le_bytes([*low, *high]), String::from_utf8_lossy(text).into_owned())
        }
        _ => return malformed_packet(),
    };
    let kind = match code {
        1045 | 1129 | 1130 | 1698 | 1251 | 2059 | 3118 | 4151 => ErrorKind::Authentication,
        1044 | 1142 | 1143 | 1227 | 1290 | 1370 | 1410 | 1419 => ErrorKind::Permission,
        1040 | 1053 | 1077 | 1079 | 1927 | 3169 | 1203 | 1226 => ErrorKind::Connection,
        1412 => ErrorKind::Changed,
        _ => ErrorKind::Server,
    };
    let failure = Error::new(kind, text).with_code(code);
    // Too many connections, shutdown, lock waits and deadlocks, killed connections: a retry may succeed.
    match code {
        1040 | 1053 | 1077 | 1079 | 1203 | 1205 | 1213 | 1927 | 3058 => failure.retryable(),
        _ => failure,
    }
}
