//! A source's tables, and the random transactions that change them.

use dbgraft_testkit::Database;

use crate::common::seeded_random::SeededRandom;
use crate::common::{BackgroundLoop, wait_until};

/// Tables that a follower treats differently, with objects that it makes at the cut-over.
pub const SCHEMA: &str = "
    CREATE TABLE accounts (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) CHARACTER SET utf8mb4 \
        COLLATE utf8mb4_general_ci, balance BIGINT NOT NULL, UNIQUE KEY by_name (name));
    CREATE TABLE vault (account BIGINT PRIMARY KEY, amount BIGINT NOT NULL);
    CREATE TABLE tags (tag VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL PRIMARY KEY, n INT);
    CREATE TABLE parents (id INT PRIMARY KEY, v INT);
    CREATE TABLE children (id INT PRIMARY KEY, parent INT, CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id));
    CREATE TABLE keyless (a INT, t VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, f FLOAT, b BLOB);
    CREATE TABLE wide (a INT, b VARCHAR(20) CHARACTER SET latin1 NOT NULL, de DECIMAL(20,5), da DATE, dt DATETIME(6), ti TIME(3), \
        ts TIMESTAMP NULL, y YEAR, bi BIT(11), e ENUM('x','y','') CHARACTER SET latin1, s SET('p','q','r') CHARACTER SET latin1, \
        bl BLOB, j JSON, bn BINARY(5), fl FLOAT, db DOUBLE, u BIGINT UNSIGNED, c CHAR(7) CHARACTER SET utf8mb4, \
        g INT AS (a + 1) STORED, v VARCHAR(40) CHARACTER SET latin1 AS (CONCAT(b, '!')) VIRTUAL, \
        up TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (b, a));
    INSERT INTO accounts (name, balance) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) \
        SELECT CONCAT('Account ', i), 1000 FROM n;
    INSERT INTO vault SELECT id, 0 FROM accounts;
    INSERT INTO parents SELECT id, 0 FROM accounts;
    CREATE TABLE owners (id INT PRIMARY KEY, code VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, \
        UNIQUE KEY by_code (code));
    CREATE TABLE things (id INT PRIMARY KEY, owner INT, code VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, \
        up TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, \
        CONSTRAINT of_owner FOREIGN KEY (owner) REFERENCES owners (id) ON DELETE CASCADE ON UPDATE CASCADE, \
        CONSTRAINT of_code FOREIGN KEY (code) REFERENCES owners (code) ON DELETE SET NULL ON UPDATE CASCADE);
    CREATE TABLE parts (id INT PRIMARY KEY, thing INT, \
        CONSTRAINT of_thing FOREIGN KEY (thing) REFERENCES things (id) ON DELETE CASCADE ON UPDATE SET NULL);
    CREATE TABLE tree (id INT PRIMARY KEY, up INT, CONSTRAINT of_up FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE);
    CREATE TABLE ballast (id INT PRIMARY KEY, t TEXT);
    INSERT INTO ballast WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT i, REPEAT(CONCAT('o', i), 1400) FROM n;
    CREATE TRIGGER tr BEFORE UPDATE ON vault FOR EACH ROW SET NEW.amount = NEW.amount + 0;
    CREATE TRIGGER doubles AFTER INSERT ON parents FOR EACH ROW INSERT INTO tags VALUES (CONCAT('p', NEW.id), 0) \
        ON DUPLICATE KEY UPDATE n = n + 1;
    CREATE VIEW sums AS SELECT (SELECT SUM(balance) FROM accounts) + (SELECT SUM(amount) FROM vault) AS total;
    CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO DELETE FROM keyless LIMIT 1;";
pub const TOTAL: &str = "40000";

/// A random transaction. The server refuses some of them, as they conflict with what is there.
fn transaction(random: &mut SeededRandom, name: &str) -> String {
    let (mut statements, is_xa) = (Vec::new(), random.below(8) == 0);
    statements.push(if is_xa { format!("XA START '{name}'") } else { "START TRANSACTION".to_owned() });
    for _ in 0..=random.below(3) {
        statement(random, is_xa, &mut statements);
    }
    if is_xa {
        let end = random.one_of(&["COMMIT", "COMMIT", "ROLLBACK"]);
        let waits = ["XA END", "XA PREPARE"].map(|part| format!("{part} '{name}'"));
        statements.extend(waits.into_iter().chain(["DO SLEEP(0.3)".to_owned(), format!("XA {end} '{name}'")]));
    } else {
        statements.push("COMMIT".to_owned());
    }
    statements.join(";\n")
}

