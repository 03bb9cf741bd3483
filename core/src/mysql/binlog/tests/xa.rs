//! XA transactions, which are committed later than they are logged.

use dbgraft_testkit::{Flavor, Server, ServerOptions, wait_until};
use futures::TryStreamExt as _;

use super::{LoggedDatabase, TABLES, describe};
use crate::change::{LogEvent, LogPosition};
use crate::memory::MemoryBudget;
use crate::source::Source as _;

impl LoggedDatabase {
    /// Prepares a transaction of this name.
    fn prepare(&self, name: &str, sql: &str) {
        self.sql(&format!("XA START '{{db}}{name}'; {sql}; XA END '{{db}}{name}'; XA PREPARE '{{db}}{name}'"));
    }

    /// Ends a prepared transaction, once the server has noticed that its session is gone.
    fn decide(&self, sql: &str) {
        let sql = sql.replace("{db}", &self.name);
        assert!(wait_until(|| self.server.sql(&sql).is_ok()), "{sql}");
    }
}

/// Servers of these tests alone: prepared transactions are a matter of the whole server.
fn servers() -> [Server; 2] {
    [Flavor::MySql, Flavor::MariaDb].map(|flavor| ServerOptions::new(flavor).start().unwrap())
}

/// The place after the events.
fn end_of(events: &[LogEvent]) -> LogPosition {
    let ends = events.iter().filter_map(|event| match event {
        LogEvent::Commit { end, .. } => Some(end.clone()),
        _ => None,
    });
    ends.last().unwrap()
}

#[tokio::test]
async fn rows_of_prepared_transactions_are_there_from_their_commit_on() {
    for server in servers() {
        let flavor = server.flavor;
        let database = LoggedDatabase::create(&server);
        database.sql(TABLES);
        let plan = database.snapshot().await;
        let from = plan.position.log_position().unwrap();
        database.prepare("a", "INSERT INTO u VALUES (1); UPDATE u SET id = 2");
        database.prepare("b", "INSERT INTO t VALUES (3, 'b')");
        database.prepare("c", "INSERT INTO t VALUES (4, 'c')");
        database.sql("INSERT INTO t VALUES (5, 'd')");
        let events = database.changes_after(&plan, &from).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert t 5,d", "commit"], "{flavor}");
        let middle = end_of(&events);
        let since = middle.prepared_since.as_deref().unwrap();
        assert_eq!((&since.file, since.offset), (&from.file, from.offset), "{flavor}");
        database.decide("XA COMMIT '{db}a'");
        database.decide("XA ROLLBACK '{db}b'");
        database.sql("INSERT INTO t VALUES (6, 'e')");
        let expected =
            ["begin", "insert u 1", "update u 1 => 2", "commit", "begin", "insert t 6,e", "commit"].map(str::to_owned);
        let all = database.changes_after(&plan, &from).await.unwrap();
        assert_eq!(describe(&plan, &all)[3..], expected, "{flavor}");
        // As a process does that begins between the two.
        let again = database.changes_after(&plan, &middle).await.unwrap();
        assert_eq!(describe(&plan, &again), expected, "{flavor}");
        let by_file = LogPosition { gtids: None, ..middle.clone() };
        assert_eq!(describe(&plan, &database.changes_after(&plan, &by_file).await.unwrap()), expected, "{flavor}");
        let later = end_of(&again);
        assert!(later.prepared_since.is_some(), "{flavor}");
        database.decide("XA COMMIT '{db}c'");
        let last = database.changes_after(&plan, &later).await.unwrap();
        assert_eq!(describe(&plan, &last), ["begin", "insert t 4,c", "commit"], "{flavor}");
        assert_eq!(end_of(&last).prepared_since, None, "{flavor}");
    }
}

#[tokio::test]
async fn definitions_and_tables_of_applied_transactions_are_passed() {
    for server in servers() {
        let flavor = server.flavor;
        let database = LoggedDatabase::create(&server);
        database.sql(TABLES);
        let plan = database.snapshot().await;
        // What was prepared before is not known; what is rolled back is nobody's concern.
        database.prepare("a", "INSERT INTO u VALUES (1)");
        let since = database.source.log_end().await.unwrap();
        database.decide("XA ROLLBACK '{db}a'");
        database.prepare("b", "INSERT INTO u VALUES (4)");
        database.prepare("c", "INSERT INTO u VALUES (5)");
        database.sql("ALTER TABLE t ADD x INT FIRST; INSERT INTO t VALUES (4, 4, 'z'); ALTER TABLE t DROP x");
        database.decide("XA COMMIT '{db}b'");
        let start = database.source.log_end().await.unwrap();
        let start = LogPosition { prepared_since: Some(Box::new(since)), ..start };
        database.decide("XA COMMIT '{db}c'");
        let events = database.changes_after(&plan, &start).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 5", "commit"], "{flavor}");
    }
}

#[tokio::test]
async fn a_commit_of_an_unknown_transaction_ends_the_stream() {
    for server in servers() {
        let flavor = server.flavor;
        let database = LoggedDatabase::create(&server);
        database.sql(TABLES);
        let plan = database.snapshot().await;
        database.prepare("a", "INSERT INTO u VALUES (1)");
        let from = database.source.log_end().await.unwrap();
        database.decide("XA COMMIT '{db}a'");
        let error = database.changes_after(&plan, &from).await.unwrap_err().to_string();
        for part in ["XA COMMIT", "XA RECOVER", "position"] {
            assert!(error.contains(part), "{flavor}: {error}");
        }
    }
}

#[tokio::test]
async fn prepared_rows_are_held_within_the_memory() {
    for server in servers() {
        let flavor = server.flavor;
        let database = LoggedDatabase::create(&server);
        database.sql("CREATE TABLE u (id INT PRIMARY KEY, v LONGBLOB)");
        let plan = database.snapshot().await;
        let from = plan.position.log_position().unwrap();
        database.prepare("a", "INSERT INTO u VALUES (1, REPEAT('x', 300000)), (2, REPEAT('y', 300000))");
        database.decide("XA ROLLBACK '{db}a'");
        let memory = MemoryBudget::new(1 << 20, 1);
        let changes = database.source.changes(&plan, &from, &memory).await.unwrap();
        let error = changes.try_collect::<Vec<_>>().await.unwrap_err().to_string();
        assert!(error.contains("--memory") && error.contains("position"), "{flavor}: {error}");
    }
}
