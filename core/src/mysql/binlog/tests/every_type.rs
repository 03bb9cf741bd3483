//! Every value that the tests know is the same text in the log as in a batch.

use std::collections::BTreeMap;
use std::path::Path;

use dbgraft_testkit as testkit;
use futures::TryStreamExt as _;

use super::LoggedDatabase;
use crate::change::LogEvent;
use crate::memory::MemoryBudget;
use crate::plan::{Plan, TablePlan};
use crate::source::Source as _;

/// A table whose stored generated column MariaDB computes again when it deletes a row, under other settings than before.
const COMPUTED_AGAIN: &str = "su";
/// The engines whose rows cannot be deleted.
const READ_ONLY_ENGINES: [&str; 2] = ["ARCHIVE", "BLACKHOLE"];

/// Types of MySQL that no theme has in a row, or not with these values.
const MYSQL_TYPES: &str = r#"
SET sql_mode = '';
CREATE TABLE filled (id INT PRIMARY KEY, a INT(8) ZEROFILL, d DECIMAL(10,3) ZEROFILL, f FLOAT ZEROFILL, y YEAR,
    t TINYINT UNSIGNED, s SMALLINT UNSIGNED, m MEDIUMINT UNSIGNED, b BIGINT UNSIGNED, n DECIMAL(65,30), o DECIMAL(3,3));
INSERT INTO filled VALUES (1, 7, 1.5, 2.5, 0, 255, 65535, 16777215, 18446744073709551615, 1.5, 0.5),
    (2, 0, 0, 0, 1970, 0, 0, 0, 0, -99999999999999999999999999999999999.999999999999999999999999999999, -0.999);
CREATE TABLE signs (id INT PRIMARY KEY, t TINYINT, s SMALLINT, m MEDIUMINT, i INT, b BIGINT, y YEAR, u INT UNSIGNED);
INSERT INTO signs VALUES (1, -128, -32768, -8388608, -2147483648, -9223372036854775808, 1901, 4294967295),
    (2, 127, 32767, 8388607, 2147483647, 9223372036854775807, 2155, 0);
CREATE TABLE stamps (id INT PRIMARY KEY, a TIMESTAMP NULL, b TIMESTAMP(1) NULL, c TIMESTAMP(6) NULL, d DATETIME(3), e TIME(2));
SET time_zone = '+05:30';
INSERT INTO stamps VALUES (1, '1970-01-01 05:30:01', '2038-01-19 08:44:07', '2024-02-29 05:30:00', '2024-02-29', '-00:00:00.01'),
    (2, '0000-00-00', '0000-00-00', '2024-02-29 05:30:00.000001', '2024-02-29 00:00:00.001', '-01:00:00.50'), (3, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE padded (id INT PRIMARY KEY, a BINARY(5), b BINARY(255), c CHAR(10) CHARACTER SET utf8mb4, d CHAR(255) CHARACTER SET utf8mb4,
    e CHAR(5) CHARACTER SET ucs2, f VARBINARY(300), g VARCHAR(10), h CHAR(0));
INSERT INTO padded VALUES (1, 'a', '', 'a ', 'größe   ', 'ab', x'00010000', 'a  ', ''), (2, x'0000000000', x'00', '', '', '', '', '', NULL),
    (3, x'6100000000', REPEAT('z', 255), '😀', REPEAT('😀', 255), 'ä', REPEAT('x', 300), '', '');
CREATE TABLE json_values (id INT PRIMARY KEY AUTO_INCREMENT, j JSON);
INSERT INTO json_values (j) VALUES (JSON_OBJECT('d', CAST('2024-02-29' AS DATE), 't', CAST('-12:34:56.5' AS TIME(1)), 'x', CAST('2024-02-29 01:02:03.000004' AS DATETIME(6)))),
    (JSON_ARRAY(1.50, -0.001, 12345678901234567890.123456789, CAST(0 AS DECIMAL(5,2)))), (CAST(CAST(1.10 AS DECIMAL(10,5)) AS JSON)),
    (JSON_OBJECT('b', CAST(REPEAT('x', 100) AS BINARY), 'c', b'101', 'e', CAST('' AS BINARY))), (CAST(x'00ff' AS JSON)),
    (JSON_ARRAY(1e0, 1e15, 123456789012345e0, 1e16, 1e-14, 1e-15, 1e-16, 1.7976931348623157e308, 5e-324, -0e0, 0.1e0, 123456.789e0, 1e100, 4e22, 12345678901234567890e0)),
    (JSON_ARRAY(-32768, 32767, 65535, 32768, 2147483647, -2147483648, 4294967295, 4294967296, -9223372036854775808, 18446744073709551615)),
    (JSON_ARRAY(true, false, NULL, '', 'a"b\c', CONCAT(CHAR(1), CHAR(8), CHAR(12), CHAR(31), CHAR(127)))),
    (JSON_OBJECT('bb', 1, 'a', 2, 'ab', 3, '', 4, 'é', 5, 'k"', 6)), ('[[[[]]], {"a": {"b": [{}]}}]'), (JSON_ARRAY(REPEAT('x', 70000), REPEAT('y', 200))),
    (JSON_OBJECT('g', ST_GeomFromText('POINT(1 2)'), 'y', CAST(2024 AS YEAR), 'ts', TIMESTAMP('2024-01-01 00:00:00')));
INSERT INTO json_values (j) SELECT JSON_ARRAYAGG(n) FROM (WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT n FROM n) AS t;
INSERT INTO json_values (j) SELECT JSON_ARRAYAGG((RAND(7) - 0.5) * POW(10, MOD(n, 60) - 30)) FROM (WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT n FROM n) AS t;
CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE, v INT GENERATED ALWAYS AS (id + 1) VIRTUAL, s VARCHAR(20) GENERATED ALWAYS AS (CONCAT('x', id)) STORED, z INT, KEY ((z + 1)), KEY (v));
INSERT INTO hidden (id, a, z) VALUES (1, 2, 3), (2, NULL, NULL);
CREATE TABLE arrays (id INT PRIMARY KEY, j JSON, b INT, KEY ((CAST(j->'$.a' AS UNSIGNED ARRAY)))); INSERT INTO arrays VALUES (1, '{"a": [1, 2]}', 9);
CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3)); INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1,-2.5,0]')), (2, NULL);
CREATE TABLE long_values (id INT PRIMARY KEY, b LONGBLOB, t TINYTEXT, x TEXT, m MEDIUMTEXT, n TINYBLOB);
INSERT INTO long_values VALUES (1, REPEAT(x'000a095c', 1000000), REPEAT('t', 255), REPEAT('x', 65535), REPEAT('m', 70000), ''), (2, '', '', '', '', NULL);
"#;
/// The same of MariaDB.
const MARIADB_TYPES: &str = r#"
SET sql_mode = '';
CREATE TABLE filled (id INT PRIMARY KEY, a INT(8) ZEROFILL, d DECIMAL(10,3) ZEROFILL, f FLOAT ZEROFILL, y YEAR, y2 YEAR(2),
    t TINYINT UNSIGNED, s SMALLINT UNSIGNED, m MEDIUMINT UNSIGNED, b BIGINT UNSIGNED, n DECIMAL(65,30), o DECIMAL(3,3));