fn statement(random: &mut SeededRandom, is_xa: bool, all: &mut Vec<String>) {
    let (a, b, n) = (1 + random.below(60), 1 + random.below(60), random.below(100));
    let text =
        random.one_of(&["Stra\u{df}e", "STRASSE", "a", "A", "\u{e4}", "it''s\\t\\\\", "", "\u{1f600}", "b ", "b"]);
    match random.below(22) {
        0 | 1 => {
            // Between both tables: their sum stays.
            all.push(format!("UPDATE accounts SET balance = balance - {n} WHERE id = {a}"));
            all.push(format!("UPDATE vault SET amount = amount + {n} * (SELECT COUNT(*) FROM accounts WHERE id = {a}) ORDER BY account LIMIT 1"));
        }
        2 => {
            all.push(format!("UPDATE accounts SET balance = balance - 5 WHERE id IN ({a}, {b})"));
            all.push(format!(
                "UPDATE vault SET amount = amount + 5 * (SELECT COUNT(*) FROM accounts WHERE id IN ({a}, {b})) ORDER BY account DESC LIMIT 1"
            ));
        }
        3 => {
            let name = format!("{text} {b}");
            all.push(format!("INSERT IGNORE INTO accounts (name, balance) VALUES ('{name}', 0)"));
        }
        4 => all.push(format!("UPDATE IGNORE accounts SET name = UPPER(name) WHERE id BETWEEN {a} AND {a} + 5")),
        5 => {
            // Three names in a ring: no order of the rows works by itself.
            all.push(format!("UPDATE accounts SET name = CONCAT('~', id) WHERE id IN ({a}, {b})"));
            all.push(format!("UPDATE IGNORE accounts SET name = CONCAT('ring ', {a} + {b} - id) WHERE id IN ({a}, {b})"));
        }
        6 => all.push(format!("UPDATE IGNORE accounts SET id = id + 1000 WHERE id = 40 + {n}")),
        7 => {
            all.push("SAVEPOINT s".to_owned());
            all.push(format!("REPLACE INTO tags VALUES ('{text}{a}', {n})"));
            if n < 50 {
                all.push("ROLLBACK TO s".to_owned());
            }
            all.push(format!("REPLACE INTO tags VALUES ('{text}', {n}), ('x{b}', {a})"));
        }
        8 => all.push(format!("DELETE FROM tags WHERE n = {n} OR tag = '{text}'")),
        9 => all.push(format!("INSERT INTO keyless VALUES ({n}, '{text}', {n}.3, x'00ff{n:02}'), ({n}, '{text}', {n}.3, x'00ff{n:02}')")),
        10 => all.push(format!("DELETE FROM keyless WHERE t = '{text}' AND a < {n} LIMIT 2")),
        11 => all.push(format!("UPDATE keyless SET a = a + 1, t = '{text}' WHERE a = {n} LIMIT 3")),
        12 => {
            all.push(format!("INSERT IGNORE INTO parents VALUES ({a}, {n})"));
            all.push(format!("INSERT IGNORE INTO children VALUES ({b}, {a})"));
        }
        13 => {
            all.push(format!("DELETE FROM children WHERE parent = {a} OR id = {b}"));
            all.push(format!("DELETE FROM parents WHERE id = {a}"));
        }
        14 => all.push(format!(
            "REPLACE INTO wide (a, b, de, da, dt, ti, ts, y, bi, e, s, bl, j, bn, fl, db, u, c) VALUES ({a} % 9, '{}', \
             -{n}.12345, '2024-02-{:02}', '1999-12-31 23:59:59.{n:06}', '-{}:00:00.5', '2001-01-01 00:00:{:02}', {}, b'{n:b}', \
             {}, {n} % 8, x'0009{n:02}5c0a', '{{\"k\": [{n}, null, \"\\\\\"\", 1.5]}}', x'01{n:02}00', -{n}.1, {n}e-7, \
             18446744073709551615 - {n}, '{}')",
            random.one_of(&["k", "K", "l", "\u{e9}"]),
            1 + n % 28,
            n % 24,
            n % 60,
            1950 + n,
            1 + n % 3,
            random.one_of(&["c", "c ", "\u{fc}"])
        )),
        15..=20 => cascading_statement(random, is_xa, all),
        _ => {
            all.push(format!("UPDATE wide SET de = NULL, j = JSON_ARRAY({n}, 'x'), fl = NULL WHERE a = {a} % 9"));
            all.push(format!("UPDATE wide SET up = up, c = 'u' WHERE a = {b} % 9"));
            if n > 90 {
                all.push(format!("DELETE FROM wide WHERE a = {n} % 9 LIMIT 3"));
            }
        }
    }
}

