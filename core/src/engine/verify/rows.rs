//! Finds out which rows differ, in memory that does not grow with the rows: a first look at both sides tells in which
//! buckets of keys they differ, a second one takes only the rows of some of these. Pure.

use std::collections::{BTreeSet, HashMap};

use crate::catalog::{Column, Table};
use crate::codec::{Field, fields, hash};
use crate::verification::{DifferingRow, Place};

/// So many buckets hold a few rows each also of a large table.
const BUCKETS: u32 = 1 << 18;
/// A value of a key is shown up to so many characters.
const SHOWN: usize = 64;

/// What tells rows apart: the primary key, or the whole row.
pub(super) struct Key<'a> {
    /// The columns and their places in a row.
    columns: Vec<(usize, &'a Column)>,
}

impl<'a> Key<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        let stored = || table.stored_columns().enumerate();
        let of_name = |name: &String| stored().find(|(_, column)| column.name == *name);
        let key: Option<Vec<_>> = table.primary_key.iter().map(of_name).collect();
        Self { columns: key.filter(|key| !key.is_empty()).unwrap_or_else(|| stored().collect()) }
    }

    fn fields<'r>(&'r self, row: &'r [u8]) -> impl Iterator<Item = (&'a Column, Field<'r>)> {
        let all: Vec<Field<'r>> = fields(row).collect();
        self.columns.iter().filter_map(move |&(index, column)| Some((column, *all.get(index)?)))
    }

    fn hash(&self, row: &[u8]) -> u128 {
        let mut text = Vec::new();
        for (_, field) in self.fields(row) {
            match field {
                Field::Null => text.extend_from_slice(br"\N"),
                Field::Escaped(value) => text.extend_from_slice(value),
            }
            text.push(b'\t');
        }
        hash(&text)
    }

    /// `id = 7, name = 'x'`
    fn shown(&self, row: &[u8]) -> String {
        let shown = |(column, field): (&Column, Field<'_>)| format!("{} = {}", column.name, value(column, field));
        let parts: Vec<String> = self.fields(row).map(shown).collect();
        if parts.is_empty() { "a row without stored columns".to_owned() } else { parts.join(", ") }
    }
}

/// A value as one would write it in SQL: text where it is text, else hexadecimal.
fn value(column: &Column, field: Field<'_>) -> String {
    let Some(bytes) = field.bytes() else { return "NULL".to_owned() };
    let is_number = !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(byte));
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.chars().any(char::is_control));
    let (shown, length) = match text {
        Some(text) if is_number && column.charset.is_none() => return cut(text).to_owned(),
        Some(text) => (format!("'{}'", cut(text).replace('\\', r"\\").replace('\'', "''")), text.len()),
        None => {
            let digits: String = bytes.iter().take(SHOWN / 2).map(|byte| format!("{byte:02x}")).collect();
            (format!("x'{digits}'"), bytes.len() * 2)
        }
    };
    if length > SHOWN { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN)).unwrap_or_default()
}

/// Which side a row was seen on.
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

fn bucket(hash: u128) -> u32 {
    // The remainder is below the divisor.
    u32::try_from(hash % u128::from(BUCKETS)).unwrap_or_default()
}

/// The first look: what the source has more than the target, bucket by bucket.
pub(super) struct Buckets<'a> {
    key: &'a Key<'a>,
    /// Rows, and the sum of their hashes; both of the source less those of the target.
    surplus: Vec<(i64, u128)>,
}

impl<'a> Buckets<'a> {
    pub(super) fn new(key: &'a Key<'a>) -> Self {
        Self { key, surplus: vec![(0, 0); BUCKETS as usize] }
    }

    pub(super) fn add(&mut self, side: Side, row: &[u8]) {
        let bucket = bucket(self.key.hash(row)) as usize;
        let Some((rows, sum)) = self.surplus.get_mut(bucket) else { return };
        *rows += side.sign();
        *sum = match side {
            Side::Source => sum.wrapping_add(hash(row)),
            Side::Target => sum.wrapping_sub(hash(row)),
        };
    }

