//! Finds foreign keys that a server keeps although it would not add them again, because one of their tables was changed
//! while `foreign_key_checks` was off. No I/O.

use super::ddl::{ForeignKey, IndexColumns, TableDdl};
use crate::catalog::{Column, Flavor, ObjectRef, Table};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

/// The maximum length of a constraint's name, in characters.
const MAX_NAME_LENGTH: usize = 64;

/// The reason why a server would not add a foreign key again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) enum ForeignKeyDefect {
    /// The referenced table lacks this column.
    MissingColumn(String),
    /// No index of the referenced table begins with the referenced columns.
    MissingParentIndex,
    /// No index of the referencing table begins with its columns.
    MissingChildIndex,
    /// This column and the referenced one differ in type or collation.
    TypeMismatch(String),
    /// The server named the key after its table, which has a longer name since.
    NameTooLong,
}

impl ForeignKeyDefect {
    /// A description for reports.
    pub(in crate::mysql) fn describe(&self) -> String {
        match self {
            Self::MissingColumn(column) => format!("the referenced table has no column {column}"),
            Self::MissingParentIndex => "the referenced table has no index over the referenced columns".to_owned(),
            Self::MissingChildIndex => "its table has no index over its columns".to_owned(),
            Self::TypeMismatch(column) => {
                format!("column {column} is of another type or collation than the one that it refers to")
            }
            Self::NameTooLong => format!("its name is longer than {MAX_NAME_LENGTH} characters"),
        }
    }
}

/// Finds the defect of a foreign key of `child` to `parent`, if it has one.
pub(in crate::mysql) fn find_defect(
    child: (&Table, &TableDdl),
    parent: (&Table, &TableDdl),
    key: &ForeignKey,
) -> Option<ForeignKeyDefect> {
    let column = |table: &'_ Table, name: &str| -> Option<Column> {
        table.columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase()).cloned()
    };
    for (own, referenced) in key.columns.iter().zip(&key.referenced_columns) {
        let Some(there) = column(parent.0, referenced) else {
            return Some(ForeignKeyDefect::MissingColumn(referenced.clone()));
        };
        let here = column(child.0, own)?;
        if comparison_type(&here) != comparison_type(&there) {
            return Some(ForeignKeyDefect::TypeMismatch(own.clone()));
        }
    }
    if !has_index(&parent.1.indexes, &key.referenced_columns) {
        return Some(ForeignKeyDefect::MissingParentIndex);
    }
    if !has_index(&child.1.indexes, &key.columns) {
        return Some(ForeignKeyDefect::MissingChildIndex);
    }
    key.name.as_ref().filter(|name| name.chars().count() > MAX_NAME_LENGTH).map(|_| ForeignKeyDefect::NameTooLong)
}

/// Whether a server of this family accepts the key in the `CREATE TABLE` of its table before the referenced table exists.
///
/// MySQL checks the key again when the referenced table is created.
pub(in crate::mysql) fn can_precede_parent(flavor: Flavor, defect: &ForeignKeyDefect) -> bool {
    flavor == Flavor::MariaDb
        && matches!(
            defect,
            ForeignKeyDefect::MissingColumn(_)
                | ForeignKeyDefect::MissingParentIndex
                | ForeignKeyDefect::TypeMismatch(_)
        )
}

/// Returns the key with its name shortened to the maximum length.
pub(in crate::mysql) fn with_short_name(key: &ForeignKey) -> ForeignKey {
    let Some(name) = key.name.as_ref().filter(|name| name.chars().count() > MAX_NAME_LENGTH) else {
        return key.clone();
    };
    // The end of the name distinguishes several keys of one table.
    let end: String = name.chars().rev().take(8).collect::<Vec<_>>().into_iter().rev().collect();
    let short: String = name.chars().take(MAX_NAME_LENGTH - 8).chain(end.chars()).collect();
    let quoted = |name: &str| super::ddl::quote_name(name);
    let definition = key.definition.replacen(&quoted(name), &quoted(&short), 1);
    ForeignKey { name: Some(short), definition, ..key.clone() }
}

/// Reports a foreign key that has a shortened name.
pub(in crate::mysql) fn rename_note(table: &ObjectRef, key: &ForeignKey, short: &ForeignKey) -> Note {
    let name = |key: &ForeignKey| format!("foreign key {}", key.name.as_deref().unwrap_or_default());
    Note::Fidelity(FidelityIssue {
        object: table.clone(),
        what: name(key),
        severity: Severity::Warning,
        source: ForeignKeyDefect::NameTooLong.describe(),
        target: name(short),
    })
}