INSERT INTO filled VALUES (1, 7, 1.5, 2.5, 0, 0, 255, 65535, 16777215, 18446744073709551615, 1.5, 0.5),
    (2, 0, 0, 0, 1970, 70, 0, 0, 0, 0, -99999999999999999999999999999999999.999999999999999999999999999999, -0.999), (3, 1, 1, 1, 2155, 69, 1, 1, 1, 1, 0, 0);
CREATE TABLE signs (id INT PRIMARY KEY, t TINYINT, s SMALLINT, m MEDIUMINT, i INT, b BIGINT, y YEAR, u INT UNSIGNED);
INSERT INTO signs VALUES (1, -128, -32768, -8388608, -2147483648, -9223372036854775808, 1901, 4294967295),
    (2, 127, 32767, 8388607, 2147483647, 9223372036854775807, 2155, 0);
CREATE TABLE stamps (id INT PRIMARY KEY, a TIMESTAMP NULL, b TIMESTAMP(1) NULL, c TIMESTAMP(6) NULL, d DATETIME(3), e TIME(2), f TIME(6));
SET time_zone = '+05:30';
INSERT INTO stamps VALUES (1, '1970-01-01 05:30:01', '2038-01-19 08:44:07', '2024-02-29 05:30:00', '2024-02-29', '-00:00:00.01', '-838:59:59.999999'),
    (2, '0000-00-00', '0000-00-00', '2024-02-29 05:30:00.000001', '2024-02-29 00:00:00.001', '-01:00:00.50', '838:59:59.000001'), (3, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE padded (id INT PRIMARY KEY, a BINARY(5), b BINARY(255), c CHAR(10) CHARACTER SET utf8mb4, d CHAR(255) CHARACTER SET utf8mb4,
    e CHAR(5) CHARACTER SET ucs2, f VARBINARY(300), g VARCHAR(10), h CHAR(0));
INSERT INTO padded VALUES (1, 'a', '', 'a ', 'größe   ', 'ab', x'00010000', 'a  ', ''), (2, x'0000000000', x'00', '', '', '', '', '', NULL),
    (3, x'6100000000', REPEAT('z', 255), '😀', REPEAT('😀', 255), 'ä', REPEAT('x', 300), '', '');
CREATE TABLE addresses (id INT PRIMARY KEY AUTO_INCREMENT, a INET4, b INET6, u UUID);
INSERT INTO addresses (a, b, u) VALUES ('0.0.0.0', '::', '00000000-0000-0000-0000-000000000000'), ('1.2.3.0', '::1', '123e4567-e89b-12d3-a456-426655440000'),
    ('255.255.255.255', '2001:db8::', 'ffffffff-ffff-ffff-ffff-ffffffffffff'), ('10.0.0.0', '::ffff:1.2.3.4', '123e4567-e89b-42d3-a456-426655440000'),
    ('127.0.0.1', '::1.2.3.4', '018f4567-e89b-72d3-a456-426655440000'), (NULL, 'fe80::1:0:0:1', '123e4567-e89b-12d3-0456-426655440000'),
    (NULL, '1:0:3::', '00000001-0000-0000-0000-000000000000'), (NULL, '0:0:1::', '123e4567-e89b-62d3-c456-426655440000');
INSERT INTO addresses (u) VALUES (UUID()), (UUID()), ('123e4567-e89b-02d3-a456-426655440000'), ('123e4567-e89b-52d3-a456-000000000000');
CREATE TABLE compressed_values (id INT PRIMARY KEY, v VARCHAR(1000) COMPRESSED, b BLOB COMPRESSED, t LONGTEXT COMPRESSED, w VARBINARY(10) COMPRESSED);
INSERT INTO compressed_values VALUES (1, REPEAT('v', 1000), REPEAT(x'000a', 30000), REPEAT('größe', 20000), 'ab'), (2, '', '', '', ''), (3, NULL, NULL, NULL, NULL), (4, 'a', 'b', 'c', 'd');
SET column_compression_zlib_wrap = ON; INSERT INTO compressed_values VALUES (5, REPEAT('w', 900), REPEAT('z', 5000), REPEAT('ä', 300), 'x');
CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE, v INT GENERATED ALWAYS AS (id + 1) VIRTUAL, s VARCHAR(20) GENERATED ALWAYS AS (CONCAT('x', id)) STORED, z INT, KEY (v));
INSERT INTO hidden (id, a, z) VALUES (1, 2, 3), (2, NULL, NULL);
CREATE TABLE hashed (id INT PRIMARY KEY, b BLOB, c INT, UNIQUE KEY (b)); INSERT INTO hashed VALUES (1, REPEAT('a', 5000), 5), (2, NULL, NULL);
CREATE TABLE versioned (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING; INSERT INTO versioned VALUES (1, 2), (3, 4);
CREATE TABLE long_values (id INT PRIMARY KEY, b LONGBLOB, t TINYTEXT, x TEXT, m MEDIUMTEXT, n TINYBLOB);
INSERT INTO long_values VALUES (1, REPEAT(x'000a095c', 1000000), REPEAT('t', 255), REPEAT('x', 65535), REPEAT('m', 70000), ''), (2, '', '', '', '', NULL);
"#;

/// The scripts that make the databases of the conformance tests of a family, by name; without the one that is about keys.
fn themes(flavor: testkit::Flavor) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut themes = BTreeMap::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let servers = text.lines().next().unwrap().strip_prefix("-- servers:").unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let family = flavor.to_string().to_lowercase();
        if name != "large" && servers.split_whitespace().any(|server| server == family) {
            themes.insert(name.to_owned(), text);
        }
    }
    assert!(themes.len() > 15, "only {} themes", themes.len());
    themes
}

