//! Promise: with `--on-ddl apply` a followed clone gets the definitions of its source too, exactly once.

use std::time::Duration;

use dbgraft_testkit::{Flavor, ServerPair, pair_of};

use crate::common::follower::Follower;
use crate::common::{BackgroundLoop, Bench, on_each_flavor, on_sampled_flavors, unique, wait_until};

const SCHEMA: &str = "
    CREATE TABLE marks (id INT PRIMARY KEY, mark VARCHAR(40));
    CREATE TABLE t (id INT PRIMARY KEY, v INT, w VARCHAR(20));
    INSERT INTO t VALUES (1, 1, 'one'), (2, 2, 'two');
    CREATE TABLE p (id INT PRIMARY KEY);
    INSERT INTO p VALUES (1), (2);
    CREATE TABLE old (id INT PRIMARY KEY, v INT);
    INSERT INTO old VALUES (1, 10);
    CREATE TABLE referred (id INT PRIMARY KEY);
    CREATE TABLE referring (id INT PRIMARY KEY, r INT, FOREIGN KEY (r) REFERENCES referred (id) ON DELETE CASCADE);
    INSERT INTO referred VALUES (1), (2);
    INSERT INTO referring VALUES (1, 1), (2, 2);
    CREATE TABLE emptied (id INT PRIMARY KEY AUTO_INCREMENT, v INT);
    INSERT INTO emptied (v) VALUES (1), (2);";
const APPLY: [&str; 2] = ["--on-ddl", "apply"];

/// Statements of every kind, with rows in between that need the definitions before and after.
fn statements(database: &str) -> Vec<String> {
    [
        "ALTER TABLE t ADD COLUMN a INT NOT NULL DEFAULT 7 FIRST, ADD INDEX by_v (v)",
        "INSERT INTO t VALUES (3, 3, 3, 'three')",
        "ALTER TABLE D.t MODIFY w VARCHAR(60) CHARACTER SET latin1, CHANGE v v2 BIGINT",
        "UPDATE t SET w = 'größer', v2 = 5000000000 WHERE id = 1",
        "CREATE TABLE n (id INT PRIMARY KEY, t INT, d VARCHAR(9) DEFAULT 'it''s', CONSTRAINT of_t FOREIGN KEY (t) REFERENCES t (id))",
        "INSERT INTO n (id, t) VALUES (1, 1), (2, NULL)",
        "CREATE TABLE IF NOT EXISTS `D`.`l` LIKE t",
        "INSERT INTO l SELECT * FROM t",
        "CREATE UNIQUE INDEX u ON l (v2)",
        "UPDATE l SET v2 = v2 + 1 ORDER BY v2 DESC",
        "DROP INDEX by_v ON t",
        "RENAME TABLE old TO kept, l TO D.l2",
        "INSERT INTO kept VALUES (2, 20)",
        "UPDATE l2 SET w = NULL WHERE id = 3",
        "ALTER TABLE p RENAME TO parents, ADD COLUMN name VARCHAR(5)",
        "INSERT INTO parents VALUES (3, 'p')",
        "TRUNCATE TABLE emptied",
        "INSERT INTO emptied (v) VALUES (9)",
        "ALTER TABLE emptied ENGINE = InnoDB",
        "SET SESSION sql_mode = 'ANSI_QUOTES'; ALTER TABLE \"emptied\" ADD COLUMN \"D\" TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP",
        "INSERT INTO emptied (v) VALUES (10)",
        "SET SESSION timestamp = 1700000000.654321; ALTER TABLE emptied ADD COLUMN f DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
        "INSERT INTO emptied (v) VALUES (11)",
        "RENAME TABLE referred TO referred2",
        "DELETE FROM referred2 WHERE id = 1",
        "DROP TABLE IF EXISTS kept, missing",
        "CREATE TABLE kept (a VARCHAR(10) PRIMARY KEY)",
        "INSERT INTO kept VALUES ('again')",
        "ALTER TABLE t DROP COLUMN a, ADD CHECK (id > 0)",
        "INSERT INTO t VALUES (4, 4, 'four')",
    ]
    .map(|sql| sql.replace("D.", &format!("{database}.")).replace("`D`", &format!("`{database}`")))
    .to_vec()
}

