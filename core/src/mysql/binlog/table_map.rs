//! Parses a table map, which precedes the rows of a table, and compares it with the plan's table.

use super::byte_cursor::{ByteCursor, has_bit};
use super::column_encoding::ColumnEncoding;
use super::column_type::LoggedType;
use crate::catalog::Table;

/// The servers' limit of columns.
const MAX_COLUMNS: usize = 4096;
/// The optional metadata that says which numeric columns are unsigned.
const METADATA_SIGNEDNESS: u8 = 1;

/// The table of the rows that follow.
#[derive(Debug)]
pub(super) struct TableMap<'a> {
    /// The number that the events of rows refer to.
    pub(super) id: u64,
    pub(super) database: &'a [u8],
    pub(super) table: &'a [u8],
    types: Vec<LoggedType>,
    /// A bit for each numeric column, the first one in the upper bit; empty if the server does not tell.
    unsigned: &'a [u8],
}

impl<'a> TableMap<'a> {
    /// Parses the event; `None` if it is malformed.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = ByteCursor(body);
        let id = rest.little_endian(6)?;
        rest.take(2)?;
        let database = name(&mut rest)?;
        let table = name(&mut rest)?;
        let count = rest.packed_length().filter(|count| *count <= MAX_COLUMNS)?;
        let codes = rest.take(count)?;
        let length = rest.packed_length()?;
        let mut metadata = ByteCursor(rest.take(length)?);
        let types = codes.iter().map(|code| LoggedType::read(*code, &mut metadata)).collect::<Option<Vec<_>>>()?;
        rest.take(count.div_ceil(8))?;
        let mut unsigned = Default::default();
        while !rest.is_empty() {
            let kind = rest.byte()?;
            let length = rest.packed_length()?;
            let value = rest.take(length)?;
            if kind == METADATA_SIGNEDNESS {
                unsigned = value;
            }
        }
        Some(Self { id, database, table, types, unsigned })
    }
}

fn name<'a>(rest: &mut ByteCursor<'a>) -> Option<&'a [u8]> {
    let length = rest.length(1)?;
    let name = rest.take(length)?;
    (rest.byte()? == 0).then_some(name)
}

/// A column of a followed table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoggedColumn {
    pub(super) encoding: ColumnEncoding,
    pub(super) is_json: bool,
    /// Its index among the stored columns of the plan's table; `None` if its values are not read.
    pub(super) stored: Option<u32>,
}

/// The columns of a followed table in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedTable {
    /// The number of the table in the plan.
    pub(super) number: u32,
    pub(super) columns: Vec<LoggedColumn>,
}

impl LoggedTable {
    /// Matches the columns of the log with those of the plan's table.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn match_columns(number: u32, table: &Table, map: &TableMap<'_>) -> Result<Self, String> {
        let (planned, logged) = (table.columns.len(), map.types.len());
        // Columns that the catalog does not show come last: the periods of transactions, and hashes of long unique keys.
        let hidden = hidden_columns(table);
        if logged != planned && logged != planned + hidden {
            return Err(format!("it has {logged} columns in the log, and {planned} in the plan"));
        }
        let mut stored = 0;
        let mut numeric = 0;
        let mut columns = Vec::with_capacity(logged);
        for (index, logged) in map.types.iter().enumerate() {
            let Some(column) = table.columns.get(index) else {
                let encoding = logged.encoding().ok_or("a hidden column has an unknown type")?;
                columns.push(LoggedColumn { encoding, is_json: logged.is_json(), stored: None });
                continue;
            };
            let encoding = logged.encoding_of(column).map_err(|found| {
                format!("column {} is {} in the plan, and {found}", column.name, column.column_type)
            })?;
            if logged.is_numeric() {
                // The bits run from the upper one down.
                let unsigned = map.unsigned.get(numeric / 8).map(|byte| has_bit(&[byte.reverse_bits()], numeric % 8));
                numeric += 1;
                if let (Some(unsigned), ColumnEncoding::Integer { unsigned: planned, .. }) = (unsigned, encoding)
                    && unsigned != planned
                {
                    let sign = if unsigned { "unsigned" } else { "signed" };
                    return Err(format!(
                        "column {} is {} in the plan, and {sign} in the log",
                        column.name, column.column_type
                    ));
                }
            }
            let is_stored = !column.generated || column.stored;
            columns.push(LoggedColumn { encoding, is_json: logged.is_json(), stored: is_stored.then_some(stored) });
            stored += u32::from(is_stored);
        }
        Ok(Self { number, columns })
    }
}

/// The number of columns that the log may have beside those of the catalog.
fn hidden_columns(table: &Table) -> usize {
    let create = table.create.to_ascii_uppercase();
    let periods = if create.contains("WITH SYSTEM VERSIONING") && !table.history { 2 } else { 0 };
    periods + create.matches("USING HASH").count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Column;

    fn table(types: &[&str]) -> Table {
        let column = |(index, declared): (usize, &&str)| Column {
            name: format!("c{index}"),
            data_type: declared.split(['(', ' ']).next().unwrap().to_owned(),
            column_type: (*declared).to_owned(),
            charset: None,
            collation: None,
            nullable: true,
            generated: false,
            stored: false,
        };
        Table {
            name: "t".into(),
            engine: "InnoDB".into(),
            columns: types.iter().enumerate().map(column).collect(),
            history: false,
            late_timestamps: Vec::new(),
            primary_key: Vec::new(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    /// A map of d.t with an INT, a DECIMAL(5,2) and an unsigned TINYINT.
    const MAP: [u8; 30] = [
        9,
        0,
        0,
        0,
        0,
        0,
        1,
        0,
        1,
        b'd',
        0,
        1,
        b't',
        0,
        3,
        3,
        246,
        1,
        2,
        5,
        2,
        0,
        METADATA_SIGNEDNESS,
        1,
        0b0010_0000,
        2,
        3,
        b'x',
        b'y',
        b'z',
    ];

    #[test]
    fn columns_are_matched_by_count_type_and_sign() {
        let map = TableMap::parse(&MAP).unwrap();
        assert_eq!((map.id, map.database, map.table), (9, &b"d"[..], &b"t"[..]));
        let matched = |types: &[&str]| LoggedTable::match_columns(0, &table(types), &map);
        let columns = matched(&["int", "decimal(5,2)", "tinyint unsigned"]).unwrap().columns;
        assert_eq!(columns[2].encoding, ColumnEncoding::Integer { bytes: 1, unsigned: true });
        for (types, difference) in [
            (&["int", "decimal(5,2)"][..], "3 columns in the log, and 2"),
            (&["bigint", "decimal(5,2)", "tinyint unsigned"], "column c0 is bigint"),
            (&["int", "decimal(6,2)", "tinyint unsigned"], "column c1 is decimal(6,2)"),
            (&["int", "decimal(5,2)", "tinyint"], "unsigned in the log"),
        ] {
            let found = matched(types).unwrap_err();
            assert!(found.contains(difference), "{found}");
        }
    }

    #[test]
    fn a_map_that_is_cut_is_malformed() {
        for length in (0..MAP.len()).filter(|length| *length != 22 && *length != 25) {
            assert!(TableMap::parse(&MAP[..length]).is_none(), "{length} bytes");
        }
    }
}
