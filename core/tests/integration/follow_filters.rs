//! Promise: a followed clone with row filters has exactly the rows that the filters choose, although rows come to be chosen
//! and cease to be.

use dbgraft::{CloneOptions, ErrorKind};
use dbgraft_testkit::{Flavor, pair_of};

use crate::common::comparing::checksum;
use crate::common::follower::Follower;
use crate::common::{BackgroundLoop, Bench, on_sampled_flavors, wait_until};
use crate::follow::bench_between;

const SCHEMA: &str = "
    CREATE TABLE item (id INT PRIMARY KEY, tenant INT, code INT UNIQUE, gone DATETIME, v VARCHAR(20));
    CREATE TABLE pair (a INT, b SMALLINT UNSIGNED, v INT, PRIMARY KEY (a, b));
    CREATE TABLE keyless (n INT, t VARCHAR(20));
    CREATE TABLE whole (id INT PRIMARY KEY, tenant INT);
    CREATE TABLE marks (id INT PRIMARY KEY, mark VARCHAR(40));
    INSERT INTO whole WITH RECURSIVE i AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM i WHERE i < 600) SELECT i, i % 5 FROM i;
    INSERT INTO item SELECT id, tenant, id, IF(id % 7 = 0, '2020-01-01', NULL), 'v' FROM whole;
    INSERT INTO pair SELECT id % 20, id, id FROM whole;
    INSERT INTO keyless SELECT IF(id % 9 = 0, NULL, id % 12), 'x' FROM whole;";

const FILTERS: [(&str, &str); 3] = [
    ("item", "tenant IN (1, 2) AND gone IS NULL"),
    ("pair", "a % 3 = 1 OR b BETWEEN 100 AND 300"),
    ("keyless", "NOT n <= 5 OR n IS NULL"),
];

/// The arguments of a clone that follows with these filters.
fn arguments() -> Vec<String> {
    let filters = FILTERS.iter().flat_map(|(table, filter)| ["--where".to_owned(), format!("{table}={filter}")]);
    ["--follow".to_owned()].into_iter().chain(filters).collect()
}

/// Moves rows into the filters and out of them, in statements over many rows.
fn writer(bench: &Bench) -> BackgroundLoop {
    let (source, from) = (bench.pair.source.clone(), bench.from.clone());
    BackgroundLoop::new(move |round| {
        let (a, b, tenant) = (round * 37 % 560, round * 53 % 560, round * 7 % 5);
        let sql = format!(
            "UPDATE item SET tenant = (tenant + 1) % 5, v = '{round}' WHERE id BETWEEN {a} AND {a} + 30; \
             UPDATE item SET gone = IF(gone IS NULL, '2021-02-03', NULL) WHERE id BETWEEN {b} AND {b} + 9; \
             START TRANSACTION; UPDATE item SET code = -1 WHERE id = {a} + 1; UPDATE item SET code = {a} + 1 WHERE id = {b} + 2; \
             UPDATE item SET code = {b} + 2 WHERE id = {a} + 1; ROLLBACK; \
             START TRANSACTION; UPDATE item SET tenant = NULL WHERE id = {b} + 3; SAVEPOINT s; \
             DELETE FROM item WHERE id > {b}; ROLLBACK TO s; UPDATE item SET tenant = {tenant} WHERE id = {b} + 3; COMMIT; \
             REPLACE INTO item VALUES ({round} % 50 + 1000, {tenant}, {round} % 50 + 2000, NULL, 'new'); \
             DELETE FROM item WHERE id = ({round} + 20) % 50 + 1000; \
             UPDATE IGNORE pair SET a = a + 1000 WHERE b BETWEEN {a} AND {a} + 15 AND a < 1000 ORDER BY a DESC; \
             UPDATE IGNORE pair SET a = a - 999, v = {round} WHERE a > 1000 AND b > {b}; \
             UPDATE IGNORE pair SET a = a % 20 WHERE b = {a} + 3; \
             UPDATE IGNORE pair SET b = (b + 150) % 600 WHERE b BETWEEN {b} AND {b} + 3; \
             INSERT INTO keyless SELECT IF(id % 4 = 0, NULL, {round} % 12), 'y' FROM whole WHERE id < 8; \
             UPDATE keyless SET n = (n + 3) % 12 WHERE n = {tenant} LIMIT 5; UPDATE keyless SET n = NULL WHERE n = 11 LIMIT 2; \
             DELETE FROM keyless WHERE n IS NULL LIMIT 3; DELETE FROM keyless WHERE n < 6 LIMIT 4; \
             UPDATE whole SET tenant = {round} WHERE id = {a} + 1"
        );
        source.sql_in(&from, &sql).is_ok()
    })
}

/// Leaves only the chosen rows at the source, and compares.
fn assert_chosen(bench: &Bench) {
    for (table, filter) in FILTERS {
        bench.source(&format!("DELETE FROM {table} WHERE NOT IFNULL(({filter}), FALSE)"));
    }
    bench.assert_equal();
}

