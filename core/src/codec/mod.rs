//! The text format of rows, its compression and its digests. It is the format that `LOAD DATA` reads. No I/O.
//!
//! A row is its fields in column order, separated by tabs and ended by a newline. NULL is `\N`; inside a field a tab, a
//! newline and a backslash are `\t`, `\n` and `\\`; every other byte is unchanged. Fields hold the bytes that the
//! server stores (text in the column's own character set), numbers and times are in SQL's own notation, and an `ENUM`
//! is its index. The target reads it with `CHARACTER SET binary FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES
//! TERMINATED BY '\n'`. A row of no columns is an empty line.

mod compress;
mod digest;
mod row_encoder;
mod text;

pub(crate) use compress::{compress, compress_parts, decompress};
pub use digest::Digest;
pub(crate) use digest::hash_row;
pub use row_encoder::RowEncoder;
pub use text::{BatchBuilder, Field, split_rows};
pub(crate) use text::{row_texts, split_fields};
