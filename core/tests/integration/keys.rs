//! Keys arrive as they were, built at once or after the rows.

use crate::common::{Bench, FLAVORS, unique};
use dbgraft::{CloneJob, CloneOptions};
use dbgraft_testkit::{CompareOptions, Flavor, ServerOptions, compare_with};

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind() {
    for flavor in FLAVORS {
        let other = format!("other_{}", unique());
        let bench = Bench::names(flavor);
        for server in [&bench.pair.source, &bench.pair.target] {
            server.sql(&format!("CREATE DATABASE {other}; CREATE TABLE {other}.p (id INT PRIMARY KEY); INSERT INTO {other}.p VALUES (1)")).unwrap();
        }
        bench.pair.source.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
        bench.source(&format!(
            "SET foreign_key_checks = 0; \
             CREATE TABLE a (id INT PRIMARY KEY, b INT, CONSTRAINT to_b FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE ON UPDATE SET NULL); \
             CREATE TABLE b (id INT PRIMARY KEY, a INT, self INT, o INT, FOREIGN KEY (a) REFERENCES a (id), FOREIGN KEY (self) REFERENCES b (id) ON DELETE NO ACTION, FOREIGN KEY (o) REFERENCES {other}.p (id)); \
             INSERT INTO a VALUES (1, 2), (2, 1); INSERT INTO b VALUES (1, 2, 2, 1), (2, 1, 1, NULL); \
             CREATE TABLE texts (id INT PRIMARY KEY, a TEXT, b VARCHAR(200), FULLTEXT one (a), FULLTEXT two (a, b), UNIQUE u (b(10)), KEY d (b DESC, id)); INSERT INTO texts VALUES (1, 'hello world', 'some text'), (2, NULL, NULL); \
             CREATE TABLE maps (id INT PRIMARY KEY, g GEOMETRY NOT NULL, SPATIAL KEY s (g)); INSERT INTO maps VALUES (1, POINT(1, 2)); \
             CREATE TABLE counted (a INT, n INT AUTO_INCREMENT, KEY (n), UNIQUE KEY (a, n)) AUTO_INCREMENT = 500; INSERT INTO counted (a) VALUES (1), (1); \
             CREATE TABLE made (a INT, v INT AS (a + 1) VIRTUAL, s VARCHAR(20) AS (CONCAT(a, 'ß')) STORED, KEY (v), KEY (s), CHECK (a > 0), CONSTRAINT named CHECK (v < 100)); INSERT INTO made (a) VALUES (5); \
             CREATE TABLE parts (id INT, d DATE, PRIMARY KEY (id, d)) PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE); INSERT INTO parts VALUES (1, '1999-01-01'), (1, '2020-01-01'); \
             CREATE TABLE lists (id INT, t VARCHAR(5)) PARTITION BY LIST COLUMNS (t) (PARTITION `p a` VALUES IN ('a', 'b,)'), PARTITION `p,b` VALUES IN ('c')); INSERT INTO lists VALUES (1, 'a'), (2, 'c'); \
             CREATE TABLE defaults (id INT PRIMARY KEY, a VARCHAR(20) DEFAULT 'it''s \\\\ \"x\"' COMMENT 'c''s \\\\ ;', b TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), c VARCHAR(40) DEFAULT (CONCAT('a', 'ß')), d BIT(4) DEFAULT b'101') COMMENT = 'FOREIGN KEY (x)' ROW_FORMAT = DYNAMIC; INSERT INTO defaults (id) VALUES (1)"
        ));
        if flavor == Flavor::MySql {
            bench.source("CREATE TABLE functional (j JSON, a VARCHAR(9), KEY f ((CAST(j->>'$.a' AS UNSIGNED))), KEY i (a) INVISIBLE, KEY m ((CAST(j->'$.z' AS UNSIGNED ARRAY)))); INSERT INTO functional (j) VALUES ('{\"a\": 1}')");
        }
        bench.clone(CloneOptions::default()).await.unwrap();
        let options = CompareOptions { auto_increment: true, ..CompareOptions::default() };
        let compared = compare_with(&bench.pair.source, &bench.from, &bench.pair.target, &bench.to, &options);
        let enforced = bench.pair.target.sql_in(&bench.to, "INSERT INTO b VALUES (9, 99, NULL, NULL)");
        for (server, name) in [(&bench.pair.source, &bench.from), (&bench.pair.target, &bench.to)] {
            server.sql(&format!("DROP DATABASE {name}; DROP DATABASE {other}")).unwrap();
        }
        compared.unwrap();
        assert!(enforced.is_err());
    }
}

/// Enough rows for keys that are built after the rows.
const HEAVY: &str = "INSERT INTO heavy (filling) WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 40) \
     SELECT REPEAT(CHAR(64 + n), 100000) FROM n; ANALYZE TABLE heavy;";