/// A change of rows that foreign keys carry on, or of the rows that they change.
fn cascading_statement(random: &mut SeededRandom, is_xa: bool, all: &mut Vec<String>) {
    let (a, b, n) = (1 + random.below(30), 1 + random.below(30), random.below(1000));
    match random.below(9) {
        0..=2 => {
            let code = random.one_of(&["c", "C", "\u{e9}"]);
            all.push(format!("INSERT IGNORE INTO owners VALUES ({a}, '{code}{a}'), ({b}, '{code}{b}')"));
            all.push(format!("INSERT IGNORE INTO things (id, owner, code) SELECT {n} + id, id, '{code}{b}' FROM owners WHERE id <= {a}"));
            all.push(format!("INSERT IGNORE INTO parts SELECT 3 * id + {n} % 3, id FROM things WHERE id < {n}"));
        }
        3 => {
            all.push(format!("INSERT IGNORE INTO tree VALUES ({a}, NULL)"));
            for step in 1..4 {
                all.push(format!("INSERT IGNORE INTO tree SELECT id * 2 + {b} % {step}, id FROM tree WHERE id < 400 AND id % 7 > {step}"));
            }
        }
        4 => all.push(format!("DELETE FROM owners WHERE id BETWEEN {a} AND {a} + 2")),
        5 => {
            all.push(format!("UPDATE IGNORE owners SET id = id + 100 WHERE id IN ({a}, {b})"));
            all.push(format!("UPDATE IGNORE owners SET code = CONCAT(code, '{n}') WHERE id % 10 = {a} % 10"));
        }
        // Another text that is equal.
        6 => all.push(format!(
            "UPDATE owners SET code = IF(code = BINARY UPPER(code), LOWER(code), UPPER(code)) WHERE id > {a}"
        )),
        7 => {
            // XA PREPARE ends the locks on the owners, so that a session without checks may remove them before the XA COMMIT:
            // a target then refuses the new key of the thing.
            if !is_xa {
                all.push(format!("UPDATE IGNORE things SET id = id + 1000 WHERE id % 20 = {a} % 20"));
            }
            all.push(format!("DELETE FROM tree WHERE id = {a} OR up = {b}"));
        }
        _ => {
            // Nothing is carried on.
            all.push("SET SESSION foreign_key_checks = 0".to_owned());
            all.push(format!("DELETE FROM owners WHERE id = {a}"));
            all.push(format!("UPDATE IGNORE owners SET id = id + 200 WHERE id = {b}"));
            all.push(format!("DELETE FROM tree WHERE id = {b}"));
            all.push("SET SESSION foreign_key_checks = 1".to_owned());
        }
    }
}

/// A writer that runs random transactions of its seed.
pub fn writer(source: &Database, from: &str, seed: u64) -> BackgroundLoop {
    let (source, from, mut random) = (source.clone(), from.to_owned(), SeededRandom::new(&[seed]));
    BackgroundLoop::new(move |round| {
        let name = format!("{from} {seed} {round}");
        let script = format!("SET SESSION sql_mode = '';\n{}", transaction(&mut random, &name));
        // The first error ends the connection, which undoes the transaction.
        source.sql_in(&from, &script).is_ok()
    })
}

/// A transaction of many rows, and a file that is loaded.
pub fn big_transaction(source: &Database, from: &str) {
    let sql = "START TRANSACTION; \
        INSERT INTO keyless (a, t) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
            SELECT n.i + 100, REPEAT('z', 20) FROM n, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS three; \
        UPDATE ballast SET t = CONCAT(t, '.'); COMMIT; \
        UPDATE ballast SET id = id + 1 ORDER BY id DESC; \
        SELECT -id, 'loaded' INTO OUTFILE './{db}.txt' FROM ballast; \
        LOAD DATA INFILE './{db}.txt' INTO TABLE keyless (a, t);";
    source.sql_in(from, &sql.replace("{db}", from)).unwrap();
    // Its foreign keys may meet those of a writer in a deadlock.
    assert!(wait_until(|| source.sql_in(from, "DELETE FROM owners").is_ok()));
}
