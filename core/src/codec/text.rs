use bytes::Bytes;

use super::Digest;
use crate::batch::{Batch, BatchId};

/// Builds a batch row by row: each field in column order, then [`end_row`](Self::end_row).
#[derive(Debug, Default)]
pub struct BatchBuilder {
    text: Vec<u8>,
    row_start: usize,
    /// How many fields the current row has so far.
    fields: usize,
    digest: Digest,
}

impl BatchBuilder {
    /// An empty batch with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a NULL.
    pub fn null(&mut self) {
        self.begin_field();
        self.text.extend_from_slice(br"\N");
    }

    /// Adds a value of any bytes.
    pub fn value(&mut self, bytes: &[u8]) {
        self.begin_field();
        self.append(bytes);
    }

    /// Adds a value that needs no escaping: a number, a time.
    pub(crate) fn plain(&mut self, text: &[u8]) {
        self.begin_field();
        self.text.extend_from_slice(text);
    }

    /// Begins a field whose bytes follow in pieces by [`append`](Self::append).
    pub(crate) fn begin_field(&mut self) {
        if self.fields > 0 {
            self.text.push(b'\t');
        }
        self.fields += 1;
    }

    /// Adds bytes to the current field.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr3(b'\t', b'\n', b'\\', rest) {
            let (clean, tail) = rest.split_at(at);
            self.text.extend_from_slice(clean);
            let Some((&special, after)) = tail.split_first() else { break };
            self.text.push(b'\\');
            self.text.push(match special {
                b'\t' => b't',
                b'\n' => b'n',
                other => other,
            });
            rest = after;
        }
        self.text.extend_from_slice(rest);
    }

    /// Ends the current row.
    pub fn end_row(&mut self) {
        self.digest.add_row(self.text.get(self.row_start..).unwrap_or_default());
        self.text.push(b'\n');
        self.row_start = self.text.len();
        self.fields = 0;
    }

    /// Makes room for a long value, so that it does not have to be moved again and again.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
    }

    /// How many bytes there are so far, those of an unfinished row included.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How many rows were ended.
    pub fn rows(&self) -> u64 {
        self.digest.rows
    }

    /// The batch of the rows that were ended; an unfinished one is dropped.
    pub fn finish(mut self, id: BatchId) -> Batch {
        self.text.truncate(self.row_start);
        Batch::new(id, self.digest.rows, Bytes::from(self.text), self.digest)
    }
}

/// One field of a row as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// No value.
    Null,
    /// Still escaped.
    Escaped(&'a [u8]),
}

impl Field<'_> {
    /// The value's bytes; `None` for NULL.
    pub fn bytes(self) -> Option<Vec<u8>> {
        let Self::Escaped(text) = self else { return None };
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.iter();
        while let Some(&byte) = rest.next() {
            bytes.push(match byte {
                b'\\' => match rest.next() {
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(&other) => other,
                    None => break,
                },
                other => other,
            });
        }
        Some(bytes)
    }
}

/// The rows of a batch, each as its text. A tab or a newline inside a value is escaped, so splitting needs no state.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n');
    lines.take(if text.is_empty() { 0 } else { usize::MAX })
}

/// The fields of a row.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = Field<'_>> {
    line.split(|&byte| byte == b'\t').map(|field| if field == br"\N" { Field::Null } else { Field::Escaped(field) })
}

/// The rows of a batch's text, each as its fields.
pub fn rows(text: &[u8]) -> impl Iterator<Item = impl Iterator<Item = Field<'_>>> {
    lines(text).map(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: BatchId = BatchId { table: 0, chunk: 0, batch: 0 };

    proptest! {
        #[test]
        fn any_bytes_and_nulls_come_back(table in prop::collection::vec(prop::collection::vec(
            prop::option::of(prop::collection::vec(prop_oneof![Just(b'\\'), Just(b'\t'), Just(b'\n'), Just(b'N'), any::<u8>()], 0..12)), 3..=3), 0..8)) {
            let mut builder = BatchBuilder::default();
            for row in &table {
                for field in row {
                    match field {
                        Some(bytes) => builder.value(bytes),
                        None => builder.null(),
                    }
                }
                builder.end_row();
            }
            let batch = builder.finish(ID);
            let back: Vec<Vec<_>> = rows(&batch.data).map(|row| row.map(Field::bytes).collect()).collect();
            prop_assert_eq!(back, table.clone());
            prop_assert_eq!(batch.rows, table.len() as u64);
        }
    }

    #[test]
    fn an_unfinished_row_is_not_part_of_the_batch() {
        let mut builder = BatchBuilder::default();
        builder.value(b"1");
        builder.end_row();
        builder.value(b"2");
        let batch = builder.finish(ID);
        assert_eq!((batch.rows, &batch.data[..]), (1, &b"1\n"[..]));
    }
}
