//! The checks for definitions that a target may refuse.

use dbgraft_testkit::Flavor;

use super::{FLAVORS, TestDatabase, check_target};
use crate::options::{CloneOptions, Definer};

fn all_objects() -> CloneOptions {
    CloneOptions::default()
}

#[tokio::test]
async fn unknown_features_are_reported() {
    for flavor in FLAVORS {
        let source = TestDatabase::source(
            flavor,
            "CREATE TABLE a (a VARCHAR(9)) DEFAULT CHARSET latin1 COLLATE latin1_bin; CREATE TABLE b (a INT) ENGINE=MyISAM;
             CREATE TABLE _dbgraft_journal (a INT PRIMARY KEY); CREATE PROCEDURE p() SELECT 1",
        );
        let mut catalog = source.catalog().await;
        let database = TestDatabase::absent(&dbgraft_testkit::pair_of(flavor).target);
        check_target(&database.address(), &catalog, &all_objects()).await.error(&["_dbgraft_journal"]).assert_empty();
        catalog.tables.retain(|table| table.name != "_dbgraft_journal");
        check_target(&database.address(), &catalog, &all_objects()).await.assert_empty();

        catalog.database.collation = "utf8mb4_next_ci".into();
        catalog.tables[0].create = catalog.tables[0].create.replace("latin1_bin", "klingon_bin");
        catalog.tables[0].columns[0].collation = Some("klingon_ci".into());
        catalog.tables[1].create = catalog.tables[1].create.replace("MyISAM", "RocksDB");
        catalog.definitions[0].character_set_client = "klingon".into();
        check_target(&database.address(), &catalog, &all_objects())
            .await
            .error(&["collation utf8mb4_next_ci of the database: create the database there first"])
            .error(&["collations klingon_bin (of table a) and klingon_ci (of table a)"])
            .error(&["character set klingon (of procedure p)"])
            .error(&["storage engine RocksDB (of table b)"])
            .assert_empty();
        // A clone of rows only needs the tables.
        let rows = CloneOptions { data_only: true, ..all_objects() };
        check_target(&database.address(), &catalog, &rows).await.error(&["a and b are not in"]).assert_empty();
    }
}

#[tokio::test]
async fn foreign_keys_need_their_parents() {
    for flavor in FLAVORS {
        let other = TestDatabase::source(flavor, "CREATE TABLE far (id INT PRIMARY KEY)");
        let source = TestDatabase::source(
            flavor,
            &format!(
                "CREATE TABLE parent (id INT PRIMARY KEY, u INT, UNIQUE KEY (u));
                 CREATE TABLE child (a INT, CONSTRAINT f FOREIGN KEY (a) REFERENCES parent (id));
                 CREATE TABLE second (a INT, CONSTRAINT g FOREIGN KEY (a) REFERENCES `{}`.far (id));
                 CREATE TABLE third (a INT, CONSTRAINT h FOREIGN KEY (a) REFERENCES parent (u))",
                other.name
            ),
        );
        let catalog = source.catalog().await;
        let database = TestDatabase::target(flavor, "");
        let far = format!("table second to {}.far", other.name);
        let foreign = ["other databases that the target does not have", far.as_str()];
        check_target(&database.address(), &catalog, &all_objects()).await.warning(&foreign).assert_empty();
        let some = CloneOptions { include: vec!["child".into(), "third".into()], ..all_objects() };
        check_target(&database.address(), &catalog, &some)
            .await
            .warning(&["foreign keys are left out", "f of table child (to parent) and h of table third (to parent)"])
            .assert_empty();
        database.sql("CREATE TABLE parent (id INT PRIMARY KEY)");
        check_target(&database.address(), &catalog, &some).await.assert_empty();
    }
}

