//! The checks for rows that cannot be read, or only inconsistently.

use dbgraft_testkit::Flavor;

use super::{FLAVORS, SHOP, TestDatabase, check_source};
use crate::options::CloneOptions;

fn with_filters(filters: &[(&str, &str)]) -> CloneOptions {
    let filters = filters.iter().map(|(table, condition)| ((*table).to_owned(), (*condition).to_owned()));
    CloneOptions { filters: filters.collect(), ..CloneOptions::default() }
}

#[tokio::test]
async fn unusable_conditions_are_errors() {
    for flavor in FLAVORS {
        let database = TestDatabase::source(flavor, SHOP);
        let whole = format!("item IN (SELECT id FROM `{}`.item WHERE name = ')') -- odd", database.name);
        let good = with_filters(&[("item", "name LIKE 't%' OR id > 5"), ("sale", &whole)]);
        check_source(&database, &database.address(), &good).await.assert_empty();
        for (condition, words) in [
            ("colour = 1", ["colour", "does not work"]),
            ("id = ", ["error 1064", "does not work"]),
            ("COUNT(*) > 1", ["error 1111", "does not work"]),
            ("id IN (SELECT item FROM sale)", ["name the database", "error 1046"]),
            ("1=1) OR (1=1", ["closes a bracket", "1=1) OR (1=1"]),
            ("1=1; DROP TABLE item", ["semicolon", "DROP"]),
            ("id = 'x", ["without an end", "'x"]),
            ("id /*! ) */", ["comment that is code", "item"]),
            ("", ["error 1064", "does not work"]),
        ] {
            let options = with_filters(&[("item", condition)]);
            check_source(&database, &database.address(), &options)
                .await
                .error(&["the condition for table item", words[0], words[1]])
                .assert_empty();
        }
    }
}

#[tokio::test]
async fn tables_without_transactions_are_reported() {
    for flavor in FLAVORS {
        let other = if flavor == Flavor::MySql { "ARCHIVE" } else { "Aria" };
        let database = TestDatabase::source(
            flavor,
            &format!(
                "CREATE TABLE m (a INT) ENGINE=MyISAM; CREATE TABLE n (a INT) ENGINE={other}; CREATE TABLE o (a INT)"
            ),
        );
        let options = CloneOptions::default();
        check_source(&database, &database.address(), &options)
            .await
            .warning(&["tables m (MyISAM) and n (", other, "know no transactions"])
            .assert_empty();
        let any = CloneOptions { no_consistency: true, ..options.clone() };
        check_source(&database, &database.address(), &any).await.assert_empty();
        let schema = CloneOptions { schema_only: true, ..options };
        check_source(&database, &database.address(), &schema).await.assert_empty();
    }
}

#[tokio::test]
async fn a_broken_table_is_found_among_many() {
    for flavor in FLAVORS {
        let many: String = (0..70).map(|number| format!("CREATE TABLE t{number} (a INT);")).collect();
        let database = TestDatabase::source(flavor, &many);
        database.sql("CREATE TABLE gone (a INT) ENGINE=MyISAM; CREATE TABLE z (a INT) ENGINE=MERGE UNION=(gone)");
        database.sql("DROP TABLE gone");
        for schema_only in [false, true] {
            let options = CloneOptions { schema_only, ..CloneOptions::default() };
            check_source(&database, &database.address(), &options)
                .await
                .error(&["table z cannot be read", "error 1168", "leave it out by --exclude"])
                .assert_empty();
        }
        let without = CloneOptions { exclude: vec!["z".into()], ..CloneOptions::default() };
        check_source(&database, &database.address(), &without).await.assert_empty();
    }
}

#[tokio::test]
async fn sequences_need_read_access() {
    let database =
        TestDatabase::source(Flavor::MariaDb, "CREATE SEQUENCE s; CREATE TABLE t (a INT DEFAULT nextval(s))");
    check_source(&database, &database.address(), &CloneOptions::default()).await.assert_empty();
    let catalog = database.catalog().await;
    let account = database.account(&["SELECT ON `{db}`.`t`"]);
    let tables = CloneOptions { include: vec!["*".into()], threads: 1, ..CloneOptions::default() };
    super::check_source_with(&catalog, &database.address_as(&account), &tables)
        .await
        .error(&["may not read table s of", "GRANT SELECT"])
        .assert_empty();
}
