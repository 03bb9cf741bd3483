//! The expressions that read and load each type of column, in one table for source and target.

use super::ddl::quote_name;
use crate::catalog::{Column, Table};

/// The hidden columns of a system-versioned table that declares no period: the times at which a row version begins and
/// ends.
pub(super) const HIDDEN_PERIOD_COLUMNS: [&str; 2] = ["ROW_START", "ROW_END"];

/// The definition of one of the [`HIDDEN_PERIOD_COLUMNS`].
pub(super) fn hidden_period_column(name: &str) -> Column {
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

/// Whether `LOAD DATA … REPLACE` works for the table.
///
/// It cannot load hidden columns, and MariaDB does not detect duplicates by a key `WITHOUT OVERLAPS`. `INSERT` does both.
pub(super) fn supports_load_data(table: &Table) -> bool {
    let hidden = table.columns.iter().any(|column| HIDDEN_PERIOD_COLUMNS.contains(&column.name.as_str()));
    !(table.history && hidden || table.create.contains("WITHOUT OVERLAPS"))
}

/// The form of a field's bytes, which decides how the target converts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldEncoding {
    /// The bytes of the text are the bytes of the value.
    Raw,
    /// The number of an `ENUM`'s member or the bits of a `SET`. As text, an empty member would look like the error value
    /// of an `ENUM`, and a `SET` may have an empty member too.
    MemberNumber,
    /// Text in utf8mb4: the server refuses JSON with the character set `binary`.
    JsonText,
    /// Text in ASCII: the server takes a binary string for the value's internal form.
    AsciiText,
    /// A number within the limit of a `FLOAT(M,D)`: the column may hold a value that is rounded up and that it would
    /// refuse.
    ClampedFloat,
}

fn field_encoding(column: &Column) -> FieldEncoding {
    match column.data_type.as_str() {
        "enum" | "set" => FieldEncoding::MemberNumber,
        "json" => FieldEncoding::JsonText,
        "uuid" | "inet4" | "inet6" => FieldEncoding::AsciiText,
        "float" if float_limit(column).is_some() => FieldEncoding::ClampedFloat,
        _ => FieldEncoding::Raw,
    }
}

/// The greatest number that a `FLOAT(M,D)` accepts.
fn float_limit(column: &Column) -> Option<String> {
    let (digits, scale) = column.column_type.strip_prefix("float(")?.split_once(')')?.0.split_once(',')?;
    let (digits, scale): (usize, usize) = (digits.parse().ok()?, scale.parse().ok()?);
    Some(format!("0{}.{}e0", "9".repeat(digits.saturating_sub(scale)), "9".repeat(scale)))
}

/// The expression that reads the column.
pub(super) fn read_expression(column: &Column) -> String {
    let name = quote_name(&column.name);
    match field_encoding(column) {
        FieldEncoding::MemberNumber => format!("CAST({name} AS UNSIGNED)"),
        FieldEncoding::Raw | FieldEncoding::JsonText | FieldEncoding::AsciiText | FieldEncoding::ClampedFloat => name,
    }
}

/// The expression that converts `value`, an expression of the field's bytes, to the column's value; `None` if the bytes
/// can be assigned without a conversion.
pub(super) fn load_expression(column: &Column, value: &str) -> Option<String> {
    match field_encoding(column) {
        FieldEncoding::Raw => None,
        FieldEncoding::MemberNumber => Some(format!("CAST({value} AS UNSIGNED)")),
        FieldEncoding::JsonText => Some(format!("CONVERT({value} USING utf8mb4)")),
        FieldEncoding::AsciiText => Some(format!("CONVERT({value} USING ascii)")),
        FieldEncoding::ClampedFloat => {
            let limit = float_limit(column)?;
            // A multiplication keeps the sign of zero.
            Some(format!("GREATEST(LEAST({value} * 1e0, {limit}), -{limit})"))
        }
    }
}

/// Whether the server warns when the error value of an `ENUM` (number 0) is loaded into the column.
pub(super) fn warns_of_error_value(column: &Column) -> bool {
    column.data_type == "enum"
}
