//! Promise: after a cut-over, the changes of the target are carried back to the source exactly once, with its triggers and
//! events as they were at the end; and nothing is carried where that cannot be proved.

use std::time::Duration;

use dbgraft::{CloneOptions, ErrorKind, TargetJob};
use dbgraft_testkit::{Flavor, ServerOptions, ServerPair, compare, pair_of};

use crate::common::{BackgroundLoop, Bench, FLAVORS, on_sampled_flavors, sampled_flavors, wait_until};
use crate::follow::{
    SCHEMA, applied, assert_applies, assert_follows, bench_between, big_transaction, cut_over, kill, start, writer,
};
use crate::resume::stderr;

const TABLE: &str = "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1);";

/// The same databases the other way round. The bench itself removes them.
pub(crate) fn reversed(bench: &Bench) -> &'static Bench {
    let pair = ServerPair { source: bench.pair.target.clone(), target: bench.pair.source.clone() };
    let reversed = Bench { pair: Box::leak(Box::new(pair)), from: bench.to.clone(), to: bench.from.clone() };
    Box::leak(Box::new(reversed))
}

/// Clones, follows and cuts over. Returns the databases as the way back sees them.
async fn cut_over_to(bench: &Bench, more: &[&str]) -> &'static Bench {
    let (source, target) = (bench.source_url(), bench.target_url());
    let mut child = start(&[&["clone", &source, &target, "--follow"], more].concat());
    assert_follows(&mut child, &target).await;
    cut_over(child, &target).await;
    reversed(bench)
}

