//! The rows of a table as a sorted list of digests: the order in which a server returns them does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_128;

use super::{CompareOptions, identifier, literal, with_fixed_settings};
use crate::database::Database;
use crate::error::Result;
use crate::flavor::Flavor;

/// How many differing rows are shown.
const EXAMPLES: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableRows {
    digests: Vec<u128>,
}

impl TableRows {
    pub(super) fn count(&self) -> usize {
        self.digests.len()
    }

    /// The digests that only one side has (or has more often).
    pub(super) fn differing(&self, other: &Self) -> (Vec<u128>, Vec<u128>) {
        let mut balance: BTreeMap<u128, i64> = BTreeMap::new();
        self.digests.iter().for_each(|digest| *balance.entry(*digest).or_default() += 1);
        other.digests.iter().for_each(|digest| *balance.entry(*digest).or_default() -= 1);
        let side = |sign: i64| {
            balance
                .iter()
                .flat_map(|(digest, count)| {
                    let times = usize::try_from(count * sign).unwrap_or(0);
                    std::iter::repeat_n(*digest, times)
                })
                .collect()
        };
        (side(1), side(-1))
    }
}

pub(super) fn read(server: &Database, name: &str, options: &CompareOptions) -> Result<BTreeMap<String, TableRows>> {
    let tables = server.rows(&format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type <> 'VIEW'",
        literal(name)
    ))?;
    let mut all = BTreeMap::new();
    for table in tables.into_iter().filter_map(|row| row.into_iter().next()) {
        if options.includes(&table) {
            let mut digests = Vec::new();
            let (query, columns) = query(server, name, &table, options.across)?;
            server.each_row(&query, |line| {
                digests.push(digest(line, &columns));
                Ok(())
            })?;
            digests.sort_unstable();
            all.insert(table, TableRows { digests });
        }
    }
    Ok(all)
}

/// A column as its name and its bare type.
type Column = (String, String);

/// The digest of a row. Floating-point numbers are hashed by their bits, since the families print the same number
/// differently.
fn digest(line: &[u8], columns: &[Column]) -> u128 {
    let is_real = |(_, kind): &Column| matches!(kind.as_str(), "float" | "double");
    if !columns.iter().any(is_real) {
        return xxh3_128(line);
    }
    let fields = line.split(|&byte| byte == b'\t').zip(columns);
    let fields = fields.map(|(field, column)| match is_real(column) {
        true => bits(&String::from_utf8_lossy(field), &column.1).into_bytes(),
        false => field.to_vec(),
    });
    xxh3_128(&fields.collect::<Vec<_>>().join(&b'\t'))
}

/// The bits of a number, and its sign.
#[expect(clippy::cast_possible_truncation, reason = "the number was a float before it was shown")]
fn bits(shown: &str, kind: &str) -> String {
    match shown.split_once(' ').and_then(|(number, sign)| Some((number.parse::<f64>().ok()?.abs(), sign))) {
        Some((number, sign)) if kind == "float" => format!("{:08x} {sign}", (number as f32).to_bits()),
        Some((number, sign)) => format!("{:016x} {sign}", number.to_bits()),
        None => shown.to_owned(),
    }
}

/// The query for all values of a table in an exact, unambiguous form, and its columns.
fn query(server: &Database, name: &str, table: &str, across: bool) -> Result<(String, Vec<Column>)> {
    let columns = server.rows(&format!(
        "SELECT column_name, data_type FROM information_schema.columns \
         WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        literal(name),
        literal(table)
    ))?;
    let versions = if across { RowVersioning::None } else { row_versioning(server, name, table)? };
    let shown = |name: &str| (name.to_owned(), "timestamp".to_owned());
    let (mut names, mut values) = match &versions {
        RowVersioning::Implicit => {
            (vec![shown("row_start"), shown("row_end")], vec!["CAST(ROW_START AS CHAR)".to_owned(), row_end("ROW_END")])
        }
        RowVersioning::None | RowVersioning::Columns { .. } => Default::default(),
    };
    for column in columns {
        if let [name, kind] = column.as_slice() {
            let kind = kind.to_ascii_lowercase();
            let ends = matches!(&versions, RowVersioning::Columns { row_end } if row_end == name);
            let column = identifier(name);
            values.push(if ends { row_end(&column) } else { exact(&column, &kind, across) });
            names.push((name.clone(), kind));
        }
    }
    let of_all_times = if versions == RowVersioning::None { "" } else { " FOR SYSTEM_TIME ALL" };
    let from = format!("{}.{}{of_all_times}", identifier(name), identifier(table));
    let list = values.join(", ");
    Ok((with_fixed_settings(&format!("SELECT {list} FROM {from};")), names))
}

