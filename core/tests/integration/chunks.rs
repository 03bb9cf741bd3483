//! A table that is read in chunks, several at a time, loses and doubles no row, whatever its keys are.

use std::collections::BTreeMap;

use crate::common::{BackgroundLoop, Bench, sampled_flavors};
use dbgraft::CloneOptions;
use dbgraft_testkit::Flavor;

/// The rows of each table, more than a megabyte.
const ROWS: u32 = 3000;

/// Little memory and many threads: batches, and therefore chunks, may be as small as 256 KiB.
fn finely() -> CloneOptions {
    CloneOptions { memory: 8 << 20, threads: 8, ..CloneOptions::default() }
}

/// Numbers from 0, and for each pair a table `t0`, `t1`, … with these columns and keys (after a `|`, options), filled by
/// this SELECT from the numbers.
fn keyed_tables(flavor: Flavor, tables: &[(&str, &str)]) -> Bench {
    let mut sql = format!(
        "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00'; \
         CREATE TABLE n (n BIGINT PRIMARY KEY); \
         INSERT INTO n WITH RECURSIVE s AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM s WHERE n < 99) \
         SELECT a.n * 100 + b.n FROM s a JOIN s b WHERE a.n * 100 + b.n < {ROWS};"
    );
    for (number, (columns, values)) in tables.iter().enumerate() {
        let (columns, options) = columns.split_once('|').unwrap_or((columns, ""));
        sql.push_str(&format!(
            "CREATE TABLE t{number} (filler VARCHAR(400), {columns}) CHARACTER SET latin1 {options}; \
             INSERT INTO t{number} SELECT CONCAT(n, REPEAT('x', 390)), {values} FROM n; ANALYZE TABLE t{number};"
        ));
    }
    Bench::new(flavor, &sql)
}

/// Clones and compares; returns the number of chunks of each table.
async fn chunk_counts(bench: &Bench) -> Vec<usize> {
    let overview = bench.job(finely()).plan().await.unwrap();
    bench.clone(finely()).await.unwrap();
    bench.assert_equal();
    let pieces: BTreeMap<_, _> =
        overview.plan.tables.iter().map(|table| (table.table.name.clone(), table.chunks.len())).collect();
    (0..).map_while(|number| pieces.get(&format!("t{number}")).copied()).collect()
}

