//! Reads the rows of one statement over the binary protocol, and writes them as LOAD DATA text.
//!
//! The binary protocol takes half of the server's work that the text protocol takes, and only it returns a FLOAT exactly.
//! Source: "Binary Protocol Resultset" (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>).

use std::io::Write;

use mysql_common::constants::{ColumnFlags, ColumnType};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{Column as Metadata, StmtPacket};
use mysql_common::proto::MyDeserialize;

use super::connect::{Conn, is_result_end, malformed_packet, parse_column_count, server_error};
use crate::batch::{Batch, BatchId};
use crate::codec::BatchBuilder;
use crate::error::Result;
use crate::memory::MemoryBudget;

const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;
/// Capacity beyond the target length of a batch, for its last row. Most rows are smaller than this.
const EXTRA_CAPACITY: usize = 64 << 10;

/// The binary encoding of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BinaryValueType {
    Integer {
        bytes: usize,
        unsigned: bool,
    },
    Year,
    Float,
    Double,
    Date,
    Time,
    /// Any type that the server sends as a byte string.
    Bytes,
}

/// Reads the rows of a running statement in batches.
pub(super) struct RowReader {
    conn: Conn,
    statement: u32,
    types: Vec<BinaryValueType>,
    at_end: bool,
}

impl RowReader {
    /// Runs the statement. An error closes the connection.
    pub(super) async fn open(mut conn: Conn, sql: &str) -> Result<Self> {
        conn.stream.send_command(COM_STMT_PREPARE, sql.as_bytes()).await?;
        let packet = conn.stream.read_packet().await?;
        if packet.first() != Some(&0x00) {
            return Err(server_error(packet));
        }
        let prepared =
            StmtPacket::deserialize((), &mut ParseBuf(packet)).map_err(|error| malformed_packet().caused_by(error))?;
        if prepared.num_params() > 0 {
            return Err(malformed_packet());
        }
        for _ in 0..prepared.num_columns() {
            conn.stream.read_packet().await?;
        }
        if prepared.num_columns() > 0 {
            conn.end_columns().await?;
        }
        let mut execute = prepared.statement_id().to_le_bytes().to_vec();
        // No cursor, and one iteration, which the protocol requires.
        execute.extend_from_slice(&[0, 1, 0, 0, 0]);
        conn.stream.enlarge_buffer();
        conn.stream.send_command(COM_STMT_EXECUTE, &execute).await?;
        let packet = conn.stream.read_packet().await?;
        if packet.first() == Some(&0xFF) {
            return Err(server_error(packet));
        }
        let columns = parse_column_count(packet)?;
        let mut types = Vec::with_capacity(columns);
        for _ in 0..columns {
            let packet = conn.stream.read_packet().await?;
            let column = Metadata::deserialize((), &mut ParseBuf(packet))
                .map_err(|error| malformed_packet().caused_by(error))?;
            types.push(value_type(&column));
        }
        conn.end_columns().await?;
        Ok(Self { conn, statement: prepared.statement_id(), types, at_end: false })
    }

    /// Reads the next batch; `None` after the last row.
    pub(super) async fn next_batch(&mut self, id: BatchId, memory: &MemoryBudget) -> Result<Option<Batch>> {
        if self.at_end {
            return Ok(None);
        }
        let target_len = memory.batch_bytes();
        let mut lease = memory.reserve(target_len).await;
        let mut builder = BatchBuilder::with_capacity(target_len + EXTRA_CAPACITY);
        while builder.len() < target_len && !self.at_end {
            match self.conn.stream.buffered_packet() {
                Some(packet) => self.at_end = push_row(&self.types, packet, &mut builder)?,
                None => {
                    let held = builder.len();
                    let packet = self.conn.stream.read_packet_with_lease(Some((&mut lease, held))).await?;
                    builder.reserve(packet.len());
                    self.at_end = push_row(&self.types, packet, &mut builder)?;
                }
            }
        }
        if builder.row_count() == 0 {
            return Ok(None);
        }
        lease.shrink(builder.len());
        Ok(Some(builder.finish(id).with_lease(lease)))
    }

    /// Closes the statement after its last row, and returns the connection.
    pub(super) async fn close(mut self) -> Result<Conn> {
        self.conn.stream.send_command(COM_STMT_CLOSE, &self.statement.to_le_bytes()).await?;
        Ok(self.conn)
    }
}

