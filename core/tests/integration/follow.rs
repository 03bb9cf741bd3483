//! Promise: a followed clone has every change of its source exactly once, while writers work during the copy and after it,
//! and although the command is killed and servers are restarted.

mod writer;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dbgraft::{CloneState, ErrorKind, TargetJob};
use dbgraft_testkit::{Database, Flavor, Server, ServerOptions, ServerPair, pair_of};

use self::writer::TOTAL;
pub use self::writer::{SCHEMA, big_transaction, writer};
use crate::common::{BackgroundLoop, Bench, FLAVORS, becomes_true, sampled_flavors, unique, wait_until};
use crate::resume::stderr;

const DBGRAFT: &str = env!("CARGO_BIN_EXE_dbgraft");

pub fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(DBGRAFT);
    command.args(arguments).args(["--progress", "none"]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub async fn state_of(target: &str) -> CloneState {
    TargetJob::new(target).status().await.map_or(CloneState::None, |status| status.state)
}

/// Waits until the process follows, and fails if it ends before.
pub(crate) async fn assert_follows(child: &mut Child, target: &str) {
    let follows = async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended: {}", stderr(child));
        state_of(target).await == CloneState::Following
    };
    assert!(becomes_true(follows).await);
}

/// Waits until the process that follows has applied this many transactions since the snapshot.
pub async fn assert_applies(child: &mut Child, target: &str, transactions: u64) {
    let has_applied = async || {
        let has_ended = child.try_wait().unwrap().is_some();
        let has_applied = applied(target).await >= transactions;
        assert!(has_applied || !has_ended, "it ended: {}", stderr(child));
        has_applied
    };
    assert!(becomes_true(has_applied).await);
}

pub async fn applied(target: &str) -> u64 {
    let status = TargetJob::new(target).status().await.unwrap();
    status.following.map_or(0, |following| following.checkpoint.transactions)
}

/// Watches that the sum over two tables holds at every moment.
pub fn watch_sum(target: &Database, to: &str) -> BackgroundLoop {
    let (target, to) = (target.clone(), to.to_owned());
    BackgroundLoop::new(move |_| {
        let Ok(total) = target.sql_in(&to, "SELECT total FROM sums") else { return false };
        assert_eq!(total.trim(), TOTAL);
        true
    })
}

/// Ends following: cuts over, and waits for the end of the process.
pub(crate) async fn cut_over(child: Child, target: &str) {
    cut_over_by(TargetJob::new(target), child).await;
}

pub async fn cut_over_by(target: TargetJob, mut child: Child) {
    let report = target.cut_over(None, Duration::from_secs(120)).await;
    let report = report.unwrap_or_else(|error| {
        let _ = child.kill();
        panic!("{error}; {}", stderr(&mut child))
    });
    assert!(report.position.offset > 0);
    let ended = wait_until(|| child.try_wait().unwrap().is_some());
    assert!(ended, "it does not end");
    assert!(child.wait().unwrap().success(), "{}", stderr(&mut child));
}

/// Kills the process, and waits until the server has noticed it.
pub async fn kill(mut child: Child, target: &str) {
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(becomes_true(async || state_of(target).await == CloneState::NotFollowing).await);
}

