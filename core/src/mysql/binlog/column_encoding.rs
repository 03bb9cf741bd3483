//! The encoding of a column's values in the log, and their text: the same that the bulk reader writes.
//! Source: `Table_map_event` and `Rows_event` (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Table__map__event.html>).

use std::io::Write as _;

use super::address_text::{inet4_text, inet6_text, uuid_text};
use super::byte_cursor::{ByteCursor, little_endian};
use super::compressed_value::decompress_value;
use super::decimal_text::{decimal_bytes, decimal_text};
use super::json;
use super::temporal_text::{
    date_text, datetime_text, fraction_bytes, old_datetime_text, old_time_text, old_timestamp_text, time_text,
    timestamp_text,
};
use crate::codec::BatchBuilder;

/// The encoding of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnEncoding {
    Integer {
        bytes: usize,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
        zero_fill: bool,
    },
    Year {
        two_digits: bool,
    },
    Date,
    OldTime,
    Time {
        decimals: u8,
    },
    OldDatetime,
    Datetime {
        decimals: u8,
    },
    OldTimestamp,
    Timestamp {
        decimals: u8,
    },
    /// BIT: its bytes.
    Bit {
        bytes: usize,
    },
    /// The number of an ENUM's member, or the bits of a SET.
    Member {
        bytes: usize,
    },
    /// The bytes of the value, after their length.
    Bytes {
        length_bytes: usize,
    },
    /// BINARY: the log leaves out its last zeros.
    Padded {
        length_bytes: usize,
        width: usize,
    },
    Inet4,
    Inet6,
    Uuid {
        old: bool,
    },
    Json {
        length_bytes: usize,
    },
    /// A COMPRESSED column of MariaDB.
    Compressed {
        length_bytes: usize,
    },
}

impl ColumnEncoding {
    /// Takes the bytes of a value, without those of their length.
    pub(super) fn take<'a>(self, row: &mut ByteCursor<'a>) -> Option<&'a [u8]> {
        let length = match self {
            Self::Integer { bytes, .. } | Self::Bit { bytes } | Self::Member { bytes } => bytes,
            Self::Float | Self::OldTimestamp => 4,
            Self::Double | Self::OldDatetime => 8,
            Self::Decimal { precision, scale, .. } => decimal_bytes(precision, scale)?,
            Self::Year { .. } => 1,
            Self::Date | Self::OldTime => 3,
            Self::Time { decimals } => 3 + fraction_bytes(decimals),
            Self::Datetime { decimals } => 5 + fraction_bytes(decimals),
            Self::Timestamp { decimals } => 4 + fraction_bytes(decimals),
            Self::Inet4 | Self::Inet6 | Self::Uuid { .. } => row.length(1)?,
            Self::Bytes { length_bytes }
            | Self::Padded { length_bytes, .. }
            | Self::Json { length_bytes }
            | Self::Compressed { length_bytes } => row.length(length_bytes)?,
        };
        row.take(length)
    }

    /// Adds a value to a row of text; `None` if its bytes are malformed.
    pub(super) fn push(self, raw: &[u8], row: &mut BatchBuilder) -> Option<()> {
        match self {
            Self::Integer { unsigned, .. } => push_integer(raw, unsigned, row),
            Self::Member { .. } => push_integer(raw, true, row),
            Self::Float => push_text(row, format_args!("{:e}", f64::from(f32::from_le_bytes(raw.try_into().ok()?)))),
            Self::Double => push_text(row, format_args!("{:e}", f64::from_le_bytes(raw.try_into().ok()?))),
            Self::Decimal { precision, scale, zero_fill } => {
                row.push_unescaped(decimal_text(raw, precision, scale, zero_fill)?.as_bytes());
            }
            Self::Year { two_digits } => push_text(row, format_args!("{:04}", year(raw, two_digits))),
            Self::Date => row.push_unescaped(date_text(raw).as_bytes()),
            Self::OldTime => row.push_unescaped(old_time_text(raw).as_bytes()),
            Self::Time { .. } => row.push_unescaped(time_text(raw)?.as_bytes()),
            Self::OldDatetime => row.push_unescaped(old_datetime_text(raw).as_bytes()),
            Self::Datetime { .. } => row.push_unescaped(datetime_text(raw)?.as_bytes()),
            Self::OldTimestamp => row.push_unescaped(old_timestamp_text(raw)?.as_bytes()),
            Self::Timestamp { .. } => row.push_unescaped(timestamp_text(raw)?.as_bytes()),
            Self::Bit { .. } | Self::Bytes { .. } => row.push_value(raw),
            Self::Padded { width, .. } => row.push_value(&padded(raw, width)?),
            Self::Inet4 => row.push_unescaped(inet4_text(&padded(raw, 4)?)?.as_bytes()),
            Self::Inet6 => row.push_unescaped(inet6_text(&padded(raw, 16)?)?.as_bytes()),
            Self::Uuid { old } => row.push_unescaped(uuid_text(&padded(raw, 16)?, old)?.as_bytes()),
            Self::Json { .. } => row.push_value(&json::json_text(raw)?),
            Self::Compressed { .. } => row.push_value(&decompress_value(raw)?),
        }
        Some(())
    }
}

/// The number that the binary protocol sends for a YEAR.
fn year(raw: &[u8], two_digits: bool) -> u64 {
    match little_endian(raw) {
        stored if two_digits => stored % 100,
        0 => 0,
        stored => stored + 1900,
    }
}

/// The bytes with the zeros at their end that the log leaves out.
fn padded(raw: &[u8], width: usize) -> Option<Vec<u8>> {
    let missing = width.checked_sub(raw.len())?;
    Some([raw, &vec![0; missing]].concat())
}

fn push_integer(raw: &[u8], unsigned: bool, row: &mut BatchBuilder) {
    let negative = !unsigned && raw.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = if negative { [0xFF; 8] } else { [0; 8] };
    wide.iter_mut().zip(raw).for_each(|(wide, byte)| *wide = *byte);
    let mut text = itoa::Buffer::new();
    let digits = if unsigned { text.format(u64::from_le_bytes(wide)) } else { text.format(i64::from_le_bytes(wide)) };
    row.push_unescaped(digits.as_bytes());
}

/// Adds a short number, without an allocation.
fn push_text(row: &mut BatchBuilder, text: std::fmt::Arguments<'_>) {
    let mut space = [0; 48];
    let mut rest = space.as_mut_slice();
    let length = match rest.write_fmt(text) {
        Ok(()) => 48 - rest.len(),
        Err(_) => 0,
    };
    row.push_unescaped(space.get(..length).unwrap_or_default());
}
