//! Reads the types of a table map, and finds the encoding of each column. A type that the planned column cannot have is an
//! error.

use super::byte_cursor::ByteCursor;
use super::column_encoding::ColumnEncoding;
use super::decimal_text::decimal_bytes;
use crate::catalog::Column;

/// The types of columns in the log.
mod code {
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const NEWDATE: u8 = 14;
    pub(super) const VARCHAR: u8 = 15;
    pub(super) const BIT: u8 = 16;
    pub(super) const TIMESTAMP2: u8 = 17;
    pub(super) const DATETIME2: u8 = 18;
    pub(super) const TIME2: u8 = 19;
    pub(super) const TYPED_ARRAY: u8 = 20;
    pub(super) const BLOB_COMPRESSED: u8 = 140;
    pub(super) const VARCHAR_COMPRESSED: u8 = 141;
    pub(super) const VECTOR: u8 = 242;
    pub(super) const JSON: u8 = 245;
    pub(super) const NEWDECIMAL: u8 = 246;
    pub(super) const ENUM: u8 = 247;
    pub(super) const SET: u8 = 248;
    pub(super) const BLOB: u8 = 252;
    pub(super) const VAR_STRING: u8 = 253;
    pub(super) const STRING: u8 = 254;
    pub(super) const GEOMETRY: u8 = 255;
}

/// The type of a column in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoggedType {
    code: u8,
    /// The two bytes of metadata; types with one byte have it first.
    metadata: [u8; 2],
}

impl LoggedType {
    /// Reads the metadata of a type.
    pub(super) fn read(code: u8, metadata: &mut ByteCursor<'_>) -> Option<Self> {
        let metadata = match code {
            code::FLOAT
            | code::DOUBLE
            | code::TIMESTAMP2
            | code::DATETIME2
            | code::TIME2
            | code::BLOB
            | code::BLOB_COMPRESSED
            | code::GEOMETRY
            | code::JSON
            | code::VECTOR => [metadata.byte()?, 0],
            code::VARCHAR
            | code::VARCHAR_COMPRESSED
            | code::VAR_STRING
            | code::BIT
            | code::NEWDECIMAL
            | code::ENUM
            | code::SET
            | code::STRING => metadata.array()?,
            // A hidden column of an index, which no row holds.
            code::TYPED_ARRAY => return None,
            _ => [0, 0],
        };
        Some(Self { code, metadata })
    }

    pub(super) fn is_json(self) -> bool {
        self.code == code::JSON
    }

    /// Whether the table map says whether it is unsigned.
    pub(super) fn is_numeric(self) -> bool {
        matches!(
            self.code,
            code::TINY
                | code::SHORT
                | code::INT24
                | code::LONG
                | code::LONGLONG
                | code::FLOAT
                | code::DOUBLE
                | code::NEWDECIMAL
                | code::YEAR
        )
    }

    /// The encoding of the values of a column that is not planned.
    pub(super) fn encoding(self) -> Option<ColumnEncoding> {
        let [first, second] = self.metadata;
        let variable = |length_bytes: u8| ColumnEncoding::Bytes { length_bytes: usize::from(length_bytes) };
        Some(match self.code {
            code::TINY => ColumnEncoding::Integer { bytes: 1, unsigned: false },
            code::SHORT => ColumnEncoding::Integer { bytes: 2, unsigned: false },
            code::INT24 => ColumnEncoding::Integer { bytes: 3, unsigned: false },
            code::LONG => ColumnEncoding::Integer { bytes: 4, unsigned: false },
            code::LONGLONG => ColumnEncoding::Integer { bytes: 8, unsigned: false },
            code::FLOAT => ColumnEncoding::Float,
            code::DOUBLE => ColumnEncoding::Double,
            code::NEWDECIMAL => {
                decimal_bytes(first, second)?;
                ColumnEncoding::Decimal { precision: first, scale: second, zero_fill: false }
            }
            code::YEAR => ColumnEncoding::Year { two_digits: false },
            code::DATE | code::NEWDATE => ColumnEncoding::Date,
            code::TIME => ColumnEncoding::OldTime,
            code::DATETIME => ColumnEncoding::OldDatetime,
            code::TIMESTAMP => ColumnEncoding::OldTimestamp,
            code::TIME2 if first <= 6 => ColumnEncoding::Time { decimals: first },
            code::DATETIME2 if first <= 6 => ColumnEncoding::Datetime { decimals: first },
            code::TIMESTAMP2 if first <= 6 => ColumnEncoding::Timestamp { decimals: first },
            code::BIT => ColumnEncoding::Bit { bytes: usize::from(second) + usize::from(first > 0) },
            code::VARCHAR | code::VAR_STRING => variable(length_bytes(u16::from_le_bytes(self.metadata))),
            code::VARCHAR_COMPRESSED => {
                let length_bytes = usize::from(length_bytes(u16::from_le_bytes(self.metadata)));
                ColumnEncoding::Compressed { length_bytes }
            }
            code::BLOB_COMPRESSED if (1..=4).contains(&first) => {
                ColumnEncoding::Compressed { length_bytes: usize::from(first) }
            }
            code::BLOB | code::GEOMETRY | code::VECTOR if (1..=4).contains(&first) => variable(first),
            code::JSON if (1..=4).contains(&first) => ColumnEncoding::Json { length_bytes: usize::from(first) },
            code::ENUM | code::SET => member(second)?,
            code::STRING if matches!(first, code::ENUM | code::SET) => member(second)?,
            // The upper bits of a long width are in the type.
            code::STRING => variable(length_bytes(u16::from(second) | u16::from(first & 0x30 ^ 0x30) << 4)),
            _ => return None,
        })
    }