async fn follow_through_kills(bench: &Bench) {
    let arguments = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let writer = writer(bench);
    writer.assert_begun();
    let mut follower = Follower::begin(bench, "clone", &arguments).await;
    for threads in ["1", "4"] {
        let before = writer.rounds();
        assert!(wait_until(|| writer.rounds() > before + 20));
        follower.kill().await;
        follower = Follower::begin(bench, "follow", &["--threads", threads]).await;
    }
    let before = writer.rounds();
    assert!(wait_until(|| writer.rounds() > before + 20));
    drop(writer);
    follower.catch_up(bench).await;
    let count = |table: &str| bench.target(&format!("SELECT COUNT(*) FROM {table}")).parse::<u64>().unwrap();
    assert!(FILTERS.iter().all(|(table, _)| count(table) > 20), "nearly nothing is chosen");
    follower.cut_over_with(checksum()).await;
    assert_chosen(bench);
}

#[test]
fn rows_enter_and_leave_the_filters() {
    on_sampled_flavors(async |flavor| follow_through_kills(&Bench::new(flavor, SCHEMA)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_across_the_families() {
    let (one, other) = (pair_of(Flavor::MySql), pair_of(Flavor::MariaDb));
    follow_through_kills(&bench_between(&one.source, &other.target, SCHEMA)).await;
    follow_through_kills(&bench_between(&other.source, &one.target, SCHEMA)).await;
}

#[test]
fn what_the_log_does_not_tell_ends_following() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let arguments = arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut follower = Follower::begin(&bench, "clone", &arguments).await;
        // The key is all that this filter needs, and both images together have it.
        bench.source("SET SESSION binlog_row_image = 'MINIMAL'; UPDATE pair SET v = -1 WHERE a = 1; DELETE FROM pair WHERE b < 50");
        follower.catch_up(&bench).await;
        // What has no key in common with the mark may come after it.
        let chosen = "SELECT COUNT(*), SUM(v) FROM pair WHERE a % 3 = 1 OR b BETWEEN 100 AND 300";
        assert!(wait_until(|| bench.target(chosen) == bench.source(chosen)), "{}", bench.target(chosen));
        bench.source("SET SESSION binlog_row_image = 'MINIMAL'; UPDATE pair SET a = 1 WHERE a = 2 AND b = 62");
        let message = follower.ended();
        let words = [
            "of table pair the binary log does not have all columns of a row that comes to be chosen",
            "binlog_row_image = 'FULL'",
            "position",
        ];
        assert!(words.iter().all(|word| message.contains(word)), "{message}");

        let bench = Bench::new(flavor, SCHEMA);
        let follower = Follower::begin(&bench, "clone", &arguments).await;
        bench.source("SET SESSION binlog_row_image = 'MINIMAL'; UPDATE item SET tenant = 1 WHERE id = 3");
        let message = follower.ended();
        assert!(message.contains("of table item the binary log does not have column tenant, on which"), "{message}");
    });
}

#[test]
fn a_statement_that_changes_a_filtered_table_is_run_by_hand() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let arguments = arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--on-ddl", "apply"]).collect();
        let mut follower = Follower::begin(&bench, "clone", &arguments).await;
        bench.source("ALTER TABLE whole ADD COLUMN more INT");
        follower.catch_up(&bench).await;
        let sql = "ALTER TABLE item ADD COLUMN more INT DEFAULT 7 FIRST";
        bench.source(sql);
        let message = follower.ended();
        assert!(message.contains("table item is cloned with a row filter"), "{message}");
        let place = message.split("--skip-ddl ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        bench.target(sql);
        bench.source("UPDATE item SET tenant = tenant + 1");
        let mut follower = Follower::begin(&bench, "follow", &["--skip-ddl", &place]).await;
        bench.source("UPDATE item SET tenant = 2 WHERE id < 20");
        follower.catch_up(&bench).await;
        follower.cut_over().await;
        assert_chosen(&bench);
    });
}

#[test]
fn other_filters_are_refused_by_name() {
    on_sampled_flavors(async |flavor| {
        let conditions = [
            ("t1", "name = 'x'", "column name is varchar(20), and no integer"),
            ("t2", "id IN (SELECT id FROM {db}.t1)", "SELECT is not evaluated there"),
            ("t3", "RAND() < 2", "it calls RAND"),
            ("t4", "born < NOW()", "column born is datetime, and no integer"),
            ("t5", "id = @x", "@ is not evaluated there"),
            ("t6", "twice = 2", "column twice is generated"),
        ];
        let columns = "(id INT PRIMARY KEY, name VARCHAR(20), born DATETIME, twice INT AS (id * 2) STORED)";
        let tables: Vec<String> =
            conditions.iter().map(|(table, ..)| format!("CREATE TABLE {table} {columns};")).collect();
        let keys = "CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT f \
                    FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE);";
        let bench = Bench::new(flavor, &format!("{}{keys}", tables.concat()));
        let filters = conditions.iter().map(|(table, filter, _)| (*table, filter.replace("{db}", &bench.from)));
        let options = CloneOptions {
            filters: filters.chain([("parent", "id > 5".to_owned())]).map(|(t, f)| (t.to_owned(), f)).collect(),
            follow: true,
            ..CloneOptions::default()
        };
        let error = bench.job(options).run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
        let text = error.to_string();
        for (table, _, reason) in conditions {
            assert!(
                text.contains(&format!("the condition for table {table} cannot")) && text.contains(reason),
                "{text}"
            );
        }
        // MySQL 9.7 logs what foreign keys change.
        let refused = text.contains("f of table child (a row filter leaves out rows");
        assert_eq!(refused, flavor == Flavor::MariaDb, "{text}");
        assert!(!bench.target_exists());
    });
}
