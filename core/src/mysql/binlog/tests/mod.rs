//! The log of real servers, each test with a database of its own.

mod every_type;
mod forms;
mod hostile;
mod positions;
mod statements;
mod transactions;
mod xa;

use std::sync::atomic::{AtomicU32, Ordering};

use dbgraft_testkit as testkit;
use futures::TryStreamExt as _;

use crate::change::{LogEvent, LogPosition, RowImages};
use crate::codec::split_rows;
use crate::error::Result;
use crate::memory::MemoryBudget;
use crate::mysql::MySqlSource;
use crate::mysql::connect::{ServerAddress, ServerRole};
use crate::options::CloneOptions;
use crate::plan::Plan;
use crate::selector::{PatternSelector, select_objects};
use crate::source::Source as _;

const FLAVORS: [testkit::Flavor; 2] = [testkit::Flavor::MySql, testkit::Flavor::MariaDb];

/// Two tables for most tests.
const TABLES: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE u (id INT PRIMARY KEY) ENGINE=InnoDB";

/// A database whose changes are read, dropped with the test.
struct LoggedDatabase {
    server: testkit::Database,
    name: String,
    address: ServerAddress,
    source: MySqlSource,
}

impl LoggedDatabase {
    fn create(server: &testkit::Database) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("log_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        server.sql(&format!("CREATE DATABASE `{name}`")).unwrap();
        let account = (server.user.clone(), server.password.clone().into());
        let address = ServerAddress::new(ServerRole::Source, (&server.host, server.port), account, name.clone());
        let source = MySqlSource::new(address.clone(), &CloneOptions::default());
        Self { server: server.clone(), name, address, source }
    }

    fn with_tables(flavor: testkit::Flavor, sql: &str) -> Self {
        let database = Self::create(&testkit::pair_of(flavor).source);
        database.sql(sql);
        database
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql_in(&self.name, &sql.replace("{db}", &self.name)).unwrap()
    }

    /// Takes a snapshot of all tables.
    async fn snapshot(&self) -> Plan {
        let catalog = self.source.catalog().await.unwrap();
        let options = CloneOptions::default();
        let patterns = PatternSelector::from_options(&options).unwrap();
        let selection = select_objects(&catalog, &patterns, &options).unwrap();
        self.source.snapshot(&selection).await.unwrap()
    }

    /// Reads the changes after `from`, up to what is committed now, without news of the position.
    async fn changes_after(&self, plan: &Plan, from: &LogPosition) -> Result<Vec<LogEvent>> {
        let goal = self.source.log_end().await?;
        let memory = MemoryBudget::new(64 << 20, 2);
        let mut changes = self.source.changes(plan, from, &memory).await?;
        let mut events = Vec::new();
        while let Some(event) = changes.try_next().await? {
            let end = match &event {
                LogEvent::Commit { end, .. } | LogEvent::Definition { end, .. } | LogEvent::Idle { end, .. } => {
                    Some(end.clone())
                }
                LogEvent::Begin { .. } | LogEvent::Rows(_) | LogEvent::Rollback => None,
            };
            if !matches!(event, LogEvent::Idle { .. }) {
                events.push(event);
            }
            if end.is_some_and(|end| (&end.file, end.offset) >= (&goal.file, goal.offset)) {
                break;
            }
        }
        Ok(events)
    }

    /// Runs statements, and returns what the log has of them.
    async fn changes_of(&self, plan: &Plan, sql: &str) -> Result<Vec<LogEvent>> {
        let from = self.source.log_end().await?;
        self.sql(sql);
        self.changes_after(plan, &from).await
    }
}

impl Drop for LoggedDatabase {
    fn drop(&mut self) {
        // What a failed test has prepared would be waited for.
        let _ = self.server.sql(&format!("SET lock_wait_timeout = 2; DROP DATABASE IF EXISTS `{}`", self.name));
    }
}

/// The lines of an image.
fn lines(image: &RowImages) -> Vec<String> {
    let lines = image.text.split(|byte| *byte == b'\n').map(|line| line.escape_ascii().to_string());
    let mut lines: Vec<String> = lines.collect();
    assert_eq!(lines.pop().as_deref(), Some(""), "the last line has an end");
    assert_eq!(lines.len(), split_rows(&image.text).count());
    lines
}

/// A short form of events: `begin`, `insert t 1,2`, `commit`.
fn describe(plan: &Plan, events: &[LogEvent]) -> Vec<String> {
    let describe = |event: &LogEvent| match event {
        LogEvent::Begin { .. } => "begin".to_owned(),
        LogEvent::Commit { .. } => "commit".to_owned(),
        LogEvent::Rollback => "rollback".to_owned(),
        LogEvent::Idle { .. } => "idle".to_owned(),
        LogEvent::Definition { sql, with_rows, .. } => {
            let sql = sql.split(" /*").next().unwrap_or_default();
            format!("definition{} {sql}", if *with_rows { " with rows" } else { "" })
        }
        LogEvent::Rows(rows) => {
            let name = &plan.tables.iter().find(|planned| planned.number == rows.table).unwrap().table.name;
            let images: Vec<String> =
                [&rows.before, &rows.after].into_iter().flatten().map(|image| lines(image).join("|")).collect();
            format!("{:?} {name} {}", rows.kind, images.join(" => ")).to_lowercase().replace(r"\t", ",")
        }
    };
    events.iter().map(describe).collect()
}