const MYSQL: &str = "SET restrict_fk_on_non_standard_key = OFF; CREATE TABLE heavy (id INT AUTO_INCREMENT PRIMARY KEY, filling LONGTEXT NOT NULL, a VARCHAR(20) DEFAULT 'x', m INT DEFAULT 4, j JSON DEFAULT ('{\"z\": [1, 2]}'), \
     g POINT NOT NULL SRID 4326 DEFAULT (ST_SRID(POINT(1, 2), 4326)), v INT AS (m * 2) VIRTUAL, s VARCHAR(30) AS (CONCAT(HEX(LEFT(filling, 3)), a)) STORED, parent INT, \
     UNIQUE KEY `u``q` (s), KEY prefix (filling(20) DESC, id), KEY virtual_ (v), KEY functional ((m + 1), (UPPER(a))), KEY many ((CAST(j->'$.z' AS UNSIGNED ARRAY))), \
     KEY hidden (a) INVISIBLE COMMENT 'it''s \\\\ (`)', SPATIAL KEY place (g), FULLTEXT one (filling), FULLTEXT two (a) WITH PARSER ngram, FULLTEXT three (filling, a) COMMENT '/* */', \
     KEY size_ (m, a) KEY_BLOCK_SIZE = 4, CONSTRAINT `se``lf` FOREIGN KEY (parent) REFERENCES heavy (id) ON DELETE SET NULL,     CONSTRAINT twice FOREIGN KEY (parent) REFERENCES heavy (m), CONSTRAINT positive CHECK (m > 0)) AUTO_INCREMENT = 7;";

const MARIADB: &str = "CREATE TABLE heavy (id INT AUTO_INCREMENT PRIMARY KEY, filling LONGTEXT NOT NULL, a VARCHAR(20) DEFAULT 'x', m INT DEFAULT 4, \
     g POINT NOT NULL DEFAULT (POINT(1, 2)), v INT AS (m * 2) VIRTUAL, s VARCHAR(30) AS (CONCAT(HEX(LEFT(filling, 3)), a)) STORED, parent INT, long_ TEXT DEFAULT UUID(), \
     UNIQUE KEY `u``q` (s), KEY prefix (filling(20) DESC, id), KEY virtual_ (v), KEY hidden (a) IGNORED COMMENT 'it''s \\\\ (`)', SPATIAL KEY place (g), \
     FULLTEXT one (filling), FULLTEXT two (a), FULLTEXT three (filling, a) COMMENT '/* */', KEY size_ (m, a) KEY_BLOCK_SIZE = 4, UNIQUE KEY whole (long_), \
     CONSTRAINT `se``lf` FOREIGN KEY (parent) REFERENCES heavy (id) ON DELETE SET NULL,     CONSTRAINT twice FOREIGN KEY (parent) REFERENCES heavy (m), CONSTRAINT positive CHECK (m > 0)) AUTO_INCREMENT = 7;";

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_built_after_the_rows_are_as_they_were() {
    for flavor in FLAVORS {
        let table = if flavor == Flavor::MySql { MYSQL } else { MARIADB };
        let bench = Bench::new(flavor, &format!("{table} {HEAVY}"));
        let counted = bench.source("SELECT DATA_LENGTH > 1048576 FROM information_schema.TABLES WHERE TABLE_NAME = 'heavy' AND TABLE_SCHEMA = DATABASE()");
        assert_eq!(counted, "1", "the table is not heavy enough for what this test is about");
        bench.clone(CloneOptions::default()).await.unwrap();
        let options = CompareOptions { auto_increment: true, ..CompareOptions::default() };
        compare_with(&bench.pair.source, &bench.from, &bench.pair.target, &bench.to, &options).unwrap();
    }
}

/// As many threads as the clone may use, where no other table waits for its keys.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_keys_are_built_by_all_threads() {
    let table = "CREATE TABLE heavy (id INT AUTO_INCREMENT PRIMARY KEY, filling LONGTEXT, KEY (filling(20)));";
    let bench = Bench::new(Flavor::MySql, &format!("{table} {HEAVY}"));
    let server = ServerOptions::new(Flavor::MySql).start().unwrap();
    server.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON").unwrap();
    let options = CloneOptions { threads: 6, ..CloneOptions::default() };
    CloneJob::new(bench.source_url(), server.url_of("d")).options(options).run().await.unwrap();
    let asked =
        "SELECT CAST(argument AS CHAR) FROM mysql.general_log WHERE argument LIKE 'SET SESSION innodb_ddl_threads%'";
    assert!(server.sql(asked).unwrap().contains("GREATEST(6, @@GLOBAL.innodb_ddl_threads)"));
}

/// ARCHIVE refuses a row whose number is below that of the last one.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_table_with_a_counter_arrives_in_many_batches() {
    let bench = Bench::new(
        Flavor::MySql,
        "CREATE TABLE seed (n INT PRIMARY KEY); INSERT INTO seed VALUES (0); \
         CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200)) ENGINE = ARCHIVE",
    );
    for _ in 0..15 {
        bench.source("SET @m = (SELECT MAX(n) + 1 FROM seed); INSERT INTO seed SELECT n + @m FROM seed");
    }
    bench.source("INSERT INTO a (s) SELECT REPEAT('x', 150) FROM seed; INSERT INTO a VALUES (100000, 'last')");
    let options = CloneOptions { threads: 4, memory: 8 << 20, ..CloneOptions::default() };
    bench.clone(options).await.unwrap();
    bench.assert_equal();
    bench.target("INSERT INTO a (s) VALUES ('next')");
    assert_eq!(bench.target("SELECT MAX(id) FROM a"), "100001");
}
