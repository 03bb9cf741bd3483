//! Each theme of `conformance/`, cloned into the other family: everything arrives as it was, or the report lists it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{FLAVORS, quoted, unique};
use dbgraft::{CloneJob, CloneOptions, FidelityIssue, OnUnsupported, Report, Severity};
use dbgraft_testkit::{CompareOptions, Database, Flavor, compare_with, dump, pair_of};
use futures::{StreamExt, stream};

/// A source of one family and a target of the other.
struct CrossFamilyPair {
    source: &'static Database,
    target: &'static Database,
    from: String,
    to: String,
    /// Another database that both servers have.
    other: String,
}

impl CrossFamilyPair {
    fn new(from: Flavor) -> Self {
        let other = if from == Flavor::MySql { Flavor::MariaDb } else { Flavor::MySql };
        let unique = unique();
        let [from_name, to, elsewhere] = ["over", "there", "beside"].map(|name| format!("{name}_{unique}"));
        let pair = Self {
            source: &pair_of(from).source,
            target: &pair_of(other).target,
            from: from_name,
            to,
            other: elsewhere,
        };
        pair.source.sql(&format!("CREATE DATABASE {}", pair.from)).unwrap();
        for server in [pair.source, pair.target] {
            server.sql(&format!("CREATE DATABASE {}", pair.other)).unwrap();
        }
        pair
    }

    fn named(&self, text: &str, database: &str) -> String {
        text.replace("{db}", database).replace("{other}", &self.other)
    }

    async fn clone(&self, policy: OnUnsupported) -> dbgraft::Result<Report> {
        let options = CloneOptions { on_unsupported: policy, ..CloneOptions::default() };
        CloneJob::new(self.source.url_of(&self.from), self.target.url_of(&self.to)).options(options).run().await
    }

    /// The names of all that is in a database.
    fn objects(server: &Database, database: &str) -> BTreeSet<String> {
        let options = CompareOptions { rows: false, definitions: false, ..CompareOptions::default() };
        let dump = dump(server, database, &options).unwrap();
        let kinds = ["table ", "view ", "trigger ", "function ", "procedure ", "event "];
        dump.objects().filter(|name| kinds.iter().any(|kind| name.starts_with(kind))).map(str::to_owned).collect()
    }

    /// Fails unless everything is at the target exactly, apart from what the report lists.
    fn check(&self, report: &Report) -> Result<(), String> {
        let (at_source, at_target) = (Self::objects(self.source, &self.from), Self::objects(self.target, &self.to));
        if let Some(extra) = at_target.difference(&at_source).next() {
            return Err(format!("{extra} is only at the target"));
        }
        let is_listed = |name: &str| {
            report
                .fidelity
                .iter()
                .any(|f| f.severity == Severity::Error && name.ends_with(&format!(" {}", f.object.name)))
        };
        let lost: Vec<_> = at_source.difference(&at_target).filter(|name| !is_listed(name)).collect();
        if !lost.is_empty() {
            return Err(format!("not at the target, and not listed: {lost:?}"));
        }
        // MariaDB has one zero only, and computes some columns otherwise. The report says where.
        let is_lesser =
            |f: &FidelityIssue| f.source.starts_with("-0 in") || f.target.starts_with("what the target computes");
        let lesser = |table: &str| report.fidelity.iter().any(|f| f.object.name == table && is_lesser(f));
        let tables = at_target.iter().filter_map(|name| name.strip_prefix("table "));
        let only = Some(tables.filter(|table| !lesser(table)).map(str::to_owned).collect());
        let options =
            CompareOptions { definitions: false, programs: false, across: true, only, ..CompareOptions::default() };
        compare_with(self.source, &self.from, self.target, &self.to, &options).map_err(|error| error.to_string())
    }
}

impl Drop for CrossFamilyPair {
    fn drop(&mut self) {
        for (server, name) in
            [(self.source, &self.from), (self.target, &self.to), (self.source, &self.other), (self.target, &self.other)]
        {
            let _ = server.sql(&format!("DROP DATABASE IF EXISTS {}", quoted(name)));
        }
    }
}

