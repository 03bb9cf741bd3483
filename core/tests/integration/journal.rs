//! Promise: what happens to the journal of a clone, by others or by a connection that is lost, loses no record: nothing that the
//! clone made is forgotten, and nothing is removed that may be another's.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::follower::Follower;
use crate::common::{BackgroundLoop, Bench, LOCK_WAIT, becomes_true, no_hang, sampled_flavors, wait_until};
use crate::resume::{SHOP, Until, kill_at, killed_clone, lines, resume, run, state};
use dbgraft::{CloneJob, CloneOptions, CloneState, ErrorKind, Event, Phase, TargetJob};
use dbgraft_testkit::{Database, Flavor, Proxy, ServerOptions, ServerPair, Session, pair_of};

fn slowly() -> CloneOptions {
    CloneOptions { threads: 1, memory: 8 << 20, max_rate: Some(200 << 10), ..CloneOptions::default() }
}

/// A session that reads the journal, so that nobody can drop it.
fn hold_journal(server: &Database, to: &str) -> Session {
    let read = format!("START TRANSACTION; SELECT COUNT(*) FROM `{to}`._dbgraft_journal");
    let session = server.session(&read).unwrap();
    session.wait().unwrap();
    session
}

/// Waits until the clone waits for the lock by which it drops its journal, which a session holds.
fn assert_waits_to_drop(server: &Database, to: &str, reader: &Mutex<Option<Session>>) {
    assert!(wait_until(|| reader.lock().unwrap().is_some()), "the clone makes no objects");
    let list = server.process_list();
    let waits = format!("SELECT COUNT(*) FROM {list} WHERE INFO LIKE 'DROP TABLE%{to}%\\_dbgraft\\_journal%'");
    assert!(wait_until(|| server.sql(&waits).unwrap().trim() != "0"), "the clone does not end");
}

/// Another process may take the clone over while this one waits to remove the journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_ends_removes_no_journal_of_another_process() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
        let (target, to) = (bench.pair.target.clone(), bench.to.clone());
        let reader = Arc::new(Mutex::new(None));
        let held = reader.clone();
        let hold = move |event: Event| {
            if matches!(event, Event::Phase { phase: Phase::Objects, .. }) {
                held.lock().unwrap().get_or_insert_with(|| hold_journal(&target, &to));
            }
        };
        let options = CloneOptions { lock_wait: LOCK_WAIT, ..CloneOptions::default() };
        let running = tokio::spawn(bench.job(options).on_event(hold).run());
        let (server, to) = (bench.pair.target.clone(), bench.to.clone());
        let taken = tokio::task::spawn_blocking(move || {
            assert_waits_to_drop(&server, &to, &reader);
            server.sql_in(&to, "UPDATE _dbgraft_journal SET content = 'another' WHERE kind = 'owner'").unwrap();
            reader.lock().unwrap().take();
        });
        no_hang(taken).await.unwrap();
        let error = no_hang(running).await.unwrap().unwrap_err();
        assert!(error.kind() == ErrorKind::Changed && error.to_string().contains("another dbgraft"), "{error}");
        assert_eq!(
            bench.target("SELECT id FROM t; SELECT content FROM _dbgraft_journal WHERE kind = 'owner'"),
            "1\nanother"
        );
    }
}

