//! What is said of a target: its place, its rights, what it holds.

use dbgraft_testkit::Flavor;

use super::{FLAVORS, Place, SHOP, check_target};

use crate::options::{CloneOptions, IfExists};

fn full() -> CloneOptions {
    CloneOptions::default()
}

fn with(if_exists: IfExists) -> CloneOptions {
    CloneOptions { if_exists, ..full() }
}

/// On MariaDB the scheduler is off unless asked for, and the shop has an event.
fn but_for_events(flavor: Flavor, found: &mut super::Found) -> &mut super::Found {
    if flavor == Flavor::MariaDb {
        found.note(&["event_scheduler is not on", "1 enabled event"]);
    }
    found
}

#[tokio::test]
async fn an_empty_place_is_fine() {
    for flavor in FLAVORS {
        let catalog = Place::source(flavor, SHOP).catalog().await;
        for place in [Place::nowhere(&dbgraft_testkit::pair_of(flavor).target), Place::target(flavor, "")] {
            for if_exists in [IfExists::Fail, IfExists::Drop, IfExists::Truncate, IfExists::Skip] {
                let mut found = check_target(&place.address(), &catalog, &with(if_exists)).await;
                but_for_events(flavor, &mut found).nothing_else();
            }
        }
    }
}

#[tokio::test]
async fn wrong_places_are_refused() {
    for flavor in FLAVORS {
        let source = Place::source(flavor, SHOP);
        let mut catalog = source.catalog().await;
        check_target(&source.address(), &catalog, &full()).await.error(&["same database"]).nothing_else();
        for name in ["mysql", "SYS", "information_schema", "performance_schema"] {
            let address = super::address(&source.server, name);
            check_target(&address, &catalog, &full()).await.error(&[name, "the target server's own"]).nothing_else();
        }
        // The same name elsewhere, and another name there, are fine.
        let server = &dbgraft_testkit::pair_of(flavor).target;
        let mut found = check_target(&super::address(server, &source.name), &catalog, &full()).await;
        but_for_events(flavor, &mut found).nothing_else();
        let mut found = check_target(&Place::nowhere(&source.server).address(), &catalog, &full()).await;
        but_for_events(flavor, &mut found).nothing_else();

        catalog.server.version = "99.1.0".into();
        let place = Place::nowhere(server);
        let mut found = check_target(&place.address(), &catalog, &full()).await;
        but_for_events(flavor, found.warning(&["newer than the target", "99.1.0"])).nothing_else();
    }
}

#[tokio::test]
async fn what_is_there_is_found() {
    for flavor in FLAVORS {
        let catalog = Place::source(flavor, SHOP).catalog().await;
        let place = Place::target(flavor, SHOP);
        let there = ["7 objects are in the target database", "table item, table sale,"];
        let mut found = check_target(&place.address(), &catalog, &full()).await;
        found.error(&[there[0], there[1], "and 2 more", "--recreate-database"]);
        but_for_events(flavor, &mut found).nothing_else();
        let truncate = with(IfExists::Truncate);
        let mut found = check_target(&place.address(), &catalog, &truncate).await;
        found.note(&["5 objects are in", "made anew"]).note(&["tables item and sale of the target are emptied"]);
        but_for_events(flavor, &mut found).nothing_else();
        let quiet = CloneOptions { triggers: Some(false), events: Some(false), ..truncate };
        check_target(&place.address(), &catalog, &quiet)
            .await
            .error(&["trigger trim_name on table item would fire"])
            .note(&["3 objects are in"])
            .note(&["are emptied"])
            .nothing_else();
        let mut found = check_target(&place.address(), &catalog, &with(IfExists::Drop)).await;
        but_for_events(flavor, found.note(&[there[0], "dropped and made anew"])).nothing_else();
        let anew = CloneOptions { recreate_database: true, ..full() };
        let mut found = check_target(&place.address(), &catalog, &anew).await;
        but_for_events(flavor, found.warning(&["--recreate-database drops", "7 objects"])).nothing_else();
        let other = CloneOptions { include: vec!["view:*".into()], ..full() };
        check_target(&place.address(), &catalog, &other).await.error(&["1 object is in", "view sold"]).nothing_else();
    }
}

