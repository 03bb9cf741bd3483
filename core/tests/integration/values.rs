//! Every value of every type arrives bit for bit.

use crate::common::{Bench, FLAVORS, exists, sampled_flavors};
use dbgraft::{CloneJob, CloneOptions};
use dbgraft_testkit::{Flavor, MariaDb, MySql, Server, compare};

/// Every byte, and the orders of bytes that a text format could take for its own.
const BYTES: &str = "SET NAMES utf8mb4, sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'; \
     CREATE TABLE every_byte (id INT PRIMARY KEY, b VARBINARY(300), l LONGBLOB, t TEXT CHARACTER SET latin1, c BINARY(3)); \
     INSERT INTO every_byte WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 255) \
       SELECT n, UNHEX(LPAD(HEX(n), 2, '0')), CONCAT(UNHEX(LPAD(HEX(n), 2, '0')), 'x', UNHEX(LPAD(HEX(n), 2, '0'))), \
       CONVERT(UNHEX(LPAD(HEX(n), 2, '0')) USING latin1), UNHEX(LPAD(HEX(n), 2, '0')) FROM n; \
     INSERT INTO every_byte VALUES (300, '\\\\N', 'NULL', '\\\\N', ''), (301, NULL, NULL, NULL, NULL), (302, '', '', '', 0x000000), \
       (303, '\\\\\\\\N', '\\\\', '\\\\t', 0x5c4e0a), (304, '\\t\\n\\r\\0', 'a\\'b\\\"c`d', 'tab\\there', 0x0d0a09), \
       (305, '\\n', '\\n\\n', '\\t\\t', 0x202020), (306, ' lead', 'trail ', ' both ', 0x00ff00), (307, '\\\\.', '\\\\0', '\\\\\\n', 0x5c5c5c);";

const NUMBERS: &str = "CREATE TABLE numbers (t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, su SMALLINT UNSIGNED, m MEDIUMINT, \
       mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED, b BIGINT, bu BIGINT UNSIGNED, z INT(9) UNSIGNED ZEROFILL, \
       o BOOL, y YEAR, d DECIMAL(65,30), du DECIMAL(20,0) UNSIGNED, s1 BIT(1), s64 BIT(64), s13 BIT(13)); \
     INSERT INTO numbers VALUES \
       (-128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615, \
        7, 1, 0, -99999999999999999999999999999999999.999999999999999999999999999999, 99999999999999999999, 1, 18446744073709551615, 8191), \
       (127, 0, 32767, 0, 8388607, 0, 2147483647, 0, 9223372036854775807, 0, 0, 0, 1901, \
        0.000000000000000000000000000001, 0, 0, 0, 0), \
       (0, 10, -1, 13, -1, 9, 0, 92, -1, 9, 123456789, 1, 2155, -0.5, 1, b'1', 0x5c0a095c4e00275c, 92), \
       (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL); \
     CREATE TABLE zero_key (id INT AUTO_INCREMENT PRIMARY KEY, a INT); INSERT INTO zero_key VALUES (0, 1), (-5, 2), (9, 3); \
     CREATE TABLE reals (id INT PRIMARY KEY, f FLOAT, d DOUBLE, fs FLOAT(10,3), ds DOUBLE(20,4)); \
     INSERT INTO reals VALUES (1, 0, 0, 0, 0), (2, -0e0, -0e0, -0e0, -0e0), (3, 1e-45, 5e-324, 0.001, 0.0001), \
       (4, 1.17549435e-38, 2.2250738585072014e-308, 1, 1), (5, 3.4028234663852886e38, 1.7976931348623157e308, 9999999, 999999999999999), \
       (6, -3.4028234663852886e38, -1.7976931348623157e308, -1.5, -1.5), (7, 0.1, 0.1, 0.1, 0.1), (8, 16777217, 9007199254740993, 123.456, 123.4567), \
       (9, 1/3, 1/3, 1/3, 1/3), (10, 1.1754942e-38, 2.225073858507201e-308, 2, 2), (11, 123456.789, 1e15, 1e6, 1e14), (12, 1e20, 1e22, 5, 5), \
       (13, 8388608.5, 4503599627370497.5, 7, 7), (14, NULL, NULL, NULL, NULL), (15, 1e13, 1e13, 9999999.999, 9999999999999999.9999), (16, -1e13, -1e13, -9999999.999, -9999999999999999.9999); \
     INSERT INTO reals WITH RECURSIVE n AS (SELECT 100 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) \
       SELECT n, (RAND(n) - 0.5) * POW(10, n % 75 - 37), (RAND(n + 7) - 0.5) * POW(10, n % 600 - 300), RAND(n), RAND(n) FROM n;";

