use super::text::BatchBuilder;
use crate::batch::{Batch, BatchId};
use crate::catalog::{Column, Table};
use crate::error::{Error, ErrorKind, Result};

/// Encodes the values of a program as batches: Unicode text, numbers, bytes, members of an `ENUM` by name. Push one
/// value for each stored column of the table, then call [`end_row`](Self::end_row).
#[derive(Debug)]
pub struct RowEncoder {
    columns: Vec<(String, ColumnEncoding)>,
    rows: BatchBuilder,
    /// The number of values in the current row.
    values: usize,
}

/// How the row text represents the values of a column.
#[derive(Debug)]
enum ColumnEncoding {
    /// The value itself.
    Plain,
    /// The number of a member; these are the members.
    Enum(Vec<String>),
    /// The sum of the bits of members; these are the members.
    Set(Vec<String>),
    /// A big-endian number of this many bytes.
    Bit(usize),
    /// Text in this character set, which is not a Unicode one.
    OtherCharset(String),
}

impl ColumnEncoding {
    fn for_column(column: &Column) -> Self {
        match (column.data_type.as_str(), column.charset.as_deref()) {
            ("enum", _) => Self::Enum(column.members()),
            ("set", _) => Self::Set(column.members()),
            ("bit", _) => Self::Bit(bit_length(&column.column_type).div_ceil(8)),
            (_, None | Some("utf8mb4" | "utf8mb3" | "utf8" | "binary")) => Self::Plain,
            (_, Some(other)) => Self::OtherCharset(other.to_owned()),
        }
    }
}

fn bit_length(column_type: &str) -> usize {
    let digits: String = column_type.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(1)
}

impl RowEncoder {
    /// Creates an encoder for rows of `table`.
    pub fn new(table: &Table) -> Self {
        let columns =
            table.stored_columns().map(|column| (column.name.clone(), ColumnEncoding::for_column(column))).collect();
        Self { columns, rows: BatchBuilder::default(), values: 0 }
    }

    /// Adds a NULL.
    ///
    /// # Errors
    /// `Data` if the row has a value for each column already. All `push` methods return this error.
    pub fn push_null(&mut self) -> Result<()> {
        next_column(&self.columns, &mut self.values)?;
        self.rows.push_null();
        Ok(())
    }

    /// Adds the bytes of a value as the server stores them, or a number or a time in SQL notation.
    ///
    /// # Errors
    /// `Data` if the row has a value for each column already.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        next_column(&self.columns, &mut self.values)?;
        self.rows.push_value(bytes);
        Ok(())
    }

    /// Adds text, or any value in SQL notation.
    ///
    /// # Errors
    /// `Data` for text that is not a member of an `ENUM` or `SET`, and for non-ASCII text in a column whose character
    /// set is not a Unicode one: push the bytes instead.
    pub fn push_text(&mut self, text: &str) -> Result<()> {
        let Self { columns, rows, values } = self;
        let (name, encoding) = next_column(columns, values)?;
        let number = match encoding {
            ColumnEncoding::Enum(members) => Some(member_index(name, members, text)? + 1),
            ColumnEncoding::Set(members) => Some(member_bits(name, members, text)?),
            ColumnEncoding::Bit(_) => {
                return Err(data_error(format!("column {name}: a BIT takes a number or bytes, not text")));
            }
            ColumnEncoding::OtherCharset(charset)
                if !text.is_ascii() || matches!(charset.as_str(), "ucs2" | "utf16" | "utf16le" | "utf32") =>
            {
                let message = format!(
                    "column {name}: its character set is {charset}: pass the value as bytes in that character set"
                );
                return Err(data_error(message));
            }
            ColumnEncoding::Plain | ColumnEncoding::OtherCharset(_) => None,
        };
        match number {
            Some(number) => rows.push_unescaped(itoa::Buffer::new().format(number).as_bytes()),
            None => rows.push_value(text.as_bytes()),
        }
        Ok(())
    }

    /// Adds an integer. For an `ENUM` it is the number of a member, for a `SET` the sum of the bits of members.
    ///
    /// # Errors
    /// `Data` for a number that does not fit a `BIT` column.
    pub fn push_integer(&mut self, number: i128) -> Result<()> {
        let Self { columns, rows, values } = self;
        let (name, encoding) = next_column(columns, values)?;
        let ColumnEncoding::Bit(bytes) = encoding else {
            rows.push_unescaped(itoa::Buffer::new().format(number).as_bytes());
            return Ok(());
        };
        let all = number.to_be_bytes();
        let (rest, value) = all.split_at(all.len().saturating_sub(*bytes));
        if rest.iter().any(|byte| *byte != 0) {
            return Err(data_error(format!("column {name}: {number} does not fit the BIT column")));
        }
        rows.push_value(value);
        Ok(())
    }

    /// Ends the current row.
    ///
    /// # Errors
    /// `Data` if values are missing.
    pub fn end_row(&mut self) -> Result<()> {
        if self.values < self.columns.len() {
            return Err(data_error(format!(
                "a row has {} values, and there are {} columns",
                self.values,
                self.columns.len()
            )));
        }
        self.values = 0;
        self.rows.end_row();
        Ok(())
    }

    /// The names of the stored columns, in the order of a row's values.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The bytes of encoded text.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no text yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the batch of the ended rows and clears the encoder.
    pub fn take_batch(&mut self, id: BatchId) -> Batch {
        self.values = 0;
        std::mem::take(&mut self.rows).finish(id)
    }
}

