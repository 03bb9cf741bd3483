//! Promise: a change reaches the row that the log means, also where the server takes different values for equal, and
//! whatever the number of statements of its transaction.

use std::fmt::Write as _;

use dbgraft_testkit::{Flavor, ServerOptions, pair_of};

use crate::common::follower::Follower;
use crate::common::{Bench, on_each_flavor, on_sampled_flavors, wait_until};
use crate::follow::bench_between;

const SCHEMA: &str = "
    CREATE TABLE marks (id INT PRIMARY KEY, mark VARCHAR(40));
    CREATE TABLE texts (id INT, j JSON);
    CREATE TABLE doubles (id INT, d DOUBLE, f FLOAT);
    CREATE TABLE enums (id INT PRIMARY KEY, e ENUM('x', 'y'), n INT);
    CREATE TABLE keyless_enums (e ENUM('x', 'y'), n INT);
    CREATE TABLE long_rows (n INT, b LONGBLOB, t LONGTEXT CHARACTER SET utf16, s LONGTEXT CHARACTER SET latin1);
    CREATE TABLE small (id INT PRIMARY KEY, n INT);
    INSERT INTO texts VALUES (1, '1'), (1, '1.0'), (1, '[1, 2]'), (1, '[1.0, 2]'), (1, '{\"a\": 1}'), (1, '{\"a\": 1.0}');
    INSERT INTO doubles VALUES (1, 0, 5), (1, -0e0, 5), (2, 5, 0), (2, 5, -0e0), (3, 1.5, 0.1);
    INSERT INTO enums VALUES (1, 'x', 0), (2, 'y', 0);
    INSERT INTO keyless_enums VALUES ('x', 0), ('y', 0);";

/// More statements than the KiB of the memory for following.
const STATEMENTS: u32 = 9_000;

#[test]
fn changes_reach_the_rows_that_the_log_means() {
    on_each_flavor(async |flavor| {
        let bench = Bench::new(flavor, SCHEMA);
        let mut follower = Follower::begin(&bench, "clone", &["--follow", "--memory", "8M"]).await;
        // MySQL compares JSON by value, and MariaDB by text.
        let text = if flavor == Flavor::MySql { "CAST(j AS CHAR)" } else { "j" };
        for value in ["1.0", "[1.0, 2]", r#"{"a": 1.0}"#] {
            bench.source(&format!("DELETE FROM texts WHERE {text} = '{value}'"));
        }
        bench.source(&format!("UPDATE texts SET id = 2 WHERE {text} = '1'"));
        bench.source(
            "UPDATE doubles SET f = 6 WHERE id = 1 AND ATAN2(d, -1) < 0; DELETE FROM doubles WHERE id = 2 AND ATAN2(f, -1) < 0; \
             DELETE FROM doubles WHERE id = 3",
        );
        bench.source("SET sql_mode = ''; UPDATE enums SET e = 'bogus' WHERE id = 1; UPDATE keyless_enums SET e = 'bogus' WHERE e = 'x'");
        bench.source("UPDATE enums SET n = 1 WHERE e = 0; UPDATE keyless_enums SET n = 1 WHERE e = 0");
        // Longer than half of a packet, and equal but for the last byte.
        bench.source(
            "INSERT INTO long_rows VALUES (1, REPEAT('a', 9000000), REPEAT('b', 500), REPEAT(CHAR(0xE9 USING latin1), 9000000)); \
             INSERT INTO long_rows SELECT 2, CONCAT(b, 'x'), CONCAT(t, 'x'), CONCAT(s, 'x') FROM long_rows; \
             INSERT INTO long_rows SELECT n, b, CONCAT(t, 'y'), s FROM long_rows WHERE n = 2; \
             UPDATE long_rows SET n = 3 WHERE t LIKE '%y'; DELETE FROM long_rows WHERE n = 2",
        );
        let mut sql = "START TRANSACTION;".to_owned();
        (0..STATEMENTS).for_each(|id| write!(sql, "INSERT INTO small VALUES ({id}, 0);").unwrap());
        bench.source(&(sql + "COMMIT"));
        follower.catch_up(&bench).await;
        follower.cut_over().await;
        let signs = "SELECT GROUP_CONCAT(id, ':', ATAN2(d, -1) < 0, ATAN2(f, -1) < 0, f ORDER BY id, f) FROM doubles";
        assert_eq!(bench.target(signs), bench.source(signs), "{flavor}");
        assert_eq!(bench.target("SELECT GROUP_CONCAT(id, ':', e + 0, ':', n ORDER BY id) FROM enums"), "1:0:1,2:2:0");
        bench.assert_equal();
    });
}

#[test]
fn an_enum_with_other_members_is_not_followed() {
    on_each_flavor(async |flavor| {
        let bench = Bench::new(flavor, "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'b'))");
        let follower = Follower::begin(&bench, "clone", &["--follow"]).await;
        bench.source("ALTER TABLE t MODIFY e ENUM('b', 'a'); INSERT INTO t VALUES (1, 'b')");
        let message = follower.ended();
        let (_, place) = message.split_once("--skip-ddl ").unwrap();
        let place = place.split_whitespace().next().unwrap();
        // The statement was not run at the target.
        let message = Follower::start(&bench, "follow", &["--skip-ddl", place]).ended();
        assert!(message.contains("has columns of other types at the target"), "{message}");
        assert_eq!(bench.target("SELECT COUNT(*) FROM t"), "0");
    });
}

#[test]
fn rows_of_prepared_transactions_need_a_bounded_memory_and_no_old_definitions() {
    on_sampled_flavors(async |flavor| {
        // A server of its own: prepared transactions are a matter of the whole server.
        let server = ServerOptions::new(flavor).start().unwrap();
        let tables = "CREATE TABLE marks (id INT PRIMARY KEY, mark VARCHAR(40)); CREATE TABLE u (id INT PRIMARY KEY); \
                      CREATE TABLE small (id INT PRIMARY KEY, n INT);";
        let bench = bench_between(server.database(), &pair_of(flavor).target, tables);
        let follower = Follower::begin(&bench, "clone", &["--follow", "--memory", "8M"]).await;
        let mut sql = "XA START 'many';".to_owned();
        (0..STATEMENTS).for_each(|id| write!(sql, "INSERT INTO small VALUES ({id}, 0);").unwrap());
        bench.source(&(sql + "XA END 'many'; XA PREPARE 'many'"));
        let message = follower.ended();
        assert!(message.contains("go on with more memory"), "{message}");
        let apply = ["--on-ddl", "apply"];
        let mut follower = Follower::begin(&bench, "follow", &apply).await;
        bench.source("XA START 'one'; INSERT INTO u VALUES (1); XA END 'one'; XA PREPARE 'one'");
        // The server may not have noticed yet that the session is gone.
        assert!(wait_until(|| server.sql("XA COMMIT 'one'").is_ok()));
        bench.source("ALTER TABLE u ADD COLUMN n INT; INSERT INTO u VALUES (2, 2)");
        follower.catch_up(&bench).await;
        // The next process reads from the place on at which the first one was prepared.
        follower.kill().await;
        let mut follower = Follower::begin(&bench, "follow", &apply).await;
        assert!(wait_until(|| server.sql("XA COMMIT 'many'").is_ok()));
        follower.catch_up(&bench).await;
        follower.cut_over().await;
        bench.assert_equal();
    });
}
