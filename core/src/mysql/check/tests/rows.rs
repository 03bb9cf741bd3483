//! Rows that cannot be read, or not as one would think.

use dbgraft_testkit::Flavor;

use super::{FLAVORS, Place, SHOP, check_source};
use crate::options::CloneOptions;

fn of(filters: &[(&str, &str)]) -> CloneOptions {
    let filters = filters.iter().map(|(table, condition)| ((*table).to_owned(), (*condition).to_owned()));
    CloneOptions { filters: filters.collect(), ..CloneOptions::default() }
}

#[tokio::test]
async fn conditions_are_understood_or_refused() {
    for flavor in FLAVORS {
        let place = Place::source(flavor, SHOP);
        let whole = format!("item IN (SELECT id FROM `{}`.item WHERE name = ')') -- odd", place.name);
        let good = of(&[("item", "name LIKE 't%' OR id > 5"), ("sale", &whole)]);
        check_source(&place, &place.address(), &good).await.nothing_else();
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
            let options = of(&[("item", condition)]);
            check_source(&place, &place.address(), &options)
                .await
                .error(&["the condition for table item", words[0], words[1]])
                .nothing_else();
        }
    }
}

#[tokio::test]
async fn tables_without_transactions_are_not_held() {
    for flavor in FLAVORS {
        let other = if flavor == Flavor::MySql { "ARCHIVE" } else { "Aria" };
        let place = Place::source(
            flavor,
            &format!(
                "CREATE TABLE m (a INT) ENGINE=MyISAM; CREATE TABLE n (a INT) ENGINE={other}; CREATE TABLE o (a INT)"
            ),
        );
        let options = CloneOptions::default();
        check_source(&place, &place.address(), &options)
            .await
            .warning(&["tables m (MyISAM) and n (", other, "know no transactions"])
            .nothing_else();
        let any = CloneOptions { no_consistency: true, ..options.clone() };
        check_source(&place, &place.address(), &any).await.nothing_else();
        let schema = CloneOptions { schema_only: true, ..options };
        check_source(&place, &place.address(), &schema).await.nothing_else();
    }
}

#[tokio::test]
async fn a_broken_table_is_named_among_many() {
    for flavor in FLAVORS {
        let many: String = (0..70).map(|number| format!("CREATE TABLE t{number} (a INT);")).collect();
        let place = Place::source(flavor, &many);
        place.sql("CREATE TABLE gone (a INT) ENGINE=MyISAM; CREATE TABLE z (a INT) ENGINE=MERGE UNION=(gone)");
        place.sql("DROP TABLE gone");
        for schema_only in [false, true] {
            let options = CloneOptions { schema_only, ..CloneOptions::default() };
            check_source(&place, &place.address(), &options)
                .await
                .error(&["table z cannot be read", "error 1168", "leave it out by --exclude"])
                .nothing_else();
        }
        let without = CloneOptions { exclude: vec!["z".into()], ..CloneOptions::default() };
        check_source(&place, &place.address(), &without).await.nothing_else();
    }
}

#[tokio::test]
async fn a_sequence_is_read_too() {
    let place = Place::source(Flavor::MariaDb, "CREATE SEQUENCE s; CREATE TABLE t (a INT DEFAULT nextval(s))");
    check_source(&place, &place.address(), &CloneOptions::default()).await.nothing_else();
    let catalog = place.catalog().await;
    let account = place.account(&["SELECT ON `{db}`.`t`"]);
    let tables = CloneOptions { include: vec!["*".into()], threads: 1, ..CloneOptions::default() };
    super::check_source_of(&catalog, &place.address_as(&account), &tables)
        .await
        .error(&["may not read table s of", "GRANT SELECT"])
        .nothing_else();
}
