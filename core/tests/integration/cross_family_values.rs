//! Between MySQL and MariaDB every value that is carried is exact, and what cannot be carried is reported before anything
//! is written.

use crate::common::{FLAVORS, exists, on_sampled_flavors, unique, wait_until};
use dbgraft::{CancellationToken, CloneJob, CloneOptions, FidelityIssue, OnUnsupported, Report, Severity, Verify};
use dbgraft_testkit::{CompareOptions, Database, Flavor, compare_with, pair_of, s3};

/// A source of one family, a target of the other, and names of databases that no other test uses.
struct CrossFamilyPair {
    source: &'static Database,
    target: &'static Database,
    from: String,
    to: String,
}

impl CrossFamilyPair {
    fn new(flavor: Flavor, statements: &str) -> Self {
        let other = if flavor == Flavor::MySql { Flavor::MariaDb } else { Flavor::MySql };
        let (source, target) = (&pair_of(flavor).source, &pair_of(other).target);
        let unique = unique();
        let pair = Self { source, target, from: format!("across_{unique}"), to: format!("arrived_{unique}") };
        source.sql(&format!("CREATE DATABASE {} CHARACTER SET utf8mb4", pair.from)).unwrap();
        source.sql_in(&pair.from, statements).unwrap();
        pair
    }

    fn job(&self, options: CloneOptions) -> CloneJob {
        CloneJob::new(self.source.url_of(&self.from), self.target.url_of(&self.to)).options(options)
    }

    async fn clone(&self, policy: OnUnsupported) -> dbgraft::Result<Report> {
        self.job(CloneOptions { on_unsupported: policy, ..CloneOptions::default() }).run().await
    }

    fn target(&self, sql: &str) -> String {
        self.target.sql_in(&self.to, sql).unwrap().trim_end().to_owned()
    }