const TIMES: &str = "CREATE TABLE times (id INT AUTO_INCREMENT PRIMARY KEY, d DATE, t TIME, t6 TIME(6), dt DATETIME, dt6 DATETIME(6), \
       ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, dt3 DATETIME(3)); \
     SET time_zone = '+00:00'; INSERT INTO times (d, t, t6, dt, dt6, ts, ts6, dt3) VALUES \
       ('0000-00-00', '-838:59:59', '-838:59:59.000000', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00', 0, '2024-00-00 00:00:00'), \
       ('2024-02-30', '838:59:59', '838:59:59.000000', '2024-02-31 23:59:59', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999', '2024-04-31 01:02:03.004'), \
       ('2024-00-00', '00:00:00', '-00:00:00.000001', '2024-02-29 00:00:00', '1000-01-01 00:00:00.000001', '2038-01-19 03:14:07', '1970-01-01 00:00:01.000001', '0001-01-01'), \
       ('9999-12-31', '-00:00:01', '-100:00:00.5', '0001-01-01 00:00:00', '2024-03-31 02:30:00.1', '2024-03-31 01:30:00', '2024-10-27 00:30:00.9', '2024-03-31 02:30:00'), \
       ('0001-01-01', '24:00:00', '23:59:59.999999', '2024-01-01 00:00:01', '2024-01-01', '2000-01-01', '2024-10-27 01:30:00.1', NULL), \
       (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);";