/// Begins the way back, which is refused; returns what it says.
fn refused(back: &Bench) -> String {
    let output =
        start(&["follow", &back.source_url(), &back.target_url(), "--from-cutover"]).wait_with_output().unwrap();
    assert!(!output.status.success());
    assert_eq!(back.target("SHOW TABLES LIKE '%journal'"), "", "nothing is left");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What acts by itself in the target.
pub(crate) fn active_objects(bench: &Bench) -> String {
    let name = &bench.to;
    let triggers = "SELECT TRIGGER_NAME, ACTION_STATEMENT, DEFINER, SQL_MODE, CHARACTER_SET_CLIENT, ACTION_ORDER FROM \
                    information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'DB' ORDER BY 1";
    let events = "SELECT EVENT_NAME, EVENT_DEFINITION, DEFINER, STATUS, STARTS, INTERVAL_VALUE FROM \
                  information_schema.EVENTS WHERE EVENT_SCHEMA = 'DB' ORDER BY 1";
    [triggers, events].map(|sql| bench.target(&sql.replace("DB", name))).join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_go_back_and_forth_after_cut_overs() {
    for (seed, flavor) in (51..).zip(sampled_flavors().iter().copied()) {
        let bench = Bench::new(flavor, SCHEMA);
        let other = "CREATE TRIGGER more BEFORE UPDATE ON vault FOR EACH ROW SET NEW.amount = NEW.amount - 0; \
                     CREATE EVENT off ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DISABLE DO DELETE FROM vault;";
        bench.source(other);
        let back = cut_over_to(&bench, &[]).await;
        let (source, target) = (back.source_url(), back.target_url());
        let before = active_objects(back);
        assert!(before.contains("doubles") && before.contains("ENABLED"), "{before}");
        let writers = [2 * seed, 2 * seed + 1].map(|seed| writer(&back.pair.source, &back.from, seed));
        writers.iter().for_each(BackgroundLoop::assert_begun);
        let mut child = start(&["follow", &source, &target, "--from-cutover", "--memory", "16M"]);
        assert_follows(&mut child, &target).await;
        assert_applies(&mut child, &target, 20).await;
        let during = active_objects(back);
        assert!(!during.contains("doubles") && !during.contains("ENABLED") && during.contains("DISABLED"), "{during}");
        kill(child, &target).await;
        let again = start(&["follow", &source, &target, "--from-cutover"]).wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&again.stderr).contains("without --from-cutover"), "{again:?}");
        let mut child = start(&["follow", &source, &target, "--threads", "2"]);
        assert_follows(&mut child, &target).await;
        big_transaction(&back.pair.source, &back.from);
        let goal = applied(&target).await + 20;
        assert_applies(&mut child, &target, goal).await;
        drop(writers);
        cut_over(child, &target).await;
        assert_eq!(active_objects(back), before);
        for place in [back.source("SHOW TABLES LIKE '%journal'"), back.target("SHOW TABLES LIKE '%journal'")] {
            assert_eq!(place, "");
        }
        back.assert_equal();

        // And back again: the second cut-over is the one that counts now.
        bench.source("UPDATE vault SET amount = amount + 1; DELETE FROM keyless");
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["follow", &source, &target, "--from-cutover"]);
        assert_follows(&mut child, &target).await;
        cut_over(child, &target).await;
        bench.assert_equal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_go_back_to_the_other_family() {
    let table = "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, s VARCHAR(30) CHARACTER SET utf8mb4, d DECIMAL(10,3), \
                 n BIGINT, at DATETIME(6), e ENUM('a','B'), b VARBINARY(9)); \
                 INSERT INTO t VALUES (1, 'one', 1.5, -1, '2001-02-03 04:05:06.789', 'B', x'00ff');";
    for &flavor in sampled_flavors() {
        let other = if flavor == Flavor::MySql { Flavor::MariaDb } else { Flavor::MySql };
        let bench = bench_between(&pair_of(flavor).source, &pair_of(other).target, table);
        let back = cut_over_to(&bench, &["--on-unsupported", "degrade"]).await;
        back.source("INSERT INTO t SELECT id + 1, 'Gr\u{fc}\u{df}e \u{1f600}', -d, 7, NULL, 'a', NULL FROM t; UPDATE t SET n = n - 1");
        let mut child = start(&["follow", &back.source_url(), &back.target_url(), "--from-cutover"]);
        assert_follows(&mut child, &back.target_url()).await;
        back.source("DELETE FROM t WHERE id = 1; INSERT INTO t (id) VALUES (4000000000)");
        cut_over(child, &back.target_url()).await;
        compare(&back.pair.source, &back.from, &back.pair.target, &back.to).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(back.target("SELECT GROUP_CONCAT(id ORDER BY id) FROM t"), "2,4000000000", "{flavor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_that_is_not_exact_is_refused() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, TABLE);
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        let back = reversed(&bench);
        let message = refused(back);
        assert!(message.contains("lets it follow another server"), "{message}");
        cut_over(child, &target).await;
        // What changes no rows does not count, what changes them does.
        bench.source(
            "CREATE VIEW w AS SELECT v FROM t; CREATE TABLE other (id INT); DROP TABLE other; ALTER TABLE t ADD COLUMN x INT; \
             ALTER TABLE t DROP COLUMN x",
        );
        let message = refused(back);
        let named = message.contains("was changed after the cut-over") && message.contains("ADD COLUMN x");
        assert!(named, "{message}");

        let bench = Bench::new(flavor, TABLE);
        let back = cut_over_to(&bench, &[]).await;
        bench.source("UPDATE t SET v = 2");
        let message = refused(back);
        assert!(message.contains("the rows of table t"), "{message}");
        let elsewhere = back.pair.target.url_of(&back.from);
        let output = start(&["follow", &back.source_url(), &elsewhere, "--from-cutover"]).wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("the cut-over was from"), "{message}");

        // Tables that the clone has made in another way.
        let bench = Bench::new(flavor, TABLE);
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        kill(child, &target).await;
        bench.target("ALTER TABLE t MODIFY v BIGINT");
        let mut child = start(&["follow", &source, &target]);
        assert_follows(&mut child, &target).await;
        cut_over(child, &target).await;
        let message = refused(reversed(&bench));
        assert!(message.contains("column v of table t is bigint"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_log_of_the_cut_over_there_is_no_way_back() {
    for &flavor in sampled_flavors() {
        let server = ServerOptions::new(flavor).start().unwrap();
        let bench = bench_between(&pair_of(flavor).source, server.database(), TABLE);
        server.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        let message = refused(reversed(&bench));
        assert!(message.contains("has no cut-over"), "{message}");
        let back = cut_over_to(&bench, &[]).await;
        server.sql("FLUSH BINARY LOGS").unwrap();
        let files = server.sql("SHOW BINARY LOGS").unwrap();
        let last = files.lines().last().unwrap().split_whitespace().next().unwrap();
        // A later file alone does not matter.
        let mut child = start(&["follow", &back.source_url(), &back.target_url(), "--from-cutover"]);
        assert_follows(&mut child, &back.target_url()).await;
        kill(child, &back.target_url()).await;
        TargetJob::new(back.target_url()).abandon().await.unwrap();
        assert_eq!(back.target("SELECT COUNT(*) FROM t"), "1", "its own tables stay");
        server.sql(&format!("PURGE BINARY LOGS TO '{last}'")).unwrap();
        let message = refused(back);
        assert!(message.contains("has no cut-over"), "{message}");

        // The log after the cut-over lacks the rows of what was prepared before.
        let prepared = bench_between(&pair_of(flavor).source, server.database(), TABLE);
        let sql = "XA START 'x'; INSERT INTO o VALUES (1); XA END 'x'; XA PREPARE 'x'";
        server.sql("CREATE DATABASE elsewhere; CREATE TABLE elsewhere.o (id INT PRIMARY KEY)").unwrap();
        server.sql_in("elsewhere", sql).unwrap();
        let (source, target) = (prepared.source_url(), prepared.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        let report = TargetJob::new(&target).cut_over(None, Duration::from_secs(60)).await.unwrap();
        assert!(report.no_way_back.is_some_and(|reason| reason.contains("XA transactions were prepared")), "{flavor}");
        assert!(child.wait().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_over_without_a_way_back_says_so() {
    let cases = [(FLAVORS, &["--skip-binlog"][..], "--skip-binlog"), (FLAVORS, &["--where", "t=v > 0"], "row filter")];
    for (flavor, arguments, why) in
        cases.into_iter().flat_map(|(all, arguments, why)| all.map(|one| (one, arguments, why)))
    {
        let bench = Bench::new(flavor, TABLE);
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&[&["clone", &source, &target, "--follow"], arguments].concat());
        assert_follows(&mut child, &target).await;
        let report = TargetJob::new(&target).cut_over(None, Duration::from_secs(60)).await.unwrap();
        assert!(report.no_way_back.is_some_and(|reason| reason.contains(why)), "{flavor}");
        assert!(child.wait().unwrap().success());
        let message = refused(reversed(&bench));
        assert!(message.contains("has no cut-over"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_that_is_abandoned_leaves_the_target_as_it_was() {
    for &flavor in sampled_flavors() {
        let objects = "CREATE TABLE log (n INT); \
            CREATE TRIGGER b BEFORE UPDATE ON t FOR EACH ROW SET NEW.v = NEW.v + 1; \
            CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH ROW SET NEW.v = NEW.v * 2; \
            CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' DO INSERT INTO log VALUES (1);";
        let bench = Bench::new(flavor, &format!("{TABLE}{objects}"));
        let back = cut_over_to(&bench, &[]).await;
        let before = active_objects(back);
        let mut child = start(&["follow", &back.source_url(), &back.target_url(), "--from-cutover"]);
        assert_follows(&mut child, &back.target_url()).await;
        back.source("UPDATE t SET v = 10");
        assert_applies(&mut child, &back.target_url(), 1).await;
        assert_eq!(back.target("SELECT v FROM t"), "22", "the triggers have fired once");
        // What dbgraft applies to the source never goes back.
        back.source("CREATE TABLE _dbgraft_journal (id INT)");
        back.source("START TRANSACTION; INSERT INTO _dbgraft_journal VALUES (1); UPDATE t SET v = 5; COMMIT");
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("dbgraft applies changes to the source"), "{message}");
        assert_eq!(back.target("SELECT v FROM t"), "22");
        TargetJob::new(back.target_url()).abandon().await.unwrap();
        assert_eq!(active_objects(back), before);
        assert_eq!(back.target("SELECT v FROM t; SHOW TABLES"), "22\nlog\nt");
    }
}

#[test]
fn a_part_of_a_database_goes_back_unless_something_leads_out_of_it() {
    on_sampled_flavors(async |flavor| {
        // A server of its own: prepared transactions are a matter of the whole server.
        let server = ServerOptions::new(flavor).start().unwrap();
        let others = "CREATE TABLE other (id INT PRIMARY KEY); CREATE TABLE part (id INT PRIMARY KEY, t INT, \
                      CONSTRAINT of_t FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE); INSERT INTO part VALUES (1, 1);";
        let bench = bench_between(server.database(), &pair_of(flavor).target, &format!("{TABLE}{others}"));
        let back = cut_over_to(&bench, &["--include", "t"]).await;
        bench.source(
            "INSERT INTO other VALUES (1); CREATE TABLE brief (id INT); INSERT INTO brief VALUES (1); DROP TABLE brief",
        );
        let message = refused(back);
        assert!(message.contains("foreign key of_t from table part to table t"), "{message}");
        bench.source("ALTER TABLE part DROP FOREIGN KEY of_t");
        bench.source("XA START 'open'; UPDATE t SET v = 9; XA END 'open'; XA PREPARE 'open'");
        let message = refused(back);
        assert!(message.contains("XA RECOVER"), "{message}");
        // The server may not have noticed yet that the session is gone.
        assert!(wait_until(|| server.sql("XA ROLLBACK 'open'").is_ok()));
        bench.source("XA START 'other'; INSERT INTO other VALUES (2); XA END 'other'; XA PREPARE 'other'");
        let mut child = start(&["follow", &back.source_url(), &back.target_url(), "--from-cutover"]);
        assert_follows(&mut child, &back.target_url()).await;
        back.source("UPDATE t SET v = 3");
        cut_over(child, &back.target_url()).await;
        assert_eq!(back.target("SELECT v FROM t; SELECT id FROM part; SELECT id FROM other"), "3\n1\n1", "{flavor}");
        // It holds a lock on the table, for which the end of the database would wait.
        server.sql("XA ROLLBACK 'other'").unwrap();
    });
}

#[test]
fn tables_that_get_another_name_on_the_way_back_stay_when_it_is_abandoned() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, TABLE);
        let back = cut_over_to(&bench, &[]).await;
        let mut child =
            start(&["follow", &back.source_url(), &back.target_url(), "--from-cutover", "--on-ddl", "apply"]);
        assert_follows(&mut child, &back.target_url()).await;
        back.source("RENAME TABLE t TO t2; CREATE TABLE n (id INT PRIMARY KEY); INSERT INTO t2 VALUES (2, 2)");
        assert!(wait_until(|| back.target("SHOW TABLES LIKE 't2'") == "t2"), "{}", stderr(&mut child));
        assert!(wait_until(|| back.target("SELECT COUNT(*) FROM t2") == "2"));
        kill(child, &back.target_url()).await;
        TargetJob::new(back.target_url()).abandon().await.unwrap();
        assert_eq!(back.target("SHOW TABLES; SELECT COUNT(*) FROM t2"), "n\nt2\n2", "{flavor}");
    });
}

#[test]
fn events_whose_time_has_passed_are_told_and_do_not_run_again() {
    on_sampled_flavors(async |flavor| {
        // At the source they are enabled and have not run, as if their time had passed a moment ago.
        let servers =
            ["OFF", "ON"].map(|on| ServerOptions::new(flavor).arg(format!("--event-scheduler={on}")).start().unwrap());
        let events = "SET timestamp = 1; \
            CREATE EVENT once ON SCHEDULE AT '2020-01-01 00:00:00' DO UPDATE t SET v = v + 1; \
            CREATE EVENT kept ON SCHEDULE AT '2020-01-01 00:00:00' ON COMPLETION PRESERVE DO UPDATE t SET v = v + 1; \
            CREATE EVENT often ON SCHEDULE EVERY 1 DAY STARTS '2019-01-01 00:00:00' ENDS '2020-01-01 00:00:00' \
                DO UPDATE t SET v = v + 1;";
        let status = "SELECT EVENT_NAME, STATUS, LAST_EXECUTED FROM information_schema.EVENTS \
                      WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1; SELECT v FROM t";
        let disabled = "kept\tDISABLED\tNULL\noften\tDISABLED\tNULL\nonce\tDISABLED\tNULL\n1";
        let bench = bench_between(servers[0].database(), servers[1].database(), &format!("{TABLE}{events}"));
        assert_eq!(bench.source(status), disabled.replace("DISABLED", "ENABLED"));
        let report = bench.clone(CloneOptions::default()).await.unwrap();
        let mut told: Vec<_> = report.fidelity.iter().map(|issue| (&*issue.object.name, &*issue.what)).collect();
        told.sort_unstable();
        assert_eq!(told, [("kept", "status"), ("often", "status"), ("once", "status")]);
        assert_eq!(bench.target(status), disabled);

        let back = cut_over_to(&bench, &["--if-exists", "drop"]).await;
        assert_eq!(back.source(status), disabled);
        // Those of the former source are removed meanwhile.
        let begin = async || {
            let mut child = start(&["follow", &back.source_url(), &back.target_url(), "--from-cutover"]);
            assert_follows(&mut child, &back.target_url()).await;
            assert!(wait_until(|| back.target(status) == "1"), "{}", back.target(status));
            servers[0].sql("SET GLOBAL event_scheduler = ON").unwrap();
            child
        };
        kill(begin().await, &back.target_url()).await;
        let error = TargetJob::new(back.target_url()).abandon().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
        for name in ["once", "kept", "often"] {
            assert!(error.to_string().contains(&format!("event {name} is disabled")), "{error}");
        }
        assert_eq!(back.target(status), disabled);
        assert_eq!(back.target("SHOW TABLES"), "t");
        TargetJob::new(back.target_url()).abandon().await.unwrap();

        let again = "SET GLOBAL event_scheduler = OFF; DROP EVENT once; DROP EVENT kept; DROP EVENT often;";
        back.target(&format!("{again}{events}"));
        cut_over(begin().await, &back.target_url()).await;
        assert_eq!(back.target(status), disabled);
    });
}
