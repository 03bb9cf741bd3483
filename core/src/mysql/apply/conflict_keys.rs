//! Hashes the keys that changes use, so that transactions which depend on each other are found.
//!
//! Equal keys must have equal hashes, and the server alone knows which texts are equal. So a text is hashed in a form that
//! is coarser than any collation, and what has no such form takes the key of the whole table.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::catalog::{Column, Table};
use crate::change::{ChangeKind, RowChanges, RowImages};
use crate::change_applier::ConflictKey;
use crate::codec::{Field, row_texts, split_fields};
use crate::mysql::ddl::TableKeys;

/// The collations, without their character sets, that compare ASCII letters and digits one by one. Those of languages have
/// groups of letters that are equal to others.
const PLAIN_COLLATIONS: [&str; 12] = [
    "general_ci",
    "general_nopad_ci",
    "unicode_ci",
    "unicode_nopad_ci",
    "unicode_520_ci",
    "unicode_520_nopad_ci",
    "0900_ai_ci",
    "0900_as_ci",
    "0900_as_cs",
    "uca1400_ai_ci",
    "uca1400_as_ci",
    "uca1400_as_cs",
];

fn is_plain_collation(charset: &str, collation: &str) -> bool {
    let rules = collation.strip_prefix(charset).and_then(|rest| rest.strip_prefix('_')).unwrap_or(collation);
    PLAIN_COLLATIONS.contains(&rules) || collation == "latin1_swedish_ci"
}

/// How a column's values are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HashForm {
    /// The bytes are equal if the values are.
    Exact,
    /// Texts whose trailing spaces may not count.
    Padded,
    /// Texts by the coarse form.
    Coarse,
    Float,
    /// There is no form.
    None,
}

impl HashForm {
    fn of(column: &Column) -> Self {
        let is_binary = column.charset.as_deref().is_none_or(|charset| charset == "binary");
        match column.data_type.as_str() {
            "json" => Self::None,
            "float" | "double" => Self::Float,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" if !is_binary => {
                let (charset, collation) = (column.charset.as_deref(), column.collation.as_deref().unwrap_or_default());
                match charset {
                    Some("ucs2" | "utf16" | "utf16le" | "utf32") | None => Self::None,
                    Some(_) if collation.ends_with("_bin") => Self::Padded,
                    Some(charset) if is_plain_collation(charset, collation) => Self::Coarse,
                    Some(_) => Self::None,
                }
            }
            _ => Self::Exact,
        }
    }

    /// Adds the form of a field to `text`; returns false if it has none.
    fn push(self, text: &mut Vec<u8>, field: &[u8]) -> bool {
        match self {
            Self::None => return false,
            Self::Exact => text.extend_from_slice(field),
            Self::Padded => text.extend_from_slice(field.trim_ascii_end()),
            Self::Float => {
                let is_zero = !field.iter().any(|byte| matches!(byte, b'1'..=b'9'));
                text.extend_from_slice(if is_zero { b"0" } else { field });
            }
            Self::Coarse => {
                if !field.is_ascii() || field.iter().any(u8::is_ascii_control) {
                    return false;
                }
                text.extend(field.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(|byte| {
                    match byte.to_ascii_lowercase() {
                        b'j' | b'y' => b'i',
                        b'u' | b'w' => b'v',
                        other => other,
                    }
                }));
            }
        }
        text.push(b'\t');
        true
    }
}

/// A key whose values are hashed.
#[derive(Debug)]
struct HashedKey {
    /// The hash of the key itself.
    seed: u64,
    /// The columns as indexes into the stored columns; `None` if a part of the key is no stored column.
    columns: Option<Vec<(u32, HashForm)>>,
    /// Whether the rows refer to others by this key.
    is_reference: bool,
    /// Whether the rows are only referred to by this key: a change that keeps it does not use it.
    is_referenced: bool,
}

/// The keys of one table.
#[derive(Debug, Default)]
pub(super) struct ConflictHasher {
    keys: Vec<HashedKey>,
    /// The hash of the table, for rows that no key tells apart.
    table: Option<u64>,
}

/// Creates the hashers of the tables of a plan, from their entries in the catalog and their keys.
pub(super) fn hashers(tables: &[(&Table, &TableKeys)]) -> Vec<ConflictHasher> {
    let mut references: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (_, keys) in tables {
        for key in keys.foreign.iter().filter(|key| key.referenced_database.is_none()) {
            let columns = lower_names(&key.referenced_columns);
            references.entry(key.referenced_table.to_lowercase()).or_default().insert(columns);
        }
    }
    let hasher = |(table, keys): &(&Table, &TableKeys)| {
        let mut hasher = ConflictHasher::default();
        for (number, key) in (0..).zip(&keys.unique) {
            let seed = seed("unique", &table.name, &[format!("{number}")]);
            let columns = key.columns.iter().map(|column| find(table, column.as_deref()?)).collect();
            hasher.keys.push(HashedKey { seed, columns, is_reference: false, is_referenced: false });
        }
        for columns in references.get(&table.name.to_lowercase()).into_iter().flatten() {
            let seed = seed("reference", &table.name, columns);
            let columns = columns.iter().map(|column| find(table, column)).collect();
            hasher.keys.push(HashedKey { seed, columns, is_reference: false, is_referenced: true });
        }
        for key in keys.foreign.iter().filter(|key| key.referenced_database.is_none()) {
            let seed = seed("reference", &key.referenced_table, &lower_names(&key.referenced_columns));
            let columns = key.columns.iter().map(|column| find(table, column)).collect();
            hasher.keys.push(HashedKey { seed, columns, is_reference: true, is_referenced: false });
        }
        if !keys.unique.iter().any(|key| is_row_identity(table, &key.columns)) {
            hasher.table = Some(seed("table", &table.name, &[]));
        }
        hasher
    };
    tables.iter().map(hasher).collect()
}

