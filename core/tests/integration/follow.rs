//! Promise: a followed clone has every change of its source exactly once, while writers work during the copy and after it,
//! and although the command is killed and servers are restarted.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dbgraft::{CloneState, ErrorKind, TargetJob};
use dbgraft_testkit::{Database, Flavor, ServerOptions, ServerPair, pair_of};

use crate::common::{BackgroundLoop, Bench, FLAVORS, no_hang, unique, wait_until};
use crate::resume::stderr;

const DBGRAFT: &str = env!("CARGO_BIN_EXE_dbgraft");

/// Tables that a follower treats differently, with objects that it makes at the cut-over.
const SCHEMA: &str = "
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
    CREATE TABLE ballast (id INT PRIMARY KEY, t TEXT);
    INSERT INTO ballast WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT i, REPEAT(CONCAT('o', i), 1400) FROM n;
    CREATE TRIGGER tr BEFORE UPDATE ON vault FOR EACH ROW SET NEW.amount = NEW.amount + 0;
    CREATE TRIGGER doubles AFTER INSERT ON parents FOR EACH ROW INSERT INTO tags VALUES (CONCAT('p', NEW.id), 0) \
        ON DUPLICATE KEY UPDATE n = n + 1;
    CREATE VIEW sums AS SELECT (SELECT SUM(balance) FROM accounts) + (SELECT SUM(amount) FROM vault) AS total;
    CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO DELETE FROM keyless LIMIT 1;";
const TOTAL: &str = "40000";

/// Random numbers of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// A random transaction. The server refuses some of them, as they conflict with what is there.
fn transaction(random: &mut Random) -> String {
    let mut statements = vec!["START TRANSACTION".to_owned()];
    for _ in 0..=random.below(3) {
        statement(random, &mut statements);
    }
    statements.push("COMMIT".to_owned());
    statements.join(";\n")
}

fn statement(random: &mut Random, all: &mut Vec<String>) {
    let (a, b, n) = (1 + random.below(60), 1 + random.below(60), random.below(100));
    let text = random.pick(&["Stra\u{df}e", "STRASSE", "a", "A", "\u{e4}", "it''s\\t\\\\", "", "\u{1f600}", "b ", "b"]);
    match random.below(16) {
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
            random.pick(&["k", "K", "l", "\u{e9}"]),
            1 + n % 28,
            n % 24,
            n % 60,
            1950 + n,
            1 + n % 3,
            random.pick(&["c", "c ", "\u{fc}"])
        )),
        _ => {
            all.push(format!("UPDATE wide SET de = NULL, j = JSON_ARRAY({n}, 'x'), fl = NULL WHERE a = {a} % 9"));
            all.push(format!("UPDATE wide SET up = up, c = 'u' WHERE a = {b} % 9"));
            if n > 90 {
                all.push(format!("DELETE FROM wide WHERE a = {n} % 9 LIMIT 3"));
            }
        }
    }
}

/// A writer that runs random transactions of its seed.
fn writer(source: &Database, from: &str, seed: u64) -> BackgroundLoop {
    let (source, from, mut random) = (source.clone(), from.to_owned(), Random(seed));
    BackgroundLoop::new(move |_| {
        let script = format!("SET SESSION sql_mode = '';\n{}", transaction(&mut random));
        // The first error ends the connection, which undoes the transaction.
        source.sql_in(&from, &script).is_ok()
    })
}

