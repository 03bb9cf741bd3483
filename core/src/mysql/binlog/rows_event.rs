//! Turns the rows of an event into text.

use super::byte_cursor::{ByteCursor, has_bit};
use super::event::kind;
use super::json;
use super::table_map::{LoggedColumn, LoggedTable};
use crate::change::ChangeKind;
use crate::codec::BatchBuilder;

/// The option of an update that JSON values may be partial.
const PARTIAL_JSON: u64 = 1;
/// The session had foreign_key_checks off.
const NO_FOREIGN_KEY_CHECKS: u16 = 1 << 1;
/// The server itself, not its engine, did what foreign keys do, and logged it (MySQL since 9.6).
const LOGGED_CASCADES: u16 = 1 << 4;
/// The number of no table: an event that only ends the statement.
const NO_TABLE: u64 = 0xFF_FFFF;

/// An event with rows, before its rows are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsEvent<'a> {
    /// The number of a table map.
    pub(super) table: u64,
    pub(super) change: ChangeKind,
    /// Whether foreign keys may have changed further rows that are not in the log.
    pub(super) with_cascades: bool,
    /// Whether an update may hold changes of JSON values in the place of new values.
    is_partial: bool,
    columns: usize,
    /// A bit for each column that the images before and after the change hold.
    before: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    /// The rows; compressed in MariaDB's compressed events.
    pub(super) rows: &'a [u8],
    pub(super) is_compressed: bool,
}

/// Text of rows in the making.
pub(super) struct ImageText {
    pub(super) columns: Vec<u32>,
    pub(super) text: BatchBuilder,
}

/// Why rows cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RowsError {
    Malformed,
    /// A partial JSON value, and no image of the value before.
    NoJsonBefore,
}

/// What the type of an event says of its rows.
fn event_shape(event: u8) -> Option<(ChangeKind, bool, bool)> {
    let (change, has_extra_data, is_compressed) = match event {
        kind::WRITE_ROWS_V1 => (ChangeKind::Insert, false, false),
        kind::UPDATE_ROWS_V1 => (ChangeKind::Update, false, false),
        kind::DELETE_ROWS_V1 => (ChangeKind::Delete, false, false),
        kind::WRITE_ROWS => (ChangeKind::Insert, true, false),
        kind::UPDATE_ROWS | kind::PARTIAL_UPDATE_ROWS => (ChangeKind::Update, true, false),
        kind::DELETE_ROWS => (ChangeKind::Delete, true, false),
        kind::MARIADB_WRITE_ROWS_COMPRESSED_V1 => (ChangeKind::Insert, false, true),
        kind::MARIADB_UPDATE_ROWS_COMPRESSED_V1 => (ChangeKind::Update, false, true),
        kind::MARIADB_DELETE_ROWS_COMPRESSED_V1 => (ChangeKind::Delete, false, true),
        kind::MARIADB_WRITE_ROWS_COMPRESSED => (ChangeKind::Insert, true, true),
        kind::MARIADB_UPDATE_ROWS_COMPRESSED => (ChangeKind::Update, true, true),
        kind::MARIADB_DELETE_ROWS_COMPRESSED => (ChangeKind::Delete, true, true),
        _ => return None,
    };
    Some((change, has_extra_data, is_compressed))
}

/// Whether events of this type hold rows.
pub(super) fn holds_rows(event: u8) -> bool {
    event_shape(event).is_some()
}

impl<'a> RowsEvent<'a> {
    /// Parses an event up to its rows; `None` if it is malformed.
    pub(super) fn parse(event: u8, body: &'a [u8]) -> Option<Self> {
        let (change, has_extra_data, is_compressed) = event_shape(event)?;
        let mut rest = ByteCursor(body);
        let table = rest.little_endian(6)?;
        let flags = rest.u16()?;
        if has_extra_data {
            // The length counts itself.
            let length = rest.length(2)?.checked_sub(2)?;
            rest.take(length)?;
        }
        let columns = rest.packed_length()?;
        let bitmap = columns.div_ceil(8);
        let (mut before, mut after) = (None, None);
        if change != ChangeKind::Insert {
            before = Some(rest.take(bitmap)?);
        }
        if change != ChangeKind::Delete {
            after = Some(rest.take(bitmap)?);
        }
        let is_partial = event == kind::PARTIAL_UPDATE_ROWS;
        let with_cascades = flags & (NO_FOREIGN_KEY_CHECKS | LOGGED_CASCADES) == 0;
        Some(Self { table, change, with_cascades, is_partial, columns, before, after, rows: rest.0, is_compressed })
    }

    /// Whether the event only ends a statement.
    pub(super) fn has_no_table(&self) -> bool {
        self.table == NO_TABLE
    }

