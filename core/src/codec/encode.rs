use super::text::BatchBuilder;
use crate::batch::{Batch, BatchId};
use crate::catalog::{Column, Table};
use crate::error::{Error, ErrorKind, Result};

/// Makes batches of values as programs have them: text in Unicode, numbers, members of an `ENUM` by their names. One value
/// for each stored column of the table, then [`end_row`](Self::end_row).
#[derive(Debug)]
pub struct RowEncoder {
    columns: Vec<(String, Form)>,
    rows: BatchBuilder,
    /// How many values the current row has.
    at: usize,
}

/// What a column wants in the place of the value itself.
#[derive(Debug)]
enum Form {
    /// Nothing: the text is the value.
    Plain,
    /// The number of the member.
    Enum(Vec<String>),
    /// The sum of the members' bits.
    Set(Vec<String>),
    /// So many bytes of a number, the highest first.
    Bit(usize),
    /// Text in a character set that Unicode text has to be brought into.
    Foreign(String),
}

impl Form {
    fn of(column: &Column) -> Self {
        match (column.data_type.as_str(), column.charset.as_deref()) {
            ("enum", _) => Self::Enum(column.members()),
            ("set", _) => Self::Set(column.members()),
            ("bit", _) => Self::Bit(bits(&column.column_type).div_ceil(8)),
            (_, None | Some("utf8mb4" | "utf8mb3" | "utf8" | "binary")) => Self::Plain,
            (_, Some(other)) => Self::Foreign(other.to_owned()),
        }
    }
}

fn bits(column_type: &str) -> usize {
    let digits: String = column_type.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(1)
}

impl RowEncoder {
    /// For rows of this table.
    pub fn new(table: &Table) -> Self {
        let columns = table.stored_columns().map(|column| (column.name.clone(), Form::of(column))).collect();
        Self { columns, rows: BatchBuilder::default(), at: 0 }
    }

    /// Adds a NULL.
    ///
    /// # Errors
    /// `Data` for a value more than there are columns; so with all values.
    pub fn null(&mut self) -> Result<()> {
        next(&self.columns, &mut self.at)?;
        self.rows.null();
        Ok(())
    }

    /// Adds the bytes of a value as the server keeps them, or a number or a time in SQL's notation.
    ///
    /// # Errors
    /// `Data` for a value too many.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        next(&self.columns, &mut self.at)?;
        self.rows.value(bytes);
        Ok(())
    }

    /// Adds text, or anything else in SQL's notation.
    ///
    /// # Errors
    /// `Data` for what is no member of an `ENUM` or `SET`, and for text that is not ASCII in a column of another character
    /// set than Unicode's: its bytes are to be given.
    pub fn text(&mut self, text: &str) -> Result<()> {
        let Self { columns, rows, at } = self;
        let (name, form) = next(columns, at)?;
        let number = match form {
            Form::Enum(members) => Some(member(name, members, text)? + 1),
            Form::Set(members) => Some(sum(name, members, text)?),
            Form::Bit(_) => return Err(data(format!("column {name}: a BIT is a number or bytes, not text"))),
            Form::Foreign(charset)
                if !text.is_ascii() || matches!(charset.as_str(), "ucs2" | "utf16" | "utf16le" | "utf32") =>
            {
                let message = format!("column {name}: its character set is {charset}: give the value's bytes in that");
                return Err(data(message));
            }
            Form::Plain | Form::Foreign(_) => None,
        };
        match number {
            Some(number) => rows.plain(itoa::Buffer::new().format(number).as_bytes()),
            None => rows.value(text.as_bytes()),
        }
        Ok(())
    }

    /// Adds a whole number; for an `ENUM` or `SET` it is the member's, or the sum of the members' bits.
    ///
    /// # Errors
    /// `Data` for a number that a `BIT` has no room for.
    pub fn integer(&mut self, number: i128) -> Result<()> {
        let Self { columns, rows, at } = self;
        let (name, form) = next(columns, at)?;
        let Form::Bit(bytes) = form else {
            rows.plain(itoa::Buffer::new().format(number).as_bytes());
            return Ok(());
        };
        let all = number.to_be_bytes();
        let (rest, value) = all.split_at(all.len().saturating_sub(*bytes));
        if rest.iter().any(|byte| *byte != 0) {
            return Err(data(format!("column {name}: {number} has more bits than it")));
        }
        rows.value(value);
        Ok(())
    }

    /// Ends the current row.
    ///
    /// # Errors
    /// `Data` when values are missing.
    pub fn end_row(&mut self) -> Result<()> {
        if self.at < self.columns.len() {
            return Err(data(format!("a row has {} values, and there are {} columns", self.at, self.columns.len())));
        }
        self.at = 0;
        self.rows.end_row();
        Ok(())
    }

    /// The columns that a row has a value for, in order.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// How many bytes of text there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The batch of the rows that were ended; the encoder is empty then.
    pub fn batch(&mut self, id: BatchId) -> Batch {
        self.at = 0;
        std::mem::take(&mut self.rows).finish(id)
    }
}

/// The column of the next value.
fn next<'a>(columns: &'a [(String, Form)], at: &mut usize) -> Result<(&'a str, &'a Form)> {
    let column = columns.get(*at);
    *at += 1;
    let too_many = || data(format!("a row has more values than the {} columns of its table", columns.len()));
    column.map(|(name, form)| (name.as_str(), form)).ok_or_else(too_many)
}

fn data(message: String) -> Error {
    Error::new(ErrorKind::Data, message)
}

fn member(column: &str, members: &[String], text: &str) -> Result<u64> {
    let at = (0..).zip(members).find(|(_, member)| *member == text).map(|(at, _)| at);
    at.ok_or_else(|| {
        data(format!("column {column}: `{text}` is none of its members, which are {}", members.join(", ")))
    })
}

fn sum(column: &str, members: &[String], text: &str) -> Result<u64> {
    let chosen = text.split(',').filter(|_| !text.is_empty());
    chosen.map(|name| Ok(1 << member(column, members, name)?)).try_fold(0, |sum, bit: Result<u64>| Ok(sum | bit?))
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
    fn each_column_gets_what_the_servers_take() {
        let mut rows = encoder();
        rows.text("b").unwrap();
        rows.text("x,z").unwrap();
        rows.integer(0x30A).unwrap();
        rows.text("é\t").unwrap();
        rows.bytes(&[0xE9]).unwrap();
        rows.end_row().unwrap();
        rows.null().unwrap();
        rows.text("").unwrap();
        rows.integer(1).unwrap();
        rows.integer(-7).unwrap();
        rows.text("l").unwrap();
        rows.end_row().unwrap();
        let batch = rows.batch(BatchId { table: 0, chunk: 0, batch: 0 });
        let expected = [b"2\t5\t\x03\\n\t\xC3\xA9\\t\t\xE9\n".as_slice(), b"\\N\t0\t\x00\x01\t-7\tl\n"].concat();
        assert_eq!((batch.rows, &batch.data[..]), (2, expected.as_slice()));
        assert!(rows.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused_by_column() {
        let says = |result: Result<()>| result.unwrap_err().to_string();
        let mut rows = encoder();
        assert!(says(rows.text("c")).contains("column e: `c`"));
        assert!(says(rows.text("x,q")).contains("column s: `q`"));
        assert!(says(rows.integer(1 << 16)).contains("column b"));
        rows.null().unwrap();
        assert!(says(rows.text("é")).contains("latin1"));
        assert!(says(rows.null()).contains("5 columns"));
        assert!(says(encoder().end_row()).contains("0 values"));
    }
}
