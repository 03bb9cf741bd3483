//! Promise: a table that is read in pieces, several at a time, loses and doubles no row, wherever its keys lie.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod common;

use std::time::Duration;

use common::{Bench, FLAVORS, Meanwhile, wait_for};
use dbgraft::CloneOptions;
use dbgraft_testkit::Flavor;

/// Enough rows to be cut: each of these values lies on a page of its own, so half as many bytes do.
const ROWS: u32 = 2400;

/// Numbers from 0, and a table `t` with these columns filled by this SELECT from them.
fn cut_table(flavor: Flavor, columns: &str, values: &str) -> Bench {
    let bench = Bench::new(
        flavor,
        &format!(
            "CREATE TABLE n (n BIGINT PRIMARY KEY); \
             INSERT INTO n WITH RECURSIVE s AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 99) \
             SELECT a.n * 100 + b.n FROM s a JOIN s b WHERE a.n * 100 + b.n < {ROWS}"
        ),
    );
    bench.source(&format!(
        "CREATE TABLE t ({columns}, filler LONGTEXT) CHARACTER SET latin1; \
         INSERT INTO t SELECT {values}, CONCAT(n, REPEAT('x', 8200)) FROM n; ANALYZE TABLE t"
    ));
    bench
}

/// Clones and compares; says in how many pieces the table was read.
async fn pieces(bench: &Bench) -> usize {
    let overview = bench.job(CloneOptions::default()).plan().await.unwrap();
    let table = overview.plan.tables.iter().find(|table| table.table.name == "t").unwrap();
    let report = bench.clone(CloneOptions::default()).await.unwrap();
    bench.assert_equal();
    assert_eq!(report.rows.to_string(), bench.source("SELECT (SELECT COUNT(*) FROM n) + (SELECT COUNT(*) FROM t)"));
    table.chunks.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_keys_at_both_ends_and_in_heaps() {
    for flavor in FLAVORS {
        // Heaps at the two ends and around 0, and a few keys far from all others.
        let key = "CASE WHEN n < 1000 THEN -9223372036854775808 + n WHEN n < 1400 THEN n - 1200 \
                   WHEN n < 2390 THEN 9223372036854775807 - (n - 1400) ELSE (n - 2395) * 1000000000000000000 + 777777 END";
        let bench = cut_table(flavor, "id BIGINT PRIMARY KEY", key);
        assert!(pieces(&bench).await > 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_keys_at_both_ends_and_in_heaps() {
    for flavor in FLAVORS {
        let key = "CASE WHEN n < 800 THEN n WHEN n < 1000 THEN 9223372036854775808 - 100 + n - 800 \
                   WHEN n < 2390 THEN 18446744073709551615 - n ELSE 500000000000000000 * (n - 2389) END";
        let bench = cut_table(flavor, "id BIGINT UNSIGNED PRIMARY KEY", key);
        assert!(pieces(&bench).await > 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composite_key_whose_first_column_hardly_differs() {
    for flavor in FLAVORS {
        // Nearly all rows share one number, and the other column has names of every kind.
        let bench = cut_table(
            flavor,
            "tenant SMALLINT, name VARCHAR(40) CHARACTER SET utf8mb4, PRIMARY KEY (tenant, name)",
            "CASE WHEN n < 2000 THEN 7 WHEN n < 2200 THEN -32768 ELSE n - 2300 END, CONCAT(IF(n % 2, 'Ä', '\\\\'), n)",
        );
        pieces(&bench).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_any_key_keeps_its_equal_rows() {
    for flavor in FLAVORS {
        let bench = cut_table(flavor, "a INT, b VARCHAR(9)", "n % 7, IF(n % 3, 'same', NULL)");
        bench.source("INSERT INTO t SELECT 1, 'same', 'x' FROM n; INSERT INTO t SELECT NULL, NULL, NULL FROM n");
        assert_eq!(pieces(&bench).await, 1);
        assert_eq!(bench.target("SELECT COUNT(*) FROM t WHERE filler = 'x'"), ROWS.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_meanwhile_are_there_once_or_not_at_all() {
    for flavor in FLAVORS {
        let bench = cut_table(flavor, "id BIGINT PRIMARY KEY, worth INT NOT NULL", "n * 1000, n");
        let worth = bench.source("SELECT CONCAT(COUNT(*), ' ', SUM(worth)) FROM t");
        let (server, database) = (bench.pair.source.clone(), bench.from.clone());
        // Rows move to other keys, from one end of the table to the other.
        let moving = Meanwhile::new(move |round| {
            let moves = (0..30).map(|n| {
                let seed = u64::from(round) * 30 + n;
                let from = seed % 1200;
                format!(
                    "START TRANSACTION; SET @id = (SELECT MIN(id) FROM t WHERE id >= {from} * 1000); \
                     INSERT INTO t SELECT {} - id, worth, filler FROM t WHERE id = @id; DELETE FROM t WHERE id = @id; \
                     INSERT INTO t VALUES (-1 - {seed}, 1, 'x'); DELETE FROM t WHERE id = -1 - {seed}; COMMIT;",
                    10_000_000 + seed
                )
            });
            server.sql_in(&database, &moves.collect::<String>()).is_ok()
        });
        assert!(wait_for(Duration::from_secs(20), || moving.rounds() > 1), "nobody writes");
        let before = moving.rounds();
        let options = CloneOptions { memory: 16 << 20, max_rate: Some(12 << 20), ..CloneOptions::default() };
        bench.clone(options).await.unwrap();
        assert!(moving.rounds() > before, "nobody wrote meanwhile");
        assert_eq!(bench.target("SELECT CONCAT(COUNT(*), ' ', SUM(worth)) FROM t"), worth);
    }
}
