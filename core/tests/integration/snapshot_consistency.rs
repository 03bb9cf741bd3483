//! All tables of a clone come from one consistent snapshot while the source is being written to, whatever privileges the
//! account has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{
    Account, BackgroundLoop, Bench, FLAVORS, LOCK_WAIT, no_hang, on_each_flavor, on_sampled_flavors, wait_until,
};
use crate::follow::bench_between;
use dbgraft::{CloneJob, CloneOptions, Event, IfExists, JobControl, ObjectRef, Phase, Report, SnapshotMethod, Verify};
use dbgraft_testkit::{Database, Flavor, Proxy, Release, ServerOptions, Session, pair_of};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TABLES: u32 = 8;

/// Tables of accounts: whatever is moved between them, their sum stays.
fn bank(flavor: Flavor) -> Bench {
    with_accounts(Bench::new(flavor, ""))
}

fn with_accounts(bench: Bench) -> Bench {
    bench.source("CREATE TABLE seed (n INT PRIMARY KEY) ENGINE = InnoDB; INSERT INTO seed VALUES (0)");
    for _ in 0..8 {
        bench.source("SET @m = (SELECT MAX(n) + 1 FROM seed); INSERT INTO seed SELECT n + @m FROM seed");
    }
    for table in 0..TABLES {
        bench.source(&format!(
            "CREATE TABLE a{table} (id INT PRIMARY KEY, amount BIGINT NOT NULL, moves INT NOT NULL, filler VARCHAR(2000)); \
             INSERT INTO a{table} SELECT n, 1000, 0, REPEAT('x', 2000) FROM seed"
        ));
    }
    bench
}

/// Moves amounts between tables: many transactions in a round.
fn transfer(bench: &Bench) -> BackgroundLoop {
    let (server, database) = (bench.pair.source.clone(), bench.from.clone());
    BackgroundLoop::new(move |round| {
        let moves = (0..40).map(|n| {
            let seed = round * 40 + n;
            let (from, to) = (seed % TABLES, (seed / 3 + 1 + seed % TABLES) % TABLES);
            let (id, other, amount) = (seed % 256, (seed * 7) % 256, seed % 90 + 1);
            format!(
                "START TRANSACTION; UPDATE a{from} SET amount = amount - {amount}, moves = moves + 1 WHERE id = {id}; \
                 UPDATE a{to} SET amount = amount + {amount}, moves = moves + 1 WHERE id = {other}; COMMIT;"
            )
        });
        server.sql_in(&database, &moves.collect::<String>()).is_ok()
    })
}

/// The sum over all tables, and the number of moves, which is even when every transaction is there whole.
fn sums(bench: &Bench) -> (i64, i64) {
    let each: Vec<String> =
        (0..TABLES).map(|table| format!("SELECT SUM(amount) s, SUM(moves) m FROM a{table}")).collect();
    let row = bench.target(&format!("SELECT SUM(s), SUM(m) FROM ({}) AS each_table", each.join(" UNION ALL ")));
    let (sum, moves) = row.split_once('\t').unwrap();
    (sum.parse().unwrap(), moves.parse().unwrap())
}

/// Slow enough that the first tables are read long before the last ones.
fn slowly() -> CloneOptions {
    CloneOptions { threads: 2, memory: 8 << 20, max_rate: Some(3 << 20), ..CloneOptions::default() }
}

async fn clone_as(bench: &Bench, source: &Database, options: CloneOptions) -> Report {
    let transfers = transfer(bench);
    transfers.assert_begun();
    let job = CloneJob::new(source.url_of(&bench.from), bench.target_url()).options(options);
    job.on_event(transfers.listener()).run().await.unwrap()
}

fn assert_whole(bench: &Bench) {
    let (sum, moves) = sums(bench);
    assert_eq!(sum, i64::from(TABLES) * 256 * 1000, "the tables are of different snapshots");
    assert!(moves > 0 && moves % 2 == 0, "half a transaction arrived: {moves} moves");
}