/// The lines of a table as batches hold them, sorted.
async fn bulk_lines(database: &LoggedDatabase, table: &TablePlan) -> Vec<Vec<u8>> {
    let memory = MemoryBudget::new(64 << 20, 2);
    let mut found = Vec::new();
    for chunk in &table.chunks {
        let mut batches = database.source.read(table, chunk, &memory).await.unwrap();
        while let Some(batch) = batches.try_next().await.unwrap() {
            found.extend(split_lines(&batch.data));
        }
    }
    found.sort();
    found
}

fn split_lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.pop();
    lines
}

/// Deletes all rows, so that the log holds each of them, and returns the tables in which that is not possible.
fn delete_rows(database: &LoggedDatabase, plan: &Plan, failures: &mut Vec<String>) -> Vec<u32> {
    let triggers = database.sql("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{db}'");
    for trigger in triggers.lines() {
        database.sql(&format!("DROP TRIGGER `{}`", trigger.replace('`', "``")));
    }
    let mut kept = Vec::new();
    for planned in &plan.tables {
        let name = planned.table.name.replace('`', "``");
        // What is deleted in a MERGE table is logged as its own.
        if planned.table.engine.eq_ignore_ascii_case("MRG_MyISAM") {
            continue;
        }
        // The server computes some generated columns again.
        let modes = "NO_UNSIGNED_SUBTRACTION,ALLOW_INVALID_DATES";
        // Modes of functions of partitions count when the table is opened.
        let delete =
            format!("FLUSH TABLES `{name}`; SET foreign_key_checks = 0, sql_mode = '{modes}'; DELETE FROM `{name}`");
        if let Err(error) = database.server.sql_in(&database.name, &delete) {
            let engine = &planned.table.engine;
            if !READ_ONLY_ENGINES.contains(&engine.as_str()) {
                failures.push(format!("{name} ({engine}): {error}"));
            }
            kept.push(planned.number);
        }
    }
    kept
}

