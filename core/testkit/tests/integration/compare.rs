//! A comparison finds every difference, and no difference between equal databases.

use dbgraft_testkit::{CompareOptions, ServerPair, compare, compare_with, dump, mariadb_pair, mysql_pair, sample};

/// Creates the sample database on both servers, and checks that each change of the second is found.
fn check_changes(pair: &ServerPair, name: &str) {
    let (a, b) = (&pair.source, &pair.target);
    for server in [a, b] {
        server.sql(&format!("DROP DATABASE IF EXISTS `{name}`")).unwrap();
        sample(server, name).unwrap();
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
    ("UPDATE product SET width = 3.3000002 WHERE id = 3", "rows of product: 5000 in the first, 5000"),
    ("INSERT INTO visit SELECT * FROM visit LIMIT 1", "rows of visit: 60000 in the first, 60001"),
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
