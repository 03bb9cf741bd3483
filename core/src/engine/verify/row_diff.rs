//! Finds differing rows in constant memory, by two passes over both sides. The first pass finds the hash buckets of
//! keys that differ, the second collects only the keys of some of these buckets. No I/O.

use std::collections::{BTreeSet, HashMap};

use crate::catalog::{Column, Table};
use crate::codec::{Field, hash_row, split_fields};
use crate::verification::{DifferingRow, RowLocation};

/// The number of buckets: even a large table has only a few rows in each.
pub(super) const BUCKETS: u32 = 1 << 18;
/// The maximum number of bytes shown of a key's value.
const MAX_SHOWN: usize = 64;

/// The columns that identify a row: the primary key, or all columns of a table without one.
pub(super) struct RowKey<'a> {
    /// The columns, with their indexes in a row.
    columns: Vec<(usize, &'a Column)>,
}

impl<'a> RowKey<'a> {
    pub(super) fn of_table(table: &'a Table) -> Self {
        let stored = || table.stored_columns().enumerate();
        let of_name = |name: &String| stored().find(|(_, column)| column.name == *name);
        let key: Option<Vec<_>> = table.primary_key.iter().map(of_name).collect();
        Self { columns: key.filter(|key| !key.is_empty()).unwrap_or_else(|| stored().collect()) }
    }

    fn fields<'r>(&'r self, row: &'r [u8]) -> impl Iterator<Item = (&'a Column, Field<'r>)> {
        let all: Vec<Field<'r>> = split_fields(row).collect();
        self.columns.iter().filter_map(move |&(index, column)| Some((column, *all.get(index)?)))
    }

    pub(super) fn hash(&self, row: &[u8]) -> u128 {
        let mut text = Vec::new();
        for (_, field) in self.fields(row) {
            match field {
                Field::Null => text.extend_from_slice(br"\N"),
                Field::Escaped(value) => text.extend_from_slice(value),
            }
            text.push(b'\t');
        }
        hash_row(&text)
    }

    /// Formats the key as `id = 7, name = 'x'`.
    pub(super) fn format(&self, row: &[u8]) -> String {
        let shown =
            |(column, field): (&Column, Field<'_>)| format!("{} = {}", column.name, format_value(column, field));
        let parts: Vec<String> = self.fields(row).map(shown).collect();
        if parts.is_empty() { "a row without stored columns".to_owned() } else { parts.join(", ") }
    }
}

/// Formats a value as an SQL literal: printable text as a string, other bytes in hexadecimal.
fn format_value(column: &Column, field: Field<'_>) -> String {
    let Some(bytes) = field.unescape() else { return "NULL".to_owned() };
    let is_number = !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(byte));
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.chars().any(char::is_control));
    let (shown, length) = match text {
        Some(text) if is_number && column.charset.is_none() => return truncate(text).to_owned(),
        Some(text) => (format!("'{}'", truncate(text).replace('\\', r"\\").replace('\'', "''")), text.len()),
        None => {
            let shown = bytes.get(..MAX_SHOWN / 2).unwrap_or(&bytes);
            (format!("x'{}'", hex::encode(shown)), bytes.len() * 2)
        }
    };
    if length > MAX_SHOWN { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
}

fn truncate(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_SHOWN)).unwrap_or_default()
}

/// The source or the target of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

impl Side {
    fn sign(self) -> i64 {
        match self {
            Self::Source => 1,
            Self::Target => -1,
        }
    }
}

pub(super) fn bucket(hash: u128) -> u32 {
    // The remainder is below the divisor.
    u32::try_from(hash % u128::from(BUCKETS)).unwrap_or_default()
}

/// The first pass: the surplus of the source over the target in each bucket.
pub(super) struct BucketSums<'a> {
    key: &'a RowKey<'a>,
    /// The number of rows and the sum of their hashes, each of the source minus the target.
    surplus: Vec<(i64, u128)>,
}

impl<'a> BucketSums<'a> {
    pub(super) fn new(key: &'a RowKey<'a>) -> Self {
        Self { key, surplus: vec![(0, 0); BUCKETS as usize] }
    }

    pub(super) fn add(&mut self, side: Side, row: &[u8]) {
        let bucket = bucket(self.key.hash(row)) as usize;
        let Some((rows, sum)) = self.surplus.get_mut(bucket) else { return };
        *rows += side.sign();
        *sum = match side {
            Side::Source => sum.wrapping_add(hash_row(row)),
            Side::Target => sum.wrapping_sub(hash_row(row)),
        };
    }

    /// Returns up to `max` buckets that differ, and the number of other differing buckets.
    pub(super) fn unequal_buckets(self, max: usize) -> (BTreeSet<u32>, u64) {
        let differing: Vec<u32> =
            (0..).zip(&self.surplus).filter(|(_, surplus)| **surplus != (0, 0)).map(|(bucket, _)| bucket).collect();
        let others = differing.len().saturating_sub(max) as u64;
        (differing.into_iter().take(max).collect(), others)
    }
}