#[test]
fn an_account_with_all_privileges_reads_one_snapshot_and_reports_its_position() {
    on_each_flavor(async |flavor| {
        let bench = bank(flavor);
        let report = clone_as(&bench, &bench.pair.source, slowly()).await;
        assert_whole(&bench);
        assert_eq!(report.position.rung, SnapshotMethod::GlobalReadLock);
        assert!(report.position.binlog_file.as_deref().is_some_and(|file| file.starts_with("binlog.")));
        assert!(report.position.binlog_position.is_some_and(|position| position > 4));
        let has_gtid = flavor == Flavor::MariaDb || bench.source("SELECT @@gtid_mode") == "ON";
        assert_eq!(report.position.gtid.is_some(), has_gtid, "{:?}", report.position);
        assert!(report.position.refused.is_empty());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_reload_reads_one_snapshot_under_table_locks() {
    for flavor in FLAVORS {
        let bench = bank(flavor);
        let account = Account::new(&bench.pair.source, &[&format!("SELECT, LOCK TABLES ON `{}`.*", bench.from)]);
        let report = clone_as(&bench, &account.server(), slowly()).await;
        assert_whole(&bench);
        assert_eq!(report.position.rung, SnapshotMethod::TableLocks, "{:?}", report.position);
        assert!(!report.position.refused.is_empty());
        // Everything is unlocked, and the account has no connection left.
        account.assert_gone();
        bench.source("UPDATE a0 SET amount = 0 WHERE id = 1");
    }
}

/// A prepared transaction without a session commits under MariaDB's table locks.
#[tokio::test(flavor = "multi_thread")]
async fn table_locks_are_not_trusted_with_prepared_transactions() {
    let server = ServerOptions::new(Flavor::MariaDb).start().unwrap();
    let bench = bench_between(server.database(), &pair_of(Flavor::MariaDb).target, "");
    bench.source("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    bench.source("XA START 'lasting'; INSERT INTO t VALUES (2); XA END 'lasting'; XA PREPARE 'lasting'");
    let account = Account::new(&bench.pair.source, &[&format!("SELECT, LOCK TABLES ON `{}`.*", bench.from)]);
    let clone = async || {
        let options = CloneOptions { if_exists: IfExists::Drop, ..CloneOptions::default() };
        let job = CloneJob::new(account.server().url_of(&bench.from), bench.target_url()).options(options);
        job.run().await.unwrap().position
    };
    let position = clone().await;
    assert_eq!(position.rung, SnapshotMethod::SingleTransaction, "{position:?}");
    assert!(position.refused.iter().any(|why| why.contains("XA transactions are prepared")), "{position:?}");
    assert_eq!(bench.target("SELECT COUNT(*) FROM t"), "1");
    assert!(wait_until(|| bench.pair.source.sql("XA COMMIT 'lasting'").is_ok()), "it is not committed");
    assert_eq!(clone().await.rung, SnapshotMethod::TableLocks);
    bench.assert_equal();
}

#[test]
fn an_account_with_select_only_reads_one_snapshot_on_one_connection() {
    on_each_flavor(async |flavor| {
        let bench = bank(flavor);
        let account = Account::new(&bench.pair.source, &[&format!("SELECT ON `{}`.*", bench.from)]);
        let report = clone_as(&bench, &account.server(), slowly()).await;
        assert_whole(&bench);
        assert_eq!(report.position.rung, SnapshotMethod::SingleTransaction, "{:?}", report.position);
        assert_eq!(report.position.binlog_file, None);
        account.assert_gone();
    });
}

/// The rights that following needs, and none for a lock.
fn follower_account(bench: &Bench, flavor: Flavor) -> Account {
    let log = match flavor {
        Flavor::MySql => "REPLICATION SLAVE, REPLICATION CLIENT ON *.*",
        Flavor::MariaDb => "REPLICATION SLAVE, BINLOG MONITOR ON *.*",
    };
    Account::new(&bench.pair.source, &[&format!("SELECT ON `{}`.*", bench.from), log])
}

#[test]
fn an_account_without_locks_follows_from_a_moment_that_the_log_proves() {
    on_each_flavor(async |flavor| {
        // A server of its own, whose log others do not write.
        let options = ServerOptions::new(flavor);
        let options = if flavor == Flavor::MySql {
            options.arg("--gtid-mode=ON").arg("--enforce-gtid-consistency=ON")
        } else {
            options
        };
        let server = options.start().unwrap();
        let bench = with_accounts(bench_between(server.database(), &pair_of(flavor).target, ""));
        let account = follower_account(&bench, flavor);
        let transfers = transfer(&bench);
        transfers.assert_begun();
        let job = CloneJob::new(account.server().url_of(&bench.from), bench.target_url());
        let job = job.options(CloneOptions { follow: true, ..slowly() }).on_event(transfers.listener());
        let control = job.control();
        let running = tokio::spawn(job.run());
        follows_or_ended(&control, &running).await;
        let before = transfers.rounds();
        assert!(running.is_finished() || wait_until(|| transfers.rounds() > before + 5));
        drop(transfers);
        control.cut_over(Verify::None);
        let report = running.await.unwrap().unwrap();
        assert_eq!(report.position.rung, SnapshotMethod::UnchangedLog, "{:?}", report.position);
        assert!(!report.position.before_snapshot && report.position.refused.len() > 1, "{:?}", report.position);
        assert!(report.position.gtid.is_some(), "{:?}", report.position);
        assert_whole(&bench);
        bench.assert_equal();
        account.assert_gone();

        // Tables that change all the time may have no such moment. Then nothing is cloned.
        let before = bench.source("SELECT SUM(moves) FROM a0");
        let busy = change_all_the_time(&bench);
        assert!(wait_until(|| bench.source("SELECT SUM(moves) FROM a0") != before), "nothing changes");
        let options =
            CloneOptions { follow: true, lock_wait: LOCK_WAIT, if_exists: IfExists::Drop, ..CloneOptions::default() };
        let job = CloneJob::new(account.server().url_of(&bench.from), bench.target_url()).options(options);
        let control = job.control();
        let running = tokio::spawn(job.run());
        follows_or_ended(&control, &running).await;
        drop(busy);
        control.cut_over(Verify::None);
        match running.await.unwrap() {
            Ok(_) => bench.assert_equal(),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains("the rows of table a0") && message.contains("tries"), "{message}");
            }
        }
        account.assert_gone();
    });
}

async fn follows_or_ended(control: &JobControl, running: &JoinHandle<dbgraft::Result<Report>>) {
    no_hang(async {
        while control.follow_progress().is_none() && !running.is_finished() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// A session that changes a row without a pause, for longer than a clone of these tables takes.
fn change_all_the_time(bench: &Bench) -> Session {
    let change = format!("UPDATE {}.a0 SET moves = moves + 2 WHERE id = 1;", bench.from);
    bench.pair.source.session(&change.repeat(100_000)).unwrap()
}

#[test]
fn without_consistency_no_lock_is_taken_and_the_report_states_it() {
    on_sampled_flavors(async |flavor| {
        let bench = bank(flavor);
        let report = clone_as(&bench, &bench.pair.source, CloneOptions { no_consistency: true, ..slowly() }).await;
        assert_eq!(report.position.rung, SnapshotMethod::None);
        // Each row is there, whenever it was read.
        assert_eq!(report.rows, u64::from(TABLES) * 256 + 256);
        println!("{flavor}: (sum, moves) {:?} without consistency", sums(&bench));
    });
}

/// Whatever the account may do, and so by each method that the release has.
#[tokio::test(flavor = "multi_thread")]
async fn other_releases_are_read_at_one_moment_by_every_method() {
    use Release::{MariaDb105, MariaDb118, MariaDb1011, MySql56, MySql97};
    for (from, to) in [(MySql56, MySql97), (MariaDb105, MariaDb1011), (MariaDb118, MariaDb1011)] {
        let bench = with_accounts(Bench::between(from, to));
        let all = "ALL PRIVILEGES ON *.*".to_owned();
        let locks = format!("SELECT, LOCK TABLES ON `{}`.*", bench.from);
        let rows = format!("SELECT ON `{}`.*", bench.from);
        for grant in [all, locks, rows] {
            let account = Account::new(&bench.pair.source, &[grant.as_str()]);
            let report = clone_as(&bench, &account.server(), slowly()).await;
            println!("{from}, {grant}: {:?}", report.position.rung);
            assert_whole(&bench);
            assert_ne!(report.position.rung, SnapshotMethod::None, "{from}, {grant}");
            account.assert_gone();
            bench.pair.target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
        }
    }
}

/// The client cannot unlock over a dead connection, so the server has to.
#[test]
fn writers_continue_when_the_connection_dies_while_the_source_is_locked() {
    on_each_flavor(async |flavor| {
        // A server of its own: the lock is on all of it.
        let server = ServerOptions::new(flavor).start().unwrap();
        server.sql("CREATE DATABASE d").unwrap();
        server.sql_in("d", "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO t VALUES ()").unwrap();
        let bench = Bench::names(flavor);
        let line = Arc::new(Proxy::start((server.host.as_str(), server.port)).unwrap());
        let behind = server.with_address("127.0.0.1", line.port());
        let begun = Arc::new(AtomicBool::new(false));
        let (begins, slow) = (begun.clone(), line.clone());
        let listener = move |event: Event| {
            if matches!(event, Event::Phase { phase: Phase::Snapshot, .. }) {
                slow.set_latency(Duration::from_millis(700));
                begins.store(true, Ordering::Relaxed);
            }
        };
        let token = CancellationToken::new();
        let job = CloneJob::new(behind.url_of("d"), bench.target_url()).on_event(listener).cancellation(token.clone());
        let running = tokio::spawn(job.run());
        assert!(wait_until(|| begun.load(Ordering::Relaxed)));
        let is_locked = || {
            let insert = server.sql_in("d", "SET lock_wait_timeout = 1; INSERT INTO t VALUES ()");
            insert.is_err_and(|error| error.to_string().contains("Lock wait timeout"))
        };
        // All connections have to be open first.
        assert!(wait_until(is_locked), "{flavor}: nothing was locked");
        line.stall(true);
        assert!(wait_until(|| !is_locked()), "{flavor}: writers still wait");
        token.cancel();
        line.cut();
        running.await.unwrap().unwrap_err();
    });
}

#[test]
fn a_table_that_is_created_while_the_clone_starts_is_named() {
    on_sampled_flavors(async |flavor| {
        for follow in [false, true] {
            let bench = Bench::new(flavor, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
            let (source, from, is_made) = (bench.pair.source.clone(), bench.from.clone(), AtomicBool::new(false));
            let job = bench.job(CloneOptions { follow, ..CloneOptions::default() });
            let done = job.selector(move |_: &ObjectRef| {
                if !is_made.swap(true, Ordering::Relaxed) {
                    source.sql_in(&from, "CREATE TABLE late (id INT PRIMARY KEY)").unwrap();
                }
                true
            });
            match done.run().await {
                Ok(report) => {
                    let late = report.left_out.iter().find(|omitted| omitted.object.name == "late").unwrap();
                    assert!(!follow && late.reason.contains("while the clone started"), "{late:?}");
                }
                Err(error) => {
                    assert!(follow && error.to_string().contains("table late was created"), "{error}");
                    assert!(!bench.target_exists());
                }
            }
        }
    });
}
