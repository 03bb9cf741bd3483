//! Decides how the keys of each table are hashed, from the definitions at the target.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::{Column, Table};
use crate::conflict_hasher::{ConflictHasher, HashForm, HashedKey};
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

/// How the values of a column are hashed.
fn hash_form(column: &Column) -> HashForm {
    let is_binary = column.charset.as_deref().is_none_or(|charset| charset == "binary");
    match column.data_type.as_str() {
        "json" => HashForm::None,
        "float" | "double" => HashForm::Float,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" if !is_binary => {
            let (charset, collation) = (column.charset.as_deref(), column.collation.as_deref().unwrap_or_default());
            match charset {
                Some("ucs2" | "utf16" | "utf16le" | "utf32") | None => HashForm::None,
                Some(_) if collation.ends_with("_bin") => HashForm::Padded,
                Some(charset) if is_plain_collation(charset, collation) => HashForm::Coarse,
                Some(_) => HashForm::None,
            }
        }
        _ => HashForm::Exact,
    }
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
    Some((found.0, hash_form(found.1)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::change::{ChangeKind, RowChanges, RowImages};
    use crate::conflict_hasher::ConflictKey;
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
        let changes = RowChanges {
            table: 0,
            kind: ChangeKind::Insert,
            rows: 1,
            before: None,
            after: Some(images),
            with_cascades: false,
        };
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
            let changes =
                RowChanges { table: 0, kind: ChangeKind::Update, rows: 1, before, after, with_cascades: false };
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
