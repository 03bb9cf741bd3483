//! Objects that the target already has are refused, dropped, emptied or kept as `if_exists` says, and nothing else is
//! touched.

use crate::common::{Bench, on_sampled_flavors, sampled_flavors};
use dbgraft::{CloneOptions, ErrorKind, IfExists, ObjectKind, ObjectRef, Report};
use dbgraft_testkit::{CompareOptions, Dump, Flavor, compare_with, dump};

pub const SOURCE: &str = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), KEY (a)); INSERT INTO t VALUES (1, 'source'), (2, 'source'); \
     CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id)); INSERT INTO u VALUES (1, 1); \
     CREATE TABLE hollow (a INT); CREATE VIEW v AS SELECT * FROM t; CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW SET @a = 1; \
     CREATE TRIGGER tr_u BEFORE UPDATE ON u FOR EACH ROW SET @a = 1; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; \
     CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO DO 1;";

/// A source, and a target that holds a `t` and things of its own.
fn bench(flavor: Flavor, target: &str) -> Bench {
    let bench = Bench::new(flavor, SOURCE);
    bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
    bench.target(&format!(
        "{target}; CREATE TABLE mine (id INT PRIMARY KEY); INSERT INTO mine VALUES (7); CREATE VIEW my_view AS SELECT * FROM mine"
    ));
    bench
}

const SAME_T: &str = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), KEY (a)); INSERT INTO t VALUES (5, 'target')";

pub fn look(bench: &Bench) -> Dump {
    dump(&bench.pair.target, &bench.to, &CompareOptions::default()).unwrap()
}

pub fn if_exists(if_exists: IfExists) -> CloneOptions {
    CloneOptions { if_exists, ..CloneOptions::default() }
}

pub fn own<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

fn left_out(report: &Report) -> Vec<String> {
    let mut left: Vec<String> =
        report.left_out.iter().map(|left| format!("{}: {}", left.object, left.reason)).collect();
    left.sort();
    left
}

