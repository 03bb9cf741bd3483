//! Promise: `abandon` removes all that a killed clone has left, and nothing else.

use std::process::Command;
use std::time::Duration;

use crate::common::{Bench, becomes_true, no_hang, sampled_flavors, wait_until};
use crate::follow::{assert_follows, kill, start};
use crate::resume::{SHOP, SLOWLY, Until, kill_at, kill_quickly, killed_clone, lines, look, resume, run, state};
use dbgraft::{CloneOptions, CloneState, ErrorKind, IfExists, TargetJob};
use dbgraft_testkit::{Flavor, pair_of, s3};
use xxhash_rust::xxh3::xxh3_128;

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_clone_leaves_exactly_what_was_there_before() {
    for &flavor in sampled_flavors() {
        // The database was made by the clone.
        let bench = killed_clone(flavor, &[], Until::Complete(1));
        let done = TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(done.source.is_some_and(|source| source.contains(&bench.from)));
        assert!(!bench.target_exists());
        let again = TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(again.source.is_none() && again.message.contains("no clone is under way"), "{again:?}");

        // It was there, with a table of its own.
        let bench = Bench::new(flavor, SHOP);
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        bench.target("CREATE TABLE own (a INT); INSERT INTO own VALUES (7); CREATE VIEW own_view AS SELECT * FROM own");
        let before = look(&bench);
        let clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Batches(2));
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert_eq!(look(&bench), before);

        // With a staging archive.
        let prefix = format!("left-{}", bench.to);
        let via = bench.s3(&prefix);
        let arguments = ["clone", &bench.source_url(), &bench.target_url(), "--via", &via];
        let clone = run(&[&arguments[..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Batches(2));
        assert!(!s3().keys(&prefix).unwrap().is_empty());
        let done = TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(done.staging.is_some_and(|url| url.contains(&prefix)));
        assert_eq!(look(&bench), before);
        assert_eq!(s3().keys(&prefix).unwrap(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_replaces_the_remains_of_another_removes_its_staged_objects() {
    for &flavor in sampled_flavors() {
        let prefix = format!("stale-{}", crate::common::unique());
        let bench = Bench::new(flavor, SHOP);
        let via = bench.s3(&prefix);
        let clone = run(&[&["clone", &bench.source_url(), &bench.target_url(), "--via", &via][..], &SLOWLY].concat());
        kill_at(&bench, clone, Until::Batches(1));
        assert!(!s3().keys(&prefix).unwrap().is_empty());
        bench.clone(CloneOptions { if_exists: IfExists::Drop, ..CloneOptions::default() }).await.unwrap();
        bench.assert_equal();
        assert_eq!(s3().keys(&prefix).unwrap(), [""; 0]);
    }
}

/// Killed between the journal's CREATE and its first line: nothing but the database can have been made.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_lines_is_abandoned() {
    for &flavor in sampled_flavors() {
        for (origin, is_left) in [("made", false), ("found", true)] {
            let bench = killed_clone(flavor, &[], Until::Batches(1));
            let create = bench
                .target("SHOW CREATE TABLE _dbgraft_journal")
                .replace("database made", &format!("database {origin}"));
            let create = create.split_once('\t').unwrap().1.replace("\\n", "\n");
            let to = &bench.to;
            bench.pair.target.sql(&format!("DROP DATABASE {to}; CREATE DATABASE {to}; USE {to}; {create}")).unwrap();
            assert_eq!(state(&bench).await, CloneState::Dead);
            let error = bench.clone(resume()).await.unwrap_err();
            assert!(error.to_string().contains("before it had a plan"), "{error}");
            TargetJob::new(bench.target_url()).abandon().await.unwrap();
            assert_eq!(bench.target_exists(), is_left);
        }
    }
}

/// Between the families the tables and the code are tried in a temporary database first.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_preflight_has_left_is_abandoned_and_what_others_made_stays() {
    let statements: String = (0..150).map(|n| format!("CREATE TABLE t{n} (a INT PRIMARY KEY);")).collect();
    let bench = Bench::new(Flavor::MySql, &statements);
    let (server, to) = (&pair_of(Flavor::MariaDb).target, &bench.to);
    let url = server.url_of(to);
    let hash = format!("{:032x}", xxh3_128(to.to_lowercase().as_bytes()));
    let trials = || {
        let sql = "SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_NAME = '_dbgraft_journal' AND TABLE_COMMENT LIKE";
        server.sql(&format!("{sql} 'dbgraft: definitions for%{hash}%'")).unwrap()
    };
    let clone = run(&["clone", &bench.source_url(), &url]);
    assert!(wait_until(|| !trials().is_empty()), "nothing was tried");
    kill_quickly(clone);
    let trial = trials().trim().to_owned();
    assert!(trial.starts_with("_dbgraft_trial_"), "{trial}");
    // One of the same name without its mark, and one whose connection lives.
    let unmarked = format!("_dbgraft_trial_{}", crate::common::unique());
    let held = format!("_dbgraft_trial_held_{}", crate::common::unique());
    let (lock, mark) =
        ("dbgraft:00000000000000aa00000000000000aa", "CREATE TABLE _dbgraft_journal (a INT PRIMARY KEY)");
    server.sql(&format!("CREATE DATABASE {unmarked}; CREATE DATABASE {held}; USE {unmarked}; {mark}")).unwrap();
    let comment = format!("dbgraft: definitions for dbgraft:{hash} are tried while {lock} is held");
    server.sql_in(&held, &format!("{mark} COMMENT '{comment}'")).unwrap();
    let holder = server.session(&format!("SELECT GET_LOCK('{lock}', 0)")).unwrap();
    holder.wait().unwrap();
    // A probe table in a database that was there.
    server.sql(&format!("CREATE DATABASE {to}; USE {to}; CREATE TABLE own (a INT); INSERT INTO own VALUES (1); \
        CREATE TABLE _dbgraft_probe_00000000000000aa (a INT NOT NULL PRIMARY KEY) COMMENT 'dbgraft: a probe that is dropped at once'")).unwrap();
    let status = || async { TargetJob::new(url.as_str()).status().await.unwrap() };
    assert!(
        status().await.state == CloneState::None && status().await.message.contains("abandon"),
        "{:?}",
        status().await
    );
    TargetJob::new(url.as_str()).abandon().await.unwrap();
    let left = server.sql("SHOW DATABASES").unwrap();
    let is_left = |name: &str| left.lines().any(|line| line == name);
    assert!(!is_left(&trial) && is_left(&unmarked) && is_left(&held) && is_left(to), "{left}");
    assert_eq!(server.sql_in(to, "SHOW TABLES").unwrap(), "own");
    assert!(!status().await.message.contains("abandon"), "{:?}", status().await);
    drop(holder);
    server.sql(&format!("DROP DATABASE {unmarked}; DROP DATABASE {held}; DROP DATABASE {to}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_cut_over_has_begun_is_not_removed() {
    for &flavor in sampled_flavors() {
        let tables = "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1); \
                      CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 1;";
        let bench = Bench::new(flavor, tables);
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        // The trigger waits for this session.
        let reader = format!("START TRANSACTION; SELECT COUNT(*) FROM {}.t", bench.to);
        let reader = bench.pair.target.session(&reader).unwrap();
        reader.wait().unwrap();
        let requester = tokio::spawn(TargetJob::new(&target).cut_over(None, Duration::from_secs(60)));
        assert!(becomes_true(async || is_cutting_over(&target).await).await);
        kill(child, &target).await;
        let refused = TargetJob::new(&target).abandon().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Preflight);
        assert!(refused.to_string().contains("the cut-over has begun"), "{refused}");
        drop(reader);
        let ended = start(&["follow", &source, &target]).wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        requester.await.unwrap().unwrap();
        bench.assert_equal();
    }
}

async fn is_cutting_over(target: &str) -> bool {
    let status = TargetJob::new(target).status().await.unwrap();
    status.following.is_some_and(|following| following.is_cutting_over)
}

/// A reader of the target keeps the clean-up from dropping a table: the journal stays, by which it is found later.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_clean_up_cannot_remove_is_not_forgotten() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let token = dbgraft::CancellationToken::new();
        let slowly = CloneOptions { threads: 1, memory: 8 << 20, max_rate: Some(200 << 10), ..CloneOptions::default() };
        let running = tokio::spawn(bench.job(slowly).cancellation(token.clone()).run());
        let (target, to) = (&bench.pair.target, &bench.to);
        assert!(wait_until(|| lines(target, to, "kind = 'batch'").is_some_and(|lines| lines > 0)));
        let name = bench.target("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND ENGINE = 'InnoDB' AND TABLE_NAME <> '_dbgraft_journal' LIMIT 1");
        let reader = target
            .session(&format!("USE `{to}`; START TRANSACTION; SELECT COUNT(*) FROM `{name}`; DO SLEEP(600)"))
            .unwrap();
        let sleeps =
            format!("SELECT COUNT(*) FROM {} WHERE INFO LIKE 'DO SLEEP(600)%' AND DB = '{to}'", target.process_list());
        assert!(wait_until(|| target.sql(&sleeps).unwrap().trim() == "1"));
        token.cancel();
        let error = no_hang(running).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("not cleaned up"), "{error}");
        assert!(becomes_true(async || state(&bench).await == CloneState::Dead).await, "{error}");
        drop(reader);
        assert!(wait_until(|| target.sql(&sleeps).unwrap().trim() == "0"));
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(!bench.target_exists());
    }
}

/// What `name` is at the target, and what it holds.
fn look_at(bench: &Bench, name: &str) -> String {
    bench.target(&format!("SHOW CREATE TABLE {name}; SELECT * FROM {name}"))
}

/// A name proves nothing: whatever is not as the clone left it may be another's.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_others_made_in_place_of_the_clones_stay_and_are_named() {
    for &flavor in sampled_flavors() {
        let bench = killed_clone(flavor, &[], Until::Complete(1));
        let same = bench.target("SHOW CREATE TABLE orders").split_once('\t').unwrap().1.replace("\\n", "\n");
        let aged = bench.target("SHOW CREATE TABLE aged").split_once('\t').unwrap().1.replace("\\n", "\n");
        bench.target(&format!(
            "DROP TABLE customers; CREATE TABLE customers (id INT PRIMARY KEY, theirs TEXT); INSERT INTO customers VALUES (1, 'x'); \
             DROP TABLE orders; {same}; INSERT INTO orders (note) VALUES ('theirs'); \
             DROP TABLE keyless; CREATE VIEW keyless AS SELECT 'theirs' AS line; \
             DROP TABLE aged; {aged}; INSERT INTO aged WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i, 'theirs' FROM n; \
             INSERT INTO empty_one VALUES (7)"
        ));
        let reasons = [
            ("table customers", "it was altered: column "),
            ("table orders", "it has 1 rows, and the journal says "),
            ("table keyless", "it is no table any more"),
            ("table aged", "it has 900 rows, and the journal says "),
            ("table empty_one", "it has 1 rows, and the journal says 0"),
        ];
        let names = ["customers", "orders", "keyless", "aged", "empty_one"];
        let before = names.map(|name| look_at(&bench, name));
        let error = TargetJob::new(bench.target_url()).abandon().await.unwrap_err().to_string();
        for (name, reason) in reasons {
            // Tables with the same reason share it.
            let mut lines = error.split("; ").filter_map(|line| line.split_once(" ("));
            let found =
                lines.any(|(names, why)| names.split(", ").any(|each| each.ends_with(name)) && why.starts_with(reason));
            assert!(found, "{name} {reason}: {error}");
        }
        assert_eq!(names.map(|name| look_at(&bench, name)), before, "{error}");
        assert_eq!(bench.target("SHOW TABLES LIKE 'computed'"), "", "what is the clone's is removed");
        // The command tells it too, and the journal still tells what is left.
        let again =
            Command::new(env!("CARGO_BIN_EXE_dbgraft")).args(["abandon", &bench.target_url()]).output().unwrap();
        assert!(!again.status.success());
        let said = String::from_utf8_lossy(&again.stderr);
        assert!(names.iter().all(|name| said.contains(name)) && said.contains("_dbgraft_journal"), "{said}");
        assert_eq!((names.map(|name| look_at(&bench, name)), state(&bench).await), (before, CloneState::Dead));
        bench.target("DROP TABLE customers, orders, aged, empty_one; DROP VIEW keyless");
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(!bench.target_exists());
    }
}

