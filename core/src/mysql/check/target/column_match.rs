//! Checks that tables which keep their definitions have the source's columns.

use super::super::message_format::{display_name, join_list};
use super::PreflightContext;
use crate::catalog::{Column, Table};
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::introspect;
use crate::report::Finding;

/// The primary key that MySQL adds to a table without one (`sql_generate_invisible_primary_key`).
const GENERATED_KEY: &str = "my_row_id";

pub(super) async fn check(
    conn: &mut Conn,
    target: &PreflightContext<'_>,
    kept: &[(&Table, &str)],
) -> Result<Vec<Finding>> {
    let mut target_columns = introspect::read_columns(conn, target.database()).await?;
    introspect::find_system_versioned(conn, target.database(), &mut target_columns).await?;
    let mut findings = Vec::new();
    for (table, name) in kept {
        let differences = differences(table, target_columns.get(*name).map_or(&[], Vec::as_slice));
        if differences.is_empty() {
            continue;
        }
        let remedy = match target.selection.schema {
            true => "choose --if-exists drop, or change it there",
            false => "change it there, or clone its definition too",
        };
        findings.push(Finding::error(format!(
            "table {} on the target is not as at the source: {}: {remedy}",
            display_name(name),
            join_list(differences)
        )));
    }
    Ok(findings)
}

/// Describes the differences between the columns of a table at the source and at the target.
fn differences(source: &Table, target: &[Column]) -> Vec<String> {
    let counterpart = |column: &Column| target.iter().find(|other| has_same_name(column, other));
    let mut differences = Vec::new();
    for column in source.loaded_columns() {
        let name = display_name(&column.name);
        match counterpart(column) {
            None => differences.push(format!("column {name} is missing")),
            Some(other) if other.generated => differences.push(format!("column {name} is computed there")),
            Some(other) if comparable_type(column) != comparable_type(other) => {
                differences.push(format!(
                    "column {name} is {} there, not {}",
                    display_column(other),
                    display_column(column)
                ));
            }
            Some(_) => {}
        }
    }
    let stored = target.iter().filter(|column| !column.generated && column.name != GENERATED_KEY);
    let extra = stored.filter(|column| !source.loaded_columns().any(|other| has_same_name(column, other)));
    differences.extend(extra.map(|column| format!("column {} is not at the source", display_name(&column.name))));
    differences
}

fn has_same_name(one: &Column, other: &Column) -> bool {
    one.name.to_lowercase() == other.name.to_lowercase()
}

/// The type and character set, in a form that does not depend on the server's version. Both must be equal, as the bytes
/// are loaded without a conversion.
fn comparable_type(column: &Column) -> (String, Option<String>) {
    let charset = column.charset.as_deref().map(|charset| if charset == "utf8" { "utf8mb3" } else { charset });
    (type_without_width(column), charset.map(str::to_owned))
}

/// Formats a column's type.
fn display_column(column: &Column) -> String {
    match &column.charset {
        Some(charset) => format!("{} in {charset}", column.column_type),
        None => column.column_type.clone(),
    }
}

/// The type without its display width: `int(11)` and `int` are the same. The width of a ZEROFILL column stays, as it
/// changes the values' text.
fn type_without_width(column: &Column) -> String {
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
            late_timestamps: Vec::new(),
            primary_key: vec![],
            rows_estimate: 0,
            data_bytes: 0,
            index_bytes: 0,
            create: String::new(),
        }
    }

    #[test]
    fn types_are_compared_without_their_versions_spelling() {
        let source = table(vec![
            column("a", "int(11)", None),
            column("B", "bigint(20) unsigned", None),
            column("c", "varchar(9)", Some("utf8")),
        ]);
        let target_columns = [
            column("a", "int", None),
            column("b", "bigint unsigned", None),
            column("c", "varchar(9)", Some("utf8mb3")),
            column("my_row_id", "bigint unsigned", None),
        ];
        assert_eq!(differences(&source, &target_columns), [""; 0]);
    }

    #[test]
    fn differences_are_listed() {
        let source = table(vec![
            column("a", "int", None),
            column("b", "text", Some("latin1")),
            column("c", "int", None),
            column("d", "int", None),
        ]);
        let generated = Column { generated: true, ..column("c", "int", None) };
        let target_columns =
            [column("a", "bigint", None), column("b", "text", Some("utf8mb4")), generated, column("x", "int", None)];
        assert_eq!(
            differences(&source, &target_columns),
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
