//! The bulk reader: one statement over the binary protocol, its rows straight into LOAD DATA text.
//!
//! The binary protocol halves the server's work against text, and it is the only one that gives a FLOAT exactly.
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
/// A batch may pass its aim by the last of its rows; most rows are smaller than this.
const SLACK: usize = 64 << 10;

/// How a column's binary value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer {
        bytes: usize,
        unsigned: bool,
    },
    Year,
    Float,
    Double,
    Date,
    Time,
    /// Everything that comes as a string of bytes.
    Bytes,
}

/// A statement whose rows are being read.
pub(super) struct RowReader {
    conn: Conn,
    statement: u32,
    kinds: Vec<Kind>,
    ended: bool,
}

impl RowReader {
    /// Runs the statement. On an error the connection is gone.
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
        let mut execute = prepared.statement_id().to_le_bytes().to_vec();
        // No cursor; one iteration, as the protocol wants it.
        execute.extend_from_slice(&[0, 1, 0, 0, 0]);
        conn.stream.enlarge_buffer();
        conn.stream.send_command(COM_STMT_EXECUTE, &execute).await?;
        let packet = conn.stream.read_packet().await?;
        if packet.first() == Some(&0xFF) {
            return Err(server_error(packet));
        }
        let columns = parse_column_count(packet)?;
        let mut kinds = Vec::with_capacity(columns);
        for _ in 0..columns {
            let packet = conn.stream.read_packet().await?;
            let column = Metadata::deserialize((), &mut ParseBuf(packet))
                .map_err(|error| malformed_packet().caused_by(error))?;
            kinds.push(kind(&column));
        }
        Ok(Self { conn, statement: prepared.statement_id(), kinds, ended: false })
    }

    /// The next batch, or `None` after the last row.
    pub(super) async fn next(&mut self, id: BatchId, memory: &MemoryBudget) -> Result<Option<Batch>> {
        if self.ended {
            return Ok(None);
        }
        let aim = memory.batch_bytes();
        let mut lease = memory.reserve(aim).await;
        let mut builder = BatchBuilder::with_capacity(aim + SLACK);
        while builder.len() < aim && !self.ended {
            match self.conn.stream.buffered_packet() {
                Some(packet) => self.ended = push_row(&self.kinds, packet, &mut builder)?,
                None => {
                    let held = builder.len();
                    let packet = self.conn.stream.read_packet_with_lease(Some((&mut lease, held))).await?;
                    builder.reserve(packet.len());
                    self.ended = push_row(&self.kinds, packet, &mut builder)?;
                }
            }
        }
        if builder.row_count() == 0 {
            return Ok(None);
        }
        lease.shrink(builder.len());
        Ok(Some(builder.finish(id).with_lease(lease)))
    }

    /// The connection, once all rows are read.
    pub(super) async fn finish(mut self) -> Result<Conn> {
        self.conn.stream.send_command(COM_STMT_CLOSE, &self.statement.to_le_bytes()).await?;
        Ok(self.conn)
    }
}

fn kind(column: &Metadata) -> Kind {
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY => Kind::Integer { bytes: 1, unsigned },
        ColumnType::MYSQL_TYPE_SHORT => Kind::Integer { bytes: 2, unsigned },
        ColumnType::MYSQL_TYPE_LONG | ColumnType::MYSQL_TYPE_INT24 => Kind::Integer { bytes: 4, unsigned },
        ColumnType::MYSQL_TYPE_LONGLONG => Kind::Integer { bytes: 8, unsigned },
        ColumnType::MYSQL_TYPE_YEAR => Kind::Year,
        ColumnType::MYSQL_TYPE_FLOAT => Kind::Float,
        ColumnType::MYSQL_TYPE_DOUBLE => Kind::Double,
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_TIMESTAMP => Kind::Date,
        ColumnType::MYSQL_TYPE_TIME => Kind::Time,
        _ => Kind::Bytes,
    }
}

