//! The findings of a source that is to be followed.

use dbgraft_testkit::{Flavor, ServerOptions};

use super::{FLAVORS, FindingList, TestDatabase, select};
use crate::mysql::connect::ServerAddress;
use crate::mysql::session;
use crate::options::CloneOptions;

async fn check_log(database: &TestDatabase, address: &ServerAddress) -> FindingList {
    let catalog = database.catalog_as(address).await;
    let mut conn = session::open_control(address).await.unwrap();
    let selection = select(&catalog, &CloneOptions::default());
    FindingList::new(super::super::binary_log(&mut conn, &catalog, &selection).await.unwrap())
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
async fn cascades_that_are_not_logged_are_refused() {
    const TABLES: &str = "CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (a INT, KEY (a), CONSTRAINT f FOREIGN KEY (a) \
                          REFERENCES p (id) ON DELETE SET NULL); CREATE TABLE r (a INT, KEY (a), CONSTRAINT g FOREIGN KEY \
                          (a) REFERENCES p (id) ON DELETE RESTRICT)";
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, TABLES);
        let mut findings = check_log(&database, &database.address()).await;
        if flavor == Flavor::MariaDb {
            findings.error(&["f of table c", "CASCADE", "RESTRICT"]);
        }
        findings.assert_empty();
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