const TEXTS: &str = "CREATE TABLE texts (id INT PRIMARY KEY, l VARCHAR(50) CHARACTER SET latin1, j VARCHAR(50) CHARACTER SET sjis, g VARCHAR(50) CHARACTER SET gbk, \
       u16 VARCHAR(50) CHARACTER SET utf16, u32 VARCHAR(50) CHARACTER SET utf32, u3 VARCHAR(50) CHARACTER SET utf8mb3, u4 TEXT CHARACTER SET utf8mb4, \
       u2 VARCHAR(50) CHARACTER SET ucs2, b5 CHAR(10) CHARACTER SET big5, c CHAR(20) CHARACTER SET utf8mb4, ul CHAR(5) CHARACTER SET utf16le, a VARCHAR(9) CHARACTER SET ascii, ci VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin); \
     INSERT INTO texts VALUES (1, 'ÄöÿÞ€', 'ソ表能\\\\', '誠峰x', '😀a', '😀\\t', 'ÿ表', '😀\\n\\\\表\\'', '表a', '功許蓋', 'pad', 'ab', 'a\\\\b', 'ẞ'), \
       (2, '', '', '', '', '', '', '', '', '', '', '', '', ''), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
       (4, '\\\\', '\\\\', '\\\\', '\\\\', '\\\\', '\\\\', '\\\\', '\\\\', '\\\\', '\\\\', '\\\\', '\\\\N', '\\\\N'), \
       (5, '\\0', '\\n', '\\t', '\\n\\t', '\\\\N', '\\0', CONCAT('a', CHAR(0), 'b'), '\\t', '\\n', '\\t', '\\n', '\\'', '\"'), \
       (6, 'x  ', 'y ', ' z', ' ', '  ', ' ', ' ', ' ', 'b', 'c', 'd', ' e ', ' ');";

fn members(kind: &str) -> String {
    let names: Vec<String> = (1..=64).map(|n| format!("'m{n}'")).collect();
    format!("{kind}({})", names.join(","))
}

fn choices() -> String {
    format!(
        "CREATE TABLE choices (id INT PRIMARY KEY, e ENUM('', 'a', 'ß\\'x', '2', '1') CHARACTER SET latin1, n ENUM('x') NOT NULL, s SET('', 'a', 'b'), s64 {}); \
         INSERT INTO choices VALUES (1, '', 'x', '', 'm1,m64'), (2, 'a', 'x', 'a,b', ''), (3, NULL, 'x', NULL, NULL), (4, 'ß\\'x', 'x', 'b', 'm63'), (5, '2', 'x', 1, 18446744073709551615), (6, '1', 'x', 3, 9223372036854775808); \
         INSERT IGNORE INTO choices VALUES (10, 'none', 'none', 'none', 'none'), (11, 0, '', 4, 0), (12, 'none', 'x', 'a', 'm2'); \
         CREATE TABLE only_wrong (e ENUM('a')); INSERT IGNORE INTO only_wrong SELECT 'z' FROM every_byte;",
        members("SET")
    )
}

const SHAPES: &str = "CREATE TABLE shapes (id INT PRIMARY KEY, g GEOMETRY, p POINT, c GEOMETRYCOLLECTION, l LINESTRING); \
     INSERT INTO shapes VALUES (1, ST_GeomFromText('POINT(1 -2)'), ST_GeomFromText('POINT(9 10)', 0), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,10 10,9 92))'), ST_GeomFromText('LINESTRING(0 0,1.5 -0)')), \
       (2, ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0),(5 5,7 5,7 7,5 7,5 5))', 4326), ST_GeomFromText('POINT(0.1 1e-300)', 3857), NULL, NULL), (3, NULL, NULL, NULL, NULL);";

const MYSQL: &str = r#"CREATE TABLE documents (id INT PRIMARY KEY, j JSON); INSERT INTO documents VALUES (1, '{"a": 9007199254740993, "b": [18446744073709551615, -9223372036854775808, 1.0, 1e300, 5e-324, 0.1, -0.0, 123456789012345678901234567890]}'),
       (2, 'null'), (3, NULL), (4, '"\\u0000\\t\\n\\\\ 😀 \\" \'"'), (5, '[]'), (6, '{}'), (7, 'true'), (8, '{"": {"": []}}'), (9, '"\\\\N"'), (10, '1.7976931348623157e308'), (11, '[1.5, 1, 100.0, 0.30000000000000004]'), (12, '3.0e0');
     CREATE TABLE placed (id INT PRIMARY KEY, p POINT NOT NULL SRID 4326, SPATIAL KEY (p)); INSERT INTO placed VALUES (1, ST_SRID(POINT(10, 50), 4326)), (2, ST_SRID(POINT(-180, -90), 4326));
     CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(4)); INSERT INTO vectors VALUES (1, TO_VECTOR('[1.5,-0.0,0.0000001,3.4e38]')), (2, NULL), (3, 0x5c4e0a095c5c0a0a00000000270d0a1a);
     CREATE TABLE hidden (a INT, b INT INVISIBLE DEFAULT 3, c INT AS (a + 1) VIRTUAL, d INT AS (a * 2) STORED INVISIBLE); INSERT INTO hidden (a, b) VALUES (1, 2), (3, NULL);
     SET sql_generate_invisible_primary_key = 1; CREATE TABLE secret_key (a VARCHAR(5)); INSERT INTO secret_key VALUES ('x'), ('y'); DELETE FROM secret_key WHERE a = 'x'; INSERT INTO secret_key VALUES ('z');"#;

