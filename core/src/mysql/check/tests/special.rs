//! Servers with settings of their own, and what they say.

use dbgraft_testkit::{Flavor, MariaDb, MySql, Server};

use super::{Place, SHOP, check_source_of, check_target};
use crate::clone::CloneJob;
use crate::mysql::session;
use crate::options::{CloneOptions, Definer};

fn full() -> CloneOptions {
    CloneOptions::default()
}

const NAMES: &str = "
    CREATE TABLE `Tea` (a INT PRIMARY KEY, j LONGTEXT); CREATE TABLE tea (a INT PRIMARY KEY);
    CREATE TABLE keyless (a INT); CREATE TABLE m (a INT PRIMARY KEY) ENGINE=MyISAM";

/// What both families say alike.
async fn alike(server: &Server, source: &Place, json: &str) {
    let catalog = source.catalog().await;
    let place = Place::at(server, "");
    let some = CloneOptions { include: vec!["Tea".into()], ..full() };
    let lowered = ["lower case", "Tea is written so there"];
    let mut found = check_target(&place.address(), &catalog, &full()).await;
    found.error(&["take", "for the same", "Tea and tea"]).0.clear();
    check_target(&place.address(), &catalog, &some).await.warning(&lowered).nothing_else();

    server.sql("SET GLOBAL local_infile = 0").unwrap();
    check_target(&place.address(), &catalog, &some)
        .await
        .warning(&lowered)
        .note(&["local_infile is off"])
        .warning(&["max_allowed_packet is 1 MiB on the target and", "values of table Tea"])
        .nothing_else();
    server.sql("SET GLOBAL local_infile = 1, GLOBAL max_binlog_cache_size = 4096").unwrap();
    check_target(&place.address(), &catalog, &some)
        .await
        .warning(&lowered)
        .warning(&["max_binlog_cache_size of the target is 4096 bytes", "64 MiB"])
        .nothing_else();
    let schema = CloneOptions { schema_only: true, ..some.clone() };
    check_target(&place.address(), &catalog, &schema).await.warning(&lowered).nothing_else();
    server.sql("SET GLOBAL max_binlog_cache_size = DEFAULT").unwrap();

    // What LOAD DATA takes as it is may be larger than a packet; JSON of MySQL may not.
    let with_json = Place::source(source.server.flavor, "CREATE TABLE t (a INT PRIMARY KEY, b JSON)");
    let mut found = check_target(&place.address(), &with_json.catalog().await, &full()).await;
    if json == "json" {
        found.warning(&["larger values of table t"]);
    }
    found.nothing_else();

    server.sql("SET GLOBAL read_only = 1").unwrap();
    let account = place.account(&["ALL ON `{db}`.*"]);
    check_target(&place.address_as(&account), &catalog, &some)
        .await
        .warning(&lowered)
        .error(&["takes no writes: read_only is on"])
        .nothing_else();
    check_target(&place.address(), &catalog, &some).await.warning(&lowered).warning(&["read_only"]).nothing_else();
    server.sql("SET GLOBAL read_only = 0").unwrap();
}

/// The rights that the preflight asks for, and no others, are enough for a whole clone; without any one of them the
/// preflight says so.
async fn asked_rights_are_enough(server: &Server, rights: &[&str]) {
    let source = Place::source(server.flavor, SHOP);
    if server.flavor == Flavor::MariaDb {
        source.sql("CREATE SEQUENCE s; SELECT nextval(s)");
    }
    let catalog = source.catalog().await;
    let place = Place::nowhere(server);
    let options = CloneOptions { threads: 2, definer: Definer::Strip, ..full() };
    for (index, left_out) in rights.iter().enumerate() {
        let others: Vec<&str> =
            rights.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, right)| *right).collect();
        let account = place.account(&[&format!("{} ON `{{db}}`.*", others.join(", "))]);
        let mut found = check_target(&place.address_as(&account), &catalog, &options).await;
        found.error(&[&format!("lacks {left_out} on database")]).nothing_else();
    }
    let account = place.account(&[&format!("{} ON `{{db}}`.*", rights.join(", "))]);
    check_target(&place.address_as(&account), &catalog, &options).await.nothing_else();
    let target = server.with_account(&account.user, "Secret-1").url_of(&place.name);
    // Into a database that is not there, into one that is, and over what is there.
    for if_exists in ["fail", "drop", "truncate"] {
        let options = CloneOptions { if_exists: if_exists.parse().unwrap(), ..options.clone() };
        if if_exists != "fail" {
            account.grant(&format!("ALTER ROUTINE ON `{}`.*", place.name));
        }
        let job = CloneJob::new(source.server.url_of(&source.name), target.as_str()).options(options);
        let report = job.run().await.unwrap_or_else(|error| panic!("{if_exists}: {error}"));
        assert_eq!(report.rows, 5, "{if_exists}");
    }
    assert_eq!(place.sql("SELECT sales FROM sold ORDER BY 1"), "1\n2");
}

