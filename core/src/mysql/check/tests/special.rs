//! The checks on servers with unusual settings.

use dbgraft_testkit::{Flavor, MariaDb, MySql, Server};

use super::{SHOP, TestDatabase, check_source_with, check_target};
use crate::clone::CloneJob;
use crate::mysql::session;
use crate::options::{CloneOptions, Definer};

fn all_objects() -> CloneOptions {
    CloneOptions::default()
}

const NAMES: &str = "
    CREATE TABLE `Tea` (a INT PRIMARY KEY, j LONGTEXT); CREATE TABLE tea (a INT PRIMARY KEY);
    CREATE TABLE keyless (a INT); CREATE TABLE m (a INT PRIMARY KEY) ENGINE=MyISAM";

/// The checks that are the same for both families.
async fn check_both_families(server: &Server, source: &TestDatabase, json: &str) {
    let catalog = source.catalog().await;
    let database = TestDatabase::create(server, "");
    let some = CloneOptions { include: vec!["Tea".into()], ..all_objects() };
    let lowered = ["lower case", "Tea is written so there"];
    let mut found = check_target(&database.address(), &catalog, &all_objects()).await;
    found.error(&["take", "for the same", "Tea and tea"]).0.clear();
    check_target(&database.address(), &catalog, &some).await.warning(&lowered).assert_empty();

    server.sql("SET GLOBAL local_infile = 0").unwrap();
    check_target(&database.address(), &catalog, &some)
        .await
        .warning(&lowered)
        .note(&["local_infile is off"])
        .warning(&["max_allowed_packet is 1 MiB on the target and", "values of table Tea"])
        .assert_empty();
    server.sql("SET GLOBAL local_infile = 1, GLOBAL max_binlog_cache_size = 4096").unwrap();
    check_target(&database.address(), &catalog, &some)
        .await
        .warning(&lowered)
        .warning(&["max_binlog_cache_size of the target is 4096 bytes", "64 MiB"])
        .assert_empty();
    let schema = CloneOptions { schema_only: true, ..some.clone() };
    check_target(&database.address(), &catalog, &schema).await.warning(&lowered).assert_empty();
    server.sql("SET GLOBAL max_binlog_cache_size = DEFAULT").unwrap();

    // A value that LOAD DATA does not convert may be larger than a packet; MySQL's JSON may not.
    let with_json = TestDatabase::source(source.server.flavor, "CREATE TABLE t (a INT PRIMARY KEY, b JSON)");
    let mut found = check_target(&database.address(), &with_json.catalog().await, &all_objects()).await;
    if json == "json" {
        found.warning(&["larger values of table t"]);
    }
    found.assert_empty();

    server.sql("SET GLOBAL read_only = 1").unwrap();
    let account = database.account(&["ALL ON `{db}`.*"]);
    check_target(&database.address_as(&account), &catalog, &some)
        .await
        .warning(&lowered)
        .error(&["takes no writes: read_only is on"])
        .assert_empty();
    check_target(&database.address(), &catalog, &some).await.warning(&lowered).warning(&["read_only"]).assert_empty();
    server.sql("SET GLOBAL read_only = 0").unwrap();
}

/// The privileges that the preflight requires, and no others, suffice for a whole clone. The preflight reports each one
/// that is missing.
async fn assert_privileges_suffice(server: &Server, rights: &[&str]) {
    let source = TestDatabase::source(server.flavor, SHOP);
    if server.flavor == Flavor::MariaDb {
        source.sql("CREATE SEQUENCE s; SELECT nextval(s)");
    }
    let catalog = source.catalog().await;
    let database = TestDatabase::absent(server);
    let options = CloneOptions { threads: 2, definer: Definer::Strip, ..all_objects() };
    for (index, left_out) in rights.iter().enumerate() {
        let others: Vec<&str> =
            rights.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, right)| *right).collect();
        let account = database.account(&[&format!("{} ON `{{db}}`.*", others.join(", "))]);
        let mut found = check_target(&database.address_as(&account), &catalog, &options).await;
        found.error(&[&format!("lacks {left_out} on database")]).assert_empty();
    }
    let account = database.account(&[&format!("{} ON `{{db}}`.*", rights.join(", "))]);
    check_target(&database.address_as(&account), &catalog, &options).await.assert_empty();
    let target = server.with_account(&account.user, "Secret-1").url_of(&database.name);
    // Into a missing database, into an empty one, and over existing objects.
    for if_exists in ["fail", "drop", "truncate"] {
        let options = CloneOptions { if_exists: if_exists.parse().unwrap(), ..options.clone() };
        if if_exists != "fail" {
            account.grant(&format!("ALTER ROUTINE ON `{}`.*", database.name));
        }
        let job = CloneJob::new(source.server.url_of(&source.name), target.as_str()).options(options);
        let report = job.run().await.unwrap_or_else(|error| panic!("{if_exists}: {error}"));
        assert_eq!(report.rows, 5, "{if_exists}");
    }
    assert_eq!(database.sql("SELECT sales FROM sold ORDER BY 1"), "1\n2");
}