const MARIADB: &str = r#"CREATE TABLE documents (id INT PRIMARY KEY, j JSON); INSERT INTO documents VALUES (1, '{"a": 9007199254740993, "b":[1.0,1e400,-0.0,  123456789012345678901234567890.10]}'), (2, 'null'), (3, NULL), (4, '"\\u0000\\t\\\\ 😀"');
     CREATE TABLE addresses (id INT PRIMARY KEY, u UUID, i6 INET6, i4 INET4); INSERT INTO addresses VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '192.0.2.1'), (2, '00000000-0000-0000-0000-000000000000', '::', '0.0.0.0'), (3, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '::ffff:192.0.2.1', '255.255.255.255'), (4, NULL, NULL, NULL), (5, '5c4e0a09-5c5c-1a0a-8000-27220d0a1a00', '5c4e:a09::5c', '92.78.10.9');
     CREATE TABLE hidden (a INT, b INT INVISIBLE DEFAULT 3, c INT AS (a + 1) VIRTUAL, d INT AS (a * 2) STORED); INSERT INTO hidden (a, b) VALUES (1, 2), (3, NULL);
     CREATE TABLE squeezed (a INT, b LONGTEXT COMPRESSED, c VARBINARY(500) COMPRESSED); INSERT INTO squeezed VALUES (1, REPEAT('ab\\c\t', 3000), REPEAT(0x00ff, 200)), (2, '', NULL);"#;

fn all(flavor: Flavor) -> String {
    let own = if flavor == Flavor::MySql { MYSQL } else { MARIADB };
    let shapes = if flavor == Flavor::MySql {
        SHAPES.replace(
            "ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0),(5 5,7 5,7 7,5 7,5 5))', 4326)",
            "ST_GeomFromText('POINT(50.5 10.25)', 4326)",
        )
    } else {
        SHAPES.to_owned()
    };
    [BYTES, NUMBERS, TIMES, TEXTS, &choices(), &shapes, own].join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_at_its_limits_directly() {
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, &all(flavor));
        bench.clone(CloneOptions::default()).await.unwrap();
        bench.assert_equal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_at_its_limits_through_s3() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, &all(flavor));
        let options =
            CloneOptions { via: Some(bench.s3(&format!("values-{}", bench.from))), ..CloneOptions::default() };
        bench.clone(options).await.unwrap();
        bench.assert_equal();
    }
}

fn without_local_infile(flavor: Flavor) -> Server {
    let arg = "--local-infile=0";
    match flavor {
        Flavor::MySql => MySql::options().arg(arg).start().unwrap(),
        Flavor::MariaDb => MariaDb::options().arg(arg).start().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_at_its_limits_by_insert_where_the_target_takes_no_files() {
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, &all(flavor));
        let target = without_local_infile(flavor);
        let report = CloneJob::new(bench.source_url(), target.url_of(&bench.to)).run().await.unwrap();
        compare(&bench.pair.source, &bench.from, &target, &bench.to).unwrap();
        let said = report.warnings.iter().filter(|warning| warning.contains("local_infile")).count();
        assert_eq!(said, 1, "{:?}", report.warnings);
    }
}

/// The server would close the connection in the middle of the statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_larger_than_a_packet_is_reported_where_the_target_takes_no_files() {
    for flavor in FLAVORS {
        let sql = "CREATE TABLE t (a LONGTEXT); INSERT INTO t VALUES (REPEAT('x', 3000000))";
        let bench = Bench::new(flavor, sql);
        let target = without_local_infile(flavor);
        target.sql("SET GLOBAL max_allowed_packet = 2097152").unwrap();
        let error = CloneJob::new(bench.source_url(), target.url_of(&bench.to)).run().await.unwrap_err().to_string();
        assert!(error.contains("max_allowed_packet is 2097152"), "{error}");
    }
}