/// The column of the next value, which is counted.
fn next_column<'a>(
    columns: &'a [(String, ColumnEncoding)],
    values: &mut usize,
) -> Result<(&'a str, &'a ColumnEncoding)> {
    let column = columns.get(*values);
    *values += 1;
    let too_many = || data_error(format!("a row has more values than the {} columns of its table", columns.len()));
    column.map(|(name, encoding)| (name.as_str(), encoding)).ok_or_else(too_many)
}

fn data_error(message: String) -> Error {
    Error::new(ErrorKind::Data, message)
}

fn member_index(column: &str, members: &[String], text: &str) -> Result<u64> {
    let at = (0..).zip(members).find(|(_, member)| *member == text).map(|(at, _)| at);
    at.ok_or_else(|| data_error(format!("column {column}: `{text}` is not one of its members {}", members.join(", "))))
}

fn member_bits(column: &str, members: &[String], text: &str) -> Result<u64> {
    let chosen = text.split(',').filter(|_| !text.is_empty());
    chosen.map(|name| Ok(1 << member_index(column, members, name)?)).try_fold(0, |sum, bit: Result<u64>| Ok(sum | bit?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder() -> RowEncoder {
        let columns = [
            ("e", "enum('a','b')"),
            ("s", "set('x','y','z')"),
            ("b", "bit(10)"),
            ("t", "text"),
            ("l", "text charset latin1"),
        ];
        RowEncoder::new(&Table::define("t", columns, &[]))
    }

    #[test]
    fn values_are_encoded_by_column_type() {
        let mut rows = encoder();
        rows.push_text("b").unwrap();
        rows.push_text("x,z").unwrap();
        rows.push_integer(0x30A).unwrap();
        rows.push_text("é\t").unwrap();
        rows.push_bytes(&[0xE9]).unwrap();
        rows.end_row().unwrap();
        rows.push_null().unwrap();
        rows.push_text("").unwrap();
        rows.push_integer(1).unwrap();
        rows.push_integer(-7).unwrap();
        rows.push_text("l").unwrap();
        rows.end_row().unwrap();
        let batch = rows.take_batch(BatchId { table: 0, chunk: 0, batch: 0 });
        let expected = [b"2\t5\t\x03\\n\t\xC3\xA9\\t\t\xE9\n".as_slice(), b"\\N\t0\t\x00\x01\t-7\tl\n"].concat();
        assert_eq!((batch.rows, &batch.data[..]), (2, expected.as_slice()));
        assert!(rows.is_empty());
    }

    #[test]
    fn errors_name_the_column() {
        let message = |result: Result<()>| result.unwrap_err().to_string();
        let mut rows = encoder();
        assert!(message(rows.push_text("c")).contains("column e: `c`"));
        assert!(message(rows.push_text("x,q")).contains("column s: `q`"));
        assert!(message(rows.push_integer(1 << 16)).contains("column b"));
        rows.push_null().unwrap();
        assert!(message(rows.push_text("é")).contains("latin1"));
        assert!(message(rows.push_null()).contains("5 columns"));
        assert!(message(encoder().end_row()).contains("0 values"));
    }
}