/// A journal without lines does not say that nothing was made.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_somebody_emptied_ends_a_running_clone_which_removes_nothing() {
    for &flavor in sampled_flavors() {
        for empty in ["DELETE FROM _dbgraft_journal", "TRUNCATE TABLE _dbgraft_journal"] {
            let bench = Bench::new(flavor, SHOP);
            let running = tokio::spawn(bench.job(slowly()).run());
            let (target, to) = (&bench.pair.target, &bench.to);
            assert!(wait_until(|| lines(target, to, "kind = 'batch'").is_some_and(|lines| lines > 0)));
            bench.target(empty);
            let error = no_hang(running).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed, "{empty}: {error}");
            assert!(error.to_string().contains("not cleaned up"), "{empty}: {error}");
            let tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
            assert_eq!(bench.target(tables), "7", "{empty}: {error}");
            assert!(becomes_true(async || state(&bench).await == CloneState::Dead).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_whose_journal_somebody_emptied_are_left_and_this_is_told() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let clone = ["clone", &bench.source_url(), &bench.target_url()];
        let slow = [&clone[..], &crate::resume::SLOWLY].concat();
        let tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> '_dbgraft_journal'";
        // The database was made by the clone.
        kill_at(&bench, run(&slow), Until::Batches(2));
        bench.target("DELETE FROM _dbgraft_journal");
        let error = bench.clone(resume()).await.unwrap_err();
        assert!(error.to_string().contains("before it had a plan"), "{error}");
        let error = TargetJob::new(bench.target_url()).abandon().await.unwrap_err();
        assert!(error.to_string().contains("table customers") && error.to_string().contains("left"), "{error}");
        assert_eq!(bench.target(tables), "6");
        // It was there.
        bench.pair.target.sql(&format!("DROP DATABASE {0}; CREATE DATABASE {0}", bench.to)).unwrap();
        kill_at(&bench, run(&slow), Until::Batches(2));
        bench.target("DELETE FROM _dbgraft_journal");
        let done = TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(done.message.contains("emptied the journal") && done.message.contains("left"), "{done:?}");
        assert_eq!(bench.target(tables), "6");
    }
}

/// Cuts a line once, as soon as a number of lines of the journal has grown to more than `least`. While answers take their time, the lines are
/// committed, and the client does not know yet.
fn cut_when_more(
    proxy: &Arc<Proxy>,
    server: &Database,
    to: &str,
    condition: &str,
    least: Arc<AtomicU32>,
) -> (BackgroundLoop, Arc<AtomicBool>) {
    let cut = Arc::new(AtomicBool::new(false));
    let (line, server, to, condition, done) =
        (proxy.clone(), server.clone(), to.to_owned(), condition.to_owned(), cut.clone());
    let cutter = BackgroundLoop::new(move |_| {
        let found = lines(&server, &to, &condition).unwrap_or(0);
        if !done.load(Ordering::Relaxed) && found > least.load(Ordering::Relaxed) {
            line.cut();
            done.store(true, Ordering::Relaxed);
            line.set_latency(Duration::ZERO);
        }
        found > 0
    });
    (cutter, cut)
}

const LATENCY: Duration = Duration::from_millis(200);

/// MariaDB has no negative zero in a DOUBLE.
#[tokio::test(flavor = "multi_thread")]
async fn lost_signs_of_zeros_are_counted_once_although_an_answer_is_lost() {
    let bench = Bench::new(Flavor::MySql, "CREATE TABLE z (id INT PRIMARY KEY, d DOUBLE, b TEXT)");
    bench.source(
        "INSERT INTO z WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) \
         SELECT n, -0e0, REPEAT('x', 5000) FROM n",
    );
    let target = &pair_of(Flavor::MariaDb).target;
    let proxy = Arc::new(Proxy::start((target.host.as_str(), target.port)).unwrap());
    let behind = target.with_address("127.0.0.1", proxy.port());
    let least = Arc::new(AtomicU32::new(0));
    let (cutter, cut) = cut_when_more(&proxy, target, &bench.to, "kind = 'batch'", least);
    let line = proxy.clone();
    let slow = move |event: Event| {
        if matches!(event, Event::Phase { phase: Phase::Rows, .. }) {
            line.set_latency(LATENCY);
        }
    };
    let options = CloneOptions { threads: 2, memory: 8 << 20, ..CloneOptions::default() };
    let job = CloneJob::new(bench.source_url(), behind.url_of(&bench.to)).options(options).on_event(slow);
    let report = job.run().await.unwrap();
    drop(cutter);
    assert!(cut.load(Ordering::Relaxed), "nothing was cut");
    let told: Vec<&str> =
        report.fidelity.iter().filter(|found| found.what == "column d").map(|found| found.source.as_str()).collect();
    assert_eq!(told, ["-0 in 900 rows"], "{report:?}");
    let again = report.warnings.iter().chain(report.objects.iter().flat_map(|object| &object.warnings));
    assert!(again.clone().any(|warning| warning.contains("again")), "{report:?}");
    assert_eq!(target.sql_in(&bench.to, "SELECT COUNT(*) FROM z").unwrap().trim(), "900");
    target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
}