/// The themes of `conformance/` that run on this family, each with its text.
fn themes(flavor: Flavor) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), text)
    };
    // `large` takes long and depends on nothing that differs between the families.
    let runs = |name: &str, text: &str| {
        name != "large" && text.lines().next().is_some_and(|line| line.contains(&flavor.to_string().to_lowercase()))
    };
    paths.iter().map(read).filter(|(name, text)| runs(name, text)).collect()
}

async fn theme_arrives(from: Flavor, text: &str) -> Result<(), String> {
    let pair = CrossFamilyPair::new(from);
    let lines =
        |start: &'static str| text.lines().filter_map(move |line| line.strip_prefix("-- ")?.strip_prefix(start));
    for statement in lines("elsewhere:") {
        for server in [pair.source, pair.target] {
            // One of them may not know the kind of object.
            let _ = server.sql_in(&pair.other, &pair.named(statement, ""));
        }
    }
    pair.source.sql_in(&pair.from, &pair.named(text, &pair.from)).map_err(|error| error.to_string())?;
    let report = pair.clone(OnUnsupported::Degrade).await.map_err(|error| error.to_string())?;
    for statement in lines("then:") {
        pair.source.sql_in(&pair.from, &pair.named(statement, &pair.from)).map_err(|error| error.to_string())?;
    }
    pair.check(&report)
}