#[test]
fn statements_are_run_at_the_target_in_their_order() {
    on_each_flavor(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let arguments = [&["--follow"][..], &APPLY].concat();
        let mut follower = Follower::begin(&bench, "clone", &arguments).await;
        for sql in statements(&bench.from) {
            bench.source(&sql);
        }
        follower.catch_up(&bench).await;
        assert_eq!(bench.target("SELECT v2 FROM t WHERE id = 1"), "5000000000");
        // A later process has the new definitions from the journal.
        follower.kill().await;
        bench.source("ALTER TABLE n ADD COLUMN e INT; INSERT INTO n VALUES (3, 4, 'd', 5)");
        let mut follower = Follower::begin(&bench, "follow", &APPLY).await;
        follower.catch_up(&bench).await;
        follower.cut_over().await;
        assert_eq!(bench.target("SHOW TABLES LIKE '%journal'"), "");
        bench.assert_equal();
    });
}

#[test]
fn what_is_not_applied_for_certain_ends_following() {
    on_each_flavor(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let arguments = [&["--follow", "--include", "t", "--include", "marks"][..], &APPLY].concat();
        let mut follower = Some(Follower::begin(&bench, "clone", &arguments).await);
        let cases = [
            ("CREATE VIEW v AS SELECT 1 AS one", "only statements on tables", "CREATE VIEW v AS SELECT 1 AS one"),
            ("CREATE TABLE other (id INT PRIMARY KEY)", "other would not have been chosen", "DO 0"),
            (
                "ALTER TABLE t ADD c CHAR(40) AS (UPPER(w)) STORED",
                "STORED",
                "ALTER TABLE t ADD c CHAR(40) AS (UPPER(w)) STORED",
            ),
            (
                "ALTER TABLE t ADD ts TIMESTAMP DEFAULT CURRENT_TIMESTAMP",
                "explicit_defaults_for_timestamp",
                "ALTER TABLE t ADD ts TIMESTAMP DEFAULT CURRENT_TIMESTAMP",
            ),
            ("RENAME TABLE t TO t3", "t3 would not have been chosen", "DO 0"),
        ];
        for (sql, reason, by_hand) in cases {
            if sql.contains("TIMESTAMP") && flavor == Flavor::MySql {
                continue;
            }
            bench.source(sql);
            let message = follower.take().unwrap().ended();
            // The servers log the definition of a view in their own words.
            let shown = if sql.contains("VIEW") { "SELECT 1 AS one" } else { sql };
            assert!(message.contains(reason) && message.contains(shown), "{message}");
            if sql.starts_with("RENAME") {
                break;
            }
            bench.target(by_hand);
            let place = skipped(&message);
            let mut next = Follower::begin(&bench, "follow", &[&["--skip-ddl", &place][..], &APPLY].concat()).await;
            next.catch_up(&bench).await;
            follower = Some(next);
        }
    });
}

#[test]
fn a_table_that_the_target_has_of_its_own_is_left_alone() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let follower = Follower::begin(&bench, "clone", &[&["--follow"][..], &APPLY].concat()).await;
        bench.target("CREATE TABLE own (id INT PRIMARY KEY); INSERT INTO own VALUES (7)");
        let create = if flavor == Flavor::MySql { "CREATE TABLE IF NOT EXISTS" } else { "CREATE OR REPLACE TABLE" };
        bench.source(&format!("{create} own (id INT PRIMARY KEY); INSERT INTO own VALUES (8)"));
        let message = follower.ended();
        assert!(message.contains("the target has a table own that is not of this clone"), "{message}");
        assert_eq!(bench.target("SELECT id FROM own"), "7", "{flavor}");
    });
}

/// The place that the message says to skip.
fn skipped(message: &str) -> String {
    let place = message.rsplit("--skip-ddl ").next().unwrap().split_whitespace().next().unwrap();
    place.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned()
}