#[tokio::test]
async fn a_special_mysql() {
    let arguments = [
        "--lower-case-table-names=1",
        "--sql-require-primary-key=1",
        "--max-allowed-packet=1M",
        "--disabled-storage-engines=MyISAM",
        "--partial-revokes=1",
        "--log-bin-trust-function-creators=1",
    ];
    let server = arguments.iter().fold(MySql::options(), |options, argument| options.arg(*argument)).start().unwrap();
    let source = Place::source(Flavor::MySql, NAMES);
    let catalog = source.catalog().await;
    let place = Place::at(&server, "");
    let keyless = CloneOptions { include: vec!["keyless".into(), "m".into()], ..full() };
    let no_engine = ["storage engine MyISAM (of table m)"];
    check_target(&place.address(), &catalog, &keyless)
        .await
        .note(&["table keyless has no primary key", "switched off in the sessions"])
        .error(&no_engine)
        .nothing_else();
    let account = place.account(&["ALL ON `{db}`.*"]);
    check_target(&place.address_as(&account), &catalog, &keyless)
        .await
        .error(&["table keyless has no primary key", "sql_require_primary_key=ON"])
        .error(&no_engine)
        .nothing_else();
    alike(&server, &source, "json").await;
    server.sql("SET GLOBAL super_read_only = 1").unwrap();
    let some = CloneOptions { include: vec!["tea".into()], ..full() };
    check_target(&place.address(), &catalog, &some).await.error(&["super_read_only is on"]).nothing_else();
    server.sql("SET GLOBAL super_read_only = 0, GLOBAL read_only = 0").unwrap();
    revoked_in_part(&server).await;
    let rights = ["CREATE", "DROP", "ALTER", "REFERENCES", "SELECT", "INSERT", "DELETE"];
    let rights = [&rights[..], &["CREATE VIEW", "TRIGGER", "CREATE ROUTINE", "EVENT"]].concat();
    asked_rights_are_enough(&server, &rights).await;
}

/// A global right from which one database is taken away again; and an account of the server's mandatory roles.
async fn revoked_in_part(server: &Server) {
    let source = Place::at(server, "CREATE TABLE t (a INT PRIMARY KEY)");
    let account = source.account(&["SELECT, SHOW VIEW, TRIGGER, EVENT, RELOAD, SHOW_ROUTINE ON *.*"]);
    let catalog = source.catalog().await;
    check_source_of(&catalog, &source.address_as(&account), &full()).await.nothing_else();
    source.sql(&format!("REVOKE SELECT, EVENT ON `{}`.* FROM '{}'@'%'", source.name, account.user));
    let mut found = check_source_of(&catalog, &source.address_as(&account), &full()).await;
    found.error(&["may not read table t"]).warning(&["no right to the whole"]).warning(&["events"]).nothing_else();

    source.sql(&format!("CREATE ROLE m; GRANT SELECT, EVENT ON `{}`.* TO m", source.name));
    server.sql("SET GLOBAL mandatory_roles = 'm', GLOBAL activate_all_roles_on_login = 1").unwrap();
    let mut found = check_source_of(&catalog, &source.address_as(&account), &full()).await;
    found.0.retain(|finding| !finding.message.contains("may not"));
    found.nothing_else();
    server.sql("SET GLOBAL mandatory_roles = '', GLOBAL activate_all_roles_on_login = 0; DROP ROLE m").unwrap();
}

#[tokio::test]
async fn a_special_mariadb() {
    let arguments = [
        "--lower-case-table-names=1",
        "--max-allowed-packet=1M",
        "--innodb-force-primary-key=1",
        "--event-scheduler=1",
        "--log-bin-trust-function-creators=1",
    ];
    let server = arguments.iter().fold(MariaDb::options(), |options, argument| options.arg(*argument)).start().unwrap();
    let source = Place::source(Flavor::MariaDb, NAMES);
    let catalog = source.catalog().await;
    let place = Place::at(&server, "");
    let keyless = CloneOptions { include: vec!["keyless".into()], ..full() };
    check_target(&place.address(), &catalog, &keyless)
        .await
        .error(&["table keyless has no primary key", "innodb_force_primary_key=ON"])
        .nothing_else();
    alike(&server, &source, "longtext").await;
    server.sql("SET GLOBAL enforce_storage_engine = InnoDB").ok();
    let rights = ["CREATE", "DROP", "ALTER", "SELECT", "INSERT", "DELETE"];
    let rights = [&rights[..], &["CREATE VIEW", "TRIGGER", "CREATE ROUTINE", "EVENT"]].concat();
    asked_rights_are_enough(&server, &rights).await;
}

#[tokio::test]
async fn servers_are_told_apart() {
    for flavor in super::FLAVORS {
        let pair = dbgraft_testkit::pair_of(flavor);
        let mut identities = Vec::new();
        for server in [&pair.source, &pair.target, &pair.source] {
            let mut conn = session::open_control(&super::address(server, "")).await.unwrap();
            let server = super::super::server(&mut conn).await.unwrap();
            assert!(server.max_allowed_packet >= 1 << 20);
            identities.push(server.identity);
        }
        assert!(identities[0] != identities[1] && identities[0] == identities[2]);
        let account = Place::nowhere(&pair.source).account(&[]);
        let poor = super::address(&pair.source.with_account(&account.user, "Secret-1"), "");
        let mut conn = session::open_control(&poor).await.unwrap();
        assert_eq!(super::super::server(&mut conn).await.unwrap().identity, identities[0]);
    }
}
