//! The forms in which a server may log rows and transactions.

use dbgraft_testkit as testkit;
use dbgraft_testkit::{Flavor, ServerOptions};
use futures::TryStreamExt as _;

use super::{FLAVORS, LoggedDatabase, TABLES, describe, lines};
use crate::change::LogEvent;
use crate::memory::MemoryBudget;
use crate::source::Source as _;

#[tokio::test]
async fn minimal_images_hold_the_key_and_what_changed() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        let plan = database.snapshot().await;
        let statements = "INSERT INTO t VALUES (1, 'a'); SET SESSION binlog_row_image = MINIMAL; \
                          UPDATE t SET v = 'b'; DELETE FROM t";
        let events = database.changes_of(&plan, statements).await.unwrap();
        let found = describe(&plan, &events);
        assert_eq!(found[4], "update t 1 => b", "{flavor}");
        assert_eq!(found[7], "delete t 1", "{flavor}");
        let LogEvent::Rows(update) = &events[4] else { panic!() };
        assert_eq!(update.before.as_ref().unwrap().columns, [0]);
        assert_eq!(update.after.as_ref().unwrap().columns, [1]);
    }
}

#[tokio::test]
async fn compressed_transactions_without_gtids_are_read() {
    let mysql = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--binlog-transaction-compression=ON"];
    let mariadb = ["--log-bin-compress=ON", "--log-bin-compress-min-len=10"];
    for (flavor, arguments) in [(Flavor::MySql, &mysql[..]), (Flavor::MariaDb, &mariadb)] {
        let options = arguments.iter().fold(ServerOptions::new(flavor), |options, argument| options.arg(*argument));
        let mut server = options.start().unwrap();
        let database = LoggedDatabase::create(&server);
        database.sql(TABLES);
        let plan = database.snapshot().await;
        let value = "x".repeat(20);
        let statements = format!(
            "BEGIN; INSERT INTO t VALUES (1, '{value}'), (2, '{value}'); UPDATE t SET v = 'y'; DELETE FROM t; \
             INSERT INTO u VALUES (3); COMMIT; INSERT INTO u VALUES (4); ALTER TABLE u COMMENT 'a long comment of a table'"
        );
        let events = database.changes_of(&plan, &statements).await.unwrap();
        let expected = [
            "begin",
            &format!("insert t 1,{value}|2,{value}"),
            &format!("update t 1,{value}|2,{value} => 1,y|2,y"),
            "delete t 1,y|2,y",
            "insert u 3",
            "commit",
            "begin",
            "insert u 4",
            "commit",
            "definition ALTER TABLE u COMMENT 'a long comment of a table'",
        ];
        assert_eq!(describe(&plan, &events), expected, "{flavor}");
        // A server that is gone, and one that is there again.
        let from = database.source.log_end().await.unwrap();
        assert_eq!(from.gtids.is_some(), flavor == Flavor::MariaDb);
        let memory = MemoryBudget::new(1 << 20, 1);
        let mut changes = database.source.changes(&plan, &from, &memory).await.unwrap();
        server.kill().unwrap();
        let lost = loop {
            match changes.try_next().await {
                Ok(event) => assert!(matches!(event, Some(LogEvent::Idle { .. })), "{event:?}"),
                Err(error) => break error,
            }
        };
        assert!(lost.is_retryable(), "{lost}");
        server.restart().unwrap();
        database.sql("INSERT INTO u VALUES (5)");
        let events = database.changes_after(&plan, &from).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 5", "commit"], "{flavor}");
        // Logs that are gone.
        database.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS");
        let last = database.source.log_end().await.unwrap().file;
        // A log that is still being read is not purged.
        let is_purged = || {
            database.sql(&format!("PURGE BINARY LOGS TO '{last}'"));
            database.sql("SHOW BINARY LOGS").lines().count() == 1
        };
        assert!(testkit::wait_until(is_purged));
        let error = database.changes_after(&plan, &from).await.unwrap_err();
        assert!(error.to_string().contains("no binary log from") && !error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn parts_of_json_values_become_whole_values() {
    let database =
        LoggedDatabase::with_tables(Flavor::MySql, "CREATE TABLE j (id INT PRIMARY KEY, a JSON, b JSON, c INT)");
    let plan = database.snapshot().await;
    let statements = r#"INSERT INTO j VALUES (1, '{"a": [1, 2, 3], "b": "xxxxxxxx"}', '[1, 2, {"k": "v", "long": "vvvvvvvvvvvvvv"}]', 1);
        SET SESSION binlog_row_value_options = PARTIAL_JSON;
        UPDATE j SET b = JSON_SET(b, '$[2].k', 'w');
        UPDATE j SET a = JSON_REMOVE(a, '$.a[1]'), b = JSON_REPLACE(b, '$[0]', 7), c = 2;
        UPDATE j SET a = JSON_SET(a, '$.b', 'yy', '$.a[0]', '"'), b = NULL;
        UPDATE j SET c = 3"#;
    let events = database.changes_of(&plan, statements).await.unwrap();
    let after: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            LogEvent::Rows(rows) => Some(lines(rows.after.as_ref().unwrap()).concat()),
            _ => None,
        })
        .collect();
    let expected = database.sql("SELECT a, b FROM j");
    assert_eq!(expected.trim_end(), r#"{"a": ["\"", 3], "b": "yy"}	NULL"#);
    let unescaped: Vec<String> =
        after.iter().map(|line| line.replace(r"\t", " ").replace(r#"\""#, "\"").replace(r"\\", "\\")).collect();
    assert_eq!(
        unescaped[1..],
        [
            r#"1 {"a": [1, 2, 3], "b": "xxxxxxxx"} [1, 2, {"k": "w", "long": "vvvvvvvvvvvvvv"}] 1"#,
            r#"1 {"a": [1, 3], "b": "xxxxxxxx"} [7, 2, {"k": "w", "long": "vvvvvvvvvvvvvv"}] 2"#,
            r#"1 {"a": ["\\"", 3], "b": "yy"} \N 2"#,
            r#"1 {"a": ["\\"", 3], "b": "yy"} \N 3"#,
        ]
    );
    let minimal = "UPDATE j SET b = '[1, 2, \"xxxxxxxxxxxxxxxx\"]'; SET SESSION binlog_row_value_options = PARTIAL_JSON, \
                   binlog_row_image = MINIMAL; UPDATE j SET b = JSON_SET(b, '$[1]', 3)";
    let error = database.changes_of(&plan, minimal).await.unwrap_err().to_string();
    assert!(error.contains("binlog_row_image = FULL"), "{error}");
}

#[tokio::test]
async fn transactions_of_xa_and_other_engines_are_applied_or_refused() {
    for flavor in FLAVORS {
        let database = LoggedDatabase::with_tables(flavor, TABLES);
        database.sql("CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM");
        let plan = database.snapshot().await;
        let one_phase = "XA START '{db}'; INSERT INTO u VALUES (1); XA END '{db}'; XA COMMIT '{db}' ONE PHASE";
        let events = database.changes_of(&plan, one_phase).await.unwrap();
        assert_eq!(describe(&plan, &events), ["begin", "insert u 1", "commit"], "{flavor}");
        // MySQL with GTIDs refuses to mix engines.
        let mixed = match flavor {
            Flavor::MySql => "INSERT INTO m VALUES (1); ",
            Flavor::MariaDb => "BEGIN; INSERT INTO u VALUES (2); INSERT INTO m VALUES (1); ROLLBACK; ",
        };
        let temporary = "CREATE TEMPORARY TABLE x (a INT); BEGIN; INSERT INTO u VALUES (3); INSERT INTO x VALUES (1); ROLLBACK; \
                         DROP TABLE x; INSERT INTO u VALUES (4)";
        let events = database.changes_of(&plan, &format!("{mixed}{temporary}")).await.unwrap();
        let described = describe(&plan, &events).join(" ");
        let applied = described.replace("begin insert u 2 rollback ", "").replace("begin insert u 3 rollback ", "");
        assert_eq!(applied, "begin insert m 1 commit begin insert u 4 commit", "{flavor}");
    }
}