/// Replicas of the target do not have what such a clone makes, nor its journal.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_trace_in_the_log_nothing_of_a_clone_is_logged_by_its_target() {
    for &flavor in sampled_flavors() {
        let server = ServerOptions::new(flavor).start().unwrap();
        let shared = Bench::names(flavor);
        let pair = ServerPair { source: shared.pair.source.clone(), target: server.database().clone() };
        let bench = Bench { pair: Box::leak(Box::new(pair)), from: shared.from.clone(), to: shared.to.clone() };
        bench.pair.source.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
        let marks = "CREATE TABLE marks (id INT PRIMARY KEY, mark VARCHAR(50)); INSERT INTO marks VALUES (1, 'first');";
        bench.source(&format!("{SHOP} DROP TABLE aged, computed; {marks}"));
        let logs = || server.sql("SHOW BINARY LOGS").unwrap();
        assert!(!logs().trim().is_empty(), "the target has no log");
        let before = logs();
        let (source, target) = (bench.source_url(), bench.target_url());
        let slow = [&["clone", &source, &target, "--skip-binlog"][..], &crate::resume::SLOWLY].concat();
        let skip = CloneOptions { skip_binlog: true, ..CloneOptions::default() };

        kill_at(&bench, run(&slow), Until::Batches(2));
        TargetJob::new(&target).abandon().await.unwrap();
        assert!(!bench.target_exists());
        assert_eq!(logs(), before, "abandon");

        kill_at(&bench, run(&slow), Until::Complete(1));
        bench.clone(CloneOptions { resume: true, no_consistency: true, ..skip }).await.unwrap();
        assert_eq!(logs(), before, "resume");
        server.sql(&format!("SET sql_log_bin = 0; DROP DATABASE {}", bench.to)).unwrap();

        let mut follower = Follower::begin(&bench, "clone", &["--follow", "--skip-binlog"]).await;
        follower.catch_up(&bench).await;
        follower.cut_over().await;
        bench.assert_equal();
        let file = before.split('\t').next().unwrap();
        assert_eq!(logs(), before, "follow: {}", server.sql(&format!("SHOW BINLOG EVENTS IN '{file}'")).unwrap());
    }
}

/// An agent that has lost its coordinator holds the lock, until somebody asks for it who goes on with the clone.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_a_resume_says_what_it_would_do_and_asks_nobody_to_end() {
    for &flavor in sampled_flavors() {
        let bench = killed_clone(flavor, &[], Until::Complete(1));
        let before = crate::resume::look(&bench);
        let plan = || {
            let (source, target) = (bench.source_url(), bench.target_url());
            let arguments = ["plan", &source, &target, "--resume", "--no-consistency"];
            std::process::Command::new(env!("CARGO_BIN_EXE_dbgraft")).args(arguments).output().unwrap()
        };
        let said = plan();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success() && text.contains("are read again as a whole"), "{text}");
        assert_eq!((crate::resume::look(&bench), state(&bench).await), (before.clone(), CloneState::Dead));

        let name = format!("dbgraft:{:032x}", xxhash_rust::xxh3::xxh3_128(bench.to.to_lowercase().as_bytes()));
        let holder = bench.pair.target.session(&format!("SELECT GET_LOCK('{name}', 0)")).unwrap();
        holder.wait().unwrap();
        let asked = Arc::new(AtomicBool::new(false));
        let (server, seen) = (bench.pair.target.clone(), asked.clone());
        let looks = BackgroundLoop::new(move |_| {
            let used = server.sql(&format!("SELECT IS_USED_LOCK('{name}:takeover')")).unwrap();
            seen.fetch_or(used.trim() != "NULL", Ordering::Relaxed);
            true
        });
        looks.assert_begun();
        let said = plan();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && text.contains("runs now"), "{text}");
        assert!(!asked.load(Ordering::Relaxed), "a plan asked for the lock");
        // What goes on does ask.
        bench.clone(CloneOptions { no_consistency: true, ..resume() }).await.unwrap_err();
        assert!(asked.load(Ordering::Relaxed), "a resume did not ask for the lock");
        drop((looks, holder));
        assert_eq!(crate::resume::look(&bench), before);
    }
}
