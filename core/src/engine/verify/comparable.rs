//! Checks whether the rows of two tables are comparable. No I/O.

use crate::catalog::{Column, Table};

/// The reason why the rows of the two tables are not comparable; `None` if they are. Types may differ between MySQL and
/// MariaDB.
pub(super) fn incompatibility(source: &Table, target: &Table) -> Option<String> {
    let find = |table: &Table, name: &str| table.columns.iter().find(|column| same_name(&column.name, name)).cloned();
    if let Some(missing) = source.stored_columns().find(|column| find(target, &column.name).is_none()) {
        return Some(format!("column {} is missing at the target", missing.name));
    }
    if let Some(extra) = target.stored_columns().find(|column| find(source, &column.name).is_none()) {
        return Some(format!("column {} is only at the target", extra.name));
    }
    let names = |table: &Table, other: &Table| -> Vec<String> {
        let in_both = |column: &&Column| other.stored_columns().any(|stored| same_name(&stored.name, &column.name));
        table.stored_columns().filter(in_both).map(|column| column.name.to_lowercase()).collect()
    };
    if names(source, target) != names(target, source) {
        return Some("the columns are in another order".to_owned());
    }
    source.stored_columns().find_map(|column| column_incompatibility(column, &find(target, &column.name)?))
}

fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Digests are computed over stored bytes: members by number, text in the column's character set. So members and
/// character sets must be equal.
fn column_incompatibility(source: &Column, target: &Column) -> Option<String> {
    let is_list = matches!(source.data_type.as_str(), "enum" | "set");
    let (what, at_source, at_target) = match (&source.charset, &target.charset) {
        _ if is_list && source.column_type != target.column_type => {
            ("its members are", &source.column_type, &target.column_type)
        }
        (Some(at_source), Some(at_target)) if !is_list && canonical(at_source) != canonical(at_target) => {
            ("its character set is", at_source, at_target)
        }
        _ => return None,
    };
    Some(format!("column {}: {what} {at_source} at the source, {at_target} at the target", source.name))
}

/// Replaces the old name of a character set.
fn canonical(charset: &str) -> &str {
    if charset == "utf8" { "utf8mb3" } else { charset }
}