/// Whether a key of these columns tells the rows of a table apart: none of them can be NULL.
pub(super) fn is_row_identity(table: &Table, columns: &[Option<String>]) -> bool {
    let is_plain =
        |name: &str| table.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name) && !c.nullable && !c.generated);
    columns.iter().all(|column| column.as_deref().is_some_and(is_plain))
}

fn lower_names(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_lowercase()).collect()
}

fn seed(kind: &str, table: &str, parts: &[String]) -> u64 {
    xxh3_64(format!("{kind}\0{}\0{}", table.to_lowercase(), parts.join("\0")).as_bytes())
}

/// The index of a stored column, and how its values are hashed.
fn find(table: &Table, name: &str) -> Option<(u32, HashForm)> {
    let found = (0..).zip(table.stored_columns()).find(|(_, column)| column.name.eq_ignore_ascii_case(name))?;
    Some((found.0, HashForm::of(found.1)))
}

impl ConflictHasher {
    /// Adds the keys that changes of the table use.
    pub(super) fn add_keys(&self, changes: &RowChanges, keys: &mut Vec<ConflictKey>) {
        if let Some(hash) = self.table {
            keys.push(ConflictKey { hash, is_shared: false });
        }
        for key in &self.keys {
            // Whoever takes the whole key conflicts with those that use one of its values.
            keys.push(ConflictKey { hash: key.seed, is_shared: true });
            let hashes = |images: &Option<RowImages>| images.as_ref().map(|images| key.hashes(images));
            let (before, after) = (hashes(&changes.before), hashes(&changes.after));
            if changes.kind == ChangeKind::Update {
                let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
                for (before, after) in before.into_iter().zip(after) {
                    // A minimal image has the key of the row, and what has changed.
                    let kept = before == after || after == KeyUse::Unknown && !key.is_part_of(&changes.after);
                    if key.is_referenced && kept && before != KeyUse::Unknown {
                        continue;
                    }
                    let is_untouched = before == KeyUse::Unknown && after == KeyUse::Unknown;
                    if is_untouched && key.columns.is_some() && !key.is_part_of(&changes.after) {
                        continue;
                    }
                    key.push(before, keys);
                    if !kept {
                        key.push(after, keys);
                    }
                }
            } else {
                before.into_iter().chain(after).flatten().for_each(|used| key.push(used, keys));
            }
        }
    }
}

/// What a row uses of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyUse {
    /// Nothing: a part of the value is NULL.
    Nothing,
    Value(u64),
    /// The value is not known.
    Unknown,
}

impl HashedKey {
    /// Whether an image has a column of the key.
    fn is_part_of(&self, images: &Option<RowImages>) -> bool {
        let has = |images: &RowImages| self.columns.iter().flatten().any(|(column, _)| images.columns.contains(column));
        images.as_ref().is_some_and(has)
    }

    fn push(&self, used: KeyUse, keys: &mut Vec<ConflictKey>) {
        match used {
            KeyUse::Nothing => {}
            KeyUse::Value(hash) => keys.push(ConflictKey { hash, is_shared: self.is_reference }),
            KeyUse::Unknown => keys.push(ConflictKey { hash: self.seed, is_shared: false }),
        }
    }

    /// What each row of the images uses.
    fn hashes(&self, images: &RowImages) -> Vec<KeyUse> {
        let place = |(column, form): &(u32, HashForm)| {
            images.columns.iter().position(|there| there == column).map(|place| (place, *form))
        };
        let places: Option<Vec<(usize, HashForm)>> =
            self.columns.as_ref().and_then(|columns| columns.iter().map(place).collect());
        let mut text = Vec::new();
        let of_row = |line: &[u8]| {
            let Some(places) = &places else { return KeyUse::Unknown };
            let fields: Vec<Field<'_>> = split_fields(line).collect();
            text.clear();
            let mut is_known = true;
            for (place, form) in places {
                match fields.get(*place) {
                    Some(Field::Null) => return KeyUse::Nothing,
                    Some(Field::Escaped(field)) => is_known &= form.push(&mut text, field),
                    None => is_known = false,
                }
            }
            match is_known {
                true => KeyUse::Value(xxh3_64_with_seed(&text, self.seed)),
                false => KeyUse::Unknown,
            }
        };
        row_texts(&images.text).map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mysql::ddl::table_keys;

    fn column(name: &str, data_type: &str, collation: Option<&str>, nullable: bool) -> Column {
        Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            column_type: data_type.to_owned(),
            charset: collation.map(|_| "utf8mb4".to_owned()),
            collation: collation.map(str::to_owned),
            nullable,
            generated: false,
            stored: false,
        }
    }