    /// Compares all names and all values by the test kit, which shares no code with the engine.
    fn assert_same_values(&self) {
        let options = CompareOptions { definitions: false, programs: false, across: true, ..CompareOptions::default() };
        compare_with(self.source, &self.from, self.target, &self.to, &options)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn assert_nothing_was_written(&self) {
        assert!(!exists(self.target, &self.to));
        assert_eq!(trial_databases(self.target), "");
    }
}

impl Drop for CrossFamilyPair {
    fn drop(&mut self) {
        let _ = self.source.sql(&format!("DROP DATABASE IF EXISTS {}", self.from));
        let _ = self.target.sql(&format!("DROP DATABASE IF EXISTS {}", self.to));
    }
}

/// The trial databases on a server, once those of tests that run at the same time are gone.
fn trial_databases(server: &Database) -> String {
    let sql = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '\\_dbgraft\\_trial%'";
    let mut left = String::new();
    wait_until(|| {
        left = server.sql(sql).unwrap().trim().to_owned();
        left.is_empty()
    });
    left
}

/// `warning table t, column u: uuid -> char(36)`
fn lines(fidelity: &[FidelityIssue], least: Severity) -> Vec<String> {
    let shown = |f: &FidelityIssue| format!("{:?} {}, {}: {} -> {}", f.severity, f.object, f.what, f.source, f.target);
    fidelity.iter().filter(|found| found.severity >= least).map(shown).collect()
}

/// Values that both families have types for.
const SHARED: &str = r#"SET NAMES utf8mb4, sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
    CREATE TABLE numbers (id INT AUTO_INCREMENT PRIMARY KEY, t TINYINT, bu BIGINT UNSIGNED, b BIGINT, z INT(9) UNSIGNED ZEROFILL, d DECIMAL(65,30), b1 BIT(1), b64 BIT(64), y YEAR);
    INSERT INTO numbers VALUES (0, -128, 18446744073709551615, -9223372036854775808, 7, -99999999999999999999999999999999999.999999999999999999999999999999, 1, 18446744073709551615, 0),
      (-5, 127, 0, 9223372036854775807, 0, 0.000000000000000000000000000001, 0, 0x5c0a095c4e00275c, 2155), (9, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE reals (id INT PRIMARY KEY, f FLOAT, d DOUBLE, fs FLOAT(10,3), du DOUBLE UNSIGNED);
    INSERT INTO reals VALUES (1, 0, 0, 0, 0), (2, -0e0, -1, -0e0, 0), (3, 1e-45, 5e-324, 0.001, 5e-324), (4, 3.4028234663852886e38, 1.7976931348623157e308, 9999999, 1e308), (5, 0.1, 0.1, 0.1, 0.1), (6, 16777217, 9007199254740993, 123.456, 1);
    INSERT INTO reals WITH RECURSIVE n AS (SELECT 100 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 600) SELECT n, (RAND(n) - 0.5) * POW(10, n % 75 - 37), (RAND(n + 7) - 0.5) * POW(10, n % 600 - 300), RAND(n), RAND(n) FROM n;
    CREATE TABLE times (id INT PRIMARY KEY, d DATE, t6 TIME(6), dt6 DATETIME(6), ts TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, ts6 TIMESTAMP(6) NULL);
    INSERT INTO times VALUES (1, '0000-00-00', '-838:59:59.000000', '0000-00-00', '1970-01-01 00:00:01', 0), (2, '2024-02-30', '838:59:59', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', '2024-10-27 00:30:00.9'), (3, '2024-00-00', '-00:00:00.000001', '2024-04-31 01:02:03.004', NULL, NULL);
    CREATE TABLE texts (id INT PRIMARY KEY, l VARCHAR(50) CHARACTER SET latin1, j VARCHAR(50) CHARACTER SET sjis, g VARCHAR(50) CHARACTER SET gbk, u16 VARCHAR(50) CHARACTER SET utf16, u32 VARCHAR(50) CHARACTER SET utf32, u3 VARCHAR(50) CHARACTER SET utf8mb3, u4 LONGTEXT, c CHAR(20), a VARCHAR(9) CHARACTER SET ascii COLLATE ascii_bin);
    INSERT INTO texts VALUES (1, 'ÄöÿÞ€', 'ソ表能\\', '誠峰x', '😀a', '😀\t', 'ÿ表', '😀\n\\表\'', 'pad', 'a\\b'), (2, '', '', '', '', '', '', '', '', ''), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (4, '\\N', '\0', '\t', '\n', '\\', 'x  ', REPEAT('😀\t', 70000), ' ', ' e ');
    CREATE TABLE bytes (id INT PRIMARY KEY, b VARBINARY(300), l LONGBLOB, c BINARY(3));
    INSERT INTO bytes WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 255) SELECT n, UNHEX(LPAD(HEX(n), 2, '0')), CONCAT(UNHEX(LPAD(HEX(n), 2, '0')), 'x', UNHEX(LPAD(HEX(n), 2, '0'))), UNHEX(LPAD(HEX(n), 2, '0')) FROM n;
    CREATE TABLE choices (id INT PRIMARY KEY, e ENUM('', 'a', 'ß\'x', '2', '1'), s SET('', 'a', 'b')); INSERT INTO choices VALUES (1, '', ''), (2, 'a', 'a,b'), (3, NULL, NULL), (4, 'ß\'x', 'b'), (5, '2', 1); INSERT IGNORE INTO choices VALUES (6, 'none', 'none');
    CREATE TABLE shapes (id INT PRIMARY KEY, g GEOMETRY, p POINT NOT NULL, c GEOMETRYCOLLECTION, SPATIAL KEY (p)); INSERT INTO shapes VALUES (1, ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0),(5 5,7 5,7 7,5 7,5 5))'), ST_GeomFromText('POINT(9 10)'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,10 10,9 92))')), (2, NULL, ST_GeomFromText('POINT(50.5 10.25)', 4326), NULL);
    CREATE TABLE computed (a INT NOT NULL, b INT INVISIBLE DEFAULT 3, c INT AS (a + 1) VIRTUAL, d VARCHAR(20) AS (CONCAT(a, 'it''s \\')) STORED, KEY (c), CHECK (a < 1000)); INSERT INTO computed (a, b) VALUES (1, 2), (3, NULL);
    CREATE TABLE matched (a VARCHAR(9), CHECK (a REGEXP '^[a-z]+$')); INSERT INTO matched VALUES ('abc');
    CREATE TABLE parents (id INT PRIMARY KEY); CREATE TABLE children (id INT AUTO_INCREMENT PRIMARY KEY, parent INT, note TEXT, KEY (note(20) DESC), FULLTEXT KEY words (note), CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE) AUTO_INCREMENT = 77 COMMENT 'it''s /* a */ "comment" \\';
    INSERT INTO parents VALUES (1), (2); INSERT INTO children (parent, note) VALUES (1, 'one'), (2, 'two'), (NULL, NULL);
    CREATE TABLE pieces (a INT NOT NULL PRIMARY KEY, b VARCHAR(9) NOT NULL DEFAULT 'x') PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE COMMENT = 'rest'); INSERT INTO pieces VALUES (1, 'a'), (20, 'b');
    CREATE TABLE defaults (a INT DEFAULT 7, t VARCHAR(40) DEFAULT (UUID()), d DATE DEFAULT (CURRENT_DATE), n DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3), e INT DEFAULT (1 + 2), x TEXT DEFAULT ('a\'b\\')) ; INSERT INTO defaults VALUES (1, 't', '2024-01-01', '2024-01-01 01:02:03.456', 2, 'x');
    CREATE VIEW shown AS SELECT a, c FROM computed; CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
    CREATE TRIGGER noted BEFORE INSERT ON children FOR EACH ROW SET NEW.note = CONCAT(NEW.note, '!'); CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM pieces WHERE a < 0;"#;