/// What a server's administrator may have set, and what would change values, texts or their number.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_servers_change_no_value() {
    for flavor in FLAVORS {
        let args = [
            "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE,STRICT_TRANS_TABLES",
            "--character-set-server=latin1",
            "--default-time-zone=+05:30",
            "--autocommit=0",
            "--init-connect=SET sql_mode = 'ANSI', @a = 1, character_set_results = 'ucs2', time_zone = '-03:00'",
        ];
        let start = || match flavor {
            Flavor::MySql => args
                .iter()
                .take(if flavor == Flavor::MySql { 4 } else { 5 })
                .fold(MySql::options(), |o, arg| o.arg(*arg))
                .start()
                .unwrap(),
            Flavor::MariaDb => args.iter().fold(MariaDb::options(), |o, arg| o.arg(*arg)).start().unwrap(),
        };
        let (source, target) = (start(), start());
        if flavor == Flavor::MySql {
            source.sql("SET GLOBAL show_gipk_in_create_table_and_information_schema = 0").unwrap();
        }
        for server in [&source, &target] {
            server.sql("SET GLOBAL sql_select_limit = 2; SET GLOBAL sql_quote_show_create = 0; SET GLOBAL sql_safe_updates = 1; SET GLOBAL max_sort_length = 64").unwrap();
        }
        let wide = "SET sql_safe_updates = 0; SET sql_select_limit = 18446744073709551615; SET sql_mode = ''; SET sql_quote_show_create = 1; SET autocommit = 1;";
        source.sql("CREATE DATABASE d CHARACTER SET utf8mb4").unwrap();
        source.sql_in("d", &format!("{wide} {}", all(flavor))).unwrap();
        source.sql_in("d", &format!("{wide} CREATE TABLE `select` (`order` INT, `a b` INT DEFAULT 5, KEY `group` (`order`)); INSERT INTO `select` (`order`) SELECT id FROM every_byte; CREATE VIEW `view` AS SELECT `a b` FROM `select`; CREATE PROCEDURE `call`() SELECT 'a\\'b'; CREATE TRIGGER `t` BEFORE INSERT ON `select` FOR EACH ROW SET NEW.`a b` = 1")).unwrap();
        let rows = CloneJob::new(source.url_of("d"), target.url_of("d")).run().await.unwrap().rows;
        assert!(rows > 1000, "{rows}");
        for server in [&source, &target] {
            server.sql("SET GLOBAL sql_select_limit = DEFAULT; SET GLOBAL sql_select_limit = 18446744073709551615; SET GLOBAL sql_quote_show_create = 1; SET GLOBAL sql_mode = ''; SET GLOBAL init_connect = ''; SET GLOBAL autocommit = 1").unwrap();
        }
        if flavor == Flavor::MySql {
            source.sql("SET GLOBAL show_gipk_in_create_table_and_information_schema = 1").unwrap();
        }
        compare(&source, "d", &target, "d").unwrap();
        assert!(exists(&target, "d"));
    }
}

/// What JSON text cannot say is said in the report.
#[tokio::test(flavor = "multi_thread")]
async fn sql_types_hidden_in_json_are_reported_by_column() {
    let bench = Bench::new(
        Flavor::MySql,
        "CREATE TABLE plain (j JSON); INSERT INTO plain VALUES ('{\"a\": [1.5, 1e300, \"2024-01-01\", -1, 18446744073709551615, {\"b\": null}]}'), (NULL), ('true'); \
         CREATE TABLE hidden (id INT PRIMARY KEY, j JSON, `k``x` JSON, clean JSON); \
         INSERT INTO hidden VALUES (1, CAST(1.50 AS JSON), JSON_OBJECT('a', JSON_ARRAY(JSON_ARRAY(DATE'2024-01-01'))), '[1]'), \
           (2, JSON_ARRAY(JSON_ARRAY(x'00ff')), '1', NULL), (3, JSON_OBJECT('n', CAST(5 AS UNSIGNED)), NULL, '[]'), (4, '{}', '\"base64:type15:AP8=\"', '1.50')",
    );
    for via in [None, Some(bench.s3(&format!("hidden-{}", bench.from)))] {
        let options = CloneOptions { via, recreate_database: true, ..CloneOptions::default() };
        let report = bench.clone(options).await.unwrap();
        let found: Vec<_> =
            report.fidelity.iter().map(|f| (f.object.name.as_str(), f.what.as_str(), f.source.as_str())).collect();
        let of = |count: u8| format!("SQL types (DECIMAL, DATE, BLOB, ...) inside {count} JSON values");
        assert_eq!(found, [("hidden", "column j", of(3).as_str()), ("hidden", "column k`x", of(1).as_str())]);
    }
}
