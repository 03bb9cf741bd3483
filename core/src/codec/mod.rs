//! The form in which rows travel: the text that `LOAD DATA` takes, its compression and its digests. Pure.
//!
//! A row is its fields in column order, separated by tabs and ended by a newline. NULL is `\N`; inside a field a tab, a
//! newline and a backslash are `\t`, `\n` and `\\`; every other byte is as it is. Fields hold the bytes that the server
//! stores (text in the column's own character set), numbers and times are in SQL's own notation, and an `ENUM` is its
//! index. The target takes it with `CHARACTER SET binary FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY
//! '\n'`. A row of no columns is an empty line.

mod compress;
mod digest;
mod encode;
mod text;

pub(crate) use compress::{compress, decompress};
pub use digest::Digest;
pub(crate) use digest::hash;
pub use encode::RowEncoder;
pub use text::{BatchBuilder, Field, rows};
pub(crate) use text::{fields, lines};
