//! Foreign keys that a server keeps although it would not add them again: something at one of their ends was changed
//! while `foreign_key_checks` was off. Pure.

use super::ddl::{ForeignKey, IndexColumns, TableDdl};
use crate::catalog::{Column, Flavor, ObjectRef, Table};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

/// The longest name of a constraint.
const LONGEST_NAME: usize = 64;

/// What is loose about a foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) enum Loose {
    /// The referenced table lacks the column.
    NoColumn(String),
    /// The referenced table has no index that begins with the referenced columns.
    NoParentIndex,
    /// Its own table has no index that begins with its columns.
    NoChildIndex,
    /// A column and the one that it refers to are of different types or collations.
    Types(String),
    /// The server named it after a table whose name was made longer since.
    Name,
}

impl Loose {
    /// For people.
    pub(in crate::mysql) fn describe(&self) -> String {
        match self {
            Self::NoColumn(column) => format!("the referenced table has no column {column}"),
            Self::NoParentIndex => "the referenced table has no index over the referenced columns".to_owned(),
            Self::NoChildIndex => "its table has no index over its columns".to_owned(),
            Self::Types(column) => {
                format!("column {column} is of another type or collation than the one that it refers to")
            }
            Self::Name => format!("its name is longer than {LONGEST_NAME} characters"),
        }
    }
}

/// What is loose about a foreign key of `child` to `parent`, if anything is.
pub(in crate::mysql) fn looseness(
    child: (&Table, &TableDdl),
    parent: (&Table, &TableDdl),
    key: &ForeignKey,
) -> Option<Loose> {
    let column = |table: &'_ Table, name: &str| -> Option<Column> {
        table.columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase()).cloned()
    };
    for (own, referenced) in key.columns.iter().zip(&key.referenced_columns) {
        let Some(there) = column(parent.0, referenced) else { return Some(Loose::NoColumn(referenced.clone())) };
        let here = column(child.0, own)?;
        if compared_as(&here) != compared_as(&there) {
            return Some(Loose::Types(own.clone()));
        }
    }
    if !has_index(&parent.1.indexes, &key.referenced_columns) {
        return Some(Loose::NoParentIndex);
    }
    if !has_index(&child.1.indexes, &key.columns) {
        return Some(Loose::NoChildIndex);
    }
    key.name.as_ref().filter(|name| name.chars().count() > LONGEST_NAME).map(|_| Loose::Name)
}

/// Whether a server of this family takes the key inside the `CREATE TABLE` of its table, as long as the referenced table is
/// not there yet. MySQL looks again when that is made.
pub(in crate::mysql) fn can_be_created_first(flavor: Flavor, loose: &Loose) -> bool {
    flavor == Flavor::MariaDb && matches!(loose, Loose::NoColumn(_) | Loose::NoParentIndex | Loose::Types(_))
}

/// The key under a name that is short enough; the same where it is.
pub(in crate::mysql) fn with_short_name(key: &ForeignKey) -> ForeignKey {
    let Some(name) = key.name.as_ref().filter(|name| name.chars().count() > LONGEST_NAME) else { return key.clone() };
    // The end tells several keys of one table apart.
    let end: String = name.chars().rev().take(8).collect::<Vec<_>>().into_iter().rev().collect();
    let short: String = name.chars().take(LONGEST_NAME - 8).chain(end.chars()).collect();
    let quoted = |name: &str| super::ddl::quote_name(name);
    let definition = key.definition.replacen(&quoted(name), &quoted(&short), 1);
    ForeignKey { name: Some(short), definition, ..key.clone() }
}

/// What is told of a foreign key under another name.
pub(in crate::mysql) fn renamed(table: &ObjectRef, key: &ForeignKey, short: &ForeignKey) -> Note {
    let name = |key: &ForeignKey| format!("foreign key {}", key.name.as_deref().unwrap_or_default());
    Note::Fidelity(FidelityIssue {
        object: table.clone(),
        what: name(key),
        severity: Severity::Warning,
        source: Loose::Name.describe(),
        target: name(short),
    })
}

/// The loose foreign keys among tables that are made together, with the table and the place of each.
pub(in crate::mysql) fn find<'a>(tables: &[(&'a Table, &'a TableDdl)], folds: bool) -> Vec<LooseKey<'a>> {
    let same = |one: &str, other: &str| one == other || folds && one.to_lowercase() == other.to_lowercase();
    let mut found = Vec::new();
    for child in tables {
        for key in child.1.foreign_keys.iter().filter(|key| key.referenced_database.is_none()) {
            let parent = tables.iter().find(|(table, _)| same(&table.name, &key.referenced_table));
            let loose = parent.and_then(|parent| Some((parent.0, looseness(*child, *parent, key)?)));
            found.extend(loose.map(|(parent, loose)| LooseKey { child: child.0, parent, key, loose }));
        }
    }
    found
}

/// A loose foreign key and its two ends.
pub(in crate::mysql) struct LooseKey<'a> {
    pub(in crate::mysql) child: &'a Table,
    pub(in crate::mysql) parent: &'a Table,
    pub(in crate::mysql) key: &'a ForeignKey,
    pub(in crate::mysql) loose: Loose,
}

