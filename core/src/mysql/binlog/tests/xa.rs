//! XA transactions, which are committed later than they are logged.

use dbgraft_testkit::{Flavor, Server, ServerOptions, wait_until};
use futures::TryStreamExt as _;

use super::{LoggedDatabase, TABLES, describe};
use crate::change::{LogEvent, LogPosition};
use crate::memory::MemoryBudget;
use crate::mysql::connection_registry::ConnectionRegistry;
use crate::mysql::{prepared_transactions, session};
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

/// The same, on which nothing is lost when they are killed.
fn durable_servers() -> impl Iterator<Item = Server> {
    [Flavor::MySql, Flavor::MariaDb].into_iter().map(|flavor| {
        let options = ServerOptions::new(flavor).fsync(true).arg("--sync-binlog=1");
        options.arg("--innodb-flush-log-at-trx-commit=1").start().unwrap()
    })
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
        let elsewhere = "CREATE DATABASE {db}_xa; CREATE TABLE {db}_xa.t (a INT); XA START '{db}2'; \
                         INSERT INTO {db}_xa.t VALUES (1); XA END '{db}2'; XA PREPARE '{db}2'; XA COMMIT '{db}2'; \
                         DROP DATABASE {db}_xa";
        assert_eq!(describe(&plan, &database.changes_of(&plan, elsewhere).await.unwrap()), [""; 0], "{flavor}");
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

impl LoggedDatabase {
    /// Restarts the server as if it had been killed between logging a decision on the transaction and doing it: the log has the
    /// decision, and the transaction is prepared.
    fn prepare_again(&self, server: &mut Server, name: &str) {
        let xid = format!("'{}{name}'", self.name);
        let change = "INSERT INTO t VALUES (70, 'again')";
        self.sql(&format!("SET sql_log_bin = 0; XA START {xid}; {change}; XA END {xid}; XA PREPARE {xid}"));
        server.restart().unwrap();
    }

    async fn has_committed(&self, before: &LogPosition) -> bool {
        let mut conn = session::open_control(&self.address).await.unwrap();
        let connections = ConnectionRegistry::new(self.address.clone());
        prepared_transactions::are_committed(&mut conn, &self.address, &connections, before).await.unwrap()
    }

    /// The number of such statements in the last two files of the log.
    fn logged(&self, statement: &str) -> usize {
        let files = self.sql("SHOW BINARY LOGS");
        let files = files.lines().rev().take(2).map(|line| line.split('\t').next().unwrap());
        files.map(|file| self.sql(&format!("SHOW BINLOG EVENTS IN '{file}'")).matches(statement).count()).sum()
    }
}

#[tokio::test]
async fn what_a_killed_server_commits_twice_is_applied_once() {
    // MySQL makes both agree when it starts.
    for mut server in durable_servers().skip(1) {
        let flavor = server.flavor;
        let database = LoggedDatabase::create(&server);
        database.sql(TABLES);
        let plan = database.snapshot().await;
        let from = plan.position.log_position().unwrap();
        database.prepare("a", "INSERT INTO u VALUES (1)");
        database.decide("XA COMMIT '{db}a'");
        let middle = database.source.log_end().await.unwrap();
        let too_late = database.snapshot().await;
        database.prepare_again(&mut server, "a");
        // A snapshot does not have what the log has up to here.
        assert!(database.has_committed(&from).await && !database.has_committed(&middle).await, "{flavor}");
        database.decide("XA COMMIT '{db}a'");
        assert!(database.has_committed(&middle).await, "{flavor}");
        assert_eq!(database.logged("XA COMMIT"), 2, "{flavor}");
        let events = database.changes_after(&plan, &from).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 1", "commit"], "{flavor}");
        assert!(database.changes_after(&plan, &middle).await.unwrap().is_empty(), "{flavor}");
        // A snapshot between both has the rows or not.
        let error = database.changes_after(&too_late, &middle).await.unwrap_err().to_string();
        assert!(error.contains("XA COMMIT") && error.contains("clone anew"), "{flavor}: {error}");
    }
}

#[tokio::test]
async fn what_a_killed_server_commits_and_rolls_back_ends_the_stream() {
    for mut server in durable_servers().skip(1) {
        let flavor = server.flavor;
        let database = LoggedDatabase::create(&server);
        database.sql(TABLES);
        let plan = database.snapshot().await;
        let from = plan.position.log_position().unwrap();
        database.prepare("a", "INSERT INTO u VALUES (1)");
        database.decide("XA COMMIT '{db}a'");
        let middle = database.source.log_end().await.unwrap();
        database.prepare_again(&mut server, "a");
        database.decide("XA ROLLBACK '{db}a'");
        assert_eq!(database.logged("XA ROLLBACK"), 1, "{flavor}");
        for place in [&from, &middle] {
            let error = database.changes_after(&plan, place).await.unwrap_err().to_string();
            assert!(error.contains("XA ROLLBACK") && error.contains("clone anew"), "{flavor}: {error}");
        }
    }
}

#[tokio::test]
async fn what_a_killed_server_loses_is_not_waited_for() {
    for mut server in durable_servers() {
        let flavor = server.flavor;
        let database = LoggedDatabase::create(&server);
        database.sql(TABLES);
        let plan = database.snapshot().await;
        let from = plan.position.log_position().unwrap();
        database.prepare("lost", "INSERT INTO u VALUES (1)");
        database.prepare("kept", "INSERT INTO u VALUES (2)");
        // The log has its XA PREPARE, and the server nothing.
        database.decide("SET sql_log_bin = 0; XA ROLLBACK '{db}lost'");
        database.sql("INSERT INTO u VALUES (3)");
        let events = database.changes_after(&plan, &from).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 3", "commit"], "{flavor}");
        let middle = end_of(&events);
        assert_eq!(middle.prepared_since.as_ref().map(|since| since.offset), Some(from.offset), "{flavor}");
        server.restart().unwrap();
        database.sql("INSERT INTO u VALUES (4)");
        let events = database.changes_after(&plan, &middle).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 4", "commit"], "{flavor}");
        let later = end_of(&events);
        let since = later.prepared_changes_since.clone().unwrap();
        assert!(since.order() > from.order() && since.order() < middle.order(), "{flavor}: {since:?}");
        database.decide("XA COMMIT '{db}kept'");
        let events = database.changes_after(&plan, &later).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 2", "commit"], "{flavor}");
        assert_eq!(end_of(&events).prepared_since, None, "{flavor}");
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