/// Compares the rows of each table; returns the differences and the number of rows that were compared.
async fn compare(database: &LoggedDatabase) -> (Vec<String>, usize) {
    let plan = database.snapshot().await;
    let mut expected = BTreeMap::new();
    for planned in &plan.tables {
        expected.insert(planned.number, bulk_lines(database, planned).await);
    }
    database.source.close().await.unwrap();
    let from = plan.position.log_position().unwrap();
    let (mut differences, mut count) = (Vec::new(), 0);
    let kept = delete_rows(database, &plan, &mut differences);
    let events = match database.changes_after(&plan, &from).await {
        Ok(events) => events,
        Err(error) => {
            differences.push(error.to_string());
            return (differences, 0);
        }
    };
    let mut found: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for event in &events {
        let LogEvent::Rows(rows) = event else { continue };
        let table = plan.tables.iter().find(|planned| planned.number == rows.table).unwrap();
        let image = rows.before.as_ref().unwrap();
        let all: Vec<u32> = (0..).take(table.table.stored_columns().count()).collect();
        if image.columns != all {
            differences.push(format!("{}: columns {:?}", table.table.name, image.columns));
        }
        found.entry(rows.table).or_default().extend(split_lines(&image.text));
    }
    for planned in &plan.tables {
        // Rows of the past cannot be deleted.
        let name = &planned.table.name;
        if kept.contains(&planned.number)
            || planned.table.history
            || planned.chunks.is_empty()
            || name == COMPUTED_AGAIN
        {
            continue;
        }
        let mut logged = found.remove(&planned.number).unwrap_or_default();
        logged.sort();
        let bulk = expected.remove(&planned.number).unwrap_or_default();
        count += bulk.len();
        if logged.len() != bulk.len() {
            differences.push(format!(
                "{}: {} rows in the log, {} in batches",
                planned.table.name,
                logged.len(),
                bulk.len()
            ));
        }
        let first = bulk.iter().zip(&logged).find(|(bulk, logged)| bulk != logged);
        if let Some((bulk, logged)) = first {
            let at = bulk.iter().zip(logged).position(|(a, b)| a != b).unwrap_or(bulk.len().min(logged.len()));
            let shown = |line: &[u8]| line[at.saturating_sub(60)..line.len().min(at + 60)].escape_ascii().to_string();
            differences.push(format!("{}:\n  batch {}\n  log   {}", planned.table.name, shown(bulk), shown(logged)));
        }
    }
    (differences, count)
}

async fn all_rows_are_the_same(flavor: testkit::Flavor) {
    let server = &testkit::pair_of(flavor).source;
    let (mut failures, mut rows) = (Vec::new(), 0);
    let own = match flavor {
        testkit::Flavor::MySql => MYSQL_TYPES,
        testkit::Flavor::MariaDb => MARIADB_TYPES,
    };
    for (name, text) in themes(flavor).into_iter().chain([("types".to_owned(), own.to_owned())]) {
        let database = LoggedDatabase::create(server);
        let other = format!("{}_other", database.name);
        server.sql(&format!("CREATE DATABASE {other}")).unwrap();
        let named = |text: &str| text.replace("{db}", &database.name).replace("{other}", &other);
        for line in text.lines().filter_map(|line| line.strip_prefix("-- elsewhere:")) {
            server.sql_in(&other, &named(line)).unwrap();
        }
        server.sql_in(&database.name, &named(&text)).unwrap();
        let (differences, count) = compare(&database).await;
        rows += count;
        failures.extend(differences.into_iter().map(|difference| format!("== {name}: {difference}")));
        // Its tables may have foreign keys to the other one's.
        drop(database);
        server.sql(&format!("DROP DATABASE {other}")).unwrap();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(rows > 300, "only {rows} rows were compared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_mysql_are_the_same_in_the_log_and_in_batches() {
    all_rows_are_the_same(testkit::Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_mariadb_are_the_same_in_the_log_and_in_batches() {
    all_rows_are_the_same(testkit::Flavor::MariaDb).await;
}
