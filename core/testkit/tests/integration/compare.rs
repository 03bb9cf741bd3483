//! A comparison finds every difference, and no difference between equal databases.

use dbgraft_testkit::{
    CompareOptions, Database, Release, SampleSize, ServerPair, compare, compare_with, dump, mariadb_pair, mysql_pair,
    sample, source_of, target_of,
};

/// Creates the sample database on both servers, and checks that each change of the second is found.
fn check_changes(pair: &ServerPair, name: &str) {
    let (a, b) = (&pair.source, &pair.target);
    for server in [a, b] {
        server.sql(&format!("DROP DATABASE IF EXISTS `{name}`")).unwrap();
        sample(server, name, SampleSize::Small).unwrap();
    }
    compare(a, name, b, name).unwrap();
    for (change, word) in CHANGES {
        let table = word.strip_prefix("rows of ").and_then(|rest| rest.split(':').next());
        let options = CompareOptions {
            rows: table.is_some(),
            only: table.map(|table| vec![table.to_owned()]),
            ..CompareOptions::default()
        };
        b.sql_in(name, change).unwrap();
        let error = compare_with(a, name, b, name, &options).expect_err(change);
        assert!(error.to_string().contains(word), "{change}: {error}");
    }
}

const CHANGES: [(&str, &str); 8] = [
    ("DROP TRIGGER order_item_rounded", "trigger order_item_rounded"),
    ("DROP VIEW best_customer", "view best_customer"),
    ("ALTER TABLE country MODIFY name VARCHAR(61) NOT NULL", "column country.name"),
    ("ALTER TABLE visit ADD KEY at (at)", "table visit"),
    ("ALTER EVENT forget_visits COMMENT 'x'", "event forget_visits"),
    ("ALTER PROCEDURE raise_prices SQL SECURITY DEFINER", "routine procedure raise_prices"),
    ("UPDATE product SET width = 3.3000002 WHERE id = 3", "rows of product: 1000 in the first, 1000"),
    ("INSERT INTO visit SELECT * FROM visit LIMIT 1", "rows of visit: 3000 in the first, 3001"),
];

#[test]
fn mysql_differences_are_found() {
    check_changes(mysql_pair(), "compared");
}

#[test]
fn mariadb_differences_are_found() {
    check_changes(mariadb_pair(), "compared");
}

#[test]
fn databases_of_other_names_and_index_orders_are_equal() {
    for pair in [mysql_pair(), mariadb_pair()] {
        let server = &pair.source;
        server
            .sql(
                "DROP DATABASE IF EXISTS one; DROP DATABASE IF EXISTS two; CREATE DATABASE one; CREATE DATABASE two; \
                 CREATE TABLE one.t (a INT AUTO_INCREMENT PRIMARY KEY, f FLOAT, KEY x (f), KEY y (f, a)); \
                 CREATE TABLE two.t (a INT AUTO_INCREMENT PRIMARY KEY, f FLOAT, KEY y (f, a), KEY x (f)); \
                 INSERT INTO one.t VALUES (1, 16777216), (2, NULL), (3, 0.1); \
                 INSERT INTO two.t VALUES (3, 0.1), (2, NULL), (9, 1), (1, 16777216); DELETE FROM two.t WHERE a = 9; \
                 CREATE VIEW one.v AS SELECT f FROM one.t; CREATE VIEW two.v AS SELECT f FROM two.t",
            )
            .unwrap();
        compare(server, "one", server, "two").unwrap();
        let strict = CompareOptions { auto_increment: true, ..CompareOptions::default() };
        assert!(compare_with(server, "one", server, "two", &strict).is_err());
        let found = dump(server, "one", &strict).unwrap();
        assert_eq!(found.row_count("t"), Some(3));
        assert!(found.objects().any(|name| name == "view v"));
        // One bit of a float that its text does not show.
        server.sql("UPDATE two.t SET f = 16777215 WHERE a = 1").unwrap();
        let text = compare(server, "one", server, "two").unwrap_err().to_string();
        assert!(text.contains("f=16777216 0") && text.contains("f=16777215 0"), "{text}");
    }
}

