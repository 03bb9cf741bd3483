use bytes::Bytes;

use super::Digest;
use crate::batch::{Batch, BatchId};

/// Builds a batch row by row: push each field in column order, then call [`end_row`](Self::end_row).
#[derive(Debug, Default)]
pub struct BatchBuilder {
    text: Vec<u8>,
    row_start: usize,
    /// The number of fields in the current row.
    fields: usize,
    digest: Digest,
}

impl BatchBuilder {
    /// Creates an empty builder with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a NULL.
    pub fn push_null(&mut self) {
        self.begin_field();
        self.text.extend_from_slice(br"\N");
    }

    /// Adds a value, escaping its bytes.
    pub fn push_value(&mut self, bytes: &[u8]) {
        self.begin_field();
        self.append_escaped(bytes);
    }

    /// Adds a value that needs no escaping: a number, a time, text that is already escaped.
    pub(crate) fn push_unescaped(&mut self, text: &[u8]) {
        self.begin_field();
        self.text.extend_from_slice(text);
    }

    /// Begins a field. Its bytes follow by [`append_escaped`](Self::append_escaped).
    pub(crate) fn begin_field(&mut self) {
        if self.fields > 0 {
            self.text.push(b'\t');
        }
        self.fields += 1;
    }

    /// Appends bytes to the current field, escaping them.
    pub(crate) fn append_escaped(&mut self, bytes: &[u8]) {
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

    /// The text of the current row so far.
    pub(crate) fn row_text(&self) -> &[u8] {
        self.text.get(self.row_start..).unwrap_or_default()
    }

    /// Reserves memory for a long value.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
    }

    /// The bytes of text so far, an unfinished row included.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no text yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The number of ended rows.
    pub fn row_count(&self) -> u64 {
        self.digest.rows
    }

    /// Returns the batch of the ended rows and drops an unfinished row.
    pub fn finish(mut self, id: BatchId) -> Batch {
        self.text.truncate(self.row_start);
        Batch::new(id, self.digest.rows, Bytes::from(self.text), self.digest)
    }
}

/// One field of a row's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// NULL.
    Null,
    /// A value, in its escaped form.
    Escaped(&'a [u8]),
}

impl Field<'_> {
    /// The value without escapes; `None` for NULL.
    pub fn unescape(self) -> Option<Vec<u8>> {
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

/// Splits the text of a batch into the texts of its rows. Newlines inside values are escaped.
pub(crate) fn row_texts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = parts(text.strip_suffix(b"\n").unwrap_or(text), b'\n');
    lines.take(if text.is_empty() { 0 } else { usize::MAX })
}

/// Splits the text of a row into its fields.
pub(crate) fn split_fields(line: &[u8]) -> impl Iterator<Item = Field<'_>> {
    parts(line, b'\t').map(|field| if field == br"\N" { Field::Null } else { Field::Escaped(field) })
}

/// The parts of `text` before, between and after the separators.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(separator, text).chain([text.len()]).map(move |end| {
        let part = text.get(start..end).unwrap_or_default();
        start = end + 1;
        part
    })
}

/// Splits the text of a batch into rows, and each row into its fields.
pub fn split_rows(text: &[u8]) -> impl Iterator<Item = impl Iterator<Item = Field<'_>>> {
    row_texts(text).map(split_fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: BatchId = BatchId { table: 0, chunk: 0, batch: 0 };

    proptest! {
        #[test]
        fn values_of_any_bytes_and_nulls_survive(table in prop::collection::vec(prop::collection::vec(
            prop::option::of(prop::collection::vec(prop_oneof![Just(b'\\'), Just(b'\t'), Just(b'\n'), Just(b'N'), any::<u8>()], 0..12)), 3..=3), 0..8)) {
            let mut builder = BatchBuilder::default();
            for row in &table {
                for field in row {
                    match field {
                        Some(bytes) => builder.push_value(bytes),
                        None => builder.push_null(),
                    }
                }
                builder.end_row();
            }
            let batch = builder.finish(ID);
            let back: Vec<Vec<_>> = split_rows(&batch.data).map(|row| row.map(Field::unescape).collect()).collect();
            prop_assert_eq!(back, table.clone());
            prop_assert_eq!(batch.rows, table.len() as u64);
        }
    }

    #[test]
    fn an_unfinished_row_is_not_part_of_the_batch() {
        let mut builder = BatchBuilder::default();
        builder.push_value(b"1");
        builder.end_row();
        builder.push_value(b"2");
        let batch = builder.finish(ID);
        assert_eq!((batch.rows, &batch.data[..]), (1, &b"1\n"[..]));
    }
}