    /// Buckets that differ, at most `most`, and how many others do.
    pub(super) fn differing(self, most: usize) -> (BTreeSet<u32>, u64) {
        let differing: Vec<u32> =
            (0..).zip(&self.surplus).filter(|(_, surplus)| **surplus != (0, 0)).map(|(bucket, _)| bucket).collect();
        let others = differing.len().saturating_sub(most) as u64;
        (differing.into_iter().take(most).collect(), others)
    }
}

/// The second look: the rows of some buckets.
pub(super) struct Suspects<'a> {
    key: &'a Key<'a>,
    buckets: BTreeSet<u32>,
    /// In the order in which they were seen.
    found: Vec<Suspect>,
    places: HashMap<u128, usize>,
}

struct Suspect {
    key: String,
    /// How often each row of this key is at the source, less how often at the target.
    rows: HashMap<u128, i64>,
}

impl<'a> Suspects<'a> {
    pub(super) fn new(key: &'a Key<'a>, buckets: BTreeSet<u32>) -> Self {
        Self { key, buckets, found: Vec::new(), places: HashMap::new() }
    }

    pub(super) fn look(&mut self, side: Side, row: &[u8]) {
        let hashed = self.key.hash(row);
        if !self.buckets.contains(&bucket(hashed)) {
            return;
        }
        let next = self.found.len();
        let place = *self.places.entry(hashed).or_insert(next);
        if place == next {
            self.found.push(Suspect { key: self.key.shown(row), rows: HashMap::new() });
        }
        if let Some(suspect) = self.found.get_mut(place) {
            *suspect.rows.entry(hash(row)).or_default() += side.sign();
        }
    }

    /// The rows that differ.
    pub(super) fn differing(self) -> impl Iterator<Item = DifferingRow> {
        self.found.into_iter().filter_map(|suspect| {
            let at_source = suspect.rows.values().any(|&surplus| surplus > 0);
            let at_target = suspect.rows.values().any(|&surplus| surplus < 0);
            let place = match (at_source, at_target) {
                (true, true) => Place::Both,
                (true, false) => Place::Source,
                (false, true) => Place::Target,
                (false, false) => return None,
            };
            let times = suspect.rows.values().map(|surplus| surplus.unsigned_abs()).max().unwrap_or_default();
            let key = if times > 1 { format!("{} ({times} times)", suspect.key) } else { suspect.key };
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
            primary_key: primary_key.iter().map(|&name| name.to_owned()).collect(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    fn listed(table: &Table, source: &[&str], target: &[&str]) -> Vec<String> {
        let key = Key::of(table);
        let each = |see: &mut dyn FnMut(Side, &[u8])| {
            source.iter().for_each(|row| see(Side::Source, row.as_bytes()));
            target.iter().for_each(|row| see(Side::Target, row.as_bytes()));
        };
        let mut buckets = Buckets::new(&key);
        each(&mut |side, row| buckets.add(side, row));
        let mut suspects = Suspects::new(&key, buckets.differing(100).0);
        each(&mut |side, row| suspects.look(side, row));
        suspects.differing().map(|row| row.to_string()).collect()
    }

    #[test]
    fn rows_that_differ_are_named_by_their_keys() {
        let found = listed(&table(&["id"]), &["1\ta", "2\tb", "3\tc"], &["1\ta", "2\tB", "4\td"]);
        assert_eq!(found, ["different: id = 2", "only at the source: id = 3", "only at the target: id = 4"]);
    }

    #[test]
    fn without_a_key_the_whole_row_counts_and_so_do_its_copies() {
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
    fn only_so_many_buckets_are_looked_into() {
        let table = table(&["id"]);
        let key = Key::of(&table);
        let mut buckets = Buckets::new(&key);
        (0..50).for_each(|id| buckets.add(Side::Source, format!("{id}\tx").as_bytes()));
        let (chosen, others) = buckets.differing(10);
        assert_eq!((chosen.len(), others), (10, 40));
    }
}