/// The second pass: the keys whose rows fall into the differing buckets.
pub(super) struct DifferingKeys<'a> {
    key: &'a RowKey<'a>,
    buckets: BTreeSet<u32>,
    /// The keys in the order of their first row.
    keys: Vec<KeyRowCounts>,
    /// The index of each key in `keys`, by the hash of the key.
    indexes: HashMap<u128, usize>,
}

struct KeyRowCounts {
    key: String,
    /// The count of each row by its hash, at the source minus at the target.
    rows: HashMap<u128, i64>,
}

impl<'a> DifferingKeys<'a> {
    pub(super) fn new(key: &'a RowKey<'a>, buckets: BTreeSet<u32>) -> Self {
        Self { key, buckets, keys: Vec::new(), indexes: HashMap::new() }
    }

    pub(super) fn add(&mut self, side: Side, row: &[u8]) {
        let key_hash = self.key.hash(row);
        if !self.buckets.contains(&bucket(key_hash)) {
            return;
        }
        let next = self.keys.len();
        let index = *self.indexes.entry(key_hash).or_insert(next);
        if index == next {
            self.keys.push(KeyRowCounts { key: self.key.format(row), rows: HashMap::new() });
        }
        if let Some(entry) = self.keys.get_mut(index) {
            *entry.rows.entry(hash_row(row)).or_default() += side.sign();
        }
    }

    /// Returns the rows that differ.
    pub(super) fn into_rows(self) -> impl Iterator<Item = DifferingRow> {
        self.keys.into_iter().filter_map(|entry| {
            let at_source = entry.rows.values().any(|&surplus| surplus > 0);
            let at_target = entry.rows.values().any(|&surplus| surplus < 0);
            let place = match (at_source, at_target) {
                (true, true) => RowLocation::Both,
                (true, false) => RowLocation::Source,
                (false, true) => RowLocation::Target,
                (false, false) => return None,
            };
            let times = entry.rows.values().map(|surplus| surplus.unsigned_abs()).max().unwrap_or_default();
            let key = if times > 1 { format!("{} ({times} times)", entry.key) } else { entry.key };
            Some(DifferingRow { key, place })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(primary_key: &[&str]) -> Table {
        let column = |name: &str, charset: Option<&str>| Column {
            name: name.to_owned(),
            data_type: String::new(),
            column_type: String::new(),
            charset: charset.map(str::to_owned),
            collation: None,
            nullable: true,
            generated: false,
            stored: false,
        };
        Table {
            name: "t".to_owned(),
            engine: String::new(),
            columns: vec![column("id", None), column("v", Some("utf8mb4"))],
            history: false,
            late_timestamps: Vec::new(),
            primary_key: primary_key.iter().map(|&name| name.to_owned()).collect(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    fn listed(table: &Table, source: &[&str], target: &[&str]) -> Vec<String> {
        let key = RowKey::of_table(table);
        let each = |see: &mut dyn FnMut(Side, &[u8])| {
            source.iter().for_each(|row| see(Side::Source, row.as_bytes()));
            target.iter().for_each(|row| see(Side::Target, row.as_bytes()));
        };
        let mut sums = BucketSums::new(&key);
        each(&mut |side, row| sums.add(side, row));
        let mut keys = DifferingKeys::new(&key, sums.unequal_buckets(100).0);
        each(&mut |side, row| keys.add(side, row));
        keys.into_rows().map(|row| row.to_string()).collect()
    }

    #[test]
    fn differing_rows_are_listed_by_key() {
        let found = listed(&table(&["id"]), &["1\ta", "2\tb", "3\tc"], &["1\ta", "2\tB", "4\td"]);
        assert_eq!(found, ["different: id = 2", "only at the source: id = 3", "only at the target: id = 4"]);
    }

    #[test]
    fn without_a_primary_key_the_whole_row_is_the_key() {
        let found = listed(&table(&[]), &["1\ta", "1\ta", "2\t\\N", "3\ti't\\t"], &["1\ta", "1\ta", "1\ta", "2\t"]);
        let expected = [
            "only at the target: id = 1, v = 'a'",
            "only at the source: id = 2, v = NULL",
            r"only at the source: id = 3, v = x'6927740",
            "only at the target: id = 2, v = ''",
        ];
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected)), "{found:?}");
        assert_eq!(
            listed(&table(&[]), &["1\ta", "1\ta", "1\ta"], &["1\ta"]),
            ["only at the source: id = 1, v = 'a' (2 times)"]
        );
    }

    #[test]
    fn the_number_of_buckets_is_limited() {
        let table = table(&["id"]);
        let key = RowKey::of_table(&table);
        let mut sums = BucketSums::new(&key);
        (0..50).for_each(|id| sums.add(Side::Source, format!("{id}\tx").as_bytes()));
        let (chosen, others) = sums.unequal_buckets(10);
        assert_eq!((chosen.len(), others), (10, 40));
    }
}