fn value_type(column: &Metadata) -> BinaryValueType {
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY => BinaryValueType::Integer { bytes: 1, unsigned },
        ColumnType::MYSQL_TYPE_SHORT => BinaryValueType::Integer { bytes: 2, unsigned },
        ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24 => BinaryValueType::Integer { bytes: 4, unsigned },
        ColumnType::MYSQL_TYPE_LONGLONG => BinaryValueType::Integer { bytes: 8, unsigned },
        ColumnType::MYSQL_TYPE_YEAR => BinaryValueType::Year,
        ColumnType::MYSQL_TYPE_FLOAT => BinaryValueType::Float,
        ColumnType::MYSQL_TYPE_DOUBLE => BinaryValueType::Double,
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_TIMESTAMP => {
            BinaryValueType::Date
        }
        ColumnType::MYSQL_TYPE_TIME => BinaryValueType::Time,
        _ => BinaryValueType::Bytes,
    }
}

/// Adds the row of a packet. Returns true if the packet is the end of the result instead.
fn push_row(types: &[BinaryValueType], packet: &[u8], builder: &mut BatchBuilder) -> Result<bool> {
    match packet.first() {
        Some(0x00) => {}
        Some(0xFE) if is_result_end(packet) => return Ok(true),
        _ => return Err(server_error(packet)),
    }
    // The first two bits of the bitmap are reserved.
    let bitmap_length = (types.len() + 2).div_ceil(8);
    let rest = packet.get(1..).unwrap_or_default();
    let (nulls, values) = rest.split_at_checked(bitmap_length).ok_or_else(malformed_packet)?;
    let mut values = ParseBuf(values);
    for (value_type, bit) in types.iter().zip(2_usize..) {
        let null = nulls.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0);
        if null {
            builder.push_null();
        } else {
            push_value(*value_type, &mut values, builder).ok_or_else(malformed_packet)?;
        }
    }
    builder.end_row();
    Ok(false)
}

fn push_value(value_type: BinaryValueType, values: &mut ParseBuf<'_>, builder: &mut BatchBuilder) -> Option<()> {
    match value_type {
        BinaryValueType::Bytes => builder.push_value(values.checked_eat_lenenc_str()?),
        BinaryValueType::Integer { bytes, unsigned } => push_integer(values.checked_eat(bytes)?, unsigned, builder),
        BinaryValueType::Year => push_text(builder, format_args!("{:04}", values.checked_eat_u16_le()?)),
        // Every FLOAT is exactly a DOUBLE, and the target parses text as a DOUBLE.
        BinaryValueType::Float => push_text(
            builder,
            format_args!("{:e}", f64::from(f32::from_le_bytes(values.checked_eat(4)?.try_into().ok()?))),
        ),
        BinaryValueType::Double => {
            push_text(builder, format_args!("{:e}", f64::from_le_bytes(values.checked_eat(8)?.try_into().ok()?)))
        }
        BinaryValueType::Date => push_date(values, builder)?,
        BinaryValueType::Time => push_time(values, builder)?,
    }
    Some(())
}

fn push_integer(bytes: &[u8], unsigned: bool, builder: &mut BatchBuilder) {
    let negative = !unsigned && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = if negative { [0xFF; 8] } else { [0; 8] };
    wide.iter_mut().zip(bytes).for_each(|(wide, byte)| *wide = *byte);
    let mut text = itoa::Buffer::new();
    let digits = if unsigned { text.format(u64::from_le_bytes(wide)) } else { text.format(i64::from_le_bytes(wide)) };
    builder.push_unescaped(digits.as_bytes());
}