/// What servers of all releases can hold.
const COMMON: &str = "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES';
    CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(30, 10), b BIT(13),
        e ENUM('a', '', 'ü'), z INT(5) UNSIGNED ZEROFILL, day DATE, at TIMESTAMP(6) NULL, v VARCHAR(50) COMMENT 'x',
        l TEXT CHARACTER SET latin1, o BLOB, g GEOMETRY, UNIQUE KEY u (v(10)), KEY x (d)) ENGINE = InnoDB;
    INSERT INTO t (f, d, n, b, e, z, day, at, v, l, o) VALUES
        (0.1, 0.1, 1.1, b'1010', 'ü', 42, '2024-02-30', '2024-03-31 01:30:00.000001', 'ä😀\t\\n', 'äöü', x'00ff5c0a09'),
        (1e-45, 4.9e-324, NULL, NULL, '', 0, '0000-00-00', '2038-01-19 03:14:07', '', '', ''),
        (16777216, 1.7976931348623157e308, 0, 0, 'a', 1, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE p (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE) ENGINE = InnoDB;
    INSERT INTO p VALUES (1, 1); CREATE VIEW w AS SELECT id, v FROM t;
    CREATE PROCEDURE r(a INT, OUT b VARCHAR(10)) SET b = a; CREATE TRIGGER g BEFORE INSERT ON p FOR EACH ROW SET NEW.t = 1;
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE DO SET @a = 1;";

/// Makes the database `name` of these statements on both servers.
fn made(servers: [&Database; 2], name: &str, statements: &str) {
    for server in servers {
        server
            .sql(&format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} COLLATE utf8mb4_unicode_ci"))
            .unwrap();
        server.sql_in(name, statements).unwrap();
    }
}

#[test]
fn releases_of_one_family_are_compared_by_rows_and_by_what_both_say() {
    for [old, new] in [[Release::MySql56, Release::MySql97], [Release::MariaDb105, Release::MariaDb118]] {
        let (a, b) = (source_of(old), target_of(new));
        made([a, b], "releases", COMMON);
        compare(a, "releases", b, "releases").unwrap_or_else(|error| panic!("{old} and {new}: {error}"));
        for (change, word) in [
            ("UPDATE t SET f = 16777215 WHERE f = 16777216", "rows of t: 3 in the first, 3"),
            ("ALTER TABLE t MODIFY v VARCHAR(51) COMMENT 'x'", "column t.v"),
            ("ALTER TABLE t DROP KEY x", "table t"),
            ("ALTER TABLE t MODIFY l TEXT CHARACTER SET latin1 COLLATE latin1_bin", "column t.l"),
            ("ALTER TABLE p DROP FOREIGN KEY p_ibfk_1", "table p"),
            ("DROP VIEW w", "view w"),
            ("DROP PROCEDURE r; CREATE PROCEDURE r(a INT, b VARCHAR(10)) SET @b = a", "routine procedure r"),
            ("DROP TRIGGER g", "trigger g: only in the first"),
            ("ALTER EVENT e ON SCHEDULE EVERY 2 DAY", "event e"),
        ] {
            b.sql_in("releases", change).unwrap();
            let text = compare(a, "releases", b, "releases").expect_err(change).to_string();
            assert!(text.contains(word), "{old} and {new}, {change}: {text}");
        }
    }
}

#[test]
fn releases_of_two_families_are_compared_by_rows_and_names() {
    for [from, into] in [[Release::MySql56, Release::MariaDb1011], [Release::MariaDb118, Release::MySql97]] {
        let (a, b) = (source_of(from), target_of(into));
        made([a, b], "families", COMMON);
        compare(a, "families", b, "families").unwrap_or_else(|error| panic!("{from} and {into}: {error}"));
        for (change, word) in [
            ("UPDATE t SET v = 'ä' WHERE v = ''", "rows of t: 3 in the first, 3"),
            ("DROP VIEW w", "view w: only in the first"),
        ] {
            b.sql_in("families", change).unwrap();
            let text = compare(a, "families", b, "families").expect_err(change).to_string();
            assert!(text.contains(word), "{from} and {into}, {change}: {text}");
        }
    }
}

#[test]
fn a_row_that_is_there_ends_now_whatever_the_end_of_time() {
    const ROWS: &str = "CREATE TABLE hidden (a INT, b INT) WITH SYSTEM VERSIONING;
        CREATE TABLE shown (a INT, b INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
            e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;
        SET timestamp = 1700000000; INSERT INTO hidden VALUES (1, 1), (2, 2); INSERT INTO shown (a, b) VALUES (1, 1), (2, 2);
        SET timestamp = 1700000100; UPDATE hidden SET b = 3 WHERE a = 1; UPDATE shown SET b = 3 WHERE a = 1;
        DELETE FROM shown WHERE a = 2";
    let (a, b) = (source_of(Release::MariaDb105), target_of(Release::MariaDb118));
    made([a, b], "ends", ROWS);
    compare(a, "ends", b, "ends").unwrap();
    // The same numbers, but history.
    b.sql_in(
        "ends",
        "SET system_versioning_insert_history = 1, time_zone = '+00:00'; DELETE FROM hidden WHERE a = 2; \
                      DELETE HISTORY FROM hidden; INSERT INTO hidden (a, b, ROW_START, ROW_END) VALUES \
                      (1, 1, FROM_UNIXTIME(1700000000), FROM_UNIXTIME(1700000100)), \
                      (2, 2, FROM_UNIXTIME(1700000000), '2038-01-19 03:14:07.999999')",
    )
    .unwrap();
    let text = compare(a, "ends", b, "ends").unwrap_err().to_string();
    assert!(text.contains("rows of hidden: 3 in the first, 3 in the second; 1 only"), "{text}");
    assert!(text.contains("row_end=2038-01-19 03:14:07.999999 a=2") && !text.contains("shown"), "{text}");
}
