//! Transactions, definitions and positions.

use super::{FLAVORS, LoggedDatabase, describe};
use crate::change::LogEvent;
use crate::mysql::log_position;

const TABLES: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE u (id INT PRIMARY KEY) ENGINE=InnoDB";

#[tokio::test]
async fn a_transaction_is_between_its_begin_and_its_commit() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let statements = "BEGIN; INSERT INTO t VALUES (1, 'a'), (2, NULL); SAVEPOINT s; INSERT INTO u VALUES (7); \
                          ROLLBACK TO s; UPDATE t SET v = 'b', id = 3 WHERE id = 1; COMMIT; DELETE FROM t WHERE id = 2; \
                          BEGIN; INSERT INTO u VALUES (8); ROLLBACK";
        let events = database.changes_of(&plan, statements).await.unwrap();
        let expected =
            ["begin", r"insert t 1,a|2,\\n", "update t 1,a => 3,b", "commit", "begin", r"delete t 2,\\n", "commit"];
        assert_eq!(describe(&plan, &events), expected, "{flavor}");
    }
}

#[tokio::test]
async fn reading_goes_on_after_each_commit() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let all = database
            .changes_of(
                &plan,
                "INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'); FLUSH BINARY LOGS; \
                                               INSERT INTO u VALUES (3); INSERT INTO u VALUES (4)",
            )
            .await
            .unwrap();
        let all = describe(&plan, &all);
        assert_eq!(all.len(), 12, "{all:?}");
        let from = plan.position.log_position().unwrap();
        let mut events = database.changes_after(&plan, &from).await.unwrap();
        for number in 1..=4 {
            let LogEvent::Commit { end, committed_at_ms } = &events[2] else { panic!("{events:?}") };
            assert!(*committed_at_ms > 1_700_000_000_000, "{committed_at_ms}");
            let end = end.clone();
            events = database.changes_after(&plan, &end).await.unwrap();
            assert_eq!(describe(&plan, &events), all[3 * number..], "{flavor} from {end:?}");
        }
        let mut conn = crate::mysql::session::open_control(&database.address).await.unwrap();
        let method = plan.position.rung;
        assert!(log_position::read_position(&mut conn, method).await.unwrap().log_server.is_some());
    }
}

#[tokio::test]
async fn definitions_of_the_followed_database_are_in_the_stream() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let statements = "INSERT INTO u VALUES (1); ALTER TABLE t ADD w INT; CREATE TEMPORARY TABLE x (a INT); \
                          INSERT INTO x VALUES (1); CREATE TABLE y SELECT 1 AS a; INSERT INTO u VALUES (2)";
        let events = database.changes_of(&plan, statements).await.unwrap();
        let found = describe(&plan, &events);
        assert_eq!(found[..4], ["begin", "insert u 1", "commit", "definition ALTER TABLE t ADD w INT"], "{flavor}");
        assert!(found[4].starts_with("definition with rows CREATE TABLE"), "{flavor}: {}", found[4]);
        assert_eq!(found[5..], ["begin", "insert u 2", "commit"], "{flavor}");
        let LogEvent::Definition { start, settings, database: current, .. } = &events[3] else { panic!() };
        assert_eq!(*current, database.name);
        assert!(settings.iter().any(|setting| setting.starts_with("sql_mode = ")), "{settings:?}");
        let again = database.changes_after(&plan, start).await.unwrap();
        assert_eq!(describe(&plan, &again), found[3..], "{flavor}");
        database.sql("INSERT INTO t VALUES (1, 'a', 1)");
        let error = database.changes_after(&plan, start).await.unwrap_err().to_string();
        assert!(error.contains("table t is not as it was planned: it has 3 columns in the log, and 2"), "{error}");
    }
}

#[tokio::test]
async fn statements_instead_of_rows_end_the_stream_only_in_the_followed_database() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let other = format!("{}_other", database.name);
        let elsewhere = format!(
            "SET SESSION binlog_format = STATEMENT; CREATE DATABASE {other}; USE {other}; CREATE TABLE t (a INT); \
             INSERT INTO t VALUES (1); DROP DATABASE {other}"
        );
        assert_eq!(database.changes_of(&plan, &elsewhere).await.unwrap(), [], "{flavor}");
        let statement = "SET SESSION binlog_format = STATEMENT; INSERT INTO t VALUES (1, 'a')";
        let error = database.changes_of(&plan, statement).await.unwrap_err().to_string();
        assert!(error.contains("INSERT INTO t VALUES (1, 'a')") && error.contains("position binlog."), "{error}");
    }
}