/// Adds a DATE, DATETIME or TIMESTAMP. A length of 0 is the zero value; the encoding omits trailing parts that are zero.
fn push_date(values: &mut ParseBuf<'_>, builder: &mut BatchBuilder) -> Option<()> {
    let length = usize::from(values.checked_eat_u8()?);
    let mut parts = ParseBuf(values.checked_eat(length)?);
    let (mut year, mut month, mut day) = (0, 0, 0);
    if length >= 4 {
        (year, month, day) = (parts.checked_eat_u16_le()?, parts.checked_eat_u8()?, parts.checked_eat_u8()?);
    }
    if length < 7 {
        push_text(builder, format_args!("{year:04}-{month:02}-{day:02}"));
        return Some(());
    }
    let (hour, minute, second) = (parts.checked_eat_u8()?, parts.checked_eat_u8()?, parts.checked_eat_u8()?);
    if length < 11 {
        push_text(builder, format_args!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"));
        return Some(());
    }
    let micros = parts.checked_eat_u32_le()?;
    push_text(builder, format_args!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}"));
    Some(())
}

fn push_time(values: &mut ParseBuf<'_>, builder: &mut BatchBuilder) -> Option<()> {
    let length = usize::from(values.checked_eat_u8()?);
    let mut parts = ParseBuf(values.checked_eat(length)?);
    if length < 8 {
        builder.push_unescaped(b"00:00:00");
        return Some(());
    }
    let sign = if parts.checked_eat_u8()? == 0 { "" } else { "-" };
    let days = parts.checked_eat_u32_le()?;
    let (hour, minute, second) = (parts.checked_eat_u8()?, parts.checked_eat_u8()?, parts.checked_eat_u8()?);
    let hours = days.checked_mul(24)?.checked_add(u32::from(hour))?;
    if length < 12 {
        push_text(builder, format_args!("{sign}{hours:02}:{minute:02}:{second:02}"));
        return Some(());
    }
    let micros = parts.checked_eat_u32_le()?;
    push_text(builder, format_args!("{sign}{hours:02}:{minute:02}:{second:02}.{micros:06}"));
    Some(())
}

/// Adds a short value that needs no escaping, without an allocation.
fn push_text(builder: &mut BatchBuilder, text: std::fmt::Arguments<'_>) {
    let mut space = [0; 48];
    let mut rest = space.as_mut_slice();
    let length = match rest.write_fmt(text) {
        Ok(()) => 48 - rest.len(),
        Err(_) => 0,
    };
    builder.push_unescaped(space.get(..length).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(value_type: BinaryValueType, bytes: &[u8]) -> String {
        let mut builder = BatchBuilder::default();
        push_value(value_type, &mut ParseBuf(bytes), &mut builder).unwrap();
        builder.end_row();
        let batch = builder.finish(BatchId { table: 0, chunk: 0, batch: 0 });
        String::from_utf8(batch.data.to_vec()).unwrap().trim_end().to_owned()
    }

    #[test]
    fn integers_of_every_width_keep_their_value_and_sign() {
        let int = |bytes: &[u8], unsigned| decode(BinaryValueType::Integer { bytes: bytes.len(), unsigned }, bytes);
        assert_eq!(int(&[0xFF], true), "255");
        assert_eq!(int(&[0xFF], false), "-1");
        assert_eq!(int(&[0, 0x80], false), "-32768");
        assert_eq!(int(&u64::MAX.to_le_bytes(), true), "18446744073709551615");
        assert_eq!(int(&i64::MIN.to_le_bytes(), false), "-9223372036854775808");
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the target narrows a double in the same way")]
    fn floats_keep_every_bit() {
        for value in [0.0_f64, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, -1.5, 1e300, 0.1, 1.0 / 3.0] {
            let back: f64 = decode(BinaryValueType::Double, &value.to_le_bytes()).parse().unwrap();
            assert_eq!(back.to_bits(), value.to_bits());
        }
        for value in [1e-45_f32, f32::MAX, 16_777_216.0, 0.1] {
            let back: f64 = decode(BinaryValueType::Float, &value.to_le_bytes()).parse().unwrap();
            assert_eq!((back as f32).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn times_keep_every_part() {
        assert_eq!(decode(BinaryValueType::Date, &[0]), "0000-00-00");
        assert_eq!(decode(BinaryValueType::Date, &[4, 0xE8, 0x07, 2, 30]), "2024-02-30");
        assert_eq!(
            decode(BinaryValueType::Date, &[11, 0xE8, 0x07, 2, 3, 4, 5, 6, 1, 0, 0, 0]),
            "2024-02-03 04:05:06.000001"
        );
        assert_eq!(decode(BinaryValueType::Time, &[0]), "00:00:00");
        assert_eq!(decode(BinaryValueType::Time, &[8, 1, 34, 0, 0, 0, 22, 59, 59]), "-838:59:59");
        assert_eq!(decode(BinaryValueType::Year, &[0, 0]), "0000");
    }
}