const OF_MYSQL: &str = r#"SET NAMES utf8mb4; CREATE TABLE documents (id INT PRIMARY KEY, j JSON); INSERT INTO documents VALUES (1, '{"a": 9007199254740993, "b": [18446744073709551615, 1.0, 1e300, -0.0, 123456789012345678901234567890]}'), (2, 'null'), (3, NULL), (4, '"\\u0000\\t\\n\\\\ 😀 \\" \'"'), (5, '{"": {"": []}}');
    INSERT INTO documents SELECT 6, CONCAT(REPEAT('[', 60), REPEAT(']', 60));
    CREATE TABLE placed (id INT PRIMARY KEY, p POINT NOT NULL SRID 4326, SPATIAL KEY (p)); INSERT INTO placed VALUES (1, ST_SRID(POINT(10, 50), 4326));
    CREATE TABLE sorted (a VARCHAR(20) COLLATE utf8mb4_0900_as_cs PRIMARY KEY, b VARCHAR(20) COLLATE utf8mb4_0900_bin UNIQUE, c VARCHAR(20) COLLATE utf8mb4_de_pb_0900_ai_ci, d VARCHAR(20) UNIQUE, KEY hidden (c) INVISIBLE); INSERT INTO sorted VALUES ('a', 'a', 'ä', 'a'), ('A', 'a ', 'ae', 'a '), ('á', 'A', 'Ä', 'b'), ('a ', '', '', '');
    CREATE TABLE strict (a INT, k VARCHAR(9) AS (CONCAT(a, 'x')) STORED NOT NULL); INSERT INTO strict (a) VALUES (1); SET sql_generate_invisible_primary_key = 1; CREATE TABLE secret_key (a VARCHAR(5)); INSERT INTO secret_key VALUES ('x'), ('y');"#;

const OF_MARIADB: &str = r#"SET NAMES utf8mb4; CREATE TABLE documents (id INT PRIMARY KEY, j JSON); INSERT INTO documents VALUES (1, '{"a": 9007199254740993, "b":[1.0,-0.0,  123456789012345678901234567890.10], "a": 1}'), (2, 'null'), (3, NULL), (4, '"\\u0000\\t\\\\ 😀"');
    CREATE TABLE squeezed (a INT, b LONGTEXT COMPRESSED, c VARBINARY(500) COMPRESSED); INSERT INTO squeezed VALUES (1, REPEAT('ab\\c\t', 3000), REPEAT(0x00ff, 200)), (2, '', NULL);
    CREATE TABLE sorted (a VARCHAR(20) COLLATE utf8mb4_uca1400_nopad_as_cs PRIMARY KEY, b VARCHAR(20) COLLATE utf8mb4_nopad_bin UNIQUE, c VARCHAR(20) COLLATE utf8mb4_uca1400_german2_nopad_ai_ci, KEY hidden (c) IGNORED); INSERT INTO sorted VALUES ('a', 'a', 'ä'), ('A', 'a ', 'ae'), ('á', 'A', 'Ä'), ('a ', '', '');
    CREATE TABLE counted (a INT PRIMARY KEY, b VARCHAR(9) DEFAULT CONCAT('x', UUID_SHORT() > 0), c TEXT DEFAULT 'it''s', d INT CHECK (d > a)) ENGINE=Aria; INSERT INTO counted VALUES (1, 'b', 'c', 2);
    CREATE TABLE counted_too (a INT, CHECK (a > 0)); CREATE TABLE counted_three (a INT, CHECK (a > 1));"#;

