//! How each type of column travels: what is selected, and how the target takes it. One table for both sides.

use super::ddl::quote_name;
use crate::catalog::{Column, Table};

/// The columns of a system-versioned table that names none of its own: from when, and until when, a row was valid.
pub(super) const HIDDEN_PERIOD: [&str; 2] = ["ROW_START", "ROW_END"];

/// One of them.
pub(super) fn period(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: "timestamp".to_owned(),
        column_type: "timestamp(6)".to_owned(),
        charset: None,
        collation: None,
        nullable: false,
        generated: false,
        stored: false,
    }
}

/// Whether the table takes `LOAD DATA … REPLACE`: it does not know hidden columns, nor does MariaDB look for a duplicate by
/// a key `WITHOUT OVERLAPS`. `INSERT` does both.
pub(super) fn loads_by_file(table: &Table) -> bool {
    let hidden = table.columns.iter().any(|column| HIDDEN_PERIOD.contains(&column.name.as_str()));
    !(table.history && hidden || table.create.contains("WITHOUT OVERLAPS"))
}

/// How the target takes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// As it is: the bytes of the text are the bytes of the value.
    Plain,
    /// As the number of the member: an `ENUM`'s empty member and its error value look the same as text, and a `SET` may
    /// have an empty member too.
    Index,
    /// As utf8mb4 text: the server refuses JSON in binary.
    Json,
    /// As ASCII text: in binary the server takes it for the value's inner form.
    Ascii,
    /// As the number, but not beyond the bound of a `FLOAT(M,D)`: the column may hold it rounded up, and refuse that.
    Bounded,
}

fn carriage(column: &Column) -> Carriage {
    match column.data_type.as_str() {
        "enum" | "set" => Carriage::Index,
        "json" => Carriage::Json,
        "uuid" | "inet4" | "inet6" => Carriage::Ascii,
        "float" if bound(column).is_some() => Carriage::Bounded,
        _ => Carriage::Plain,
    }
}

/// The greatest number that a `FLOAT(M,D)` is for.
fn bound(column: &Column) -> Option<String> {
    let (digits, scale) = column.column_type.strip_prefix("float(")?.split_once(')')?.0.split_once(',')?;
    let (digits, scale): (usize, usize) = (digits.parse().ok()?, scale.parse().ok()?);
    Some(format!("0{}.{}e0", "9".repeat(digits.saturating_sub(scale)), "9".repeat(scale)))
}

/// The expression that reads the column.
pub(super) fn read_expression(column: &Column) -> String {
    let name = quote_name(&column.name);
    match carriage(column) {
        Carriage::Index => format!("CAST({name} AS UNSIGNED)"),
        Carriage::Plain | Carriage::Json | Carriage::Ascii | Carriage::Bounded => name,
    }
}

/// The expression that makes the column's value of `value`, an expression of the field's bytes; `None` when the bytes
/// can be assigned as they are.
pub(super) fn load_expression(column: &Column, value: &str) -> Option<String> {
    match carriage(column) {
        Carriage::Plain => None,
        Carriage::Index => Some(format!("CAST({value} AS UNSIGNED)")),
        Carriage::Json => Some(format!("CONVERT({value} USING utf8mb4)")),
        Carriage::Ascii => Some(format!("CONVERT({value} USING ascii)")),
        Carriage::Bounded => {
            let bound = bound(column)?;
            // A product keeps the sign of zero.
            Some(format!("GREATEST(LEAST({value} * 1e0, {bound}), -{bound})"))
        }
    }
}

/// Whether the column's index 0 (an `ENUM`'s error value) makes the server warn when it is loaded.
pub(super) fn warns_of_index_zero(column: &Column) -> bool {
    column.data_type == "enum"
}
