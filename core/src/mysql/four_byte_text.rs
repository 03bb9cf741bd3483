//! Restores four-byte characters that `SHOW CREATE TABLE` prints as `?`: in members of an ENUM or SET, and in MariaDB's
//! literal defaults.
//!
//! A row, or the function `DEFAULT()`, returns the real text. Without either, the report names the text.

use super::connect::Conn;
use super::ddl::{self, quote_name};
use crate::catalog::{Column, Flavor, Printable, Table};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};

/// The character sets that contain characters of four bytes in UTF-8.
const FOUR_BYTE_CHARSETS: [&str; 6] = ["utf8mb4", "utf16", "utf16le", "utf32", "gb18030", "ucs2"];

/// The position of a text with a `?` in a column's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextPosition {
    /// The member with this number, from 1.
    Member(usize),
    Default,
}

/// Replaces each `?` in the table's definition and columns by the real character.
pub(super) async fn restore_definition(conn: &mut Conn, table: &mut Table) -> Result<()> {
    for (column, text, printed) in doubtful_texts(table, conn.server.flavor) {
        let Some(meant) = look_up_text(conn, table, &column, text).await?.filter(|meant| *meant != printed) else {
            continue;
        };
        let restored = match text {
            TextPosition::Member(number) => ddl::replace_member(&table.create, &column.name, number, &meant),
            TextPosition::Default => ddl::replace_default(&table.create, &column.name, &meant),
        };
        // All other characters must be equal. Otherwise the text found is a different one.
        let Some(restored) = restored.filter(|_| is_printed_as(&meant, &printed)) else { continue };
        table.create = restored;
        if let (TextPosition::Member(number), Some(column)) =
            (text, table.columns.iter_mut().find(|other| other.name == column.name))
            && let Some(kind) = ddl::replace_member_in_type(&column.column_type, number, &meant)
        {
            column.column_type = kind;
        }
    }
    Ok(())
}

/// Reports the texts whose `?` may stand for another character.
pub(super) async fn find_unproven(conn: &mut Conn, table: &Table) -> Result<Vec<FidelityIssue>> {
    let mut found = Vec::new();
    for (column, text, printed) in doubtful_texts(table, conn.server.flavor) {
        if look_up_text(conn, table, &column, text).await?.is_none() {
            let what = match text {
                TextPosition::Member(number) => format!("member {number} of column {}", Printable(&column.name)),
                TextPosition::Default => format!("default of column {}", Printable(&column.name)),
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

fn doubtful_texts(table: &Table, flavor: Flavor) -> Vec<(Column, TextPosition, String)> {
    let mut found = Vec::new();
    let wide =
        |column: &&Column| column.charset.as_deref().is_some_and(|charset| FOUR_BYTE_CHARSETS.contains(&charset));
    for column in table.columns.iter().filter(wide) {
        for (number, member) in (1..).zip(column.members()).filter(|(_, member)| member.contains('?')) {
            found.push((column.clone(), TextPosition::Member(number), member));
        }
        let default = if flavor == Flavor::MariaDb { ddl::literal_default(&table.create, &column.name) } else { None };
        if let Some(default) = default.filter(|default| default.contains('?')) {
            found.push((column.clone(), TextPosition::Default, default));
        }
    }
    found
}

/// Reads the real text from a row or the default; `None` if neither has it, or if the account may not read the table.
async fn look_up_text(conn: &mut Conn, table: &Table, column: &Column, text: TextPosition) -> Result<Option<String>> {
    let (from, name) = (quote_name(&table.name), quote_name(&column.name));
    let hex_and_number = |value: &str| format!("HEX(CONVERT({value} USING utf8mb4)), {value} + 0");
    // A row of NULLs suffices for the default of a nullable column.
    let nothing = format!("(SELECT 1) AS one LEFT JOIN {from} ON 1 = 0");
    let default = format!("DEFAULT({name})");
    let queries = match text {
        TextPosition::Member(number) if column.data_type == "set" => {
            let bit = 1_u64.checked_shl(u32::try_from(number - 1).unwrap_or(63)).unwrap_or(0);
            vec![format!("SELECT {} FROM {from} WHERE {name} & {bit} LIMIT 1", hex_and_number(&name))]
        }
        TextPosition::Member(number) => vec![
            format!("SELECT {} FROM {from} WHERE {name} = {number} LIMIT 1", hex_and_number(&name)),
            format!("SELECT {} FROM {nothing}", hex_and_number(&default)),
            format!("SELECT {} FROM {from} LIMIT 1", hex_and_number(&default)),
        ],
        TextPosition::Default => {
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
        let Some(found) = row.text(0).as_deref().and_then(decode_hex) else { continue };
        let found = match text {
            TextPosition::Member(number) if column.data_type == "set" => member_by_bit(&found, row.number(1), number),
            TextPosition::Member(number) => (usize::try_from(row.number(1)) == Ok(number)).then_some(found),
            TextPosition::Default => Some(found),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Returns the member with this number from the value of a SET, which lists the members of its set bits.
fn member_by_bit(value: &str, bits: u64, number: usize) -> Option<String> {
    let before = bits & 1_u64.checked_shl(u32::try_from(number - 1).ok()?)?.checked_sub(1)?;
    value.split(',').nth(before.count_ones() as usize).map(str::to_owned)
}

fn decode_hex(hex: &str) -> Option<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(hex.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?).ok()
}

/// Whether a server that replaces four-byte characters prints the text like this.
fn is_printed_as(text: &str, printed: &str) -> bool {
    text.chars().map(|c| if c.len_utf8() > 3 { '?' } else { c }).eq(printed.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_a_set_is_found_by_its_bit() {
        assert_eq!(member_by_bit("x,🐬", 0b101, 3).as_deref(), Some("🐬"));
        assert_eq!(member_by_bit("🐬", 0b100, 3).as_deref(), Some("🐬"));
        assert_eq!(decode_hex("F09F90AC").as_deref(), Some("🐬"));
        assert!(is_printed_as("a🐬?é", "a??é") && !is_printed_as("ab", "a?"));
    }
}
