//! The checks against real servers, each test with databases and accounts of its own.

mod binary_log;
mod rows;
mod source;
mod special;
mod target;
mod target_code;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use dbgraft_testkit as testkit;
use testkit::pair_of;

use crate::catalog::Catalog;
use crate::fidelity::Severity;
use crate::mysql::connect::{Conn, ServerAddress, ServerRole};
use crate::mysql::{introspect, session};
use crate::options::CloneOptions;
use crate::plan::Selection;
use crate::report::Finding;
use crate::selector::{PatternSelector, select_objects};

const FLAVORS: [testkit::Flavor; 2] = [testkit::Flavor::MySql, testkit::Flavor::MariaDb];

/// A database with an object of each kind.
const SHOP: &str = "
    CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL, KEY (name)) DEFAULT CHARSET utf8mb4;
    CREATE TABLE sale (id INT PRIMARY KEY AUTO_INCREMENT, item INT, CONSTRAINT sold FOREIGN KEY (item) REFERENCES item (id));
    INSERT INTO item VALUES (1, 'tea'), (2, 'milk');
    INSERT INTO sale (item) VALUES (1), (1), (2);
    CREATE VIEW sold AS SELECT name, COUNT(*) AS sales FROM item JOIN sale ON sale.item = item.id GROUP BY name;
    CREATE TRIGGER trim_name BEFORE INSERT ON item FOR EACH ROW SET NEW.name = TRIM(NEW.name);
    CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN a * 2;
    CREATE PROCEDURE noop() SELECT 1;
    CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO SET @a = 1;
";

fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("check_{word}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A database of one test, dropped with it.
struct TestDatabase {
    server: testkit::Database,
    name: String,
}

impl TestDatabase {
    fn create(server: &testkit::Database, sql: &str) -> Self {
        Self::named(server, unique("db"), sql)
    }

    fn named(server: &testkit::Database, name: String, sql: &str) -> Self {
        let database = Self { server: server.clone(), name };
        let name = &database.name;
        server.sql(&format!("CREATE DATABASE `{name}` DEFAULT CHARSET utf8mb4; USE `{name}`; {sql}")).unwrap();
        database
    }

    /// Chooses a name without creating the database.
    fn absent(server: &testkit::Database) -> Self {
        Self { server: server.clone(), name: unique("db") }
    }

    fn source(flavor: testkit::Flavor, sql: &str) -> Self {
        Self::create(&pair_of(flavor).source, sql)
    }

    fn target(flavor: testkit::Flavor, sql: &str) -> Self {
        Self::create(&pair_of(flavor).target, sql)
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql_in(&self.name, sql).unwrap()
    }

    /// Creates an account with these privileges; `{db}` stands for this database.
    fn account(&self, rights: &[&str]) -> TestAccount {
        let user = unique("u");
        let grants = rights.iter().map(|right| format!("; GRANT {right} TO '{user}'@'%'").replace("{db}", &self.name));
        let grants: String = grants.collect();
        self.server.sql(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'Secret-1'{grants}")).unwrap();
        TestAccount { server: self.server.clone(), user }
    }

    fn address(&self) -> ServerAddress {
        address(&self.server, &self.name)
    }

    fn address_as(&self, account: &TestAccount) -> ServerAddress {
        address(&self.server.with_account(&account.user, "Secret-1"), &self.name)
    }

    async fn catalog(&self) -> Catalog {
        self.catalog_as(&self.address()).await
    }

    async fn catalog_as(&self, address: &ServerAddress) -> Catalog {
        let mut conn = session::open_control(address).await.unwrap();
        let mut catalog = introspect::read_catalog(&mut conn, &self.name).await.unwrap();
        catalog.server = super::read_server(&mut conn).await.unwrap();
        catalog
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let _ = self.server.sql(&format!("DROP DATABASE IF EXISTS `{}`", self.name));
    }
}

/// An account of one test, dropped with it.
struct TestAccount {
    server: testkit::Database,
    user: String,
}

impl TestAccount {
    /// Grants a privilege such as `SELECT ON *.*`.
    fn grant(&self, what: &str) {
        self.server.sql(&format!("GRANT {what} TO '{}'@'%'", self.user)).unwrap();
    }
}

impl Drop for TestAccount {
    fn drop(&mut self) {
        let _ = self.server.sql(&format!("DROP USER IF EXISTS '{}'@'%'", self.user));
    }
}

fn address(server: &testkit::Database, database: &str) -> ServerAddress {
    let account = (server.user.clone(), server.password.clone().into());
    ServerAddress::new(ServerRole::Source, (&server.host, server.port), account, database.to_owned())
}

fn select(catalog: &Catalog, options: &CloneOptions) -> Selection {
    let patterns = PatternSelector::from_options(options).unwrap();
    patterns.check(catalog).unwrap();
    select_objects(catalog, &patterns, options).unwrap()
}

/// Checks the source with the catalog that the account sees.
async fn check_source(database: &TestDatabase, address: &ServerAddress, options: &CloneOptions) -> FindingList {
    let catalog = database.catalog_as(address).await;
    check_source_with(&catalog, address, options).await
}

async fn check_source_with(catalog: &Catalog, address: &ServerAddress, options: &CloneOptions) -> FindingList {
    let mut conn = session::open_control(address).await.unwrap();
    let before = variables(&mut conn).await;
    let selection = select(catalog, options);
    let findings = super::source(&mut conn, address, catalog, &selection, options).await.unwrap();
    assert_eq!(variables(&mut conn).await, before);
    FindingList::new(findings)
}

async fn check_target(address: &ServerAddress, catalog: &Catalog, options: &CloneOptions) -> FindingList {
    let mut conn = session::open_control(address).await.unwrap();
    let before = variables(&mut conn).await;
    let before_objects = super::existing_objects(&mut conn, &address.database).await.unwrap();
    let selection = select(catalog, options);
    let findings = super::target(&mut conn, address, catalog, &selection, options).await.unwrap();
    assert_eq!(variables(&mut conn).await, before, "the session was changed");
    assert_eq!(
        super::existing_objects(&mut conn, &address.database).await.unwrap(),
        before_objects,
        "something was left"
    );
    FindingList::new(findings)
}

/// The session's variables that a check could change.
async fn variables(conn: &mut Conn) -> BTreeMap<String, String> {
    let restless =
        ["timestamp", "rand_seed", "gtid_", "statement_id", "pseudo_", "last_", "error_", "warning_", "identity"];
    let rows = conn.rows("SHOW SESSION VARIABLES").await.unwrap();
    let all = rows.iter().map(|row| (row.string(0), row.string(1)));
    all.filter(|(name, _)| !restless.iter().any(|part| name.contains(part))).collect()
}

/// The findings that a test has not taken yet.
struct FindingList(Vec<Finding>);

impl FindingList {
    fn new(findings: Vec<Finding>) -> Self {
        for Finding { message, .. } in &findings {
            assert!(!message.contains('\n') && !message.contains("IDENTIFIED"), "{message}");
        }
        Self(findings)
    }

    /// Takes the only finding with all these words.
    #[track_caller]
    fn take_finding(&mut self, severity: Severity, words: &[&str]) -> &mut Self {
        let matches = |f: &Finding| f.severity == severity && words.iter().all(|word| f.message.contains(word));
        let count = self.0.iter().filter(|finding| matches(finding)).count();
        assert_eq!(count, 1, "{severity:?} {words:?} in {:#?}", self.0);
        self.0.retain(|finding| !matches(finding));
        self
    }

    #[track_caller]
    fn error(&mut self, words: &[&str]) -> &mut Self {
        self.take_finding(Severity::Error, words)
    }

    #[track_caller]
    fn warning(&mut self, words: &[&str]) -> &mut Self {
        self.take_finding(Severity::Warning, words)
    }

    #[track_caller]
    fn note(&mut self, words: &[&str]) -> &mut Self {
        self.take_finding(Severity::Note, words)
    }

    #[track_caller]
    fn assert_empty(&self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}