fn all(flavor: Flavor) -> String {
    format!("{SHARED} {}", if flavor == Flavor::MySql { OF_MYSQL } else { OF_MARIADB })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_that_both_families_know_arrives_exactly() {
    for flavor in FLAVORS {
        let pair = CrossFamilyPair::new(flavor, &all(flavor));
        let report = pair.clone(OnUnsupported::Refuse).await.unwrap();
        // What JSON text cannot say is the same within a family.
        let lost = report.fidelity.into_iter().filter(|found| found.object.name != "documents").collect::<Vec<_>>();
        assert_eq!(lines(&lost, Severity::Warning), [""; 0]);
        pair.assert_same_values();
        assert_eq!(pair.target("SELECT twice(4), (SELECT COUNT(*) FROM shown)"), "8\t2");
        assert!(pair.target.sql_in(&pair.to, "INSERT INTO matched VALUES ('1')").is_err());
        pair.target("INSERT INTO children (parent, note) VALUES (1, 'more')");
        assert_eq!(pair.target("SELECT id, note FROM children WHERE id > 79"), "80\tmore!");
    }
}

#[test]
fn every_value_arrives_through_an_archive_too() {
    on_sampled_flavors(async |flavor| {
        let pair = CrossFamilyPair::new(flavor, &all(flavor));
        let at = format!("{}?endpoint={}", s3().url_of(&pair.from), s3().endpoint);
        pair.job(CloneOptions { via: Some(at), ..CloneOptions::default() }).run().await.unwrap();
        pair.assert_same_values();
    });
}

#[test]
fn an_archive_of_one_family_goes_into_the_other() {
    on_sampled_flavors(async |flavor| {
        let pair = CrossFamilyPair::new(flavor, &all(flavor));
        let at = format!("{}?endpoint={}", s3().url_of(&pair.from), s3().endpoint);
        CloneJob::new(pair.source.url_of(&pair.from), at.as_str()).run().await.unwrap();
        CloneJob::new(at.as_str(), pair.target.url_of(&pair.to)).run().await.unwrap();
        pair.assert_same_values();
    });
}

/// Tables that the other family cannot have as they are, one that it can, and one that it cannot have at all.
fn odd(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => {
            "CREATE TABLE plain (a INT PRIMARY KEY) COLLATE utf8mb4_bin; INSERT INTO plain VALUES (1); \
             CREATE TABLE odd (a VARCHAR(20) PRIMARY KEY, v VECTOR(2), b BINARY(16) DEFAULT (UUID_TO_BIN('6ccd780c-baba-1026-9564-5b8c656024db', 1)), KEY lowered ((LOWER(a))), CONSTRAINT lax CHECK (a <> 'x') NOT ENFORCED) COLLATE utf8mb4_bin; \
             INSERT INTO odd VALUES ('x', 0x0000803f00000040, 'b'), ('y', NULL, ''); \
             CREATE TABLE hopeless (a VARCHAR(20) CHARACTER SET gb18030) COLLATE utf8mb4_bin; INSERT INTO hopeless VALUES ('a')"
        }
        Flavor::MariaDb => {
            "SET @@timestamp = 1700000000; CREATE TABLE plain (a INT PRIMARY KEY) COLLATE utf8mb4_bin; INSERT INTO plain VALUES (1); \
             CREATE TABLE odd (a INT PRIMARY KEY, u UUID DEFAULT UUID(), i INET6, j INET4, t TEXT UNIQUE) COLLATE utf8mb4_bin WITH SYSTEM VERSIONING; \
             INSERT INTO odd VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '192.0.2.1', 'x'), (2, NULL, '::ffff:192.0.2.1', NULL, 'y'), (3, NULL, NULL, NULL, 'z'); \
             SET @@timestamp = 1700000001; UPDATE odd SET i = '::1' WHERE a = 2; DELETE FROM odd WHERE a = 3; \
             CREATE TABLE hopeless (a DECIMAL(50,38)) COLLATE utf8mb4_bin; INSERT INTO hopeless VALUES (1)"
        }
    }
}

