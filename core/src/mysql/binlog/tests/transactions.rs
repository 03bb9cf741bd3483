//! Transactions, definitions and statements.

use dbgraft_testkit::Flavor;

use super::{FLAVORS, LoggedDatabase, TABLES, describe};
use crate::catalog::{ObjectKind, ObjectRef};
use crate::change::LogEvent;
use crate::error::ErrorKind;
use crate::plan::OmittedObject;
use crate::source::Source as _;

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

#[tokio::test]
async fn cascades_of_mysql_are_in_the_log() {
    let tables = "CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p \
                  (id) ON DELETE CASCADE); INSERT INTO p VALUES (1); INSERT INTO c VALUES (5, 1)";
    let database = LoggedDatabase::with_tables(Flavor::MySql, tables);
    let plan = database.snapshot().await;
    let events = database.changes_of(&plan, "DELETE FROM p").await.unwrap();
    let mut found = describe(&plan, &events);
    found.sort();
    assert_eq!(found, ["begin", "commit", "delete c 5,1", "delete p 1"]);
}

#[tokio::test]
async fn rows_say_whether_foreign_keys_may_have_changed_others() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let statements = "INSERT INTO u VALUES (1); SET SESSION foreign_key_checks = 0; DELETE FROM u";
        let events = database.changes_of(&plan, statements).await.unwrap();
        let rows = events.iter().filter_map(|event| match event {
            LogEvent::Rows(rows) => Some(rows.with_cascades),
            _ => None,
        });
        assert_eq!(rows.collect::<Vec<_>>(), [flavor == Flavor::MariaDb, false], "{flavor}");
    }
}

#[tokio::test]
async fn rows_of_a_table_that_no_statement_has_made_end_the_stream() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let mut plan = database.snapshot().await;
        database.sql(
            "SET SESSION sql_log_bin = 0; CREATE TABLE x (id INT PRIMARY KEY); CREATE TABLE _dbgraft_journal (id INT)",
        );
        let statements = "INSERT INTO _dbgraft_journal VALUES (1); INSERT INTO u VALUES (1)";
        let events = database.changes_of(&plan, statements).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 1", "commit"], "{flavor}");
        let from = database.source.log_end().await.unwrap();
        let error = database.changes_of(&plan, "INSERT INTO x VALUES (1); INSERT INTO u VALUES (2)").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed, "{flavor}: {error}");
        assert!(error.to_string().contains("rows of table x change"), "{flavor}: {error}");
        let object = ObjectRef::new(ObjectKind::Table, "x");
        plan.left_out.push(OmittedObject { object, reason: String::new() });
        let events = database.changes_after(&plan, &from).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 2", "commit"], "{flavor}");
    }
}

#[tokio::test]
async fn the_journal_of_another_clone_is_not_part_of_the_stream() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let statements = "CREATE TABLE _dbgraft_journal (a INT); INSERT INTO _dbgraft_journal VALUES (1); \
                          DROP TABLE IF EXISTS `_dbgraft_journal`; INSERT INTO u VALUES (1)";
        let events = database.changes_of(&plan, statements).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 1", "commit"], "{flavor}");
    }
}

#[tokio::test]
async fn an_alter_in_two_parts_is_one_definition_where_it_takes_effect() {
    let database = LoggedDatabase::with_tables(Flavor::MariaDb, TABLES);
    let plan = database.snapshot().await;
    let from = database.source.log_end().await.unwrap();
    database.sql("INSERT INTO t VALUES (1, 'a'), (2, 'a')");
    let refused = "SET SESSION binlog_alter_two_phase = 1, alter_algorithm = 'COPY'; ALTER TABLE t ADD UNIQUE (v)";
    assert!(database.server.sql_in(&database.name, refused).is_err());
    database.sql("SET SESSION binlog_alter_two_phase = 1; ALTER TABLE t ADD w INT");
    let logged = database.sql("SHOW BINLOG EVENTS IN '{file}' LIMIT 100000".replace("{file}", &from.file).as_str());
    assert!(logged.contains("START ALTER") || logged.matches("ALTER TABLE t ADD w INT").count() > 1, "{logged}");
    let events = database.changes_after(&plan, &from).await.unwrap();
    let expected = ["begin", "insert t 1,a|2,a", "commit", "definition ALTER TABLE t ADD w INT"];
    assert_eq!(describe(&plan, &events), expected);
}

#[tokio::test]
async fn a_definition_has_the_fraction_of_its_time() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let statement = "SET SESSION timestamp = 1700000000.654321; \
                         ALTER TABLE t ADD d DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)";
        let events = database.changes_of(&plan, statement).await.unwrap();
        let [LogEvent::Definition { settings, obstacle: None, .. }] = &events[..] else { panic!("{events:?}") };
        assert!(settings.contains(&"timestamp = 1700000000.654321".to_owned()), "{flavor}: {settings:?}");
    }
}