/// An ALTER keeps a table, and with it the clone's rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_the_clone_that_was_altered_is_removed() {
    for &flavor in sampled_flavors() {
        let bench = killed_clone(flavor, &[], Until::Complete(1));
        let loaded = ["customers", "orders", "keyless", "aged"]
            .into_iter()
            .find(|name| bench.target(&format!("SELECT COUNT(*) FROM {name}")) != "0")
            .unwrap();
        bench.target(&format!("ALTER TABLE {loaded} ADD COLUMN theirs INT, COMMENT 'altered'"));
        let mut options = resume();
        options.no_consistency = true;
        let job = dbgraft::CloneJob::new(bench.source_url(), bench.target_url()).options(options);
        let refused = job.run().await.unwrap_err().to_string();
        assert!(refused.contains(&format!("table {loaded} was altered")), "{refused}");
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(!bench.target_exists());
    }
}

/// Tables that were there before are emptied again only if they hold what the clone loaded.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_added_to_an_emptied_table_stay() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        bench.clone(CloneOptions::default()).await.unwrap();
        let truncate = ["--if-exists", "truncate"];
        let clone = run(&[&["clone", &bench.source_url(), &bench.target_url()][..], &SLOWLY, &truncate].concat());
        kill_at(&bench, clone, Until::Batches(2));
        bench.target("INSERT INTO empty_one VALUES (7)");
        let error = TargetJob::new(bench.target_url()).abandon().await.unwrap_err().to_string();
        assert!(error.contains("the rows of table empty_one (it has 1 rows, and the journal says 0"), "{error}");
        assert_eq!(bench.target("SELECT id FROM empty_one"), "7");
        assert_eq!(bench.target("SELECT (SELECT COUNT(*) FROM orders) + (SELECT COUNT(*) FROM customers)"), "0");
        bench.target("DELETE FROM empty_one");
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert_eq!(state(&bench).await, CloneState::None);
    }
}