/// Adds a row; whether the packet was no row but the end of the result.
fn push_row(kinds: &[Kind], packet: &[u8], builder: &mut BatchBuilder) -> Result<bool> {
    match packet.first() {
        Some(0x00) => {}
        Some(0xFE) if is_result_end(packet) => return Ok(true),
        _ => return Err(server_error(packet)),
    }
    // Two bits of the bitmap are reserved.
    let bitmap_length = (kinds.len() + 2).div_ceil(8);
    let rest = packet.get(1..).unwrap_or_default();
    let (nulls, values) = rest.split_at_checked(bitmap_length).ok_or_else(malformed_packet)?;
    let mut values = ParseBuf(values);
    for (kind, bit) in kinds.iter().zip(2_usize..) {
        let null = nulls.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0);
        if null {
            builder.push_null();
        } else {
            push_value(*kind, &mut values, builder).ok_or_else(malformed_packet)?;
        }
    }
    builder.end_row();
    Ok(false)
}

fn push_value(kind: Kind, values: &mut ParseBuf<'_>, builder: &mut BatchBuilder) -> Option<()> {
    match kind {
        Kind::Bytes => builder.push_value(values.checked_eat_lenenc_str()?),
        Kind::Integer { bytes, unsigned } => push_integer(values.checked_eat(bytes)?, unsigned, builder),
        Kind::Year => push_text(builder, format_args!("{:04}", values.checked_eat_u16_le()?)),
        // As the double that it is exactly: the target's text reader knows doubles only.
        Kind::Float => push_text(
            builder,
            format_args!("{:e}", f64::from(f32::from_le_bytes(values.checked_eat(4)?.try_into().ok()?))),
        ),
        Kind::Double => {
            push_text(builder, format_args!("{:e}", f64::from_le_bytes(values.checked_eat(8)?.try_into().ok()?)))
        }
        Kind::Date => push_date(values, builder)?,
        Kind::Time => push_time(values, builder)?,
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

/// DATE, DATETIME and TIMESTAMP. A length of 0 is the zero value; the parts that are all zero at the end are missing.
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

/// Adds a value that is short and needs no escaping, without a detour over the heap.
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

    fn text(kind: Kind, bytes: &[u8]) -> String {
        let mut builder = BatchBuilder::default();
        push_value(kind, &mut ParseBuf(bytes), &mut builder).unwrap();
        builder.end_row();
        let batch = builder.finish(BatchId { table: 0, chunk: 0, batch: 0 });
        String::from_utf8(batch.data.to_vec()).unwrap().trim_end().to_owned()
    }

    #[test]
    fn integers_of_every_width_keep_their_value_and_sign() {
        let int = |bytes: &[u8], unsigned| text(Kind::Integer { bytes: bytes.len(), unsigned }, bytes);
        assert_eq!(int(&[0xFF], true), "255");
        assert_eq!(int(&[0xFF], false), "-1");
        assert_eq!(int(&[0, 0x80], false), "-32768");
        assert_eq!(int(&u64::MAX.to_le_bytes(), true), "18446744073709551615");
        assert_eq!(int(&i64::MIN.to_le_bytes(), false), "-9223372036854775808");
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the target narrows a double in the same way")]
    fn floats_come_back_by_bits() {
        for value in [0.0_f64, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, -1.5, 1e300, 0.1, 1.0 / 3.0] {
            let back: f64 = text(Kind::Double, &value.to_le_bytes()).parse().unwrap();
            assert_eq!(back.to_bits(), value.to_bits());
        }
        for value in [1e-45_f32, f32::MAX, 16_777_216.0, 0.1] {
            let back: f64 = text(Kind::Float, &value.to_le_bytes()).parse().unwrap();
            assert_eq!((back as f32).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn times_keep_every_part() {
        assert_eq!(text(Kind::Date, &[0]), "0000-00-00");
        assert_eq!(text(Kind::Date, &[4, 0xE8, 0x07, 2, 30]), "2024-02-30");
        assert_eq!(text(Kind::Date, &[11, 0xE8, 0x07, 2, 3, 4, 5, 6, 1, 0, 0, 0]), "2024-02-03 04:05:06.000001");
        assert_eq!(text(Kind::Time, &[0]), "00:00:00");
        assert_eq!(text(Kind::Time, &[8, 1, 34, 0, 0, 0, 22, 59, 59]), "-838:59:59");
        assert_eq!(text(Kind::Year, &[0, 0]), "0000");
    }
}