/// Kills the command `kills` times while two writers work, and compares at last.
async fn follow_through_kills(bench: &Bench, seed: u64, kills: u64, step: u64, more: &[&str]) {
    let (source, target) = (bench.source_url(), bench.target_url());
    let writers = [2 * seed + 1, 2 * seed + 2].map(|seed| writer(&bench.pair.source, &bench.from, seed));
    writers.iter().for_each(BackgroundLoop::assert_begun);
    let slowly = ["clone", &source, &target, "--follow", "--max-rate", "2M", "--memory", "16M"];
    let mut child = start(&[&slowly[..], more].concat());
    assert_follows(&mut child, &target).await;
    let sum = watch_sum(&bench.pair.target, &bench.to);
    let refused = TargetJob::new(&target).abandon().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Preflight);
    for number in 0..kills {
        let goal = applied(&target).await + step;
        assert_applies(&mut child, &target, goal).await;
        kill(child, &target).await;
        let threads = (1 + number % 4).to_string();
        child = start(&["follow", &source, &target, "--memory", "8M", "--threads", &threads]);
        assert_follows(&mut child, &target).await;
    }
    big_transaction(&bench.pair.source, &bench.from);
    let goal = applied(&target).await + step;
    assert_applies(&mut child, &target, goal).await;
    drop(writers);
    assert!(sum.rounds() > 0);
    drop(sum);
    cut_over(child, &target).await;
    assert_eq!(bench.target("SHOW TABLES LIKE '%journal'"), "");
    bench.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_clone_is_equal_after_kills() {
    for (seed, flavor) in (1..).zip(FLAVORS) {
        let bench = Bench::new(flavor, SCHEMA);
        follow_through_kills(&bench, seed, 2, 30, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_clone_in_the_other_family_is_equal() {
    for (seed, flavor) in (21..).zip(FLAVORS) {
        let other = if flavor == Flavor::MySql { Flavor::MariaDb } else { Flavor::MySql };
        let native = (other == Flavor::MySql).then(native_server);
        let target = native.as_ref().map_or(&pair_of(other).target, |server| server.database());
        let bench = bench_between(&pair_of(flavor).source, target, SCHEMA);
        follow_through_kills(&bench, seed, 1, 30, &["--on-unsupported", "degrade"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_the_cut_over_ends_with_its_process() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)");
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        let locked = format!("START TRANSACTION; UPDATE {}.t SET v = 5", bench.to);
        let locked = bench.pair.target.session(&locked).unwrap();
        locked.wait().unwrap();
        bench.source("UPDATE t SET v = 2");
        let asks = Command::new(DBGRAFT).args(["cutover", &target, "--timeout", "300s"]).stderr(Stdio::null()).spawn();
        let mut asks = asks.unwrap();
        let request = "SELECT COUNT(*) FROM _dbgraft_journal WHERE kind = 'cutover'";
        assert!(wait_until(|| bench.target(request) == "1"), "it does not ask");
        asks.kill().unwrap();
        asks.wait().unwrap();
        assert!(wait_until(|| bench.target(request) == "0"), "the request stays");
        drop(locked);
        bench.source("INSERT INTO t VALUES (2, 2)");
        assert_applies(&mut child, &target, 2).await;
        assert_eq!(state_of(&target).await, CloneState::Following);
        cut_over(child, &target).await;
        bench.assert_equal();
    }
}

/// Databases for one test on these servers.
pub fn bench_between(source: &Database, target: &Database, statements: &str) -> Bench {
    let (unique, pair) = (unique(), ServerPair { source: source.clone(), target: target.clone() });
    let pair = Box::leak(Box::new(pair));
    let bench = Bench { pair, from: format!("from_{unique}"), to: format!("to_{unique}") };
    bench.pair.source.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
    bench.source(statements);
    bench
}

/// A server whose engine does what foreign keys do, as before MySQL 9.6.
pub fn native_server() -> Server {
    ServerOptions::new(Flavor::MySql).arg("--innodb-native-foreign-keys=ON").start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_foreign_keys_of_an_older_mysql_change_is_carried_on() {
    let (source, target) = (native_server(), native_server());
    let bench = bench_between(&source, &target, SCHEMA);
    follow_through_kills(&bench, 31, 1, 30, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_change_all_rows_is_refused() {
    let bench = bench_between(&pair_of(Flavor::MariaDb).source, &pair_of(Flavor::MySql).target, SCHEMA);
    let arguments = ["clone", &bench.source_url(), &bench.target_url(), "--follow", "--on-unsupported", "degrade"];
    let refused = start(&arguments).wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr);
    for part in ["of_owner of table things", "of_up of table tree", "innodb_native_foreign_keys"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("of_thing of table parts"), "{message}");
    assert!(!bench.target_exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_a_foreign_key_that_changes_rows_is_refused() {
    let bench = Bench::new(Flavor::MariaDb, SCHEMA);
    let (source, target) = (bench.source_url(), bench.target_url());
    let mut child = start(&["clone", &source, &target, "--follow"]);
    assert_follows(&mut child, &target).await;
    kill(child, &target).await;
    bench.target("ALTER TABLE things DROP FOREIGN KEY of_owner");
    let refused = start(&["follow", &source, &target]).wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("foreign key of_owner of table things") && message.contains("add it"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_changes_a_table_ends_following_and_is_passed_by_hand() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1);");
        let (source, target) = (bench.source_url(), bench.target_url());
        let mut child = start(&["clone", &source, &target, "--follow"]);
        assert_follows(&mut child, &target).await;
        bench.source(
            "INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD COLUMN w INT FIRST; INSERT INTO t VALUES (3, 3, 3);",
        );
        assert!(wait_until(|| child.try_wait().unwrap().is_some()), "it does not end");
        let message = stderr(&mut child);
        assert!(message.contains("ADD COLUMN w") && message.contains("--skip-ddl"), "{message}");
        assert_eq!(bench.target("SELECT GROUP_CONCAT(id ORDER BY id) FROM t"), "1,2");
        let place = skipped(&message);
        let early = start(&["follow", &source, &target, "--skip-ddl", &place]).wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&early.stderr).contains("column w is at the source"), "{early:?}");
        bench.target("ALTER TABLE t ADD COLUMN w INT FIRST");
        let mut child = start(&["follow", &source, &target, "--skip-ddl", &place]);
        assert_follows(&mut child, &target).await;
        assert!(wait_until(|| bench.target("SELECT COUNT(*) FROM t") == "3"), "the statement is not passed");
        // A new table is followed from its first row on.
        bench.source("CREATE TABLE n (id INT PRIMARY KEY); INSERT INTO n VALUES (1);");
        assert!(wait_until(|| child.try_wait().unwrap().is_some()), "it does not end");
        bench.target("CREATE TABLE n (id INT PRIMARY KEY)");
        let place = skipped(&stderr(&mut child));
        let mut child = start(&["follow", &source, &target, "--skip-ddl", &place]);
        assert_follows(&mut child, &target).await;
        cut_over(child, &target).await;
        assert_eq!(bench.target("SELECT COUNT(*) FROM n"), "1");
        bench.assert_equal();
    }
}

/// The place that the message says to skip.
fn skipped(message: &str) -> String {
    assert!(message.contains("--skip-ddl "), "{message}");
    let place = message.rsplit("--skip-ddl ").next().unwrap().split_whitespace().next().unwrap();
    place.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_follower_there_is_no_cut_over() {
    let bench = Bench::new(Flavor::MySql, "CREATE TABLE t (id INT PRIMARY KEY);");
    let cut_over = || TargetJob::new(bench.target_url()).cut_over(None, Duration::from_secs(1));
    let error = cut_over().await.unwrap_err();
    assert!(error.to_string().contains("follows no source"), "{error}");
    let target = bench.target_url();
    let mut child = start(&["clone", &bench.source_url(), &target, "--follow"]);
    assert_follows(&mut child, &target).await;
    let second = start(&["follow", &bench.source_url(), &target]).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&second.stderr).contains("a process follows"), "{second:?}");
    kill(child, &target).await;
    let error = cut_over().await.unwrap_err();
    assert!(error.to_string().contains("no process follows"), "{error}");
    TargetJob::new(&target).abandon().await.unwrap();
    assert!(!bench.target_exists());
}

/// Long; `make soak` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn soak_a_followed_clone_is_equal_after_many_kills() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (kills, seed) = (number("DBGRAFT_SOAK_KILLS", 20), number("DBGRAFT_SOAK_SEED", 1));
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, SCHEMA);
        follow_through_kills(&bench, seed, kills / 2, 100, &[]).await;
    }
}

/// Commits XA transactions that a restart parted from their writers: writers would wait for their locks, and the cut-over for
/// their end. That of a writer which has begun anew cannot be committed by another session.
pub fn end_prepared(server: &Server) {
    for line in server.sql("XA RECOVER").unwrap().lines() {
        let _ = server.sql(&format!("XA COMMIT '{}'", line.rsplit('\t').next().unwrap()));
    }
}

/// Long; `make soak` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn soak_servers_are_restarted_while_a_clone_follows() {
    for (seed, flavor) in (11..).zip(FLAVORS) {
        let start_server = || {
            let options = ServerOptions::new(flavor).fsync(true).arg("--sync-binlog=1");
            // Several of these tests at once need more than the requests that a machine allows.
            options.arg("--innodb-flush-log-at-trx-commit=1").arg("--innodb-use-native-aio=OFF").start().unwrap()
        };
        let (mut source, mut target) = (start_server(), start_server());
        let pair = ServerPair { source: source.database().clone(), target: target.database().clone() };
        let bench = Bench { pair: Box::leak(Box::new(pair)), from: "source_one".into(), to: "target_one".into() };
        source.sql("CREATE DATABASE source_one").unwrap();
        source.sql_in("source_one", SCHEMA).unwrap();
        let url = bench.target_url();
        let writers = writer(&source, &bench.from, seed);
        let mut child = start(&["clone", &bench.source_url(), &url, "--follow"]);
        assert_follows(&mut child, &url).await;
        for round in 0..6 {
            let goal = applied(&url).await + 50;
            assert_applies(&mut child, &url, goal).await;
            match round % 2 {
                0 => target.restart().unwrap(),
                _ => {
                    source.restart().unwrap();
                    end_prepared(&source);
                }
            }
            assert_follows(&mut child, &url).await;
        }
        drop(writers);
        end_prepared(&source);
        cut_over(child, &url).await;
        bench.assert_equal();
    }
}