async fn themes_arrive(from: Flavor) {
    let runs = themes(from).into_iter().map(|(name, text)| async move {
        let ran = tokio::spawn(async move { theme_arrives(from, &text).await }).await;
        let failure = ran.unwrap_or_else(|_| Err("it panicked, see above".to_owned())).err()?;
        Some(format!("== {name} of {from}\n{failure}"))
    });
    let failures: Vec<String> =
        stream::iter(runs).buffer_unordered(2).filter_map(|failed| async { failed }).collect().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_theme_of_mysql_arrives_in_mariadb_or_is_listed() {
    themes_arrive(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_theme_of_mariadb_arrives_in_mysql_or_is_listed() {
    themes_arrive(Flavor::MariaDb).await;
}

/// A database with common types, keys, views and programs.
const EVERYDAY: &str = r#"SET NAMES utf8mb4, sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'; ALTER DATABASE CHARACTER SET utf8mb4;
CREATE TABLE users (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL, email VARCHAR(191) COLLATE utf8mb4_unicode_ci NOT NULL, settings JSON, theme VARCHAR(20) AS (JSON_UNQUOTE(JSON_EXTRACT(settings, '$.theme'))) STORED, created_at TIMESTAMP NULL, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, UNIQUE KEY (email), KEY (theme));
INSERT INTO users (name, email, settings, updated_at) VALUES ('Ä 😀', 'a@example.org', '{"theme": "dark", "n": [1, 2.5, null, true]}', '2024-01-01'), ('B', 'b@example.org', NULL, '2024-01-02');
CREATE TABLE posts (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, author BIGINT UNSIGNED, status ENUM('draft', 'live') NOT NULL DEFAULT 'draft', tags SET('x', 'y'), price DECIMAL(10, 2) NOT NULL DEFAULT 4.99, body TEXT, at POINT NOT NULL, FULLTEXT KEY words (body), SPATIAL KEY place (at), KEY (status, author), CONSTRAINT of_author FOREIGN KEY (author) REFERENCES users (id) ON DELETE CASCADE, CONSTRAINT positive CHECK (price >= 0));
INSERT INTO posts (author, status, tags, body, at) VALUES (1, 'live', 'x,y', 'it''s \\ "so"', POINT(1, 2)), (2, 'draft', '', NULL, POINT(3, 4));
CREATE TABLE log (id INT AUTO_INCREMENT, day DATE NOT NULL, line VARCHAR(200), PRIMARY KEY (id, day)) PARTITION BY RANGE COLUMNS (day) (PARTITION old VALUES LESS THAN ('2024-01-01'), PARTITION new VALUES LESS THAN (MAXVALUE));
INSERT INTO log (day, line) VALUES ('2023-05-05', 'one'), ('2025-05-05', 'two');
CREATE VIEW live AS SELECT p.id, CONCAT(u.name, _utf8mb4' ', u.email) AS author, IF(p.status = 'live', _utf8mb4'yes', _utf8mb4'no') AS is_live, p.body REGEXP '^it' AS about_it, CAST(p.id AS CHAR) AS shown FROM posts AS p JOIN users AS u ON u.id = p.author;
CREATE VIEW ranked AS WITH n AS (SELECT author, COUNT(*) AS c, SUM(price) AS s FROM posts GROUP BY author) SELECT author, ROW_NUMBER() OVER (ORDER BY c DESC, author) AS r, ROUND(s / c, 2) AS mean FROM n;
CREATE FUNCTION total(who BIGINT UNSIGNED) RETURNS DECIMAL(10, 2) READS SQL DATA RETURN (SELECT IFNULL(SUM(price), 0) FROM posts WHERE author = who);
CREATE FUNCTION label(s VARCHAR(20)) RETURNS VARCHAR(30) DETERMINISTIC RETURN CONCAT('<', s, '>');
DELIMITER //
CREATE PROCEDURE publish(IN which INT, OUT done INT) BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END; START TRANSACTION; UPDATE posts SET status = 'live' WHERE id = which; SET done = ROW_COUNT(); COMMIT; END//
CREATE TRIGGER noted AFTER INSERT ON posts FOR EACH ROW BEGIN INSERT INTO log (day, line) VALUES ('2024-06-06', CONCAT('post ', NEW.id)); END//
CREATE EVENT sweep ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' COMMENT 'nightly' DO DELETE FROM log WHERE day < NOW() - INTERVAL 20 YEAR//
DELIMITER ;"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_everyday_database_needs_no_option_and_loses_nothing() {
    for flavor in FLAVORS {
        let pair = CrossFamilyPair::new(flavor);
        pair.source.sql_in(&pair.from, EVERYDAY).unwrap();
        let report = pair.clone(OnUnsupported::Refuse).await.unwrap();
        let lost: Vec<&FidelityIssue> =
            report.fidelity.iter().filter(|found| found.severity > Severity::Note).collect();
        assert!(lost.is_empty(), "{lost:#?}");
        pair.check(&report).unwrap_or_else(|failure| panic!("{failure}"));
        for query in [
            "SELECT * FROM live ORDER BY id; SELECT * FROM ranked ORDER BY r; SELECT total(1), label('é')",
            "SELECT collation_name LIKE 'utf8mb4%', is_nullable FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'live' ORDER BY ordinal_position",
            "CALL publish(2, @done); SELECT @done, status FROM posts WHERE id = 2",
            "INSERT INTO posts (author, at) VALUES (1, POINT(0, 0)); SELECT line FROM log ORDER BY id",
            "SELECT event_name, status, starts, event_comment FROM information_schema.events WHERE event_schema = DATABASE()",
        ] {
            let prints = |server: &Database, database: &str| server.sql_in(database, query).unwrap();
            assert_eq!(prints(pair.source, &pair.from), prints(pair.target, &pair.to), "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_the_target_does_not_know_is_listed_and_refuses_nothing() {
    for flavor in FLAVORS {
        let (name, odd) = match flavor {
            Flavor::MySql => ("odd", "CREATE PROCEDURE odd() SELECT IS_UUID('x')"),
            Flavor::MariaDb => {
                ("odd", "SET sql_mode = ORACLE;\nDELIMITER //\nCREATE PROCEDURE odd AS BEGIN NULL; END//\nDELIMITER ;")
            }
        };
        let pair = CrossFamilyPair::new(flavor);
        pair.source
            .sql_in(
                &pair.from,
                &format!("CREATE TABLE t (a INT); CREATE VIEW v AS SELECT JSON_OBJECT('a', a) AS j FROM t; {odd}"),
            )
            .unwrap();
        let report = pair.clone(OnUnsupported::Refuse).await.unwrap();
        let listed: Vec<_> = report
            .fidelity
            .iter()
            .filter(|f| f.severity > Severity::Note)
            .map(|f| (f.severity, f.object.name.as_str()))
            .collect();
        assert_eq!(listed, [(Severity::Error, name), (Severity::Warning, "v")], "{:#?}", report.fidelity);
        assert_eq!(report.left_out.iter().map(|left| left.object.name.as_str()).collect::<Vec<_>>(), [name]);
        assert_eq!(pair.target.sql_in(&pair.to, "SHOW TABLES").unwrap().trim(), "t\nv");
    }
}
