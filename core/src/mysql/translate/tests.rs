//! Translations between the families.

mod code;
mod collations;
mod columns;
mod tables;

use super::*;
use crate::catalog::{Column, ObjectKind};

fn server(flavor: Flavor, version: &str) -> Server {
    Server::new(flavor, version)
}

fn table_of(create: &str) -> Table {
    Table {
        name: "t".into(),
        engine: "InnoDB".into(),
        columns: Vec::new(),
        history: false,
        late_timestamps: Vec::new(),
        primary_key: Vec::new(),
        rows_estimate: 0,
        data_bytes: 0,
        index_bytes: 0,
        create: create.into(),
    }
}

/// Translates a table. Returns its items, its options, and the issues: `severity what: source -> target`.
fn table(translator: &Translator<'_>, lines: &[&str], options: &str) -> (Vec<String>, String, Vec<String>) {
    let create = format!("CREATE TABLE `t` (\n  {}\n){options}", lines.join(",\n  "));
    let mut found = Vec::new();
    let image = translator.translate_table(&table_of(&create), &mut found).create;
    let (body, rest) = image.strip_prefix("CREATE TABLE `t` (\n  ").unwrap().rsplit_once("\n)").unwrap();
    let issues = |f: FidelityIssue| format!("{:?} {}: {} -> {}", f.severity, f.what, f.source, f.target);
    (body.split(",\n  ").map(str::to_owned).collect(), rest.to_owned(), found.into_iter().map(issues).collect())
}

fn to_mariadb(lines: &[&str], options: &str) -> (Vec<String>, String, Vec<String>) {
    let (from, to) = (server(Flavor::MySql, "9.7.4"), server(Flavor::MariaDb, "10.11.19-MariaDB"));
    table(&Translator::new(&from, &to, &[]), lines, options)
}

fn to_mysql(lines: &[&str], options: &str) -> (Vec<String>, String, Vec<String>) {
    let (from, to) = (server(Flavor::MariaDb, "10.11.19-MariaDB"), server(Flavor::MySql, "9.7.4"));
    table(&Translator::new(&from, &to, &[]), lines, options)
}

/// Translates one item of a table. Returns it and the issues.
fn mariadb(line: &str) -> (String, Vec<String>) {
    let (lines, _, issues) = to_mariadb(&[line], " ENGINE=InnoDB");
    (lines.join(",\n  "), issues)
}

fn mysql(line: &str) -> (String, Vec<String>) {
    let (lines, _, issues) = to_mysql(&[line], " ENGINE=InnoDB");
    (lines.join(",\n  "), issues)
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn within_a_release_nothing_changes() {
    let database = Database {
        name: "d".into(),
        charset: "utf8mb4".into(),
        collation: "utf8mb4_0900_ai_ci".into(),
        comment: String::new(),
    };
    let tables = vec![table_of("CREATE TABLE `t` (\n  `a` json /*!80023 INVISIBLE */\n)")];
    let whole = Catalog { server: server(Flavor::MySql, "9.7.4"), database, tables, definitions: Vec::new() };
    let (image, found) = catalog(&whole, &server(Flavor::MySql, "9.7.1"));
    assert!(matches!(image, Cow::Borrowed(_)) && found.is_empty());
}