    fn table(name: &str, keys: &str) -> Table {
        Table {
            name: name.to_owned(),
            engine: "InnoDB".to_owned(),
            columns: vec![
                column("id", "int", None, false),
                column("t", "varchar", Some("utf8mb4_0900_ai_ci"), true),
                column("p", "int", None, true),
            ],
            history: false,
            late_timestamps: Vec::new(),
            primary_key: Vec::new(),
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: format!("CREATE TABLE `{name}` (\n  `id` int NOT NULL,\n  `t` varchar(9),\n  `p` int{keys}\n)"),
        }
    }

    /// The keys of an insert of one row.
    fn used(hasher: &ConflictHasher, row: &str) -> BTreeSet<ConflictKey> {
        let images = RowImages { columns: vec![0, 1, 2], text: Bytes::from(format!("{row}\n")) };
        let changes = RowChanges { table: 0, kind: ChangeKind::Insert, rows: 1, before: None, after: Some(images) };
        let mut keys = Vec::new();
        hasher.add_keys(&changes, &mut keys);
        keys.into_iter().collect()
    }

    fn conflict(one: &BTreeSet<ConflictKey>, other: &BTreeSet<ConflictKey>) -> bool {
        one.iter().any(|key| other.iter().any(|there| there.hash == key.hash && !(there.is_shared && key.is_shared)))
    }

    fn hashers_of(tables: &[&Table]) -> Vec<ConflictHasher> {
        let keys: Vec<TableKeys> = tables.iter().map(|table| table_keys(&table.create)).collect();
        let pairs: Vec<(&Table, &TableKeys)> = tables.iter().copied().zip(&keys).collect();
        hashers(&pairs)
    }

    #[test]
    fn equal_values_of_unique_keys_conflict() {
        let table = table("t", ",\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`t`)");
        let [hasher] = &hashers_of(&[&table])[..] else { panic!() };
        let rows = ["1\tAbc\t\\N", "2\tabC \t\\N", "1\tx\t\\N", "3\t\u{e4}\t\\N", "4\t\\N\t\\N", "5\t\\N\t\\N"];
        let [a, same_text, same_id, wide, null, other_null] = rows.map(|row| used(hasher, row));
        assert!(conflict(&a, &same_text) && conflict(&a, &same_id) && !conflict(&same_text, &same_id));
        // Its text may be equal to any other.
        assert!(conflict(&wide, &a) && conflict(&wide, &same_id));
        assert!(!conflict(&null, &other_null));
    }

    #[test]
    fn a_row_conflicts_with_its_parent_and_not_with_its_siblings() {
        let parent = table("Parent", ",\n  PRIMARY KEY (`id`)");
        let child =
            table("child", ",\n  PRIMARY KEY (`id`),\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `parent` (`id`)");
        let [parents, children] = &hashers_of(&[&parent, &child])[..] else { panic!() };
        let row = |hasher, text: &str| used(hasher, text);
        assert!(conflict(&row(parents, "1\t\\N\t\\N"), &row(children, "7\t\\N\t1")));
        assert!(!conflict(&row(parents, "2\t\\N\t\\N"), &row(children, "7\t\\N\t1")));
        assert!(!conflict(&row(children, "8\t\\N\t1"), &row(children, "7\t\\N\t1")));
    }

    #[test]
    fn rows_without_a_key_conflict_with_all_rows_of_the_table() {
        let table = table("t", ",\n  UNIQUE KEY `u` (`p`)");
        let [hasher] = &hashers_of(&[&table])[..] else { panic!() };
        assert!(conflict(&used(hasher, "1\t\\N\t\\N"), &used(hasher, "2\t\\N\t\\N")));
    }

    #[test]
    fn a_minimal_update_takes_the_keys_that_it_may_change() {
        let table = table("t", ",\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`p`)");
        let [hasher] = &hashers_of(&[&table])[..] else { panic!() };
        let update = |column: u32, row: &str| {
            let image = |columns, text: &str| Some(RowImages { columns, text: Bytes::from(format!("{text}\n")) });
            let (before, after) = (image(vec![0], "1"), image(vec![column], row));
            let changes = RowChanges { table: 0, kind: ChangeKind::Update, rows: 1, before, after };
            let mut keys = Vec::new();
            hasher.add_keys(&changes, &mut keys);
            keys.into_iter().collect::<BTreeSet<_>>()
        };
        let other = used(hasher, "2\t\\N\t5");
        assert!(!conflict(&update(1, "x"), &other));
        assert!(conflict(&update(2, "7"), &other), "the value that it had is not known");
        assert!(conflict(&update(0, "2"), &other) && !conflict(&update(0, "3"), &other));
    }
}
