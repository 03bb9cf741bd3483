//! Four-byte characters that `SHOW CREATE TABLE` prints as `?`: members of an ENUM or a SET, and MariaDB's literal
//! defaults. What a row or `DEFAULT()` says is put in their place; where neither says anything, it is told.

use super::connect::Conn;
use super::ddl::{self, quote_name};
use crate::catalog::{Column, Flavor, Printable, Table};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};

/// The character sets that have characters of four bytes in UTF-8.
const WIDE: [&str; 6] = ["utf8mb4", "utf16", "utf16le", "utf32", "gb18030", "ucs2"];

/// A text of a definition that holds a `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The member of this number, from 1.
    Member(usize),
    Default,
}

/// Puts into the table's definition and columns what is really meant.
pub(super) async fn restore(conn: &mut Conn, table: &mut Table) -> Result<()> {
    for (column, place, printed) in doubtful(table, conn.server.flavor) {
        let Some(meant) = look(conn, table, &column, place).await?.filter(|meant| *meant != printed) else { continue };
        let restored = match place {
            Place::Member(number) => ddl::replace_member(&table.create, &column.name, number, &meant),
            Place::Default => ddl::replace_default(&table.create, &column.name, &meant),
        };
        // What is not `?` must be the same, or it is something else.
        let Some(restored) = restored.filter(|_| is_printed_as(&meant, &printed)) else { continue };
        table.create = restored;
        if let (Place::Member(number), Some(column)) =
            (place, table.columns.iter_mut().find(|other| other.name == column.name))
            && let Some(kind) = ddl::replace_member_in_type(&column.column_type, number, &meant)
        {
            column.column_type = kind;
        }
    }
    Ok(())
}

/// What cannot be proved to be a `?`.
pub(super) async fn unproved(conn: &mut Conn, table: &Table) -> Result<Vec<FidelityIssue>> {
    let mut found = Vec::new();
    for (column, place, printed) in doubtful(table, conn.server.flavor) {
        if look(conn, table, &column, place).await?.is_none() {
            let what = match place {
                Place::Member(number) => format!("member {number} of column {}", Printable(&column.name)),
                Place::Default => format!("default of column {}", Printable(&column.name)),
            };
            found.push(FidelityIssue {
                object: table.object(),
                what,
                severity: Severity::Warning,
                source: format!(
                    "printed as `{}`, where the server prints a `?` for a four-byte character too, and no row tells",
                    Printable(&printed)
                ),
                target: format!("`{}`", Printable(&printed)),
            });
        }
    }
    Ok(found)
}

fn doubtful(table: &Table, flavor: Flavor) -> Vec<(Column, Place, String)> {
    let mut found = Vec::new();
    let wide = |column: &&Column| column.charset.as_deref().is_some_and(|charset| WIDE.contains(&charset));
    for column in table.columns.iter().filter(wide) {
        for (number, member) in (1..).zip(column.members()).filter(|(_, member)| member.contains('?')) {
            found.push((column.clone(), Place::Member(number), member));
        }
        let default = if flavor == Flavor::MariaDb { ddl::literal_default(&table.create, &column.name) } else { None };
        if let Some(default) = default.filter(|default| default.contains('?')) {
            found.push((column.clone(), Place::Default, default));
        }
    }
    found
}

/// The text itself, where a row or the default says it. An account that may not read the table learns nothing.
async fn look(conn: &mut Conn, table: &Table, column: &Column, place: Place) -> Result<Option<String>> {
    let (from, name) = (quote_name(&table.name), quote_name(&column.name));
    let text = |value: &str| format!("HEX(CONVERT({value} USING utf8mb4)), {value} + 0");
    // A row of NULLs is enough for the default of a column that takes them.
    let nothing = format!("(SELECT 1) AS one LEFT JOIN {from} ON 1 = 0");
    let default = format!("DEFAULT({name})");
    let queries = match place {
        Place::Member(number) if column.data_type == "set" => {
            let bit = 1_u64.checked_shl(u32::try_from(number - 1).unwrap_or(63)).unwrap_or(0);
            vec![format!("SELECT {} FROM {from} WHERE {name} & {bit} LIMIT 1", text(&name))]
        }
        Place::Member(number) => vec![
            format!("SELECT {} FROM {from} WHERE {name} = {number} LIMIT 1", text(&name)),
            format!("SELECT {} FROM {nothing}", text(&default)),
            format!("SELECT {} FROM {from} LIMIT 1", text(&default)),
        ],
        Place::Default => {
            let hex = format!("HEX(CONVERT({default} USING utf8mb4)), 0");
            vec![format!("SELECT {hex} FROM {nothing}"), format!("SELECT {hex} FROM {from} LIMIT 1")]
        }
    };
    for sql in queries {
        let row = match conn.row(&sql).await {
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => None,
            Ok(row) => row,
        };
        let Some(row) = row else { continue };
        let Some(found) = row.text(0).as_deref().and_then(from_hex) else { continue };
        let found = match place {
            Place::Member(number) if column.data_type == "set" => member_of(&found, row.number(1), number),
            Place::Member(number) => (usize::try_from(row.number(1)) == Ok(number)).then_some(found),
            Place::Default => Some(found),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The member of this number in the value of a SET, which lists those that its bits choose.
fn member_of(value: &str, bits: u64, number: usize) -> Option<String> {
    let before = bits & 1_u64.checked_shl(u32::try_from(number - 1).ok()?)?.checked_sub(1)?;
    value.split(',').nth(before.count_ones() as usize).map(str::to_owned)
}

fn from_hex(hex: &str) -> Option<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(hex.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?).ok()
}

/// Whether a server that does not know characters of four bytes prints the text so.
fn is_printed_as(text: &str, printed: &str) -> bool {
    text.chars().map(|c| if c.len_utf8() > 3 { '?' } else { c }).eq(printed.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_a_set_is_found_by_its_bit() {
        assert_eq!(member_of("x,🐬", 0b101, 3).as_deref(), Some("🐬"));
        assert_eq!(member_of("🐬", 0b100, 3).as_deref(), Some("🐬"));
        assert_eq!(from_hex("F09F90AC").as_deref(), Some("🐬"));
        assert!(is_printed_as("a🐬?é", "a??é") && !is_printed_as("ab", "a?"));
    }
}