pub fn names(server: &dbgraft_testkit::Database, database: &str) -> String {
    let one = |column: &str, table: &str, schema: &str| {
        format!("SELECT {column} n FROM information_schema.{table} WHERE {schema} = DATABASE()")
    };
    let all = [
        one("TABLE_NAME", "TABLES", "TABLE_SCHEMA"),
        one("ROUTINE_NAME", "ROUTINES", "ROUTINE_SCHEMA"),
        one("TRIGGER_NAME", "TRIGGERS", "TRIGGER_SCHEMA"),
        one("EVENT_NAME", "EVENTS", "EVENT_SCHEMA"),
    ];
    server
        .sql_in(
            database,
            &format!("SELECT GROUP_CONCAT(n ORDER BY n SEPARATOR ' ') FROM ({}) x", all.join(" UNION ALL ")),
        )
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_clone_has_touched_nothing() {
    for &flavor in sampled_flavors() {
        for there in [
            SAME_T,
            "CREATE VIEW t AS SELECT 1 AS a",
            "CREATE TABLE v (a INT)",
            "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 9",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO DO 9",
            "CREATE TABLE zz (a INT); CREATE TRIGGER tr BEFORE INSERT ON zz FOR EACH ROW SET @a = 9",
        ] {
            let bench = bench(flavor, there);
            let before = look(&bench);
            let error = bench.clone(CloneOptions::default()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Preflight, "{there}: {error}");
            assert_eq!(before.differences(&look(&bench)), "", "{there}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_replaces_what_is_cloned_and_nothing_else() {
    for &flavor in sampled_flavors() {
        let other = "CREATE TABLE t (x INT); INSERT INTO t VALUES (9); CREATE TABLE v (a INT); CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 9; \
                     CREATE TABLE zz (a INT); CREATE PROCEDURE p() SELECT 9; CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO DO 9";
        let bench = bench(flavor, other);
        bench.clone(if_exists(IfExists::Drop)).await.unwrap();
        assert_eq!(bench.target("SELECT id FROM mine; SELECT id FROM my_view"), "7\n7");
        let collation = bench.source("SELECT @@collation_database");
        bench.target(&format!("DROP VIEW my_view; DROP TABLE mine, zz; ALTER DATABASE COLLATE {collation}"));
        let same = CompareOptions {
            definitions: true,
            only: Some(own(["t", "u", "hollow", "v"])),
            ..CompareOptions::default()
        };
        compare_with(&bench.pair.source, &bench.from, &bench.pair.target, &bench.to, &same).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_keeps_definitions_and_replaces_rows() {
    for &flavor in sampled_flavors() {
        // An index more, which stays.
        let bench = bench(flavor, &format!("{SAME_T}; ALTER TABLE t ADD KEY mine (a, id)"));
        bench.clone(if_exists(IfExists::Truncate)).await.unwrap();
        assert_eq!(bench.target("SELECT * FROM t ORDER BY id"), "1\tsource\n2\tsource");
        assert!(bench.target("SHOW CREATE TABLE t").contains("mine"));
        assert_eq!(bench.target("SELECT COUNT(*) FROM u; SELECT * FROM mine; SELECT f()"), "1\n7\n1");
        // And again, now that everything is there.
        let result = bench.clone(if_exists(IfExists::Truncate)).await;
        match result {
            Ok(_) => assert_eq!(bench.target("SELECT * FROM t ORDER BY id"), "1\tsource\n2\tsource"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Preflight, "{error}"),
        }
        assert_eq!(names(&bench.pair.target, &bench.to), "e f hollow mine my_view p t tr tr_u u v");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_leaves_what_is_there_and_says_so() {
    for &flavor in sampled_flavors() {
        let bench = bench(flavor, &format!("{SAME_T}; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 9"));
        let report = bench.clone(if_exists(IfExists::Skip)).await.unwrap();
        assert_eq!(bench.target("SELECT * FROM t; SELECT f(); SELECT COUNT(*) FROM u"), "5\ttarget\n9\n1");
        let there = "is already at the target";
        assert_eq!(
            left_out(&report),
            [format!("function f: {there}"), format!("table t: {there}"), format!("trigger tr: {there}")]
        );
        assert_eq!(names(&bench.pair.target, &bench.to), "e f hollow mine my_view p t tr_u u v");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recreate_makes_the_database_anew() {
    for &flavor in sampled_flavors() {
        let bench = bench(flavor, "CREATE TABLE t (x INT)");
        bench.source("ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_bin");
        // A database that is there keeps its defaults, and the report says so.
        let report = bench.clone(if_exists(IfExists::Drop)).await.unwrap();
        assert!(report.warnings.iter().any(|warning| warning.contains("latin1_bin")), "{:?}", report.warnings);
        let comment = "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()";
        if flavor == Flavor::MariaDb {
            bench.source(&format!("ALTER DATABASE `{}` COMMENT 'it''s \\\\ \"this\"\n'", bench.from));
        }
        bench.clone(CloneOptions { recreate_database: true, ..CloneOptions::default() }).await.unwrap();
        bench.assert_equal();
        if flavor == Flavor::MariaDb {
            assert_eq!(bench.source(comment), bench.target(comment));
            assert!(bench.target(comment).starts_with("it's"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_only_takes_no_row_and_data_only_no_definition() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SOURCE);
        let report = bench.clone(CloneOptions { schema_only: true, ..CloneOptions::default() }).await.unwrap();
        assert_eq!(report.rows, 0);
        let definitions = CompareOptions { rows: false, ..CompareOptions::default() };
        compare_with(&bench.pair.source, &bench.from, &bench.pair.target, &bench.to, &definitions).unwrap();
        assert_eq!(bench.target("SELECT COUNT(*) FROM t"), "0");
        let report = bench.clone(CloneOptions { data_only: true, ..CloneOptions::default() }).await.unwrap();
        assert_eq!(report.rows, 3);
        assert!(left_out(&report).contains(&"view v: only rows were asked for".to_owned()), "{:?}", report.left_out);
        bench.assert_equal();
        // A second time there are rows already: refused before one is doubled, and done where asked.
        let again = CloneOptions { data_only: true, ..CloneOptions::default() };
        let error = bench.clone(again.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
        bench.assert_equal();
        bench.clone(CloneOptions { if_exists: IfExists::Truncate, ..again }).await.unwrap();
        bench.assert_equal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_never_go_into_a_table_that_would_change_them() {
    for &flavor in sampled_flavors() {
        for (from, to) in [
            ("a ENUM('x', 'y')", "a ENUM('y', 'x')"),
            ("a VARCHAR(9) CHARACTER SET utf8mb4", "a VARCHAR(9) CHARACTER SET latin1"),
            ("a INT, b INT", "b INT, a INT"),
            ("a DATETIME(6)", "a DATETIME"),
            ("a DECIMAL(9,3)", "a DECIMAL(9,1)"),
            ("a DOUBLE", "a FLOAT"),
            ("a SET('p', 'q')", "a SET('q', 'p', 'r')"),
            ("a INT", "a INT, CHECK (a > 5)"),
        ] {
            let bench = Bench::new(
                flavor,
                &format!(
                    "CREATE TABLE t ({from}); INSERT INTO t (a) VALUES ({}), (NULL)",
                    if from.contains("DATE") { "'2024-01-01 01:02:03.123456'" } else { "1" }
                ),
            );
            if from.starts_with("a VARCHAR") {
                bench.source("UPDATE t SET a = 'ß表'");
            }
            bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
            bench.target(&format!("CREATE TABLE t ({to})"));
            match bench.clone(CloneOptions { data_only: true, ..CloneOptions::default() }).await {
                Ok(_) => {
                    let same = "SELECT CONCAT_WS(' ', a, '|') FROM t ORDER BY 1";
                    assert_eq!(bench.source(same), bench.target(same), "{from} into {to}");
                    assert!(!to.contains("CHECK"), "{flavor}");
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Preflight | ErrorKind::Data | ErrorKind::Server),
                        "{error}"
                    );
                    assert_eq!(bench.target("SELECT COUNT(*) FROM t"), "0");
                }
            }
        }
    }
}

/// `LOAD DATA LOCAL` by itself would skip what it cannot take, or put one row in the place of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_meets_another_at_the_target_stops_the_clone() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(
            flavor,
            "CREATE TABLE t (a INT, b VARCHAR(9)); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'X')",
        );
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        for table in ["a INT, b VARCHAR(9), UNIQUE (b)", "a INT, b VARCHAR(9), PRIMARY KEY (b)"] {
            bench.target(&format!("CREATE TABLE t ({table})"));
            let error = bench.clone(CloneOptions { data_only: true, ..CloneOptions::default() }).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Server), "{flavor}: {error}");
            assert_eq!(bench.target("SELECT COUNT(*) FROM t"), "0");
            bench.target("DROP TABLE t");
        }
    }
}

#[test]
fn a_partial_clone_takes_what_was_asked_for_and_says_what_is_left() {
    on_sampled_flavors(async |flavor| {
        let of = |change: fn(&mut CloneOptions)| {
            let mut options =
                CloneOptions { include: own(["t", "v"]), recreate_database: true, ..CloneOptions::default() };
            change(&mut options);
            options
        };
        let bench = Bench::new(flavor, SOURCE);
        let report = bench.clone(of(|_| ())).await.unwrap();
        assert_eq!(names(&bench.pair.target, &bench.to), "t v");
        assert_eq!(left_out(&report).len(), 7, "{:?}", report.left_out);
        bench.clone(of(|o| o.triggers = Some(true))).await.unwrap();
        assert_eq!(names(&bench.pair.target, &bench.to), "t tr v");
        bench.clone(of(|o| (o.routines, o.events) = (Some(true), Some(true)))).await.unwrap();
        assert_eq!(names(&bench.pair.target, &bench.to), "e f p t v");
        bench.clone(of(|o| o.include = own(["table:?", "function:*"]))).await.unwrap();
        assert_eq!(names(&bench.pair.target, &bench.to), "f t u");
        bench.clone(of(|o| (o.include, o.exclude) = (Vec::new(), own(["u", "procedure:p"])))).await.unwrap();
        assert_eq!(names(&bench.pair.target, &bench.to), "e f hollow t tr v");
        // A foreign key to a table that is not taken is left out, and the report says so.
        let report = bench.clone(of(|o| o.include = own(["u"]))).await.unwrap();
        let lost = report.fidelity.iter().filter(|found| found.what.starts_with("foreign key "));
        assert_eq!(lost.count(), 1, "{:?}", report.fidelity);
        bench.target("INSERT INTO u VALUES (5, 77)");
        bench.clone(of(|o| o.filters = [("t".to_owned(), "id = 2 OR a IS NULL".to_owned())].into())).await.unwrap();
        assert_eq!(bench.target("SELECT id FROM t"), "2");
        // A typing error must not clone the wrong half.
        let error = bench.clone(of(|o| o.include = own(["t", "tabel"]))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert_eq!(bench.target("SELECT id FROM t"), "2");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_selects() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SOURCE);
        let job = bench.job(CloneOptions::default());
        let chosen = |object: &ObjectRef| object.kind == ObjectKind::Trigger || object.name == "t";
        let report = job.selector(chosen).run().await.unwrap();
        assert_eq!(names(&bench.pair.target, &bench.to), "t tr");
        assert!(
            left_out(&report).contains(&"trigger tr_u: its table is not selected".to_owned()),
            "{:?}",
            report.left_out
        );
    }
}