#[tokio::test]
async fn functions_and_triggers_need_privileges_with_a_binary_log() {
    for flavor in FLAVORS {
        let source = TestDatabase::source(flavor, super::SHOP);
        let mut catalog = source.catalog().await;
        let database = TestDatabase::target(flavor, "");
        let account = database.account(&["ALL ON `{db}`.*"]);
        let options = CloneOptions { events: Some(false), ..all_objects() };
        check_target(&database.address_as(&account), &catalog, &options)
            .await
            .error(&["error 1419", "function twice and trigger trim_name", "log_bin_trust_function_creators"])
            .assert_empty();
        let without = CloneOptions { routines: Some(false), triggers: Some(false), ..options.clone() };
        check_target(&database.address_as(&account), &catalog, &without).await.assert_empty();
        for definition in &mut catalog.definitions {
            definition.create = definition.create.replace("    DETERMINISTIC\n", "");
        }
        check_target(&database.address(), &catalog, &options)
            .await
            .error(&["error 1418", "refuses function twice,"])
            .assert_empty();
    }
}

#[tokio::test]
async fn definers_need_privileges_and_existing_accounts() {
    for flavor in FLAVORS {
        let source = TestDatabase::source(flavor, "");
        let (there, absent) = (super::unique("there"), super::unique("absent"));
        source.sql(&format!(
            "CREATE DEFINER='root'@'%' VIEW a AS SELECT 1; CREATE DEFINER='{there}'@'%' VIEW b AS SELECT 1;
             CREATE DEFINER='{absent}'@'h' PROCEDURE c() SELECT 1"
        ));
        let catalog = source.catalog().await;
        let database = TestDatabase::target(flavor, "");
        database.sql(&format!("CREATE USER '{there}'@'%'"));
        let keep = CloneOptions { definer: Definer::Keep, ..all_objects() };
        let missing = format!("'{absent}'@'h'");
        check_target(&database.address(), &catalog, &keep)
            .await
            .warning(&["definer", &missing, "does not exist on the target"])
            .assert_empty();
        check_target(&database.address(), &catalog, &all_objects()).await.assert_empty();

        let account = database.account(&["ALL ON `{db}`.*"]);
        let limited = database.address_as(&account);
        let right = if flavor == Flavor::MySql { "SET_ANY_DEFINER" } else { "SET USER" };
        let all = format!("'{absent}'@'h', '{there}'@'%' and 'root'@'%'");
        check_target(&limited, &catalog, &keep)
            .await
            .error(&["may not make others the definer", &all, &format!("GRANT {right} ON *.*")])
            .assert_empty();
        let own = Definer::Account { user: account.user.clone(), host: "%".into() };
        check_target(&limited, &catalog, &CloneOptions { definer: own, ..all_objects() }).await.assert_empty();
        account.grant(&format!("{right} ON *.*"));
        account.grant("SELECT ON mysql.*");
        let mut found = check_target(&limited, &catalog, &keep).await;
        match flavor {
            Flavor::MySql => found
                .error(&[&missing, "refuses what they define", "ALLOW_NONEXISTENT_DEFINER"])
                .error(&["only an account with SYSTEM_USER", "'root'@'%'"]),
            Flavor::MariaDb => found.warning(&[&missing, "does not exist"]),
        }
        .assert_empty();
        database.sql(&format!("DROP USER '{there}'@'%'"));
    }
}

#[tokio::test]
async fn unknown_time_zones_of_events_are_errors() {
    for flavor in FLAVORS {
        let event = "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO DO 1";
        let source = TestDatabase::source(flavor, &format!("SET time_zone = '+05:30'; {event}"));
        let mut catalog = source.catalog().await;
        let database = TestDatabase::target(flavor, "");
        let findings = check_target(&database.address(), &catalog, &all_objects()).await;
        assert!(!format!("{:?}", findings.0).contains("time zone"), "{:?}", findings.0);
        catalog.definitions[0].time_zone = "Mars/Phobos".into();
        check_target(&database.address(), &catalog, &all_objects()).await.error(&["Mars/Phobos of event e"]);
    }
}
