//! Views, triggers, routines, events and sequences arrive as they were.

use crate::common::{Bench, FLAVORS, unique};
use dbgraft::{CloneOptions, Definer, IfExists, Severity};
use dbgraft_testkit::{CompareOptions, Flavor, compare_with};

#[tokio::test(flavor = "multi_thread")]
async fn views_stand_on_views_in_any_order_and_an_invalid_one_is_reported() {
    for flavor in FLAVORS {
        let bench = Bench::new(
            flavor,
            "CREATE TABLE t (a INT, b VARCHAR(9)); INSERT INTO t VALUES (1, 'x'); CREATE TABLE gone (a INT); \
             CREATE FUNCTION z_twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2; \
             CREATE VIEW z AS SELECT a, b FROM t; CREATE VIEW m AS SELECT z_twice(a) AS a FROM z; \
             CREATE VIEW a AS SELECT m.a, z.b FROM m JOIN z; CREATE VIEW k AS SELECT * FROM a WHERE a > 0 WITH CASCADED CHECK OPTION; \
             CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW c AS SELECT b FROM k; \
             CREATE VIEW broken AS SELECT a FROM gone; CREATE VIEW on_broken AS SELECT a FROM broken; DROP TABLE gone",
        );
        let report = bench.clone(CloneOptions::default()).await.unwrap();
        assert_eq!(bench.target("SELECT * FROM a"), "2\tx");
        let missing = report.fidelity.iter().filter(|found| found.severity == Severity::Error);
        let missing: Vec<&str> = missing.map(|found| found.object.name.as_str()).collect();
        assert!(!report.objects.iter().any(|object| missing.contains(&object.object.name.as_str())));
        assert_eq!(missing, ["broken", "on_broken"]);
        bench.source("DROP VIEW broken, on_broken");
        bench.assert_equal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_keep_their_order_and_do_not_fire_on_the_way() {
    for flavor in FLAVORS {
        let bench = Bench::new(
            flavor,
            "CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(50)); CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, w VARCHAR(50)); \
             INSERT INTO t VALUES (1, 'kept');",
        );
        // Created in an order that is neither that of the alphabet nor that of their firing.
        bench.source(
            "CREATE TRIGGER m BEFORE INSERT ON t FOR EACH ROW SET NEW.s = CONCAT(NEW.s, 'm'); \
             CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW FOLLOWS m SET NEW.s = CONCAT(NEW.s, 'a'); \
             CREATE TRIGGER z BEFORE INSERT ON t FOR EACH ROW PRECEDES m SET NEW.s = CONCAT(NEW.s, 'z'); \
             CREATE TRIGGER q BEFORE INSERT ON t FOR EACH ROW FOLLOWS m SET NEW.s = CONCAT(NEW.s, 'q'); \
             CREATE TRIGGER after_it AFTER INSERT ON t FOR EACH ROW INSERT INTO log (w) VALUES (NEW.s); \
             CREATE TRIGGER deleted BEFORE DELETE ON t FOR EACH ROW INSERT INTO log (w) VALUES ('deleted')",
        );
        bench.clone(CloneOptions::default()).await.unwrap();
        bench.assert_equal();
        assert_eq!(bench.target("SELECT s FROM t; SELECT COUNT(*) FROM log"), "kept\n0");
        bench.target("INSERT INTO t VALUES (2, '>')");
        assert_eq!(bench.target("SELECT s FROM t WHERE id = 2; SELECT w FROM log"), ">zmqa\n>zmqa");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routines_keep_the_settings_that_they_were_made_under() {
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, "ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_german1_ci");
        bench.source(
            r#"SET NAMES utf8mb4; SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'; CREATE TABLE t (a INT);
            CREATE FUNCTION ansi() RETURNS VARCHAR(50) CHARACTER SET utf8mb4 DETERMINISTIC RETURN (SELECT 'a"b' || '`c' AS "x`y" FROM DUAL);
            SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE FUNCTION `raw`() RETURNS VARCHAR(50) DETERMINISTIC RETURN 'a\';
            SET sql_mode = 'STRICT_ALL_TABLES,IGNORE_SPACE'; CREATE PROCEDURE plain(IN s VARCHAR(20), OUT o CHAR(3)) COMMENT 'it''s \\ "so"' SELECT 'it''s \'quoted\' -- no comment', 'DEFINER=`x`@`y`' /* DEFINER=`a`@`b` */ ;
            SET sql_mode = 'STRICT_TRANS_TABLES'; CREATE FUNCTION untyped(s VARCHAR(20)) RETURNS VARCHAR(20) DETERMINISTIC RETURN CONCAT(s, '€');
            ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
            CREATE FUNCTION later(s VARCHAR(20)) RETURNS VARCHAR(20) DETERMINISTIC RETURN CONCAT(s, '表😀');
            CREATE VIEW v AS SELECT '表😀' AS a, CONVERT(x'e9' USING latin1) AS b, CONCAT('a', 'ß') AS c;
            CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @s = 'größe表'"#,
        );
        // What a client in latin1 has written.
        let bytes = b"SET NAMES latin1; CREATE FUNCTION old() RETURNS VARCHAR(20) CHARACTER SET latin1 DETERMINISTIC RETURN 'gr\xf6\xdfe \x80'; \
                      CREATE VIEW old_view AS SELECT 'gr\xf6\xdfe' AS `n\xf6`; CREATE EVENT old_event ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO SELECT '\xe9'";
        feed(&bench, bytes);
        bench.clone(CloneOptions::default()).await.unwrap();
        bench.assert_equal();
        let same = |sql: &str| assert_eq!(bench.source(sql), bench.target(sql), "{flavor}");
        same("SELECT ansi(), `raw`(), HEX(untyped('a')), HEX(later('b')), HEX(`old`())");
        same("SELECT HEX(a), HEX(b), HEX(c) FROM v");
        same("SELECT HEX(`nö`) FROM old_view");
        same("SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()");
    }
}

/// Gives the client bytes that are not UTF-8.
fn feed(bench: &Bench, bytes: &[u8]) {
    bench.pair.source.bytes_in(&bench.from, bytes).unwrap();
}

/// MySQL stores the `;` after a body that was created in one text with other statements.
#[tokio::test(flavor = "multi_thread")]
async fn a_semicolon_after_a_body_is_no_difference() {
    let together =
        "DELIMITER //\nCREATE PROCEDURE p() SELECT 1; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 2; DO 0 //";
    let bench = Bench::new(Flavor::MySql, together);
    assert!(bench.source("SHOW CREATE PROCEDURE p").contains("SELECT 1;"));
    let report = bench.clone(CloneOptions::default()).await.unwrap();
    assert!(report.fidelity.is_empty(), "{:?}", report.fidelity);
    assert_eq!(bench.target("SELECT f(); CALL p()"), "2\n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_keep_their_status_and_their_time() {
    for flavor in FLAVORS {
        let bench = Bench::new(
            flavor,
            "SET time_zone = '+05:30'; \
             CREATE EVENT on_1 ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2037-01-01 00:00:00' ENDS '2037-06-01 00:00:00' ON COMPLETION PRESERVE ENABLE COMMENT 'DISABLE' DO SELECT 'ENABLE'; \
             CREATE EVENT off_1 ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DISABLE DO SET @a = 1; \
             CREATE EVENT once ON SCHEDULE AT '2037-01-01 00:00:00' DO SET @a = 1; \
             SET time_zone = 'SYSTEM'; CREATE EVENT elsewhere ON SCHEDULE EVERY 3 MONTH STARTS '2037-01-01 00:00:00' DISABLE ON SLAVE DO DO 1; \
             CREATE EVENT past ON SCHEDULE AT '2020-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE DO DO 1;"
                .replace("DISABLE ON SLAVE", if flavor == Flavor::MySql { "DISABLE ON REPLICA" } else { "DISABLE ON SLAVE" })
                .as_str(),
        );
        bench.clone(CloneOptions::default()).await.unwrap();
        bench.assert_equal();
        let sql = "SELECT EVENT_NAME, STATUS, TIME_ZONE, STARTS, EXECUTE_AT FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1";
        assert_eq!(bench.source(sql), bench.target(sql));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_and_packages_of_mariadb_continue_where_they_are() {
    let bench = Bench::new(
        Flavor::MariaDb,
        "CREATE SEQUENCE s START WITH 100 INCREMENT BY 10 CACHE 5; SELECT NEXTVAL(s); SELECT NEXTVAL(s); \
         CREATE SEQUENCE down_ START WITH 5 INCREMENT BY -1 MINVALUE 1 MAXVALUE 6 NOCACHE CYCLE; SELECT NEXTVAL(down_); SELECT NEXTVAL(down_); \
         CREATE SEQUENCE fresh; CREATE SEQUENCE spent START WITH 1 MAXVALUE 2 NOCACHE; SELECT NEXTVAL(spent); SELECT NEXTVAL(spent); \
         CREATE TABLE t (id INT DEFAULT NEXTVAL(s) PRIMARY KEY, a INT); INSERT INTO t (a) VALUES (1)",
    );
    bench.source(
        "SET sql_mode = ORACLE;\nDELIMITER //\n\
         CREATE OR REPLACE PACKAGE p AS FUNCTION f RETURN INT; PROCEDURE g(a IN VARCHAR2); END;\n//\n\
         CREATE OR REPLACE PACKAGE BODY p AS n INT := 7; FUNCTION f RETURN INT AS BEGIN RETURN n; END; PROCEDURE g(a IN VARCHAR2) AS BEGIN SELECT a || 'x'; END; BEGIN n := 8; END;\n//\n\
         CREATE OR REPLACE PROCEDURE calls AS BEGIN SELECT p.f(); END;\n//\nDELIMITER ;\n",
    );
    bench.clone(CloneOptions::default()).await.unwrap();
    bench.assert_equal();
    // The source has numbers in its cache that the clone cannot know of; it never gives one twice.
    let next: i64 = bench.target("SELECT NEXTVAL(s)").parse().unwrap();
    assert!(next > 120, "{next}");
    let same = |sql: &str| assert_eq!(bench.source(sql), bench.target(sql));
    same("SELECT NEXTVAL(down_), NEXTVAL(fresh)");
    same("CALL calls()");
    assert!(bench.pair.target.sql_in(&bench.to, "SELECT NEXTVAL(spent)").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn definers_are_stripped_kept_or_replaced() {
    for flavor in FLAVORS {
        let user = format!("d`e f'{}", unique());
        let account = format!("'{}'@'%.example'", user.replace('\'', "''"));
        let bench = Bench::new(flavor, "CREATE TABLE t (a INT)");
        for server in [&bench.pair.source, &bench.pair.target] {
            server.sql(&format!("CREATE USER {account}")).unwrap();
        }
        bench.source(&format!(
            "CREATE DEFINER = {account} VIEW v AS SELECT 1 AS a; CREATE DEFINER = {account} FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; \
             CREATE DEFINER = {account} TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a = 'DEFINER=`x`@`y`'; \
             CREATE DEFINER = {account} EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO DO 1"
        ));
        let definers = |bench: &Bench| {
            bench.target(
                "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() UNION ALL SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() \
                 UNION ALL SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() UNION ALL SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
            )
        };
        let with = |definer| CloneOptions { definer, recreate_database: true, ..CloneOptions::default() };
        bench.clone(with(Definer::Strip)).await.unwrap();
        assert_eq!(definers(&bench), ["root@%"; 4].join("\n"));
        bench.clone(with(Definer::Keep)).await.unwrap();
        assert_eq!(definers(&bench), [format!("{user}@%.example").as_str(); 4].join("\n"));
        let everything = CompareOptions { definers: true, ..CompareOptions::default() };
        compare_with(&bench.pair.source, &bench.from, &bench.pair.target, &bench.to, &everything).unwrap();
        bench.clone(with(Definer::Account { user: "root".into(), host: "localhost".into() })).await.unwrap();
        assert_eq!(definers(&bench), ["root@localhost"; 4].join("\n"));
        for server in [&bench.pair.source, &bench.pair.target] {
            server.sql(&format!("DROP USER {account}")).unwrap();
        }
    }
}

/// The history of a table is rows too.
#[tokio::test(flavor = "multi_thread")]
async fn tables_with_history_arrive_with_it() {
    let bench = Bench::new(
        Flavor::MariaDb,
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, t TEXT WITHOUT SYSTEM VERSIONING, KEY (a)) WITH SYSTEM VERSIONING; INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y'); UPDATE t SET a = 9 WHERE id = 1; DELETE FROM t WHERE id = 2; \
         CREATE TABLE e (id INT PRIMARY KEY, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, `e``nd` TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, parent INT REFERENCES t (id), PERIOD FOR SYSTEM_TIME (s, `e``nd`)) WITH SYSTEM VERSIONING; \
         INSERT INTO e (id) VALUES (1), (2); DELETE FROM e WHERE id = 2; UPDATE e SET parent = 1 WHERE id = 1; \
         CREATE TABLE p (id INT, g INT AS (id + 1) STORED) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME (PARTITION h HISTORY, PARTITION c CURRENT); INSERT INTO p (id) VALUES (1), (1), (2); DELETE FROM p WHERE id = 1; \
         CREATE TABLE m (`row` INT) ENGINE=MyISAM WITH SYSTEM VERSIONING; INSERT INTO m VALUES (1), (2); DELETE FROM m",
    );
    for via in [None, Some(bench.s3(&format!("history-{}", bench.from)))] {
        let options = CloneOptions { via, recreate_database: true, ..CloneOptions::default() };
        let report = bench.clone(options).await.unwrap();
        assert_eq!(report.fidelity, []);
        bench.assert_equal();
        for (table, start, end) in [
            ("t", "ROW_START", "ROW_END"),
            ("e", "s", "`e``nd`"),
            ("p", "ROW_START", "ROW_END"),
            ("m", "ROW_START", "ROW_END"),
        ] {
            let history =
                format!("SELECT *, {start}, {end} FROM {table} FOR SYSTEM_TIME ALL ORDER BY 1, {start}, {end}");
            assert_eq!(bench.source(&history), bench.target(&history), "{table}");
            assert!(bench.target(&history).lines().count() > 1, "{table}");
        }
    }
    // Rows go on from where they are.
    bench.target("UPDATE t SET a = 10 WHERE id = 1; DELETE FROM e WHERE id = 1");
    assert_eq!(bench.target("SELECT COUNT(*) FROM t FOR SYSTEM_TIME ALL"), "4");
}

/// Numbers of transactions mean nothing to another server.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_by_transactions_is_reported_as_lost() {
    let bench = Bench::new(
        Flavor::MariaDb,
        "CREATE TABLE x (id INT PRIMARY KEY, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, z BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, z)) WITH SYSTEM VERSIONING; \
         INSERT INTO x (id) VALUES (1), (2); DELETE FROM x WHERE id = 2",
    );
    let report = bench.clone(CloneOptions::default()).await.unwrap();
    assert_eq!(report.fidelity.len(), 1, "{:?}", report.fidelity);
    assert_eq!((report.fidelity[0].object.name.as_str(), report.fidelity[0].what.as_str()), ("x", "history"));
    assert_eq!(bench.target("SELECT id FROM x"), "1");
}

/// The rows of a MERGE table are those of other tables, and would be doubled.
#[tokio::test(flavor = "multi_thread")]
async fn tables_without_transactions_arrive_and_tables_of_other_tables_rows_have_no_rows() {
    for flavor in FLAVORS {
        let bench = Bench::new(
            flavor,
            "CREATE TABLE a (id INT, x VARCHAR(9), KEY (id)) ENGINE=MyISAM; CREATE TABLE b LIKE a; \
             INSERT INTO a VALUES (1, 'one'), (2, 'two'); INSERT INTO b VALUES (3, 'three'); \
             CREATE TABLE both_ (id INT, x VARCHAR(9), KEY (id)) ENGINE=MERGE UNION=(a, b) INSERT_METHOD=LAST; CREATE TABLE locked (id INT, x VARCHAR(9), KEY (id)) ENGINE=MERGE UNION=(b, a); \
             CREATE TABLE held (a INT, KEY (a)) ENGINE=MEMORY; INSERT INTO held VALUES (1), (1), (NULL); CREATE TABLE flat (a INT NOT NULL, t VARCHAR(20) NOT NULL) ENGINE=CSV; INSERT INTO flat VALUES (1, 'a\"b,c\\n'); \
             CREATE TABLE inno (id INT PRIMARY KEY); INSERT INTO inno VALUES (1)",
        );
        for via in [None, Some(bench.s3(&format!("windows-{}", bench.from)))] {
            let options = CloneOptions { via, recreate_database: true, ..CloneOptions::default() };
            let report = bench.clone(options).await.unwrap();
            assert_eq!((report.rows, report.fidelity), (8, vec![]));
            bench.assert_equal();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_and_duality_views_of_mysql_arrive() {
    let bench = Bench::new(
        Flavor::MySql,
        "CREATE TABLE c (id INT PRIMARY KEY, n VARCHAR(10)); INSERT INTO c VALUES (1, 'x'); CREATE JSON RELATIONAL DUALITY VIEW dual_ AS SELECT JSON_DUALITY_OBJECT('_id': id, 'n': n) FROM c",
    );
    bench.source(
        "DELIMITER //\nCREATE LIBRARY plain LANGUAGE JAVASCRIPT AS $$ export function f(x) { return x + 'ß'; } $$ //\n\
         CREATE LIBRARY `li``b 2` COMMENT 'it''s' LANGUAGE JAVASCRIPT AS 'export function g(x) { return \"a\" + x; }' //\n\
         CREATE FUNCTION uses(x INT) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT USING (plain AS p, `li``b 2`) AS $$ return p.f(x) $$ //\nDELIMITER ;\n",
    );
    let libraries = "SELECT LIBRARY_NAME, LIBRARY_DEFINITION, LANGUAGE, SQL_MODE, LIBRARY_COMMENT FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = DATABASE() ORDER BY 1";
    for if_exists in [IfExists::Fail, IfExists::Drop] {
        bench.clone(CloneOptions { if_exists, ..CloneOptions::default() }).await.unwrap();
        bench.assert_equal();
        assert_eq!(bench.source(libraries), bench.target(libraries));
        assert_eq!(bench.source("SELECT * FROM dual_"), bench.target("SELECT * FROM dual_"));
        let uses = "SELECT LIBRARY_NAME, LIBRARY_SCHEMA = DATABASE(), ROUTINE_NAME FROM information_schema.ROUTINE_LIBRARIES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1";
        assert_eq!(bench.target(uses), "li`b 2\t1\tuses\nplain\t1\tuses");
    }
}