/// The tables to make before all others, in this order, each with the foreign keys that its `CREATE TABLE` names: only
/// before the referenced table is there does the server take them. What leads in a circle is not among them.
pub(in crate::mysql) fn created_first(flavor: Flavor, loose: &[LooseKey<'_>]) -> Vec<(String, Vec<ForeignKey>)> {
    let early = |key: &&LooseKey<'_>| can_be_created_first(flavor, &key.loose) && key.child.name != key.parent.name;
    let mut left: Vec<&LooseKey<'_>> = loose.iter().filter(early).collect();
    let mut first = Vec::new();
    // A table may be made once all that refer to it are.
    while let Some(name) =
        left.iter().map(|key| &key.child.name).find(|name| left.iter().all(|key| key.parent.name != **name)).cloned()
    {
        let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|key| key.child.name == name);
        first.push((name, now.into_iter().map(|key| with_short_name(key.key)).collect()));
        left = later;
    }
    first
}

/// Whether an index begins with these columns, in this order.
fn has_index(indexes: &[IndexColumns], columns: &[String]) -> bool {
    let wanted: Vec<String> = columns.iter().map(|name| name.to_lowercase()).collect();
    indexes.iter().any(|index| {
        let first = index.columns.iter().take(wanted.len()).map(|name| name.as_ref().map(|name| name.to_lowercase()));
        let first: Option<Vec<String>> = first.collect();
        first.is_some_and(|first| first == wanted)
    })
}

/// What must be the same at both ends of a foreign key (<https://dev.mysql.com/doc/refman/9.7/en/create-table-foreign-keys.html>):
/// type and sign of numbers, their digits where these are fixed, the collation of text. Lengths of text may differ.
fn compared_as(column: &Column) -> (String, Option<String>) {
    let sign = if column.column_type.contains("unsigned") { " unsigned" } else { "" };
    let kind = match column.data_type.as_str() {
        "char" | "varchar" => "text".to_owned(),
        "binary" | "varbinary" => "bytes".to_owned(),
        "decimal" | "bit" | "datetime" | "timestamp" | "time" => column.column_type.clone(),
        // Any two of them fit.
        "enum" | "set" => "list".to_owned(),
        other => format!("{other}{sign}"),
    };
    let collation = column.collation.as_ref().map(|name| name.replace("utf8mb3_", "utf8_"));
    (kind, collation.filter(|_| !matches!(column.data_type.as_str(), "enum" | "set")))
}

#[cfg(test)]
mod tests {
    use super::super::ddl::{Dialect, split_table};
    use super::*;

    fn table(name: &str, columns: &[(&'static str, &'static str)], rest: &str) -> (Table, TableDdl) {
        let mut table = Table::define(name, columns.iter().copied(), &["id".to_owned()]);
        table.create = table.create.replacen("\n) ENGINE", &format!("{rest}\n) ENGINE"), 1);
        let ddl = split_table(&table.create, Dialect::default()).unwrap();
        (table, ddl)
    }

    fn found(parent: &[(&'static str, &'static str)], parent_keys: &str, child_keys: &str) -> Option<Loose> {
        let parent = table("p", parent, parent_keys);
        let constraint = "CONSTRAINT `c` FOREIGN KEY (`r`) REFERENCES `p` (`r`)";
        let child = table("t", &[("id", "int"), ("r", "varchar(20)")], &format!("{child_keys},\n  {constraint}"));
        let key = child.1.foreign_keys[0].clone();
        looseness((&child.0, &child.1), (&parent.0, &parent.1), &key)
    }

    #[test]
    fn every_kind_of_loose_key_is_found() {
        let key = ",\n  KEY `k` (`r`,`id`)";
        let columns = [("id", "int"), ("r", "varchar(40)")];
        assert_eq!(found(&columns, key, key), None);
        assert_eq!(found(&columns, "", key), Some(Loose::NoParentIndex));
        assert_eq!(found(&columns, ",\n  KEY `k` (`r`(3))", key), Some(Loose::NoParentIndex));
        assert_eq!(found(&columns, key, ""), Some(Loose::NoChildIndex));
        assert_eq!(found(&[("id", "int")], "", key), Some(Loose::NoColumn("r".to_owned())));
        let other = [("id", "int"), ("r", "varchar(20) collate utf8mb4_bin")];
        assert_eq!(found(&other, key, key), Some(Loose::Types("r".to_owned())));
    }

    #[test]
    fn a_long_name_is_cut_and_the_key_stays() {
        let name = format!("{}_ibfk_12", "x".repeat(60));
        let definition = format!("CONSTRAINT `{name}` FOREIGN KEY (`a`) REFERENCES `p` (`b`)");
        let (_, ddl) = table("t", &[("id", "int"), ("a", "int")], &format!(",\n  {definition}"));
        let short = with_short_name(&ddl.foreign_keys[0]);
        let cut = format!("{}_ibfk_12", "x".repeat(56));
        assert_eq!((short.name.as_deref(), cut.chars().count()), (Some(cut.as_str()), 64));
        assert!(short.definition.starts_with(&format!("CONSTRAINT `{cut}` FOREIGN")), "{}", short.definition);
        let whole = ddl.create_with_foreign_keys(&[short]);
        assert!(
            whole.contains(&format!("),\n  CONSTRAINT `{cut}` FOREIGN KEY (`a`) REFERENCES `p` (`b`)\n) ENGINE")),
            "{whole}"
        );
    }
}
