//! Whether the rows of two tables can be compared at all. Pure.

use crate::catalog::{Column, Table};

/// Why the values of the two tables do not mean the same, if so. Types may differ, as they do between the families.
pub(super) fn difference(source: &Table, target: &Table) -> Option<String> {
    let of = |table: &Table, name: &str| table.columns.iter().find(|column| same(&column.name, name)).cloned();
    if let Some(missing) = source.stored_columns().find(|column| of(target, &column.name).is_none()) {
        return Some(format!("column {} is missing at the target", missing.name));
    }
    if let Some(further) = target.stored_columns().find(|column| of(source, &column.name).is_none()) {
        return Some(format!("column {} is only at the target", further.name));
    }
    let names = |table: &Table, other: &Table| -> Vec<String> {
        let stored_there = |column: &&Column| other.stored_columns().any(|there| same(&there.name, &column.name));
        table.stored_columns().filter(stored_there).map(|column| column.name.to_lowercase()).collect()
    };
    if names(source, target) != names(target, source) {
        return Some("the columns are in another order".to_owned());
    }
    source.stored_columns().find_map(|column| meaning(column, &of(target, &column.name)?))
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Values are compared as the bytes that are stored: members by their numbers, text in its character set.
fn meaning(source: &Column, target: &Column) -> Option<String> {
    let is_list = matches!(source.data_type.as_str(), "enum" | "set");
    let (what, here, there) = match (&source.charset, &target.charset) {
        _ if is_list && source.column_type != target.column_type => {
            ("its members are", &source.column_type, &target.column_type)
        }
        (Some(here), Some(there)) if !is_list && charset(here) != charset(there) => {
            ("its character set is", here, there)
        }
        _ => return None,
    };
    Some(format!("column {}: {what} {here} at the source, {there} at the target", source.name))
}

/// An old name of the same.
fn charset(name: &str) -> &str {
    if name == "utf8" { "utf8mb3" } else { name }
}
