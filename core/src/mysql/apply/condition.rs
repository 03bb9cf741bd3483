//! Conditions that find the rows of a change. The server compares the values.

use sha2::{Digest as _, Sha256};

use crate::catalog::{Column, Flavor};
use crate::codec::{Field, split_fields};
use crate::mysql::ddl::quote_name;

/// The longest value that is written into a condition; of longer ones the digest is. No index helps to find these.
const MAX_INDEXED: usize = 768;

/// How a condition compares texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextComparison {
    /// By the collation of the column, as its keys do.
    Collation,
    /// By their bytes.
    Bytes,
}

/// Adds the conditions that find a row by the columns at these places.
pub(super) fn push_conditions(
    sql: &mut Vec<u8>,
    columns: &[&Column],
    places: &[usize],
    line: &[u8],
    texts: TextComparison,
    flavor: Flavor,
) {
    let fields: Vec<Field<'_>> = split_fields(line).collect();
    let parts = places.iter().filter_map(|place| Some((columns.get(*place)?, fields.get(*place)?)));
    for (index, (column, field)) in parts.enumerate() {
        if index > 0 {
            sql.extend_from_slice(b" AND ");
        }
        push_condition(sql, column, *field, texts, flavor);
    }
    if places.is_empty() {
        sql.extend_from_slice(b"TRUE");
    }
}

/// Adds the condition that the column has the value of the field.
fn push_condition(sql: &mut Vec<u8>, column: &Column, field: Field<'_>, texts: TextComparison, flavor: Flavor) {
    let name = quote_name(&column.name);
    let Some(value) = field.unescape() else {
        return sql.extend_from_slice(format!("{name} IS NULL").as_bytes());
    };
    // The statement must fit into a packet.
    let digest = || {
        let digest = hex::encode(Sha256::digest(&value));
        format!("LENGTH({name}) = {} AND SHA2({name}, 256) = '{digest}'", value.len())
    };
    let condition = match literal(column, &value, texts, flavor) {
        Literal::Column(literal) => match (texts, column.data_type.as_str()) {
            // Numbers in JSON are equal if their types differ; their texts are not.
            (TextComparison::Bytes, "json") => {
                format!("CAST(CAST({name} AS CHAR) AS BINARY) = CAST(CAST({literal} AS CHAR) AS BINARY)")
            }
            (TextComparison::Bytes, "blob" | "mediumblob" | "longblob") if value.len() > MAX_INDEXED => digest(),
            // A negative zero equals zero. ATAN2 tells them apart, also where the server prints both alike.
            (TextComparison::Bytes, "float" | "double") if is_zero(&value) => {
                let sign = if value.starts_with(b"-") { '<' } else { '>' };
                format!("{name} = 0 AND ATAN2({name}, -1) {sign} 0")
            }
            _ => format!("{name} = {literal}"),
        },
        Literal::Bytes if value.len() > MAX_INDEXED => digest(),
        Literal::Bytes => {
            // The first part can use an index.
            let is_indexed = is_well_formed(column, &value);
            let by_collation = match literal(column, &value, TextComparison::Collation, flavor) {
                Literal::Column(literal) if is_indexed => format!("{name} = {literal} AND "),
                _ => String::new(),
            };
            format!("{by_collation}CAST({name} AS BINARY) = x'{}'", hex::encode(&value))
        }
        Literal::Hex => format!("HEX({name}) = '{}'", hex::encode(&value).to_uppercase()),
    };
    sql.extend_from_slice(condition.as_bytes());
}

/// The literal of a key's value. Returns `None` for NULL, and for a value that only a condition compares.
pub(super) fn key_literal(column: &Column, field: Field<'_>, flavor: Flavor) -> Option<String> {
    match literal(column, &field.unescape()?, TextComparison::Collation, flavor) {
        Literal::Column(literal) => Some(literal),
        Literal::Bytes | Literal::Hex => None,
    }
}

enum Literal {
    /// A literal that the server compares as a value of the column.
    Column(String),
    /// The bytes are compared.
    Bytes,
    /// The hexadecimal form is compared, where the type allows nothing else.
    Hex,
}