#[test]
fn a_statement_that_is_run_by_hand_takes_over_nothing_that_comes_later() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let mut follower = Follower::begin(&bench, "clone", &["--follow"]).await;
        follower.catch_up(&bench).await;
        let statements = [
            "ALTER TABLE t ADD c INT",
            "ALTER TABLE t DROP c, ADD d INT",
            "CREATE TABLE n (id INT PRIMARY KEY)",
            "RENAME TABLE t TO u, n TO n2",
            "ALTER TABLE emptied MODIFY v INT UNSIGNED",
        ];
        let rows = [
            "INSERT INTO t VALUES (3, 3, 'three', 3); UPDATE t SET v = 7, c = 7 WHERE id = 1",
            "INSERT INTO t VALUES (4, 4, 'four', 4); UPDATE t SET d = 5 WHERE id = 1",
            "INSERT INTO n VALUES (1)",
            "INSERT INTO u VALUES (5, 5, 'five', 5); INSERT INTO n2 VALUES (2)",
            "INSERT INTO emptied (v) VALUES (9)",
        ];
        for (statement, rows) in statements.iter().zip(rows) {
            bench.source(&format!("{statement}; {rows}"));
        }
        for (number, statement) in statements.iter().enumerate() {
            let message = follower.ended();
            assert!(message.contains(statement), "{message}");
            let place = skipped(&message);
            let early = Follower::start(&bench, "follow", &["--skip-ddl", &place]).ended();
            assert!(early.contains("run at the target what was run at the source"), "{early}");
            bench.target(statement);
            follower = Follower::start(&bench, "follow", &["--skip-ddl", &place]);
            if number == 0 {
                // The same command again, after its statement is passed.
                let message = follower.ended();
                assert!(message.contains(statements[1]), "{message}");
                follower = Follower::start(&bench, "follow", &["--skip-ddl", &place]);
            }
        }
        follower.catch_up(&bench).await;
        follower.cut_over().await;
        bench.assert_equal();
    });
}

#[test]
fn a_statement_that_is_run_by_hand_in_another_way_is_refused() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let mut follower = Follower::begin(&bench, "clone", &["--follow", "--where", "old=v < 100"]).await;
        let cases = [
            (
                "ALTER TABLE t ADD b INT AFTER id; INSERT INTO t VALUES (5, 50, 5, 'five')",
                "ALTER TABLE t ADD b INT",
                "the columns id, b, v, w in this order",
                "ALTER TABLE t MODIFY b INT AFTER id",
            ),
            (
                "ALTER TABLE t MODIFY w VARCHAR(20) CHARACTER SET greek, ADD c INT; INSERT INTO t VALUES (6, 60, 6, '\u{3b1}', 1)",
                "ALTER TABLE t ADD c INT",
                "and the source as varchar(20) in greek",
                "ALTER TABLE t MODIFY w VARCHAR(20) CHARACTER SET greek",
            ),
            (
                "CREATE TABLE n (id INT PRIMARY KEY, a INT, b INT); INSERT INTO n VALUES (1, 2, 3)",
                "CREATE TABLE n (id INT PRIMARY KEY, b INT, a INT)",
                "the columns id, a, b in this order",
                "ALTER TABLE n MODIFY a INT AFTER id",
            ),
            // The target has the rows that the filter chose by the other column.
            (
                "ALTER TABLE old RENAME COLUMN v TO w, ADD v INT; UPDATE old SET v = 200",
                "ALTER TABLE old RENAME COLUMN v TO w, ADD v INT",
                "changes column v, on which the row filter",
                "DO 0",
            ),
        ];
        for (number, (at_source, wrong, reason, remedy)) in cases.iter().enumerate() {
            bench.source(at_source);
            let place = skipped(&follower.ended());
            bench.target(wrong);
            let refused = Follower::start(&bench, "follow", &["--skip-ddl", &place]).ended();
            assert!(refused.contains(reason), "{refused}");
            if number + 1 == cases.len() {
                break;
            }
            bench.target(remedy);
            follower = Follower::begin(&bench, "follow", &["--skip-ddl", &place]).await;
            follower.catch_up(&bench).await;
        }
        let rows = "SELECT id, b, v, HEX(w), c FROM t ORDER BY id; SELECT id, a, b FROM n";
        assert_eq!(bench.target(rows), bench.source(rows), "{flavor}");
    });
}

fn has_intent(bench: &Bench) -> bool {
    bench.target("SELECT COUNT(*) FROM _dbgraft_journal WHERE kind = 'definition'") == "1"
}

