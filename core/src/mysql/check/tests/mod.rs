//! The checks against real servers, each test with databases and accounts of its own.

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
use crate::mysql::connect::{Address, Conn, ServerRole};
use crate::mysql::{introspect, session};
use crate::options::CloneOptions;
use crate::plan::Selection;
use crate::report::Finding;
use crate::selector::{Globs, choose};

const FLAVORS: [testkit::Flavor; 2] = [testkit::Flavor::MySql, testkit::Flavor::MariaDb];

/// Something of each kind.
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
struct Place {
    server: testkit::Database,
    name: String,
}

impl Place {
    fn at(server: &testkit::Database, sql: &str) -> Self {
        let place = Self::nowhere(server);
        let name = &place.name;
        server.sql(&format!("CREATE DATABASE `{name}` DEFAULT CHARSET utf8mb4; USE `{name}`; {sql}")).unwrap();
        place
    }

    /// Only a name; there is no such database.
    fn nowhere(server: &testkit::Database) -> Self {
        Self { server: server.clone(), name: unique("db") }
    }

    fn source(flavor: testkit::Flavor, sql: &str) -> Self {
        Self::at(&pair_of(flavor).source, sql)
    }

    fn target(flavor: testkit::Flavor, sql: &str) -> Self {
        Self::at(&pair_of(flavor).target, sql)
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql_in(&self.name, sql).unwrap()
    }

    /// An account of its own with these rights; `{db}` is this database.
    fn account(&self, rights: &[&str]) -> Account {
        let user = unique("u");
        let grants = rights.iter().map(|right| format!("; GRANT {right} TO '{user}'@'%'").replace("{db}", &self.name));
        let grants: String = grants.collect();
        self.server.sql(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'Secret-1'{grants}")).unwrap();
        Account { server: self.server.clone(), user }
    }

    fn address(&self) -> Address {
        address(&self.server, &self.name)
    }

    fn address_as(&self, account: &Account) -> Address {
        address(&self.server.with_account(&account.user, "Secret-1"), &self.name)
    }

    async fn catalog(&self) -> Catalog {
        self.catalog_as(&self.address()).await
    }

    async fn catalog_as(&self, address: &Address) -> Catalog {
        let mut conn = session::open_control(address).await.unwrap();
        let mut catalog = introspect::read_catalog(&mut conn, &self.name).await.unwrap();
        catalog.server = super::server(&mut conn).await.unwrap();
        catalog
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.server.sql(&format!("DROP DATABASE IF EXISTS `{}`", self.name));
    }
}

/// An account of one test, dropped with it.
struct Account {
    server: testkit::Database,
    user: String,
}

impl Account {
    /// `SELECT ON *.*`
    fn grant(&self, what: &str) {
        self.server.sql(&format!("GRANT {what} TO '{}'@'%'", self.user)).unwrap();
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = self.server.sql(&format!("DROP USER IF EXISTS '{}'@'%'", self.user));
    }
}

fn address(server: &testkit::Database, database: &str) -> Address {
    let account = (server.user.clone(), server.password.clone().into());
    Address::new(ServerRole::Source, (&server.host, server.port), account, database.to_owned())
}

fn select(catalog: &Catalog, options: &CloneOptions) -> Selection {
    let globs = Globs::of(options).unwrap();
    globs.check(catalog).unwrap();
    choose(catalog, &globs, options).unwrap()
}

/// The source's findings, for an account that sees its own catalog.
async fn check_source(place: &Place, address: &Address, options: &CloneOptions) -> Found {
    let catalog = place.catalog_as(address).await;
    check_source_of(&catalog, address, options).await
}

async fn check_source_of(catalog: &Catalog, address: &Address, options: &CloneOptions) -> Found {
    let mut conn = session::open_control(address).await.unwrap();
    let before = variables(&mut conn).await;
    let selection = select(catalog, options);
    let findings = super::source(&mut conn, address, catalog, &selection, options).await.unwrap();
    assert_eq!(variables(&mut conn).await, before);
    Found::new(findings)
}

async fn check_target(address: &Address, catalog: &Catalog, options: &CloneOptions) -> Found {
    let mut conn = session::open_control(address).await.unwrap();
    let before = variables(&mut conn).await;
    let held = super::existing(&mut conn, &address.database).await.unwrap();
    let selection = select(catalog, options);
    let findings = super::target(&mut conn, address, catalog, &selection, options).await.unwrap();
    assert_eq!(variables(&mut conn).await, before, "the session was changed");
    assert_eq!(super::existing(&mut conn, &address.database).await.unwrap(), held, "something was left");
    Found::new(findings)
}

/// The session's settings that a check could change.
async fn variables(conn: &mut Conn) -> BTreeMap<String, String> {
    let restless =
        ["timestamp", "rand_seed", "gtid_", "statement_id", "pseudo_", "last_", "error_", "warning_", "identity"];
    let rows = conn.rows("SHOW SESSION VARIABLES").await.unwrap();
    let all = rows.iter().map(|row| (row.string(0), row.string(1)));
    all.filter(|(name, _)| !restless.iter().any(|part| name.contains(part))).collect()
}

/// Findings of which a test has still to speak.
struct Found(Vec<Finding>);

impl Found {
    fn new(findings: Vec<Finding>) -> Self {
        for Finding { message, .. } in &findings {
            assert!(!message.contains('\n') && !message.contains("IDENTIFIED"), "{message}");
        }
        Self(findings)
    }

    /// Takes out the one finding that holds all these words.
    #[track_caller]
    fn takes(&mut self, severity: Severity, words: &[&str]) -> &mut Self {
        let fits = |f: &Finding| f.severity == severity && words.iter().all(|word| f.message.contains(word));
        let count = self.0.iter().filter(|finding| fits(finding)).count();
        assert_eq!(count, 1, "{severity:?} {words:?} in {:#?}", self.0);
        self.0.retain(|finding| !fits(finding));
        self
    }

    #[track_caller]
    fn error(&mut self, words: &[&str]) -> &mut Self {
        self.takes(Severity::Error, words)
    }

    #[track_caller]
    fn warning(&mut self, words: &[&str]) -> &mut Self {
        self.takes(Severity::Warning, words)
    }

    #[track_caller]
    fn note(&mut self, words: &[&str]) -> &mut Self {
        self.takes(Severity::Note, words)
    }

    #[track_caller]
    fn nothing_else(&self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}