/// How a system-versioned table of MariaDB stores the validity of its rows.
#[derive(PartialEq)]
enum RowVersioning {
    None,
    /// In hidden columns.
    Implicit,
    /// They are in columns like others; this one says until when the row was there.
    Columns {
        row_end: String,
    },
}

/// An expression that shows until when a row was there; `now` for one that still is. The end of time, by which a server
/// marks such a row, moved in MariaDB 11.5: with the range of TIMESTAMP.
fn row_end(column: &str) -> String {
    let end_of_time = "COALESCE(FROM_UNIXTIME(4294967295.999999), FROM_UNIXTIME(2147483647.999999))";
    format!("IF({column} = {end_of_time}, 'now', CAST({column} AS CHAR))")
}

fn row_versioning(server: &Database, name: &str, table: &str) -> Result<RowVersioning> {
    if server.flavor == Flavor::MySql {
        return Ok(RowVersioning::None);
    }
    let of_table = format!("table_schema = {} AND table_name = {}", literal(name), literal(table));
    let rows = server.rows(&format!(
        "SELECT table_type, IFNULL((SELECT column_name FROM information_schema.columns WHERE {of_table} \
         AND generation_expression LIKE 'ROW END'), '') FROM information_schema.tables WHERE {of_table}"
    ))?;
    let row: Vec<&str> = rows.iter().flatten().map(String::as_str).collect();
    Ok(match row.as_slice() {
        ["SYSTEM VERSIONED", ""] => RowVersioning::Implicit,
        ["SYSTEM VERSIONED", row_end] => RowVersioning::Columns { row_end: (*row_end).to_owned() },
        _ => RowVersioning::None,
    })
}

/// An expression that prints every bit of a value, in characters that need no escaping.
fn exact(column: &str, kind: &str, across: bool) -> String {
    match kind {
        // A float as text is rounded, as a double it is not; and not every server's text shows the sign of zero.
        "float" => format!("CONCAT({column} + 0e0, ' ', ATAN2({column}, -1) < 0)"),
        "double" => format!("CONCAT(CAST({column} AS CHAR), ' ', ATAN2({column}, -1) < 0)"),
        "bit" => format!("HEX({column} + 0)"),
        // An invalid value and an empty one look the same and have different numbers.
        "enum" | "set" => format!("CONCAT({column} + 0, ' ', HEX({column}))"),
        // A date or a decimal looks like a string or a double.
        "json" if !across => format!("CONCAT(JSON_TYPE({column}), ' ', HEX(CAST({column} AS CHAR)))"),
        "json" | "uuid" | "inet4" | "inet6" => format!("HEX(CAST({column} AS CHAR))"),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" | "date" | "time" | "datetime"
        | "timestamp" => format!("CAST({column} AS CHAR)"),
        _ => format!("HEX({column})"),
    }
}

/// Formats some of the rows with these digests.
pub(super) fn examples(
    sign: char,
    server: &Database,
    name: &str,
    table: &str,
    digests: &[u128],
    across: bool,
) -> Result<String> {
    let wanted: BTreeSet<u128> = digests.iter().copied().collect();
    let mut text = String::new();
    if wanted.is_empty() {
        return Ok(text);
    }
    let (query, columns) = query(server, name, table, across)?;
    let mut shown = 0;
    server.each_row(&query, |line| {
        if shown < EXAMPLES && wanted.contains(&digest(line, &columns)) {
            shown += 1;
            let line = String::from_utf8_lossy(line);
            let values =
                columns.iter().zip(line.split('\t')).map(|((name, _), value)| format!("{name}={}", short(value)));
            let _ = writeln!(text, "  {sign} {table}: {}", values.collect::<Vec<_>>().join(" "));
        }
        Ok(())
    })?;
    Ok(text)
}

fn short(value: &str) -> String {
    match value.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}