#[test]
fn a_statement_during_which_the_process_was_killed_runs_once() {
    on_sampled_flavors(async |flavor| {
        for was_run in [false, true] {
            let bench = Bench::new(flavor, SCHEMA);
            let arguments = [&["--follow"][..], &APPLY].concat();
            let mut follower = Follower::begin(&bench, "clone", &arguments).await;
            follower.catch_up(&bench).await;
            // The statement waits for the lock of another session.
            let (target, to) = (bench.pair.target.clone(), bench.to.clone());
            let holder = std::thread::spawn(move || {
                target.sql_in(&to, "START TRANSACTION; SELECT COUNT(*) FROM t; DO SLEEP(12); COMMIT")
            });
            assert!(wait_until(|| bench
                .target("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO = 'DO SLEEP(12)'")
                == "1"));
            bench.source("ALTER TABLE t ADD INDEX (v), ADD COLUMN x INT; INSERT INTO t VALUES (5, 5, 'five', 5)");
            assert!(wait_until(|| has_intent(&bench)));
            follower.kill().await;
            holder.join().unwrap().unwrap();
            if was_run {
                // It may have run, or still run: then this waits for its end.
                let has_column = "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
                                  AND TABLE_NAME = 't' AND COLUMN_NAME = 'x'";
                if bench.target(&format!("SELECT SLEEP(1); {has_column}")).ends_with('0') {
                    bench.target("ALTER TABLE t ADD INDEX (v), ADD COLUMN x INT");
                }
            }
            let mut follower = Follower::begin(&bench, "follow", &APPLY).await;
            follower.catch_up(&bench).await;
            assert!(!has_intent(&bench));
            follower.cut_over().await;
            bench.assert_equal();
        }
    });
}

/// A writer that changes definitions all the time, with rows that need them.
fn definition_writer(bench: &Bench) -> BackgroundLoop {
    let (source, from) = (bench.pair.source.clone(), bench.from.clone());
    BackgroundLoop::new(move |round| {
        let (c, before) = (round % 7, (round + 6) % 7);
        let sql = match round % 6 {
            0 => format!(
                "ALTER TABLE t ADD COLUMN c{c}_{round} INT DEFAULT {c}; UPDATE t SET c{c}_{round} = id + {round}"
            ),
            1 => format!(
                "CREATE TABLE n{c}_{round} (id INT AUTO_INCREMENT PRIMARY KEY, v INT); INSERT INTO n{c}_{round} (v) VALUES ({round})"
            ),
            2 => format!("RENAME TABLE n{before}_{} TO r{round}; UPDATE r{round} SET v = v + 1", round - 1),
            3 => format!(
                "ALTER TABLE r{} RENAME TO s{round}, ADD INDEX (v); INSERT INTO s{round} (v) VALUES (1), (2)",
                round - 1
            ),
            4 => format!(
                "TRUNCATE TABLE s{}; INSERT INTO s{} (v) VALUES (7); TRUNCATE emptied; INSERT INTO emptied (v) VALUES ({round})",
                round - 1,
                round - 1
            ),
            _ => format!(
                "DROP TABLE s{}; ALTER TABLE t DROP COLUMN c{}_{}, ALGORITHM=INPLACE; INSERT INTO t (id) VALUES ({round} + 100)",
                round - 2,
                (round - 5) % 7,
                round - 5
            ),
        };
        // A statement costs the follower a session: it is to keep up.
        std::thread::sleep(Duration::from_millis(300));
        source.sql_in(&from, &sql).is_ok()
    })
}

#[test]
fn definitions_are_equal_after_kills() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let arguments = [&["--follow"][..], &APPLY].concat();
        let mut follower = Follower::begin(&bench, "clone", &arguments).await;
        let writer = definition_writer(&bench);
        writer.assert_begun();
        for kill in 0..4_u64 {
            tokio::time::sleep(Duration::from_millis(900 + 370 * kill)).await;
            follower.kill().await;
            follower = Follower::begin(&bench, "follow", &APPLY).await;
        }
        drop(writer);
        follower.catch_up(&bench).await;
        follower.cut_over().await;
        bench.assert_equal();
    });
}

#[test]
fn statements_are_not_applied_in_the_other_family() {
    let pair =
        ServerPair { source: pair_of(Flavor::MySql).source.clone(), target: pair_of(Flavor::MariaDb).target.clone() };
    let unique = unique();
    let bench = Bench { pair: Box::leak(Box::new(pair)), from: format!("from_{unique}"), to: format!("to_{unique}") };
    bench.pair.source.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
    bench.source(SCHEMA);
    let arguments = ["--follow", "--on-unsupported", "degrade", "--on-ddl", "apply"];
    let message = Follower::start(&bench, "clone", &arguments).ended();
    assert!(message.contains("--on-ddl apply"), "{message}");
}