/// A transaction of many rows, and a file that is loaded.
fn big_transaction(source: &Database, from: &str) {
    let sql = "START TRANSACTION; \
        INSERT INTO keyless (a, t) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
            SELECT n.i + 100, REPEAT('z', 20) FROM n, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS three; \
        UPDATE ballast SET t = CONCAT(t, '.'); COMMIT; \
        UPDATE ballast SET id = id + 1 ORDER BY id DESC;";
    source.sql_in(from, sql).unwrap();
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(DBGRAFT);
    command.args(arguments).args(["--progress", "none"]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

async fn state_of(target: &str) -> CloneState {
    TargetJob::new(target).status().await.map_or(CloneState::None, |status| status.state)
}

/// Waits until the process follows, and fails if it ends before.
async fn assert_follows(child: &mut Child, target: &str) {
    no_hang(async {
        while state_of(target).await != CloneState::Following {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", stderr(child));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Waits until the process that follows has applied this many transactions since the snapshot.
async fn assert_applies(child: &mut Child, target: &str, transactions: u64) {
    no_hang(async {
        loop {
            let status = TargetJob::new(target).status().await.unwrap();
            if status.following.is_some_and(|following| following.checkpoint.transactions >= transactions) {
                return;
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended: {}", stderr(child));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

async fn applied(target: &str) -> u64 {
    let status = TargetJob::new(target).status().await.unwrap();
    status.following.map_or(0, |following| following.checkpoint.transactions)
}

/// Watches that the sum over two tables holds at every moment.
fn watch_sum(target: &Database, to: &str) -> BackgroundLoop {
    let (target, to) = (target.clone(), to.to_owned());
    BackgroundLoop::new(move |_| {
        let Ok(total) = target.sql_in(&to, "SELECT total FROM sums") else { return false };
        assert_eq!(total.trim(), TOTAL);
        true
    })
}

/// Ends following: cuts over, and waits for the end of the process.
async fn cut_over(mut child: Child, target: &str) {
    let report = TargetJob::new(target).cut_over(None, Duration::from_secs(120)).await;
    let report = report.unwrap_or_else(|error| panic!("{error}; {}", stderr(&mut child)));
    assert!(report.position.offset > 0);
    let ended = wait_until(|| child.try_wait().unwrap().is_some());
    assert!(ended, "it does not end");
    assert!(child.wait().unwrap().success(), "{}", stderr(&mut child));
}

/// Kills the process, and waits until the server has noticed it.
async fn kill(mut child: Child, target: &str) {
    child.kill().unwrap();
    child.wait().unwrap();
    no_hang(async {
        while state_of(target).await != CloneState::NotFollowing {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Kills the command `kills` times while two writers work, and compares at last.
async fn follow_through_kills(bench: &Bench, seed: u64, kills: u64, step: u64, more: &[&str]) {
    let (source, target) = (bench.source_url(), bench.target_url());
    let writers = [2 * seed + 1, 2 * seed + 2].map(|seed| writer(&bench.pair.source, &bench.from, seed));
    writers.iter().for_each(BackgroundLoop::assert_begun);
    let slowly = ["clone", &source, &target, "--follow", "--max-rate", "1M", "--memory", "16M"];
    let mut child = start(&[&slowly[..], more].concat());
    assert_follows(&mut child, &target).await;
    let sum = watch_sum(&bench.pair.target, &bench.to);
    let refused = TargetJob::new(&target).abandon().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Preflight);
    for number in 0..kills {
        let goal = applied(&target).await + step;
        assert_applies(&mut child, &target, goal).await;
        kill(child, &target).await;
        let threads = (1 + number % 4).to_string();
        child = start(&["follow", &source, &target, "--memory", "8M", "--threads", &threads]);
        assert_follows(&mut child, &target).await;
    }
    big_transaction(&bench.pair.source, &bench.from);
    let goal = applied(&target).await + step;
    assert_applies(&mut child, &target, goal).await;
    drop(writers);
    assert!(sum.rounds() > 0);
    drop(sum);
    cut_over(child, &target).await;
    assert_eq!(bench.target("SHOW TABLES LIKE '%journal'"), "");
    bench.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_clone_is_equal_after_kills() {
    for (seed, flavor) in (1..).zip(FLAVORS) {
        let bench = Bench::new(flavor, SCHEMA);
        follow_through_kills(&bench, seed, 2, 30, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_clone_in_the_other_family_is_equal() {
    for (seed, flavor) in (21..).zip(FLAVORS) {
        let other = if flavor == Flavor::MySql { Flavor::MariaDb } else { Flavor::MySql };
        let pair = ServerPair { source: pair_of(flavor).source.clone(), target: pair_of(other).target.clone() };
        let (unique, pair) = (unique(), Box::leak(Box::new(pair)));
        let bench = Bench { pair, from: format!("from_{unique}"), to: format!("to_{unique}") };
        bench.pair.source.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
        bench.source(SCHEMA);
        follow_through_kills(&bench, seed, 1, 30, &["--on-unsupported", "degrade"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_changes_a_table_ends_following_and_is_passed_by_hand() {
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1);");
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        bench.source(
            "INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD COLUMN w INT FIRST; INSERT INTO t VALUES (3, 3, 3);",
        );
        assert!(wait_until(|| child.try_wait().unwrap().is_some()), "it does not end");
        let message = stderr(&mut child);
        assert!(message.contains("ADD COLUMN w") && message.contains("--skip-ddl"), "{message}");
        assert_eq!(bench.target("SELECT GROUP_CONCAT(id ORDER BY id) FROM t"), "1,2");
        let place = skipped(&message);
        let early = start(&["follow", &source, &target, "--skip-ddl", &place]).wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&early.stderr).contains("column w is at the source"), "{early:?}");
        bench.target("ALTER TABLE t ADD COLUMN w INT FIRST");
        let mut child = start(&["follow", &source, &target, "--skip-ddl", &place]);
        assert_follows(&mut child, &target).await;
        // A new table is followed from its first row on.
        bench.source("CREATE TABLE n (id INT PRIMARY KEY); INSERT INTO n VALUES (1);");
        assert!(wait_until(|| child.try_wait().unwrap().is_some()), "it does not end");
        bench.target("CREATE TABLE n (id INT PRIMARY KEY)");
        let place = skipped(&stderr(&mut child));
        let mut child = start(&["follow", &source, &target, "--skip-ddl", &place]);
        assert_follows(&mut child, &target).await;
        cut_over(child, &target).await;
        assert_eq!(bench.target("SELECT COUNT(*) FROM n"), "1");
        bench.assert_equal();
    }
}

/// The place that the message says to skip.
fn skipped(message: &str) -> String {
    let place = message.rsplit("--skip-ddl ").next().unwrap().split_whitespace().next().unwrap();
    place.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_follower_there_is_no_cut_over() {
    let bench = Bench::new(Flavor::MySql, "CREATE TABLE t (id INT PRIMARY KEY);");
    let cut_over = || TargetJob::new(bench.target_url()).cut_over(None, Duration::from_secs(1));
    let error = cut_over().await.unwrap_err();
    assert!(error.to_string().contains("follows no source"), "{error}");
    let target = bench.target_url();
    let mut child = start(&["clone", &bench.source_url(), &target, "--follow"]);
    assert_follows(&mut child, &target).await;
    let second = start(&["follow", &bench.source_url(), &target]).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&second.stderr).contains("a process follows"), "{second:?}");
    kill(child, &target).await;
    let error = cut_over().await.unwrap_err();
    assert!(error.to_string().contains("no process follows"), "{error}");
    TargetJob::new(&target).abandon().await.unwrap();
    assert!(!bench.target_exists());
}

/// Long; `make soak` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn soak_a_followed_clone_is_equal_after_many_kills() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (kills, seed) = (number("DBGRAFT_SOAK_KILLS", 20), number("DBGRAFT_SOAK_SEED", 1));
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, SCHEMA);
        follow_through_kills(&bench, seed, kills / 2, 100, &[]).await;
    }
}

/// Long; `make soak` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn soak_servers_are_restarted_while_a_clone_follows() {
    for (seed, flavor) in (11..).zip(FLAVORS) {
        let start_server = || {
            let options = ServerOptions::new(flavor).fsync(true).arg("--sync-binlog=1");
            options.arg("--innodb-flush-log-at-trx-commit=1").start().unwrap()
        };
        let (mut source, mut target) = (start_server(), start_server());
        let pair = ServerPair { source: source.database().clone(), target: target.database().clone() };
        let bench = Bench { pair: Box::leak(Box::new(pair)), from: "source_one".into(), to: "target_one".into() };
        source.sql("CREATE DATABASE source_one").unwrap();
        source.sql_in("source_one", SCHEMA).unwrap();
        let url = bench.target_url();
        let writers = writer(&source, &bench.from, seed);
        let mut child = start(&["clone", &bench.source_url(), &url, "--follow"]);
        assert_follows(&mut child, &url).await;
        for round in 0..6 {
            let goal = applied(&url).await + 50;
            assert_applies(&mut child, &url, goal).await;
            match round % 2 {
                0 => target.restart().unwrap(),
                _ => source.restart().unwrap(),
            }
            assert_follows(&mut child, &url).await;
        }
        drop(writers);
        cut_over(child, &url).await;
        bench.assert_equal();
    }
}