/// The lines of the report about them.
fn expected_lines(flavor: Flavor) -> Vec<&'static str> {
    match flavor {
        Flavor::MySql => vec![
            "Warning table odd, check lax: ((`a` <> 'x')) NOT ENFORCED, as the target enforces every check -> ",
            "Warning table odd, column v: vector(2) -> varbinary(8)",
            "Warning table odd, default of column b: (uuid_to_bin('6ccd780c-baba-1026-9564-5b8c656024db',1)), as the target does not have uuid_to_bin() -> ",
            "Warning table odd, index lowered: KEY `lowered` ((lower(`a`))), as the target indexes columns only -> ",
        ],
        Flavor::MariaDb => vec![
            "Warning table odd, column i: inet6 -> varchar(39) CHARACTER SET ascii COLLATE ascii_general_ci",
            "Warning table odd, column j: inet4 -> varchar(15) CHARACTER SET ascii COLLATE ascii_general_ci",
            "Warning table odd, column u: uuid -> char(36) CHARACTER SET ascii COLLATE ascii_general_ci",
            "Warning table odd, history: WITH SYSTEM VERSIONING -> the rows as they are now",
            "Warning table odd, index t: UNIQUE KEY `t` (`t`) USING HASH, as the target needs a length for such a key -> ",
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_the_other_family_cannot_have_are_refused_by_name_and_reason() {
    for flavor in FLAVORS {
        let pair = CrossFamilyPair::new(flavor, odd(flavor));
        let overview = pair.job(CloneOptions::default()).plan().await.unwrap();
        let error = pair.clone(OnUnsupported::Refuse).await.unwrap_err().to_string();
        for found in overview.fidelity.iter().filter(|found| found.severity > Severity::Note) {
            assert!(error.contains(&found.what) && error.contains(&found.source), "{error}");
        }
        assert!(error.contains("table odd") && error.contains("table hopeless"), "{error}");
        let mut lines = lines(&overview.fidelity, Severity::Warning);
        lines.retain(|line| !line.contains("hopeless"));
        lines.sort();
        assert_eq!(lines, expected_lines(flavor));
        pair.assert_nothing_was_written();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_leaves_out_tables_that_would_differ() {
    for flavor in FLAVORS {
        let pair = CrossFamilyPair::new(flavor, odd(flavor));
        let report = pair.clone(OnUnsupported::Skip).await.unwrap();
        assert_eq!(pair.target("SHOW TABLES"), "plain");
        let left: Vec<&str> = report.left_out.iter().map(|left| left.object.name.as_str()).collect();
        assert_eq!(left, ["hopeless", "odd"]);
        assert!(report.fidelity.iter().all(|found| found.severity == Severity::Error), "{:?}", report.fidelity);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn degrade_carries_every_value_and_reports_every_change() {
    for flavor in FLAVORS {
        let pair = CrossFamilyPair::new(flavor, odd(flavor));
        let report = pair.clone(OnUnsupported::Degrade).await.unwrap();
        let mut lines = lines(&report.fidelity, Severity::Warning);
        lines.retain(|line| !line.contains("hopeless"));
        lines.sort();
        assert_eq!(lines, expected_lines(flavor));
        pair.source.sql_in(&pair.from, "DROP TABLE hopeless").unwrap();
        pair.assert_same_values();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_the_target_refuses_is_found_by_a_trial_that_leaves_nothing() {
    for flavor in FLAVORS {
        let table = match flavor {
            Flavor::MySql => "CREATE TABLE odd (a INT, c INT AS (a + 1) STORED NOT NULL PRIMARY KEY)",
            Flavor::MariaDb => {
                "CREATE TABLE odd (a INT PRIMARY KEY,  d INT DEFAULT (a + 1)) CHARACTER SET latin1 PARTITION BY LIST (a) (PARTITION p VALUES IN (1), PARTITION q DEFAULT)"
            }
        };
        let pair = CrossFamilyPair::new(flavor, &format!("{table}; CREATE TABLE plain (a INT PRIMARY KEY)"));
        let overview = pair.job(CloneOptions::default()).plan().await.unwrap();
        let lines = lines(&overview.fidelity, Severity::Error);
        assert!(lines.len() == 1 && lines[0].contains("definition: the target does not take it"), "{lines:?}");
        pair.assert_nothing_was_written();
        pair.clone(OnUnsupported::Skip).await.unwrap();
        assert_eq!(pair.target("SHOW TABLES"), "plain");
        assert_eq!(trial_databases(pair.target), "");
    }
}

#[test]
fn a_cancelled_trial_leaves_nothing() {
    on_sampled_flavors(async |flavor| {
        let tables: Vec<String> = (0..300).map(|n| format!("CREATE TABLE t{n} (a INT PRIMARY KEY)")).collect();
        let pair = CrossFamilyPair::new(flavor, &tables.join("; "));
        let token = CancellationToken::new();
        let planned = tokio::spawn(pair.job(CloneOptions::default()).cancellation(token.clone()).plan());
        let begun = || !pair.target.sql("SHOW DATABASES LIKE '\\_dbgraft\\_trial%'").unwrap().is_empty();
        assert!(wait_until(begun));
        token.cancel();
        assert!(planned.await.unwrap().is_err());
        pair.assert_nothing_was_written();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_the_other_family_cannot_read_is_reported_and_the_rest_stands() {
    for flavor in FLAVORS {
        let odd = match flavor {
            Flavor::MySql => {
                "CREATE VIEW odd AS SELECT JSON_STORAGE_SIZE('{}') AS a FROM t; CREATE FUNCTION odd_function(a INT) RETURNS INT DETERMINISTIC RETURN (SELECT n FROM LATERAL (SELECT a AS n) AS l)"
            }
            Flavor::MariaDb => {
                "CREATE VIEW odd AS SELECT SFORMAT('{}', a) AS a FROM t; CREATE PROCEDURE odd_too() EXECUTE IMMEDIATE 'SELECT 1'"
            }
        };
        let pair = CrossFamilyPair::new(
            flavor,
            &format!(
                "CREATE TABLE t (a INT); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT a FROM t; CREATE PROCEDURE p() SELECT 1; {odd}"
            ),
        );
        let report = pair.clone(OnUnsupported::Refuse).await.unwrap();
        let missing = report.fidelity.iter().filter(|found| found.severity == Severity::Error);
        let mut missing: Vec<&str> = missing.map(|found| found.object.name.as_str()).collect();
        missing.sort_unstable();
        assert_eq!(missing, ["odd", if flavor == Flavor::MySql { "odd_function" } else { "odd_too" }]);
        assert_eq!(pair.target("SELECT a FROM v; CALL p()"), "1\n1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sign_of_zero_is_reported() {
    let pair = CrossFamilyPair::new(
        Flavor::MySql,
        "CREATE TABLE t (f FLOAT, d DOUBLE); INSERT INTO t VALUES (-0e0, 1), (0, -0e0)",
    );
    let options = CloneOptions { verify: Verify::Checksum, ..CloneOptions::default() };
    let report = pair.job(options).run().await.unwrap();
    assert_eq!(report.verified.unwrap().differences, []);
    let lines = lines(&report.fidelity, Severity::Warning);
    assert_eq!(lines, ["Warning table t, column d: -0 in 1 rows -> 0, as MariaDB has no other in a DOUBLE"]);
    assert_eq!(pair.target("SELECT ATAN2(f, -1) < 0 FROM t ORDER BY d"), "0\n1");
}
