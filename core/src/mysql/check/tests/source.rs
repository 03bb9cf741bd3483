//! What each account is told of a source.

use dbgraft_testkit::Flavor;

use super::{Account, FLAVORS, Place, SHOP, check_source, check_source_of};
use crate::mysql::{introspect, session};
use crate::options::CloneOptions;
use crate::plan::SnapshotMethod;

fn full() -> CloneOptions {
    CloneOptions::default()
}

/// What mysqldump needs for `--single-transaction --routines --triggers --events`, and the right to lock tables.
fn dumper(place: &Place) -> Account {
    let account = place.account(&["SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON `{db}`.*"]);
    account.grant(match place.server.flavor {
        Flavor::MySql => "SHOW_ROUTINE ON *.*",
        Flavor::MariaDb => "SELECT ON mysql.proc",
    });
    account
}

async fn rung(place: &Place, account: &Account) -> SnapshotMethod {
    let address = place.address_as(account);
    let mut conn = session::open_control(&address).await.unwrap();
    let flavor = conn.server.flavor;
    super::super::expected_rung(&mut conn, flavor, &full(), &place.name, false).await.unwrap()
}

#[tokio::test]
async fn who_may_do_everything_is_told_nothing() {
    for flavor in FLAVORS {
        let place = Place::source(flavor, SHOP);
        check_source(&place, &place.address(), &full()).await.nothing_else();
        let partial = CloneOptions { include: vec!["item".into()], ..full() };
        check_source(&place, &place.address(), &partial).await.nothing_else();
    }
}

#[tokio::test]
async fn what_mysqldump_needs_is_enough() {
    for flavor in FLAVORS {
        let place = Place::source(flavor, SHOP);
        let account = dumper(&place);
        let address = place.address_as(&account);
        let catalog = place.catalog_as(&address).await;
        assert_eq!(catalog.objects().count(), 7);
        check_source_of(&catalog, &address, &full()).await.nothing_else();
        assert_eq!(rung(&place, &account).await, SnapshotMethod::TableLocks);
        account.grant("RELOAD ON *.*");
        assert_eq!(rung(&place, &account).await, SnapshotMethod::GlobalReadLock);
    }
}

#[tokio::test]
async fn what_the_account_cannot_see_is_said() {
    for flavor in FLAVORS {
        let place = Place::source(flavor, SHOP);
        let account = place.account(&["SELECT ON `{db}`.*"]);
        let address = place.address_as(&account);
        assert_eq!(rung(&place, &account).await, SnapshotMethod::SingleTransaction);
        let routine_right = if flavor == Flavor::MySql { "SHOW_ROUTINE ON *.*" } else { "SELECT ON mysql.proc" };
        let mut found = check_source(&place, &address, &full()).await;
        found
            .error(&["definition of view sold", "GRANT SELECT, SHOW VIEW ON", &account.user])
            .warning(&["whether there are triggers", "GRANT TRIGGER ON"])
            .warning(&["whether there are functions or procedures", routine_right])
            .warning(&["whether there are events", "GRANT EVENT ON"])
            .warning(&["only one connection", "GRANT RELOAD ON *.*"])
            .nothing_else();
        let some = CloneOptions { include: vec!["item".into()], events: Some(true), threads: 1, ..full() };
        check_source(&place, &address, &some).await.warning(&["whether there are events"]).nothing_else();
        let none = CloneOptions { exclude: vec!["sold".into()], data_only: true, threads: 1, ..full() };
        check_source(&place, &address, &none).await.nothing_else();

        // A right to the routines alone shows that they are there, but not what they are.
        account.grant(&format!("EXECUTE ON `{}`.*", place.name));
        let routines = CloneOptions { include: vec!["item".into()], routines: Some(true), threads: 1, ..full() };
        check_source(&place, &address, &routines)
            .await
            .error(&["definition of function twice", routine_right])
            .error(&["definition of procedure noop", routine_right])
            .nothing_else();
    }
}

#[tokio::test]
async fn tables_that_may_not_be_read_are_named_in_one_line() {
    for flavor in FLAVORS {
        let place = Place::source(flavor, SHOP);
        place.sql("CREATE TABLE `odd ``\nx` (a INT, b INT)");
        let catalog = place.catalog().await;
        let account = place.account(&["SELECT ON `{db}`.`sale`", "SELECT (a) ON `{db}`.`odd ``\nx`"]);
        let tables = CloneOptions { include: vec!["table:*".into()], threads: 1, ..full() };
        check_source_of(&catalog, &place.address_as(&account), &tables)
            .await
            .error(&["may not read tables item and `odd `\\nx` of", "GRANT SELECT ON"])
            .nothing_else();
        // Whoever has rights on single tables sees no others.
        let mut found = check_source(&place, &place.address_as(&account), &CloneOptions { threads: 1, ..full() }).await;
        found.warning(&["no right to the whole database", "GRANT SELECT, SHOW VIEW ON"]);
    }
}

#[tokio::test]
async fn rights_come_from_roles_that_are_active() {
    for flavor in FLAVORS {
        let place = Place::source(flavor, SHOP);
        let (role, inner) = (super::unique("role"), super::unique("inner"));
        place.sql(&format!(
            "CREATE ROLE {role}; CREATE ROLE {inner}; GRANT {inner} TO {role};
             GRANT SELECT, SHOW VIEW, TRIGGER, EXECUTE ON `{db}`.* TO {inner}; GRANT EVENT ON `{db}`.* TO {role}",
            db = place.name
        ));
        let account = place.account(&[]);
        place.sql(&format!("ALTER USER '{}'@'%' WITH MAX_USER_CONNECTIONS 4", account.user));
        place.sql(&format!("GRANT {role} TO '{}'@'%'", account.user));
        let catalog = place.catalog().await;
        let options = CloneOptions { exclude: vec!["twice".into(), "noop".into()], threads: 1, ..full() };
        let mut found = check_source_of(&catalog, &place.address_as(&account), &options).await;
        found.error(&["may not read tables item and sale", "SET DEFAULT ROLE", &role]);
        let mut conn = session::open_control(&place.address_as(&account)).await.unwrap();
        let error = introspect::require_database(&mut conn, &place.name, "source").await.unwrap_err();
        assert!(error.to_string().contains("SET DEFAULT ROLE"), "{error}");
        drop(conn);
        let word = if flavor == Flavor::MySql { "TO" } else { "FOR" };
        place.sql(&format!("SET DEFAULT ROLE {role} {word} '{}'@'%'", account.user));
        check_source_of(&catalog, &place.address_as(&account), &options).await.nothing_else();
        let mut found =
            check_source_of(&catalog, &place.address_as(&account), &CloneOptions { threads: 9, ..options }).await;
        found.error(&["4 connections to the source (max_user_connections)", "--threads 9 takes 10", "say --threads 3"]);
        place.sql(&format!("DROP ROLE {role}; DROP ROLE {inner}"));
    }
}

#[tokio::test]
async fn no_right_at_all_is_said_once_for_each_thing() {
    for flavor in FLAVORS {
        let place = Place::source(flavor, SHOP);
        let catalog = place.catalog().await;
        let account = place.account(&[]);
        check_source_of(&catalog, &place.address_as(&account), &full())
            .await
            .error(&["may not read tables item and sale"])
            .warning(&["no right to the whole database"])
            .warning(&["triggers"])
            .warning(&["functions"])
            .warning(&["events"])
            .warning(&["only one connection"])
            .nothing_else();
    }
}
