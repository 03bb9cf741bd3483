//! The checks of a target: its database, the account's privileges, the existing objects.

use dbgraft_testkit::Flavor;

use super::{FLAVORS, SHOP, TestDatabase, check_target};

use crate::options::{CloneOptions, IfExists};

fn all_objects() -> CloneOptions {
    CloneOptions::default()
}

fn with_if_exists(if_exists: IfExists) -> CloneOptions {
    CloneOptions { if_exists, ..all_objects() }
}

/// Takes the note about the event of `SHOP`: on MariaDB the scheduler is off by default.
fn take_scheduler_note(flavor: Flavor, found: &mut super::FindingList) -> &mut super::FindingList {
    if flavor == Flavor::MariaDb {
        found.note(&["event_scheduler is not on", "1 enabled event"]);
    }
    found
}

#[tokio::test]
async fn an_empty_database_has_no_findings() {
    for flavor in FLAVORS {
        let catalog = TestDatabase::source(flavor, SHOP).catalog().await;
        for database in
            [TestDatabase::absent(&dbgraft_testkit::pair_of(flavor).target), TestDatabase::target(flavor, "")]
        {
            for if_exists in [IfExists::Fail, IfExists::Drop, IfExists::Truncate, IfExists::Skip] {
                let mut found = check_target(&database.address(), &catalog, &with_if_exists(if_exists)).await;
                take_scheduler_note(flavor, &mut found).assert_empty();
            }
        }
    }
}

#[tokio::test]
async fn unsuitable_databases_are_refused() {
    for flavor in FLAVORS {
        let source = TestDatabase::source(flavor, SHOP);
        let mut catalog = source.catalog().await;
        check_target(&source.address(), &catalog, &all_objects()).await.error(&["same database"]).assert_empty();
        for name in ["mysql", "SYS", "information_schema", "performance_schema"] {
            let address = super::address(&source.server, name);
            check_target(&address, &catalog, &all_objects())
                .await
                .error(&[name, "the target server's own"])
                .assert_empty();
        }
        // The same name on another server, and another name on the same server, are fine.
        let server = &dbgraft_testkit::pair_of(flavor).target;
        let mut found = check_target(&super::address(server, &source.name), &catalog, &all_objects()).await;
        take_scheduler_note(flavor, &mut found).assert_empty();
        let mut found = check_target(&TestDatabase::absent(&source.server).address(), &catalog, &all_objects()).await;
        take_scheduler_note(flavor, &mut found).assert_empty();

        catalog.server.version = "99.1.0".into();
        let database = TestDatabase::absent(server);
        let mut found = check_target(&database.address(), &catalog, &all_objects()).await;
        take_scheduler_note(flavor, found.warning(&["newer than the target", "99.1.0"])).assert_empty();
    }
}

#[tokio::test]
async fn existing_objects_are_found() {
    for flavor in FLAVORS {
        let catalog = TestDatabase::source(flavor, SHOP).catalog().await;
        let database = TestDatabase::target(flavor, SHOP);
        let there = ["7 objects are in the target database", "table item, table sale,"];
        let mut found = check_target(&database.address(), &catalog, &all_objects()).await;
        found.error(&[there[0], there[1], "and 2 more", "--recreate-database"]);
        take_scheduler_note(flavor, &mut found).assert_empty();
        let truncate = with_if_exists(IfExists::Truncate);
        let mut found = check_target(&database.address(), &catalog, &truncate).await;
        found.note(&["5 objects are in", "made anew"]).note(&["tables item and sale of the target are emptied"]);
        take_scheduler_note(flavor, &mut found).assert_empty();
        let quiet = CloneOptions { triggers: Some(false), events: Some(false), ..truncate };
        check_target(&database.address(), &catalog, &quiet)
            .await
            .error(&["trigger trim_name on table item would fire"])
            .note(&["3 objects are in"])
            .note(&["are emptied"])
            .assert_empty();
        let mut found = check_target(&database.address(), &catalog, &with_if_exists(IfExists::Drop)).await;
        take_scheduler_note(flavor, found.note(&[there[0], "dropped and made anew"])).assert_empty();
        let anew = CloneOptions { recreate_database: true, ..all_objects() };
        let mut found = check_target(&database.address(), &catalog, &anew).await;
        take_scheduler_note(flavor, found.warning(&["--recreate-database drops", "7 objects"])).assert_empty();
        let other = CloneOptions { include: vec!["view:*".into()], ..all_objects() };
        check_target(&database.address(), &catalog, &other)
            .await
            .error(&["1 object is in", "view sold"])
            .assert_empty();
    }
}

