//! Whether tables that keep their definitions can take the source's rows: the columns must be the same.

use super::super::words::{list, named};
use super::Target;
use crate::catalog::{Column, Table};
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::introspect;
use crate::report::Finding;

/// The key that MySQL adds to a table without one (`sql_generate_invisible_primary_key`).
const GENERATED_KEY: &str = "my_row_id";

pub(super) async fn check(conn: &mut Conn, target: &Target<'_>, kept: &[(&Table, &str)]) -> Result<Vec<Finding>> {
    let mut there = introspect::read_columns(conn, target.database()).await?;
    introspect::find_system_versioned(conn, target.database(), &mut there).await?;
    let mut findings = Vec::new();
    for (table, name) in kept {
        let differences = differences(table, there.get(*name).map_or(&[], Vec::as_slice));
        if differences.is_empty() {
            continue;
        }
        let remedy = match target.selection.schema {
            true => "choose --if-exists drop, or change it there",
            false => "change it there, or clone its definition too",
        };
        findings.push(Finding::error(format!(
            "table {} on the target is not as at the source: {}: {remedy}",
            named(name),
            list(differences)
        )));
    }
    Ok(findings)
}

fn differences(source: &Table, target: &[Column]) -> Vec<String> {
    let of = |column: &Column| target.iter().find(|other| same_name(column, other));
    let mut differences = Vec::new();
    for column in source.loaded_columns() {
        let name = named(&column.name);
        match of(column) {
            None => differences.push(format!("column {name} is missing")),
            Some(other) if other.generated => differences.push(format!("column {name} is computed there")),
            Some(other) if kind(column) != kind(other) => {
                differences.push(format!("column {name} is {} there, not {}", shown(other), shown(column)));
            }
            Some(_) => {}
        }
    }
    let stored = target.iter().filter(|column| !column.generated && column.name != GENERATED_KEY);
    let extra = stored.filter(|column| !source.loaded_columns().any(|other| same_name(column, other)));
    differences.extend(extra.map(|column| format!("column {} is not at the source", named(&column.name))));
    differences
}

fn same_name(one: &Column, other: &Column) -> bool {
    one.name.to_lowercase() == other.name.to_lowercase()
}

/// What must be equal: the type, without what only some versions print, and the character set, for the bytes are loaded
/// as they are.
fn kind(column: &Column) -> (String, Option<String>) {
    let charset = column.charset.as_deref().map(|charset| if charset == "utf8" { "utf8mb3" } else { charset });
    (without_width(column), charset.map(str::to_owned))
}

fn shown(column: &Column) -> String {
    match &column.charset {
        Some(charset) => format!("{} in {charset}", column.column_type),
        None => column.column_type.clone(),
    }
}

/// `int(11)` and `int` are the same; the width of a ZEROFILL column belongs to its text.
fn without_width(column: &Column) -> String {
    let kind = &column.column_type;
    let integers = ["tinyint", "smallint", "mediumint", "int", "bigint", "year"];
    if !integers.contains(&column.data_type.as_str()) || kind.contains("zerofill") {
        return kind.clone();
    }
    match (kind.split_once('('), kind.split_once(')')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, column_type: &str, charset: Option<&str>) -> Column {
        Column {
            name: name.into(),
            data_type: column_type.split(['(', ' ']).next().unwrap().into(),
            column_type: column_type.into(),
            charset: charset.map(str::to_owned),
            collation: None,
            nullable: true,
            generated: false,
            stored: false,
        }
    }

    fn table(columns: Vec<Column>) -> Table {
        Table {
            name: "t".into(),
            engine: "InnoDB".into(),
            columns,
            history: false,
            primary_key: vec![],
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    #[test]
    fn what_only_versions_print_differently_is_the_same() {
        let source = table(vec![
            column("a", "int(11)", None),
            column("B", "bigint(20) unsigned", None),
            column("c", "varchar(9)", Some("utf8")),
        ]);
        let there = [
            column("a", "int", None),
            column("b", "bigint unsigned", None),
            column("c", "varchar(9)", Some("utf8mb3")),
            column("my_row_id", "bigint unsigned", None),
        ];
        assert_eq!(differences(&source, &there), [""; 0]);
    }

    #[test]
    fn differences_are_named() {
        let source = table(vec![
            column("a", "int", None),
            column("b", "text", Some("latin1")),
            column("c", "int", None),
            column("d", "int", None),
        ]);
        let generated = Column { generated: true, ..column("c", "int", None) };
        let there =
            [column("a", "bigint", None), column("b", "text", Some("utf8mb4")), generated, column("x", "int", None)];
        assert_eq!(
            differences(&source, &there),
            [
                "column a is bigint there, not int",
                "column b is text in utf8mb4 there, not text in latin1",
                "column c is computed there",
                "column d is missing",
                "column x is not at the source"
            ]
        );
    }
}