/// The clean-up of a cancelled clone asks for the same proof.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_clone_leaves_tables_that_others_made_meanwhile() {
    for &flavor in sampled_flavors() {
        for (edit, reason) in [
            ("INSERT INTO empty_one VALUES (7)", "it has 1 rows, and the journal says 0"),
            ("DROP TABLE empty_one; CREATE TABLE empty_one (theirs INT)", "it was altered: "),
            ("DROP TABLE empty_one; CREATE VIEW empty_one AS SELECT 7 AS id", "it is no table any more"),
        ] {
            let bench = Bench::new(flavor, SHOP);
            let token = dbgraft::CancellationToken::new();
            let slowly =
                CloneOptions { threads: 1, memory: 8 << 20, max_rate: Some(100 << 10), ..CloneOptions::default() };
            let running = tokio::spawn(bench.job(slowly).cancellation(token.clone()).run());
            let (target, to) = (&bench.pair.target, &bench.to);
            assert!(wait_until(|| lines(target, to, "kind = 'batch'").is_some_and(|lines| lines > 0)));
            bench.target(edit);
            let before = look_at(&bench, "empty_one");
            token.cancel();
            let error = no_hang(running).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            let text = error.to_string();
            assert!(
                text.contains("not cleaned up") && text.contains(&format!("table empty_one ({reason}")),
                "{edit}: {text}"
            );
            assert_eq!(look_at(&bench, "empty_one"), before, "{edit}");
            assert_eq!(bench.target("SHOW TABLES"), "_dbgraft_journal\nempty_one", "{edit}");
        }
    }
}