#[tokio::test]
async fn names_of_another_kind_are_conflicts() {
    for flavor in FLAVORS {
        let catalog = TestDatabase::source(flavor, SHOP).catalog().await;
        let database = TestDatabase::target(flavor, "CREATE TABLE sold (a INT); CREATE VIEW item AS SELECT 1");
        for if_exists in [IfExists::Fail, IfExists::Truncate, IfExists::Skip] {
            let mut found = check_target(&database.address(), &catalog, &with_if_exists(if_exists)).await;
            found.error(&["view item on the target is where table item"]).error(&["table sold", "where view sold"]);
            take_scheduler_note(flavor, &mut found).assert_empty();
        }
        let mut found = check_target(&database.address(), &catalog, &with_if_exists(IfExists::Drop)).await;
        found.warning(&["view item on the target is dropped"]).warning(&["table sold on the target is dropped"]);
        take_scheduler_note(flavor, &mut found).assert_empty();
    }
}

#[tokio::test]
async fn data_only_needs_matching_tables() {
    for flavor in FLAVORS {
        let sql = "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20)) DEFAULT CHARSET utf8mb4;
                   CREATE TABLE other (a INT, b INT AS (a + 1), c TEXT);
                   CREATE TABLE third (a INT)";
        let catalog = TestDatabase::source(flavor, sql).catalog().await;
        let rows = CloneOptions { data_only: true, ..all_objects() };
        let database = TestDatabase::target(
            flavor,
            "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20)) DEFAULT CHARSET latin1;
             CREATE TABLE other (a BIGINT, x INT, c TEXT); INSERT INTO item VALUES (1, 'a'); INSERT INTO other (a) VALUES (1)",
        );
        check_target(&database.address(), &catalog, &rows)
            .await
            .error(&["needs the tables on the target, and third is not in"])
            .error(&["table item on the target is not as", "name is varchar(20) in latin1 there"])
            .error(&["table other on the target", "column a is bigint", "column x is not at the source"])
            .error(&["tables item and other on the target are not empty", "--if-exists truncate"])
            .assert_empty();
        let database = TestDatabase::target(flavor, &format!("{sql}; INSERT INTO third VALUES (1)"));
        let truncate = CloneOptions { if_exists: IfExists::Truncate, ..rows.clone() };
        check_target(&database.address(), &catalog, &truncate)
            .await
            .note(&["tables item, other and third of the target are emptied"])
            .assert_empty();
        check_target(&database.address(), &catalog, &rows)
            .await
            .error(&["table third on", "is not empty"])
            .assert_empty();
        database.sql(
            "CREATE TRIGGER t BEFORE INSERT ON third FOR EACH ROW SET @a = 1;
                   CREATE TRIGGER u BEFORE DELETE ON third FOR EACH ROW SET @a = 1",
        );
        check_target(&database.address(), &catalog, &truncate)
            .await
            .error(&["trigger t on table third"])
            .note(&["are emptied"])
            .assert_empty();
        check_target(&TestDatabase::absent(&database.server).address(), &catalog, &rows)
            .await
            .error(&["item, other and third are not in"])
            .assert_empty();
    }
}

#[tokio::test]
async fn missing_privileges_are_one_finding() {
    for flavor in FLAVORS {
        let catalog = TestDatabase::source(flavor, SHOP).catalog().await;
        let database = TestDatabase::target(flavor, "");
        let account = database.account(&["SELECT, INSERT ON `{db}`.*"]);
        let some = CloneOptions { include: vec!["item".into(), "sale".into(), "sold".into()], ..all_objects() };
        let missing = match flavor {
            Flavor::MySql => "lacks CREATE, DROP, ALTER, REFERENCES, DELETE, CREATE VIEW on",
            Flavor::MariaDb => "lacks CREATE, DROP, ALTER, DELETE, CREATE VIEW on",
        };
        check_target(&database.address_as(&account), &catalog, &some)
            .await
            .error(&[missing, &format!("ON `{}`.* TO '{}'@'%'", database.name, account.user)])
            .assert_empty();
        let wide = database.account(&["ALL ON `check\\_db\\_%`.*"]);
        check_target(&database.address_as(&wide), &catalog, &some).await.assert_empty();
        check_target(
            &super::address(&database.server.with_account(&wide.user, "Secret-1"), "elsewhere"),
            &catalog,
            &some,
        )
        .await
        .error(&["lacks CREATE, DROP, ALTER,"])
        .assert_empty();
        // The account may create a probe table and not drop it: the check creates none.
        let no_drop = database.account(&["CREATE, ALTER, REFERENCES, SELECT, INSERT, DELETE, CREATE VIEW ON `{db}`.*"]);
        check_target(&database.address_as(&no_drop), &catalog, &some).await.error(&["lacks DROP on"]).assert_empty();
        let binlog = CloneOptions { skip_binlog: true, ..some };
        check_target(&database.address_as(&wide), &catalog, &binlog)
            .await
            .error(&["binary log", "GRANT"])
            .assert_empty();
        check_target(&database.address(), &catalog, &binlog).await.assert_empty();
    }
}