#[tokio::test]
async fn a_mysql_server_with_unusual_settings() {
    let arguments = [
        "--lower-case-table-names=1",
        "--sql-require-primary-key=1",
        "--max-allowed-packet=1M",
        "--disabled-storage-engines=MyISAM",
        "--partial-revokes=1",
        "--log-bin-trust-function-creators=1",
    ];
    let server = arguments.iter().fold(MySql::options(), |options, argument| options.arg(*argument)).start().unwrap();
    let source = TestDatabase::source(Flavor::MySql, NAMES);
    let catalog = source.catalog().await;
    let database = TestDatabase::create(&server, "");
    let keyless = CloneOptions { include: vec!["keyless".into(), "m".into()], ..all_objects() };
    let no_engine = ["storage engine MyISAM (of table m)"];
    check_target(&database.address(), &catalog, &keyless)
        .await
        .note(&["table keyless has no primary key", "switched off in the sessions"])
        .error(&no_engine)
        .assert_empty();
    let account = database.account(&["ALL ON `{db}`.*"]);
    check_target(&database.address_as(&account), &catalog, &keyless)
        .await
        .error(&["table keyless has no primary key", "sql_require_primary_key=ON"])
        .error(&no_engine)
        .assert_empty();
    check_both_families(&server, &source, "json").await;
    server.sql("SET GLOBAL super_read_only = 1").unwrap();
    let some = CloneOptions { include: vec!["tea".into()], ..all_objects() };
    check_target(&database.address(), &catalog, &some).await.error(&["super_read_only is on"]).assert_empty();
    server.sql("SET GLOBAL super_read_only = 0, GLOBAL read_only = 0").unwrap();
    check_partial_revokes(&server).await;
    let rights = ["CREATE", "DROP", "ALTER", "REFERENCES", "SELECT", "INSERT", "DELETE"];
    let rights = [&rights[..], &["CREATE VIEW", "TRIGGER", "CREATE ROUTINE", "EVENT"]].concat();
    assert_privileges_suffice(&server, &rights).await;
}

/// A global privilege with a partial revoke; and an account with the server's mandatory roles.
async fn check_partial_revokes(server: &Server) {
    let source = TestDatabase::create(server, "CREATE TABLE t (a INT PRIMARY KEY)");
    let account = source.account(&["SELECT, SHOW VIEW, TRIGGER, EVENT, RELOAD, SHOW_ROUTINE ON *.*"]);
    let catalog = source.catalog().await;
    check_source_with(&catalog, &source.address_as(&account), &all_objects()).await.assert_empty();
    source.sql(&format!("REVOKE SELECT, EVENT ON `{}`.* FROM '{}'@'%'", source.name, account.user));
    let mut found = check_source_with(&catalog, &source.address_as(&account), &all_objects()).await;
    found.error(&["may not read table t"]).warning(&["no right to the whole"]).warning(&["events"]).assert_empty();

    source.sql(&format!("CREATE ROLE m; GRANT SELECT, EVENT ON `{}`.* TO m", source.name));
    server.sql("SET GLOBAL mandatory_roles = 'm', GLOBAL activate_all_roles_on_login = 1").unwrap();
    let mut found = check_source_with(&catalog, &source.address_as(&account), &all_objects()).await;
    found.0.retain(|finding| !finding.message.contains("may not"));
    found.assert_empty();
    server.sql("SET GLOBAL mandatory_roles = '', GLOBAL activate_all_roles_on_login = 0; DROP ROLE m").unwrap();
}

#[tokio::test]
async fn a_mariadb_server_with_unusual_settings() {
    let arguments = [
        "--lower-case-table-names=1",
        "--max-allowed-packet=1M",
        "--innodb-force-primary-key=1",
        "--event-scheduler=1",
        "--log-bin-trust-function-creators=1",
    ];
    let server = arguments.iter().fold(MariaDb::options(), |options, argument| options.arg(*argument)).start().unwrap();
    let source = TestDatabase::source(Flavor::MariaDb, NAMES);
    let catalog = source.catalog().await;
    let database = TestDatabase::create(&server, "");
    let keyless = CloneOptions { include: vec!["keyless".into()], ..all_objects() };
    check_target(&database.address(), &catalog, &keyless)
        .await
        .error(&["table keyless has no primary key", "innodb_force_primary_key=ON"])
        .assert_empty();
    check_both_families(&server, &source, "longtext").await;
    server.sql("SET GLOBAL enforce_storage_engine = InnoDB").ok();
    let rights = ["CREATE", "DROP", "ALTER", "SELECT", "INSERT", "DELETE"];
    let rights = [&rights[..], &["CREATE VIEW", "TRIGGER", "CREATE ROUTINE", "EVENT"]].concat();
    assert_privileges_suffice(&server, &rights).await;
}

#[tokio::test]
async fn server_identities_differ() {
    for flavor in super::FLAVORS {
        let pair = dbgraft_testkit::pair_of(flavor);
        let mut identities = Vec::new();
        for server in [&pair.source, &pair.target, &pair.source] {
            let mut conn = session::open_control(&super::address(server, "")).await.unwrap();
            let server = super::super::read_server(&mut conn).await.unwrap();
            assert!(server.max_allowed_packet >= 1 << 20);
            identities.push(server.identity);
        }
        assert!(identities[0] != identities[1] && identities[0] == identities[2]);
        let account = TestDatabase::absent(&pair.source).account(&[]);
        let poor = super::address(&pair.source.with_account(&account.user, "Secret-1"), "");
        let mut conn = session::open_control(&poor).await.unwrap();
        assert_eq!(super::super::read_server(&mut conn).await.unwrap().identity, identities[0]);
    }
}