    /// Writes the rows as text. Returns their number, and the images before and after the change.
    pub(super) fn write(
        &self,
        rows: &[u8],
        table: &LoggedTable,
    ) -> Result<(u64, Option<ImageText>, Option<ImageText>), RowsError> {
        if self.columns != table.columns.len() {
            return Err(RowsError::Malformed);
        }
        let new_image = |bitmap: &[u8]| ImageText {
            columns: present(table, bitmap).filter_map(|column| column.stored).collect(),
            text: BatchBuilder::with_capacity(rows.len() * 2),
        };
        let (mut before, mut after) = (self.before.map(new_image), self.after.map(new_image));
        let mut rest = ByteCursor(rows);
        let mut count = 0;
        while !rest.is_empty() {
            let left = rest.len();
            let mut json_before = Vec::new();
            if let (Some(bitmap), Some(image)) = (self.before, &mut before) {
                let mut row = RowReader { table, bitmap, partial: None, json_before: &[] };
                json_before = row.write(&mut rest, &mut image.text)?;
            }
            if let (Some(bitmap), Some(image)) = (self.after, &mut after) {
                let partial = if self.is_partial { partial_bits(table, &mut rest)? } else { None };
                let mut row = RowReader { table, bitmap, partial, json_before: &json_before };
                row.write(&mut rest, &mut image.text)?;
            }
            // Rows without columns would never end.
            if rest.len() == left {
                return Err(RowsError::Malformed);
            }
            count += 1;
        }
        Ok((count, before, after))
    }
}

fn present<'t>(table: &'t LoggedTable, bitmap: &[u8]) -> impl Iterator<Item = &'t LoggedColumn> {
    table.columns.iter().enumerate().filter(|(index, _)| has_bit(bitmap, *index)).map(|(_, column)| column)
}

/// Reads which JSON values of a row are partial: a bit for each JSON column of the table.
fn partial_bits<'a>(table: &LoggedTable, rest: &mut ByteCursor<'a>) -> Result<Option<&'a [u8]>, RowsError> {
    let options = rest.packed_integer().ok_or(RowsError::Malformed)?;
    if options & PARTIAL_JSON == 0 {
        return Ok(None);
    }
    let count = table.columns.iter().filter(|column| column.is_json).count();
    rest.take(count.div_ceil(8)).map(Some).ok_or(RowsError::Malformed)
}

/// Reads one image of a row.
struct RowReader<'r> {
    table: &'r LoggedTable,
    bitmap: &'r [u8],
    partial: Option<&'r [u8]>,
    /// The JSON values before the change, by the number of the JSON column; empty values where there are none.
    json_before: &'r [Option<&'r [u8]>],
}

impl RowReader<'_> {
    /// Adds the image to the text, and returns its JSON values.
    fn write<'a>(
        &mut self,
        rest: &mut ByteCursor<'a>,
        text: &mut BatchBuilder,
    ) -> Result<Vec<Option<&'a [u8]>>, RowsError> {
        let count = present(self.table, self.bitmap).count();
        let nulls = rest.take(count.div_ceil(8)).ok_or(RowsError::Malformed)?;
        let mut values = Vec::new();
        let (mut position, mut json_column) = (0, 0);
        for (index, column) in self.table.columns.iter().enumerate() {
            let is_partial = column.is_json && self.partial.is_some_and(|partial| has_bit(partial, json_column));
            let before = self.json_before.get(json_column).copied().flatten();
            json_column += usize::from(column.is_json);
            let mut value = None;
            if has_bit(self.bitmap, index) {
                if has_bit(nulls, position) {
                    column.stored.into_iter().for_each(|_| text.push_null());
                } else {
                    let raw = column.encoding.take(rest).ok_or(RowsError::Malformed)?;
                    value = Some(raw);
                    push(column, raw, is_partial.then_some(before), text)?;
                }
                position += 1;
            }
            if column.is_json {
                values.push(value);
            }
        }
        text.end_row();
        Ok(values)
    }
}

/// Adds a value. `partial` holds the JSON value before the change, if `raw` is what changed in it.
fn push(
    column: &LoggedColumn,
    raw: &[u8],
    partial: Option<Option<&[u8]>>,
    text: &mut BatchBuilder,
) -> Result<(), RowsError> {
    match (column.stored, partial) {
        (None, _) => Ok(()),
        (Some(_), None) => column.encoding.push(raw, text).ok_or(RowsError::Malformed),
        (Some(_), Some(None)) => Err(RowsError::NoJsonBefore),
        (Some(_), Some(Some(before))) => {
            text.push_value(&json::apply_diffs(before, raw).ok_or(RowsError::Malformed)?);
            Ok(())
        }
    }
}