fn literal(column: &Column, value: &[u8], texts: TextComparison, flavor: Flavor) -> Literal {
    let text = String::from_utf8_lossy(value);
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let is_time = text.bytes().all(|byte| byte.is_ascii_digit() || b"-:. ".contains(&byte));
    match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" | "float" | "double" | "enum"
        | "set"
            if is_number =>
        {
            Literal::Column(text.into_owned())
        }
        "date" | "datetime" | "timestamp" | "time" if is_time => Literal::Column(format!("'{text}'")),
        "bit" => {
            let number = value.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            Literal::Column(number.to_string())
        }
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            Literal::Column(format!("x'{}'", hex::encode(value)))
        }
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => match column.charset.as_deref() {
            None | Some("binary") => Literal::Column(format!("x'{}'", hex::encode(value))),
            Some(charset) if texts == TextComparison::Collation => {
                // The column's collation takes precedence over a literal's.
                Literal::Column(format!("_{charset} x'{}'", hex::encode(value)))
            }
            Some(_) => Literal::Bytes,
        },
        "json" if flavor == Flavor::MySql => {
            Literal::Column(format!("CAST(CONVERT(x'{}' USING utf8mb4) AS JSON)", hex::encode(value)))
        }
        "uuid" | "inet4" | "inet6" => Literal::Column(format!("CONVERT(x'{}' USING ascii)", hex::encode(value))),
        "json" => Literal::Bytes,
        _ => Literal::Hex,
    }
}

/// Whether the text of a number has no digit but 0 before its exponent.
fn is_zero(number: &[u8]) -> bool {
    let mantissa = number.split(|byte| b"eE".contains(byte)).next().unwrap_or_default();
    !mantissa.iter().any(|byte| (b'1'..=b'9').contains(byte))
}

/// Whether a text is known to be one of its character set: a server refuses others as literals.
fn is_well_formed(column: &Column, text: &[u8]) -> bool {
    match column.charset.as_deref() {
        Some("latin1") => true,
        Some("utf8mb4") => std::str::from_utf8(text).is_ok(),
        Some("utf8" | "utf8mb3") => std::str::from_utf8(text).is_ok_and(|text| text.chars().all(|c| c < '\u{10000}')),
        Some("ucs2" | "utf16" | "utf16le" | "utf32") | None => false,
        Some(_) => text.is_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(data_type: &str, charset: Option<&str>, value: &[u8], texts: TextComparison) -> String {
        let column = Column {
            name: "a`".to_owned(),
            data_type: data_type.to_owned(),
            column_type: data_type.to_owned(),
            charset: charset.map(str::to_owned),
            collation: None,
            nullable: true,
            generated: false,
            stored: false,
        };
        let mut sql = Vec::new();
        push_condition(&mut sql, &column, Field::Escaped(value), texts, Flavor::MySql);
        String::from_utf8(sql).unwrap()
    }

    #[test]
    fn values_become_literals_of_the_column() {
        let of = |data_type, value| condition(data_type, None, value, TextComparison::Collation);
        assert_eq!(of("bigint", b"-9223372036854775808"), "`a``` = -9223372036854775808");
        assert_eq!(of("int", b"1 OR 1"), "HEX(`a```) = '31204F522031'");
        assert_eq!(of("bit", b"\x01\x02"), "`a``` = 258");
        assert_eq!(of("datetime", b"2024-02-30 00:00:00.5"), "`a``` = '2024-02-30 00:00:00.5'");
        assert_eq!(of("varbinary", br"\\t"), "`a``` = x'5c74'");
        assert_eq!(of("geometry", b"\x00"), "HEX(`a```) = '00'");
        let text = |texts| condition("varchar", Some("latin1"), b"A'", texts);
        assert_eq!(text(TextComparison::Collation), "`a``` = _latin1 x'4127'");
        assert_eq!(text(TextComparison::Bytes), "`a``` = _latin1 x'4127' AND CAST(`a``` AS BINARY) = x'4127'");
        let long = condition("text", Some("latin1"), &[b'a'; 1000], TextComparison::Bytes);
        assert!(long.starts_with("LENGTH(`a```) = 1000 AND SHA2("), "{long}");
        assert!(condition("json", None, b"{}", TextComparison::Bytes).contains("AS JSON"));
        let double = |value| condition("double", None, value, TextComparison::Bytes);
        assert_eq!(double(b"-0"), "`a``` = 0 AND ATAN2(`a```, -1) < 0");
        assert_eq!(double(b"0.0e5"), "`a``` = 0 AND ATAN2(`a```, -1) > 0");
        assert_eq!(double(b"-0.01"), "`a``` = -0.01");
    }
}
