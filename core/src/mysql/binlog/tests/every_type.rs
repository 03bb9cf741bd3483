//! Every value that the tests know is the same text in the log as in a batch.

use std::collections::BTreeMap;
use std::path::Path;

use dbgraft_testkit as testkit;
use futures::TryStreamExt as _;

use super::LoggedDatabase;
use crate::change::LogEvent;
use crate::memory::MemoryBudget;
use crate::plan::{Plan, TablePlan};
use crate::source::Source as _;

/// The engines whose rows cannot be deleted.
const READ_ONLY_ENGINES: [&str; 2] = ["ARCHIVE", "BLACKHOLE"];

/// The scripts that make the databases of the conformance tests of a family, by name.
fn themes(flavor: testkit::Flavor) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut themes = BTreeMap::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let servers = text.lines().next().unwrap().strip_prefix("-- servers:").unwrap();
        if servers.split_whitespace().any(|server| server == flavor.to_string().to_lowercase()) {
            themes.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), text);
        }
    }
    assert!(themes.len() > 15, "only {} themes", themes.len());
    themes
}

/// The lines of a table as batches hold them, sorted.
async fn bulk_lines(database: &LoggedDatabase, table: &TablePlan) -> Vec<Vec<u8>> {
    let memory = MemoryBudget::new(64 << 20, 2);
    let mut found = Vec::new();
    for chunk in &table.chunks {
        let mut batches = database.source.read(table, chunk, &memory).await.unwrap();
        while let Some(batch) = batches.try_next().await.unwrap() {
            found.extend(split_lines(&batch.data));
        }
    }
    found.sort();
    found
}

fn split_lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.pop();
    lines
}

/// Deletes all rows, so that the log holds each of them, and returns the tables in which that is not possible.
fn delete_rows(database: &LoggedDatabase, plan: &Plan) -> Vec<u32> {
    let triggers = database.sql("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{db}'");
    for trigger in triggers.lines() {
        database.sql(&format!("DROP TRIGGER `{}`", trigger.replace('`', "``")));
    }
    let mut kept = Vec::new();
    for planned in &plan.tables {
        let name = planned.table.name.replace('`', "``");
        let delete = format!("SET foreign_key_checks = 0; DELETE FROM `{name}`");
        if let Err(error) = database.server.sql_in(&database.name, &delete) {
            let engine = &planned.table.engine;
            assert!(READ_ONLY_ENGINES.contains(&engine.as_str()), "{name} ({engine}): {error}");
            kept.push(planned.number);
        }
    }
    kept
}

/// Compares the rows of each table; returns the differences and the number of rows that were compared.
async fn compare(database: &LoggedDatabase) -> (Vec<String>, usize) {
    let plan = database.snapshot().await;
    let mut expected = BTreeMap::new();
    for planned in &plan.tables {
        expected.insert(planned.number, bulk_lines(database, planned).await);
    }
    database.source.close().await.unwrap();
    let from = plan.position.log_position().unwrap();
    let kept = delete_rows(database, &plan);
    let plan = Plan { tables: plan.tables, ..plan };
    let events = match database.changes_after(&plan, &from).await {
        Ok(events) => events,
        Err(error) => return (vec![error.to_string()], 0),
    };
    let mut found: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for event in &events {
        let LogEvent::Rows(rows) = event else { continue };
        let table = plan.tables.iter().find(|planned| planned.number == rows.table).unwrap();
        let image = rows.before.as_ref().unwrap();
        let all: Vec<u32> = (0..).take(table.table.stored_columns().count()).collect();
        assert_eq!(image.columns, all, "{}", table.table.name);
        found.entry(rows.table).or_default().extend(split_lines(&image.text));
    }
    let (mut differences, mut count) = (Vec::new(), 0);
    for planned in &plan.tables {
        // Rows of the past cannot be deleted.
        if kept.contains(&planned.number) || planned.table.history || planned.chunks.is_empty() {
            continue;
        }
        let mut logged = found.remove(&planned.number).unwrap_or_default();
        logged.sort();
        let bulk = expected.remove(&planned.number).unwrap_or_default();
        count += bulk.len();
        if logged.len() != bulk.len() {
            differences.push(format!(
                "{}: {} rows in the log, {} in batches",
                planned.table.name,
                logged.len(),
                bulk.len()
            ));
        }
        let first = bulk.iter().zip(&logged).find(|(bulk, logged)| bulk != logged);
        if let Some((bulk, logged)) = first {
            let shown = |line: &[u8]| line.get(..line.len().min(400)).unwrap_or_default().escape_ascii().to_string();
            differences.push(format!("{}:\n  batch {}\n  log   {}", planned.table.name, shown(bulk), shown(logged)));
        }
    }
    (differences, count)
}

async fn all_rows_are_the_same(flavor: testkit::Flavor) {
    let server = &testkit::pair_of(flavor).source;
    let (mut failures, mut rows) = (Vec::new(), 0);
    for (name, text) in themes(flavor) {
        let database = LoggedDatabase::create(server);
        let other = format!("{}_other", database.name);
        server.sql(&format!("CREATE DATABASE {other}")).unwrap();
        let named = |text: &str| text.replace("{db}", &database.name).replace("{other}", &other);
        for line in text.lines().filter_map(|line| line.strip_prefix("-- elsewhere:")) {
            server.sql_in(&other, &named(line)).unwrap();
        }
        server.sql_in(&database.name, &named(&text)).unwrap();
        let (differences, count) = compare(&database).await;
        rows += count;
        failures.extend(differences.into_iter().map(|difference| format!("== {name}: {difference}")));
        server.sql(&format!("DROP DATABASE {other}")).unwrap();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(rows > 300, "only {rows} rows were compared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_mysql_are_the_same_in_the_log_and_in_batches() {
    all_rows_are_the_same(testkit::Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_mariadb_are_the_same_in_the_log_and_in_batches() {
    all_rows_are_the_same(testkit::Flavor::MariaDb).await;
}