    /// The encoding of the values of a planned column.
    ///
    /// # Errors
    /// The type in the log, if the column cannot have it.
    pub(super) fn encoding_of(self, column: &Column) -> Result<ColumnEncoding, String> {
        let wrong = || format!("type {} of the log with the metadata {:?}", self.code, self.metadata);
        let encoding = self.encoding().ok_or_else(wrong)?;
        let [first, second] = self.metadata;
        let kind = column.data_type.as_str();
        let declared = column.column_type.to_ascii_lowercase();
        let unsigned = declared.contains("unsigned") || declared.contains("zerofill");
        let number = |bytes| ColumnEncoding::Integer { bytes, unsigned };
        let length_bytes = match encoding {
            ColumnEncoding::Bytes { length_bytes } | ColumnEncoding::Compressed { length_bytes } => length_bytes,
            _ => 0,
        };
        let fits = match self.code {
            code::TINY => kind == "tinyint",
            code::SHORT => kind == "smallint",
            code::INT24 => kind == "mediumint",
            code::LONG => kind == "int",
            code::LONGLONG => kind == "bigint",
            code::FLOAT => kind == "float",
            code::DOUBLE => kind == "double",
            code::NEWDECIMAL => {
                kind == "decimal"
                    && matches!(parameters(&declared).as_deref(), Some([precision, scale])
                    if (*precision, *scale) == (usize::from(first), usize::from(second)))
            }
            code::YEAR => kind == "year",
            code::DATE | code::NEWDATE => kind == "date",
            code::TIME => kind == "time" && parameters(&declared).is_none(),
            code::DATETIME => kind == "datetime" && parameters(&declared).is_none(),
            code::TIMESTAMP => kind == "timestamp" && parameters(&declared).is_none(),
            code::TIME2 => kind == "time" && has_decimals(&declared, first),
            code::DATETIME2 => kind == "datetime" && has_decimals(&declared, first),
            code::TIMESTAMP2 => kind == "timestamp" && has_decimals(&declared, first),
            code::BIT => kind == "bit",
            code::VARCHAR | code::VAR_STRING => matches!(kind, "varchar" | "varbinary" | "vector"),
            code::VARCHAR_COMPRESSED => matches!(kind, "varchar" | "varbinary"),
            code::BLOB | code::BLOB_COMPRESSED => match kind {
                "tinyblob" | "tinytext" => first == 1,
                "blob" | "text" => first == 2,
                "mediumblob" | "mediumtext" => first == 3,
                // MariaDB's JSON is a LONGTEXT.
                "longblob" | "longtext" | "json" => first == 4,
                _ => false,
            },
            code::GEOMETRY => GEOMETRIES.contains(&kind),
            code::JSON => kind == "json",
            code::VECTOR => kind == "vector",
            code::ENUM => kind == "enum",
            code::SET => kind == "set",
            code::STRING if first == code::ENUM => kind == "enum",
            code::STRING if first == code::SET => kind == "set",
            code::STRING => matches!(kind, "char" | "binary" | "inet4" | "inet6" | "uuid"),
            _ => false,
        };
        if !fits {
            return Err(wrong());
        }
        Ok(match (encoding, kind) {
            (ColumnEncoding::Integer { bytes, .. }, _) => number(bytes),
            (ColumnEncoding::Decimal { precision, scale, .. }, _) => {
                ColumnEncoding::Decimal { precision, scale, zero_fill: declared.contains("zerofill") }
            }
            (ColumnEncoding::Year { .. }, _) => ColumnEncoding::Year { two_digits: declared.starts_with("year(2)") },
            (_, "binary") => {
                let width =
                    parameters(&declared).and_then(|parameters| parameters.first().copied()).ok_or_else(wrong)?;
                ColumnEncoding::Padded { length_bytes, width }
            }
            (_, "inet4") => ColumnEncoding::Inet4,
            (_, "inet6") => ColumnEncoding::Inet6,
            (_, "uuid") => ColumnEncoding::Uuid { old: declared.contains("old") },
            (encoding, _) => encoding,
        })
    }
}

const GEOMETRIES: [&str; 9] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geomcollection",
    "geometrycollection",
];

/// The bytes of the length of a value of at most `width` bytes.
fn length_bytes(width: u16) -> u8 {
    if width > 255 { 2 } else { 1 }
}

fn member(bytes: u8) -> Option<ColumnEncoding> {
    (1..=8).contains(&bytes).then(|| ColumnEncoding::Member { bytes: usize::from(bytes) })
}

/// The numbers in the brackets of a type: `decimal(10,2)`.
fn parameters(declared: &str) -> Option<Vec<usize>> {
    let (inside, _) = declared.split_once('(')?.1.split_once(')')?;
    inside.split(',').map(|number| number.trim().parse().ok()).collect()
}

fn has_decimals(declared: &str, decimals: u8) -> bool {
    let declared = parameters(declared).and_then(|parameters| parameters.first().copied());
    declared.unwrap_or(0) == usize::from(decimals)
}
