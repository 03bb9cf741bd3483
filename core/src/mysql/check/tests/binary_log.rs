//! The findings of a source that is to be followed.

use dbgraft_testkit::{Flavor, ServerOptions};

use super::{FLAVORS, FindingList, TestDatabase, select};
use crate::mysql::connect::ServerAddress;
use crate::mysql::session;
use crate::options::CloneOptions;

async fn check_log(database: &TestDatabase, address: &ServerAddress) -> FindingList {
    check_log_without(database, address, &[]).await
}

async fn check_log_without(database: &TestDatabase, address: &ServerAddress, excluded: &[&str]) -> FindingList {
    let catalog = database.catalog_as(address).await;
    let mut conn = session::open_control(address).await.unwrap();
    let exclude = excluded.iter().map(|&name| name.to_owned()).collect();
    let selection = select(&catalog, &CloneOptions { exclude, ..CloneOptions::default() });
    FindingList::new(super::super::binary_log(&mut conn, &catalog, &selection, true).await.unwrap())
}

#[tokio::test]
async fn missing_privileges_are_named() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, "CREATE TABLE t (a INT)");
        check_log(&database, &database.address()).await.assert_empty();
        let account = database.account(&["SELECT ON `{db}`.*"]);
        let names = match flavor {
            Flavor::MySql => "REPLICATION SLAVE, REPLICATION CLIENT",
            Flavor::MariaDb => "REPLICATION SLAVE, BINLOG MONITOR",
        };
        let address = database.address_as(&account);
        check_log(&database, &address).await.error(&["GRANT", names, "ON *.* TO"]).assert_empty();
        account.grant(&format!("{names} ON *.*"));
        check_log(&database, &address).await.assert_empty();
    }
}

#[tokio::test]
async fn cascades_that_are_not_logged_are_refused_without_their_cause() {
    const TABLES: &str = "CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (a INT, KEY (a), CONSTRAINT f FOREIGN KEY (a) \
                          REFERENCES p (id) ON DELETE SET NULL); CREATE TABLE r (a INT, KEY (a), CONSTRAINT g FOREIGN KEY \
                          (a) REFERENCES p (id) ON DELETE RESTRICT)";
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, TABLES);
        check_log(&database, &database.address()).await.assert_empty();
        let mut findings = check_log_without(&database, &database.address(), &["p"]).await;
        if flavor == Flavor::MariaDb {
            findings.error(&["f of table c (table p is not cloned)", "CASCADE", "RESTRICT"]);
        }
        findings.assert_empty();
        if flavor == Flavor::MariaDb {
            database.sql("SET SESSION foreign_key_checks = 0; ALTER TABLE p DROP PRIMARY KEY");
            let mut findings = check_log(&database, &database.address()).await;
            findings.error(&["f of table c (the referenced table has no index"]).assert_empty();
        }
    }
}

#[tokio::test]
async fn settings_of_the_log_are_checked() {
    let server =
        ServerOptions::new(Flavor::MariaDb).arg("--binlog-format=MIXED").arg("--expire-logs-days=0.5").start().unwrap();
    let database = TestDatabase::create(&server, "CREATE TABLE t (a INT)");
    let mut findings = check_log(&database, &database.address()).await;
    findings.error(&["binlog_format = MIXED", "ROW"]).warning(&["43200 s"]).assert_empty();
    drop(database);
    let server = ServerOptions::new(Flavor::MySql)
        .arg("--binlog-row-value-options=PARTIAL_JSON")
        .arg("--binlog-row-image=MINIMAL")
        .start()
        .unwrap();
    let database = TestDatabase::create(&server, "CREATE TABLE t (a INT)");
    check_log(&database, &database.address()).await.error(&["JSON", "binlog_row_image = 'FULL'"]).assert_empty();
    drop(database);
    let server = ServerOptions::new(Flavor::MySql).arg("--skip-log-bin").start().unwrap();
    let database = TestDatabase::create(&server, "CREATE TABLE t (a INT)");
    check_log(&database, &database.address()).await.error(&["no binary log", "log_bin"]).assert_empty();
}

#[tokio::test]
async fn a_log_without_the_changes_of_the_database_is_refused() {
    let server = ServerOptions::new(Flavor::MariaDb)
        .arg("--server-id=7")
        .arg("--binlog-do-db=logged,other")
        .arg("--binlog-ignore-db=ignored")
        .start()
        .unwrap();
    for (name, is_logged) in [("logged", true), ("ignored", false), ("unnamed", false)] {
        let database = TestDatabase::named(&server, name.to_owned(), "CREATE TABLE t (a INT)");
        let mut findings = check_log(&database, &database.address()).await;
        if !is_logged {
            findings.error(&[&format!("changes of database {name}"), "binlog_do_db"]);
        }
        findings.assert_empty();
    }
    let pair = dbgraft_testkit::pair_of(Flavor::MariaDb);
    let database = TestDatabase::create(&server, "CREATE TABLE t (a INT)");
    let (host, port) = (&pair.source.host, pair.source.port);
    server.database().sql(&format!("CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}")).unwrap();
    check_log(&database, &database.address())
        .await
        .error(&["changes of database"])
        .error(&["log_replica_updates"])
        .assert_empty();
}