/// Finds the defective foreign keys among tables that are created together.
pub(in crate::mysql) fn find_all<'a>(
    tables: &[(&'a Table, &'a TableDdl)],
    folds: bool,
) -> Vec<DefectiveForeignKey<'a>> {
    let same = |one: &str, other: &str| one == other || folds && one.to_lowercase() == other.to_lowercase();
    let mut found = Vec::new();
    for child in tables {
        for key in child.1.foreign_keys.iter().filter(|key| key.referenced_database.is_none()) {
            let parent = tables.iter().find(|(table, _)| same(&table.name, &key.referenced_table));
            let defect = parent.and_then(|parent| Some((parent.0, find_defect(*child, *parent, key)?)));
            found.extend(defect.map(|(parent, defect)| DefectiveForeignKey { child: child.0, parent, key, defect }));
        }
    }
    found
}

/// A defective foreign key and its two tables.
pub(in crate::mysql) struct DefectiveForeignKey<'a> {
    pub(in crate::mysql) child: &'a Table,
    pub(in crate::mysql) parent: &'a Table,
    pub(in crate::mysql) key: &'a ForeignKey,
    pub(in crate::mysql) defect: ForeignKeyDefect,
}

/// Returns the tables to create before all others, in this order, each with the foreign keys of its `CREATE TABLE`.
///
/// The server accepts these keys only before the referenced table exists. Tables that refer to each other in a circle are
/// not in the list.
pub(in crate::mysql) fn order_early_tables(
    flavor: Flavor,
    defect: &[DefectiveForeignKey<'_>],
) -> Vec<(String, Vec<ForeignKey>)> {
    let early =
        |key: &&DefectiveForeignKey<'_>| can_precede_parent(flavor, &key.defect) && key.child.name != key.parent.name;
    let mut left: Vec<&DefectiveForeignKey<'_>> = defect.iter().filter(early).collect();
    let mut first = Vec::new();
    // A table can follow after all tables that refer to it.
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

/// The properties that must be equal at both ends of a foreign key (<https://dev.mysql.com/doc/refman/9.7/en/create-table-foreign-keys.html>):
/// type and sign of numbers, their digits where these are fixed, the collation of text. Lengths of text may differ.
fn comparison_type(column: &Column) -> (String, Option<String>) {
    let sign = if column.column_type.contains("unsigned") { " unsigned" } else { "" };
    let kind = match column.data_type.as_str() {
        "char" | "varchar" => "text".to_owned(),
        "binary" | "varbinary" => "bytes".to_owned(),
        "decimal" | "bit" | "datetime" | "timestamp" | "time" => column.column_type.clone(),
        // Any two of them are compatible.
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

    fn defect_of(
        parent: &[(&'static str, &'static str)],
        parent_keys: &str,
        child_keys: &str,
    ) -> Option<ForeignKeyDefect> {
        let parent = table("p", parent, parent_keys);
        let constraint = "CONSTRAINT `c` FOREIGN KEY (`r`) REFERENCES `p` (`r`)";
        let child = table("t", &[("id", "int"), ("r", "varchar(20)")], &format!("{child_keys},\n  {constraint}"));
        let key = child.1.foreign_keys[0].clone();
        find_defect((&child.0, &child.1), (&parent.0, &parent.1), &key)
    }

    #[test]
    fn every_defect_is_found() {
        let key = ",\n  KEY `k` (`r`,`id`)";
        let columns = [("id", "int"), ("r", "varchar(40)")];
        assert_eq!(defect_of(&columns, key, key), None);
        assert_eq!(defect_of(&columns, "", key), Some(ForeignKeyDefect::MissingParentIndex));
        assert_eq!(defect_of(&columns, ",\n  KEY `k` (`r`(3))", key), Some(ForeignKeyDefect::MissingParentIndex));
        assert_eq!(defect_of(&columns, key, ""), Some(ForeignKeyDefect::MissingChildIndex));
        assert_eq!(defect_of(&[("id", "int")], "", key), Some(ForeignKeyDefect::MissingColumn("r".to_owned())));
        let other = [("id", "int"), ("r", "varchar(20) collate utf8mb4_bin")];
        assert_eq!(defect_of(&other, key, key), Some(ForeignKeyDefect::TypeMismatch("r".to_owned())));
    }

    #[test]
    fn long_names_are_shortened() {
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
