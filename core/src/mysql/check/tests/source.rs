//! The findings of a source for accounts with different privileges.

use dbgraft_testkit::Flavor;

use super::{FLAVORS, SHOP, TestAccount, TestDatabase, check_source, check_source_with};
use crate::mysql::{introspect, session};
use crate::options::CloneOptions;
use crate::plan::SnapshotMethod;

fn all_objects() -> CloneOptions {
    CloneOptions::default()
}

/// Creates an account with the privileges of `mysqldump --single-transaction --routines --triggers --events`, and LOCK
/// TABLES.
fn mysqldump_account(database: &TestDatabase) -> TestAccount {
    let account = database.account(&["SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON `{db}`.*"]);
    account.grant(match database.server.flavor {
        Flavor::MySql => "SHOW_ROUTINE ON *.*",
        Flavor::MariaDb => "SELECT ON mysql.proc",
    });
    account
}

async fn expected_method(database: &TestDatabase, account: &TestAccount) -> SnapshotMethod {
    let address = database.address_as(account);
    let mut conn = session::open_control(&address).await.unwrap();
    super::super::expected_snapshot_method(&mut conn, &all_objects(), &database.name, false).await.unwrap()
}

#[tokio::test]
async fn an_account_with_all_privileges_has_no_findings() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, SHOP);
        check_source(&database, &database.address(), &all_objects()).await.assert_empty();
        let partial = CloneOptions { include: vec!["item".into()], ..all_objects() };
        check_source(&database, &database.address(), &partial).await.assert_empty();
    }
}

#[tokio::test]
async fn privileges_of_mysqldump_suffice() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, SHOP);
        let account = mysqldump_account(&database);
        let address = database.address_as(&account);
        let catalog = database.catalog_as(&address).await;
        assert_eq!(catalog.objects().count(), 7);
        check_source_with(&catalog, &address, &all_objects()).await.assert_empty();
        assert_eq!(expected_method(&database, &account).await, SnapshotMethod::TableLocks);
        account.grant("RELOAD ON *.*");
        assert_eq!(expected_method(&database, &account).await, SnapshotMethod::GlobalReadLock);
    }
}

#[tokio::test]
async fn hidden_objects_are_reported() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, SHOP);
        let account = database.account(&["SELECT ON `{db}`.*"]);
        let address = database.address_as(&account);
        assert_eq!(expected_method(&database, &account).await, SnapshotMethod::SingleTransaction);
        let routine_right = if flavor == Flavor::MySql { "SHOW_ROUTINE ON *.*" } else { "SELECT ON mysql.proc" };
        let mut found = check_source(&database, &address, &all_objects()).await;
        found
            .error(&["definition of view sold", "GRANT SELECT, SHOW VIEW ON", &account.user])
            .warning(&["whether there are triggers", "GRANT TRIGGER ON"])
            .warning(&["whether there are functions or procedures", routine_right])
            .warning(&["whether there are events", "GRANT EVENT ON"])
            .warning(&["only one connection", "GRANT RELOAD ON *.*"])
            .assert_empty();
        let some = CloneOptions { include: vec!["item".into()], events: Some(true), threads: 1, ..all_objects() };
        check_source(&database, &address, &some).await.warning(&["whether there are events"]).assert_empty();
        let none = CloneOptions { exclude: vec!["sold".into()], data_only: true, threads: 1, ..all_objects() };
        check_source(&database, &address, &none).await.assert_empty();

        // A privilege on the routines shows their names, but not their definitions.
        account.grant(&format!("EXECUTE ON `{}`.*", database.name));
        let routines = CloneOptions { include: vec!["item".into()], routines: Some(true), threads: 1, ..all_objects() };
        check_source(&database, &address, &routines)
            .await
            .error(&["definition of function twice", routine_right])
            .error(&["definition of procedure noop", routine_right])
            .assert_empty();
    }
}

#[tokio::test]
async fn unreadable_tables_are_one_finding() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, SHOP);
        database.sql("CREATE TABLE `odd ``\nx` (a INT, b INT)");
        let catalog = database.catalog().await;
        let account = database.account(&["SELECT ON `{db}`.`sale`", "SELECT (a) ON `{db}`.`odd ``\nx`"]);
        let tables = CloneOptions { include: vec!["table:*".into()], threads: 1, ..all_objects() };
        check_source_with(&catalog, &database.address_as(&account), &tables)
            .await
            .error(&["may not read tables item and `odd `\\nx` of", "GRANT SELECT ON"])
            .assert_empty();
        // An account with privileges on single tables sees no others.
        let mut found =
            check_source(&database, &database.address_as(&account), &CloneOptions { threads: 1, ..all_objects() })
                .await;
        found.warning(&["no right to the whole database", "GRANT SELECT, SHOW VIEW ON"]);
    }
}

#[tokio::test]
async fn only_active_roles_grant_privileges() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, SHOP);
        let (role, inner) = (super::unique("role"), super::unique("inner"));
        database.sql(&format!(
            "CREATE ROLE {role}; CREATE ROLE {inner}; GRANT {inner} TO {role};
             GRANT SELECT, SHOW VIEW, TRIGGER, EXECUTE ON `{db}`.* TO {inner}; GRANT EVENT ON `{db}`.* TO {role}",
            db = database.name
        ));
        let account = database.account(&[]);
        database.sql(&format!("ALTER USER '{}'@'%' WITH MAX_USER_CONNECTIONS 4", account.user));
        database.sql(&format!("GRANT {role} TO '{}'@'%'", account.user));
        let catalog = database.catalog().await;
        let options = CloneOptions { exclude: vec!["twice".into(), "noop".into()], threads: 1, ..all_objects() };
        let mut found = check_source_with(&catalog, &database.address_as(&account), &options).await;
        found.error(&["may not read tables item and sale", "SET DEFAULT ROLE", &role]);
        let mut conn = session::open_control(&database.address_as(&account)).await.unwrap();
        let error = introspect::require_database(&mut conn, &database.name, "source").await.unwrap_err();
        assert!(error.to_string().contains("SET DEFAULT ROLE"), "{error}");
        drop(conn);
        let word = if flavor == Flavor::MySql { "TO" } else { "FOR" };
        database.sql(&format!("SET DEFAULT ROLE {role} {word} '{}'@'%'", account.user));
        check_source_with(&catalog, &database.address_as(&account), &options).await.assert_empty();
        let mut found =
            check_source_with(&catalog, &database.address_as(&account), &CloneOptions { threads: 9, ..options }).await;
        found.error(&["4 connections to the source (max_user_connections)", "--threads 9 takes 10", "say --threads 3"]);
        database.sql(&format!("DROP ROLE {role}; DROP ROLE {inner}"));
    }
}

#[tokio::test]
async fn missing_privileges_are_one_finding_for_each_kind() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, SHOP);
        let catalog = database.catalog().await;
        let account = database.account(&[]);
        check_source_with(&catalog, &database.address_as(&account), &all_objects())
            .await
            .error(&["may not read tables item and sale"])
            .warning(&["no right to the whole database"])
            .warning(&["triggers"])
            .warning(&["functions"])
            .warning(&["events"])
            .warning(&["only one connection"])
            .assert_empty();
    }
}