#[tokio::test]
async fn one_name_cannot_be_of_two_kinds() {
    for flavor in FLAVORS {
        let catalog = Place::source(flavor, SHOP).catalog().await;
        let place = Place::target(flavor, "CREATE TABLE sold (a INT); CREATE VIEW item AS SELECT 1");
        for if_exists in [IfExists::Fail, IfExists::Truncate, IfExists::Skip] {
            let mut found = check_target(&place.address(), &catalog, &with(if_exists)).await;
            found.error(&["view item on the target is where table item"]).error(&["table sold", "where view sold"]);
            but_for_events(flavor, &mut found).nothing_else();
        }
        let mut found = check_target(&place.address(), &catalog, &with(IfExists::Drop)).await;
        found.warning(&["view item on the target is dropped"]).warning(&["table sold on the target is dropped"]);
        but_for_events(flavor, &mut found).nothing_else();
    }
}

#[tokio::test]
async fn rows_alone_need_tables_that_fit() {
    for flavor in FLAVORS {
        let sql = "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20)) DEFAULT CHARSET utf8mb4;
                   CREATE TABLE other (a INT, b INT AS (a + 1), c TEXT);
                   CREATE TABLE third (a INT)";
        let catalog = Place::source(flavor, sql).catalog().await;
        let rows = CloneOptions { data_only: true, ..full() };
        let place = Place::target(
            flavor,
            "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20)) DEFAULT CHARSET latin1;
             CREATE TABLE other (a BIGINT, x INT, c TEXT); INSERT INTO item VALUES (1, 'a'); INSERT INTO other (a) VALUES (1)",
        );
        check_target(&place.address(), &catalog, &rows)
            .await
            .error(&["needs the tables on the target, and third is not in"])
            .error(&["table item on the target is not as", "name is varchar(20) in latin1 there"])
            .error(&["table other on the target", "column a is bigint", "column x is not at the source"])
            .error(&["tables item and other on the target are not empty", "--if-exists truncate"])
            .nothing_else();
        let place = Place::target(flavor, &format!("{sql}; INSERT INTO third VALUES (1)"));
        let truncate = CloneOptions { if_exists: IfExists::Truncate, ..rows.clone() };
        check_target(&place.address(), &catalog, &truncate)
            .await
            .note(&["tables item, other and third of the target are emptied"])
            .nothing_else();
        check_target(&place.address(), &catalog, &rows).await.error(&["table third on", "is not empty"]).nothing_else();
        place.sql(
            "CREATE TRIGGER t BEFORE INSERT ON third FOR EACH ROW SET @a = 1;
                   CREATE TRIGGER u BEFORE DELETE ON third FOR EACH ROW SET @a = 1",
        );
        check_target(&place.address(), &catalog, &truncate)
            .await
            .error(&["trigger t on table third"])
            .note(&["are emptied"])
            .nothing_else();
        check_target(&Place::nowhere(&place.server).address(), &catalog, &rows)
            .await
            .error(&["item, other and third are not in"])
            .nothing_else();
    }
}

#[tokio::test]
async fn missing_rights_are_one_line() {
    for flavor in FLAVORS {
        let catalog = Place::source(flavor, SHOP).catalog().await;
        let place = Place::target(flavor, "");
        let account = place.account(&["SELECT, INSERT ON `{db}`.*"]);
        let some = CloneOptions { include: vec!["item".into(), "sale".into(), "sold".into()], ..full() };
        let missing = match flavor {
            Flavor::MySql => "lacks CREATE, DROP, ALTER, REFERENCES, DELETE, CREATE VIEW on",
            Flavor::MariaDb => "lacks CREATE, DROP, ALTER, DELETE, CREATE VIEW on",
        };
        check_target(&place.address_as(&account), &catalog, &some)
            .await
            .error(&[missing, &format!("ON `{}`.* TO '{}'@'%'", place.name, account.user)])
            .nothing_else();
        let wide = place.account(&["ALL ON `check\\_db\\_%`.*"]);
        check_target(&place.address_as(&wide), &catalog, &some).await.nothing_else();
        check_target(&super::address(&place.server.with_account(&wide.user, "Secret-1"), "elsewhere"), &catalog, &some)
            .await
            .error(&["lacks CREATE, DROP, ALTER,"])
            .nothing_else();
        // Everything but what a probe needs to go away again: nothing is tried, nothing is left.
        let no_drop = place.account(&["CREATE, ALTER, REFERENCES, SELECT, INSERT, DELETE, CREATE VIEW ON `{db}`.*"]);
        check_target(&place.address_as(&no_drop), &catalog, &some).await.error(&["lacks DROP on"]).nothing_else();
        let binlog = CloneOptions { skip_binlog: true, ..some };
        check_target(&place.address_as(&wide), &catalog, &binlog).await.error(&["binary log", "GRANT"]).nothing_else();
        check_target(&place.address(), &catalog, &binlog).await.nothing_else();
    }
}