/// Fails unless tables with these keys are read in several chunks, and exactly.
async fn assert_chunked(flavors: &[Flavor], tables: &[(&str, &str)]) {
    for flavor in flavors {
        let counts = chunk_counts(&keyed_tables(*flavor, tables)).await;
        assert_eq!(counts.len(), tables.len());
        for ((columns, _), pieces) in tables.iter().zip(counts) {
            assert!(pieces > 3, "{flavor}: {pieces} chunks: {columns}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numeric_keys_at_both_ends_and_in_clusters() {
    let tables = [
        // Heaps at the two ends and around 0, and a few keys far from all others.
        (
            "id BIGINT PRIMARY KEY",
            "CASE WHEN n < 1000 THEN -9223372036854775808 + n WHEN n < 1400 THEN n - 1200 \
             WHEN n < 2990 THEN 9223372036854775807 - (n - 1400) ELSE (n - 2995) * 1000000000000000000 + 777777 END",
        ),
        (
            "id BIGINT UNSIGNED PRIMARY KEY",
            "CASE WHEN n < 800 THEN n WHEN n < 1000 THEN 9223372036854775808 - 100 + n - 800 \
             WHEN n < 2990 THEN 18446744073709551615 - (n - 1000) ELSE 500000000000000000 * (n - 2989) END",
        ),
        // Gaps of 2^60, and gaps that double.
        ("id BIGINT PRIMARY KEY", "(n % 15 - 7) * 1152921504606846976 + n"),
        ("id BIGINT UNSIGNED PRIMARY KEY", "(1 << (n % 58 + 6)) + n DIV 58"),
        ("id SMALLINT UNSIGNED ZEROFILL PRIMARY KEY", "65535 - n"),
        ("id INT AUTO_INCREMENT PRIMARY KEY", "n"),
        (
            "id DECIMAL(65,30) PRIMARY KEY",
            "CAST(n - 1500 AS DECIMAL(65,30)) * 12345678901234567890123456789.123 \
             + n * 0.000000000000000000000000000001",
        ),
        ("id DECIMAL(65,30) PRIMARY KEY", "0.000000000000000000000000000001 * (n - 1500)"),
        ("id DECIMAL(20,0) PRIMARY KEY", "99999999999999999999 - n"),
        ("id DECIMAL(10,9) PRIMARY KEY", "(n - 1500) * 0.000000001"),
    ];
    assert_chunked(sampled_flavors(), &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn temporal_keys_valid_and_invalid() {
    let tables = [
        (
            "id DATE PRIMARY KEY",
            "CASE WHEN n = 0 THEN '0000-00-00' WHEN n < 20 THEN CONCAT('2039-02-', n + 12) \
             WHEN n < 40 THEN CONCAT('2023-00-', n - 10) WHEN n < 60 THEN CONCAT('0000-11-', n - 30) \
             ELSE DATE_ADD('2024-01-01', INTERVAL IF(n > 2900, n + 5000, n) DAY) END",
        ),
        // Nearly all of them on days that do not exist.
        (
            "id DATETIME(6) PRIMARY KEY",
            "IF(n < 50, DATE_ADD('2020-01-01', INTERVAL n DAY), \
             CONCAT('2024-02-', 30 + n % 2, ' 11:11:11.', LPAD(n, 6, '0')))",
        ),
        ("id DATETIME(6) PRIMARY KEY", "DATE_ADD('1000-01-01', INTERVAL n * n * n * 1000003 MICROSECOND)"),
        (
            "id TIMESTAMP(3) DEFAULT '2000-01-01' PRIMARY KEY",
            "CASE WHEN n = 0 THEN '0000-00-00' WHEN n = 1 THEN '1970-01-01 00:00:01' \
             WHEN n = 2 THEN '2038-01-19 03:14:07.999' ELSE DATE_ADD('2024-10-27', INTERVAL n * 3 SECOND) END",
        ),
        ("id TIME(2) PRIMARY KEY", "SEC_TO_TIME((n - 1500) * 2010.07)"),
        ("a YEAR, b INT, PRIMARY KEY (a, b)", "IF(n % 20 = 0, 0, 1901 + n % 255), n"),
    ];
    assert_chunked(sampled_flavors(), &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_keys_under_collations_with_equal_texts() {
    let names = "CONCAT(ELT(n % 7 + 1, 'ä', 'A', 'a', 'ß', 'ss', 'Z', '_'), IF(n % 2, ' ', ''), n DIV 7, \
                 ELT(n % 3 + 1, '', ' ', 'É')), n";
    let everywhere = "utf8mb4_general_ci utf8mb4_unicode_ci utf8mb4_bin utf8mb4_swedish_ci utf8mb3_unicode_ci \
                      utf16_general_ci utf32_unicode_ci ucs2_bin latin1_swedish_ci latin1_german2_ci latin1_bin \
                      cp1250_czech_cs";
    for (flavor, further) in [
        (Flavor::MySql, "utf8mb4_0900_ai_ci utf8mb4_0900_as_cs utf8mb4_ja_0900_as_cs_ks"),
        (Flavor::MariaDb, "utf8mb4_nopad_bin utf8mb4_unicode_520_nopad_ci utf8mb4_uca1400_ai_ci"),
    ] {
        let columns = |kind: &str, collation: &str| format!("a {kind} COLLATE {collation}, b INT, PRIMARY KEY (a, b)");
        let everywhere = if sampled_flavors().contains(&flavor) { everywhere } else { "" };
        let everywhere = everywhere.split_whitespace().map(|collation| columns("VARCHAR(40)", collation));
        let all: Vec<_> =
            everywhere.chain(further.split(' ').map(|collation| columns("CHAR(40)", collation))).collect();
        let tables: Vec<_> = all.iter().map(|columns| (columns.as_str(), names)).collect();
        assert_chunked(&[flavor], &tables).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_binary_keys_of_every_kind() {
    let tables = [
        ("id CHAR(36) CHARACTER SET ascii PRIMARY KEY", "UUID()"),
        ("id CHAR(64) PRIMARY KEY", "UPPER(SHA2(n, 256))"),
        ("id VARCHAR(64) COLLATE latin1_bin PRIMARY KEY", "TO_BASE64(UNHEX(SHA2(n, 224)))"),
        ("id VARCHAR(90) PRIMARY KEY", "CONCAT('https://example.org/items/', LPAD(n, 12, '0'), '.html')"),
        ("id VARCHAR(9) CHARACTER SET utf8mb4 PRIMARY KEY", "CONCAT(CHAR(0x4E00 + n USING utf16), n % 10)"),
        ("id VARCHAR(30) CHARACTER SET sjis PRIMARY KEY", "CONCAT(ELT(n % 3 + 1, 'ア', 'ソ', '表'), n)"),
        ("id VARCHAR(30) CHARACTER SET utf8mb4 PRIMARY KEY", r"CONCAT(REPEAT('😀', n % 5), '\'\\\0\t', n)"),
        ("id VARCHAR(700) PRIMARY KEY", "CONCAT(REPEAT('long', 160), n)"),
        ("id BINARY(16) PRIMARY KEY", "UNHEX(LEFT(SHA2(n, 256), 32))"),
        ("id BINARY(28) PRIMARY KEY", "UNHEX(SHA2(n, 224))"),
        ("id VARBINARY(200) PRIMARY KEY", "CONCAT(REPEAT(CHAR(0), n % 100), REPEAT(CHAR(255), n DIV 100))"),
        ("id BINARY(8) PRIMARY KEY", "UNHEX(HEX(18446744073709551615 - n))"),
    ];
    assert_chunked(sampled_flavors(), &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_many_columns_and_leading_values_that_nearly_all_rows_share() {
    let all: Vec<String> = (1..=16).map(|column| format!("c{column:02}")).collect();
    let each = |text: &dyn Fn(&String) -> String| all.iter().map(text).collect::<Vec<_>>().join(", ");
    let columns = format!("{}, PRIMARY KEY ({})", each(&|name| format!("{name} INT")), all.join(", "));
    let only_the_last = each(&|name| if name == "c16" { "n".to_owned() } else { "5".to_owned() });
    let each_a_little = each(&|name| format!("(n DIV POW(2, 16 - {})) % 2", &name[1..]));
    let tables = [
        (
            "tenant SMALLINT, name VARCHAR(40) CHARACTER SET utf8mb4, PRIMARY KEY (tenant, name)",
            r"CASE WHEN n < 2970 THEN 7 ELSE n - 2980 END, CONCAT(IF(n % 2, 'Ä', '\\'), n)",
        ),
        (
            "a VARCHAR(30) COLLATE latin1_german2_ci, b INT, PRIMARY KEY (a, b DESC)",
            "CASE WHEN n < 2970 THEN ELT(n % 3 + 1, 'Straße', 'STRASSE', 'strasse') ELSE CONCAT('Weg ', n) END, n",
        ),
        (columns.as_str(), only_the_last.as_str()),
        (columns.as_str(), each_a_little.as_str()),
        // The members in the order of their numbers, the error value among them.
        ("id INT, kind ENUM('z', 'a', '', 'm'), PRIMARY KEY (id, kind)", "n DIV 4, IF(n % 4 = 3, 0, 1 + n % 4)"),
    ];
    assert_chunked(sampled_flavors(), &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_keys_in_place_of_primary_keys_and_partitioned_tables() {
    let tables = [
        ("other INT, id BIGINT NOT NULL, UNIQUE KEY u (id), UNIQUE KEY o (other)", "NULL, n * n"),
        ("a INT, b INT, PRIMARY KEY (a, b) | PARTITION BY HASH (b) PARTITIONS 5", "n DIV 9, n"),
        (
            "id INT PRIMARY KEY \
             | PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (900), PARTITION q VALUES LESS THAN MAXVALUE)",
            "n",
        ),
    ];
    assert_chunked(sampled_flavors(), &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_not_stored_by_a_key_are_one_chunk() {
    let tables = [
        ("id INT, UNIQUE KEY (id)", "IF(n % 10, NULL, n)"),
        ("id VARCHAR(40) NOT NULL, UNIQUE KEY (id(20))", "n"),
        ("id TEXT NOT NULL, PRIMARY KEY (id(20))", "n"),
        ("id DOUBLE PRIMARY KEY", "n / 3"),
        ("kind ENUM('z', 'a', '', 'm'), id INT, PRIMARY KEY (kind, id)", "1 + n % 4, n"),
        // Without any key there may be equal rows.
        ("a INT, b VARCHAR(9)", "n % 7, IF(n % 3, 'same', NULL)"),
        ("id INT PRIMARY KEY | ENGINE = MyISAM", "n"),
        ("id INT PRIMARY KEY | WITH SYSTEM VERSIONING", "n"),
    ];
    for (flavor, tables) in [(Flavor::MySql, tables.get(..7).unwrap()), (Flavor::MariaDb, &tables)] {
        let bench = keyed_tables(flavor, tables);
        bench.source("INSERT INTO t5 SELECT 'x', 1, 'same' FROM n; INSERT INTO t5 SELECT NULL, NULL, NULL FROM n");
        assert_eq!(chunk_counts(&bench).await, vec![1; tables.len()], "{flavor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_applies_to_each_chunk() {
    for &flavor in sampled_flavors() {
        let bench = keyed_tables(flavor, &[("id INT PRIMARY KEY, owner INT, KEY (owner)", "n, n % 3")]);
        let filters = [("t0".to_owned(), "owner = 1 OR id < 10".to_owned())].into();
        let options = CloneOptions { filters, ..finely() };
        let overview = bench.job(options.clone()).plan().await.unwrap();
        assert!(overview.plan.tables.iter().any(|table| table.chunks.len() > 3));
        bench.clone(options).await.unwrap();
        let sum = "SELECT COUNT(*), COUNT(DISTINCT id), SUM(id) FROM t0";
        assert_eq!(bench.target(sum), bench.source(&format!("{sum} WHERE owner = 1 OR id < 10")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_during_the_clone_are_there_once_or_not_at_all() {
    // Rows move from one end of the table to the other, and back.
    let number = |id: &str| id.to_owned();
    moves_meanwhile("id BIGINT PRIMARY KEY, worth INT NOT NULL", &number).await;
    let name = |id: &str| format!("CONCAT(IF({id} % 2, 'Ä', 'a'), {id})");
    moves_meanwhile("id VARCHAR(40) CHARACTER SET utf8mb4 PRIMARY KEY, worth INT NOT NULL", &name).await;
}

async fn moves_meanwhile(columns: &str, key: &(dyn Fn(&str) -> String + Sync)) {
    for &flavor in sampled_flavors() {
        let bench = keyed_tables(flavor, &[(columns, &format!("{}, n", key("(n * 1000)")))]);
        let worth = bench.source("SELECT CONCAT(COUNT(*), ' ', SUM(worth)) FROM t0");
        let (server, database) = (bench.pair.source.clone(), bench.from.clone());
        let key: Vec<String> = ["@from", "@to", "@new"].map(key).into();
        let moving = BackgroundLoop::new(move |round| {
            let [from, to, new] = key.as_slice() else { return false };
            let moves = (0..30).map(|n| {
                let seed = u64::from(round) * 30 + n;
                format!(
                    "START TRANSACTION; SET @from = {n} * 1000 + {round} % 100 * 30000, @to = 10000000 - {seed}, @new = {seed} + 1; \
                     UPDATE t0 SET id = {to} WHERE id = {from}; INSERT INTO t0 VALUES ('x', {new}, 1); \
                     DELETE FROM t0 WHERE id = {new}; UPDATE t0 SET id = {from} WHERE id = {to} AND {n} % 2; COMMIT;"
                )
            });
            server.sql_in(&database, &moves.collect::<String>()).is_ok()
        });
        moving.assert_begun();
        let options = CloneOptions { max_rate: Some(600 << 10), ..finely() };
        let report = bench.job(options).on_event(moving.listener()).run().await.unwrap();
        assert_eq!(bench.target("SELECT CONCAT(COUNT(*), ' ', SUM(worth)) FROM t0"), worth);
        assert_eq!(report.rows, u64::from(2 * ROWS));
    }
}
