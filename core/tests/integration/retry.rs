//! A connection that breaks loses no row and doubles none, and the report names each retry.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Account, BackgroundLoop, Bench, on_sampled_flavors, sampled_flavors, wait_until};
use dbgraft::{CloneJob, CloneOptions, ErrorKind, Event, Phase, Severity, TargetJob, Verify};
use dbgraft_testkit::{Flavor, Proxy, ServerOptions, compare};

const ROWS: &str = "INSERT INTO plain WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) \
                    SELECT n % 10, REPEAT(CHAR(65 + n % 26), 2000) FROM n; INSERT INTO keyed (b) SELECT b FROM plain;";

/// A table without a key, where only the rows show a doubled batch, and one with a key.
const TABLES: &str = "CREATE TABLE plain (a INT, b TEXT); \
                      CREATE TABLE keyed (id INT AUTO_INCREMENT PRIMARY KEY, b TEXT, KEY (b(20)));";

fn bench(flavor: dbgraft_testkit::Flavor) -> Bench {
    Bench::new(flavor, &format!("{TABLES} {ROWS}"))
}

fn options() -> CloneOptions {
    CloneOptions { threads: 2, memory: 8 << 20, ..CloneOptions::default() }
}

#[test]
fn a_connection_to_the_target_that_breaks_at_several_points() {
    on_sampled_flavors(async |flavor| {
        let bench = bench(flavor);
        // Each batch is 1 MiB, so these cuts fall into batches, between them, and into what comes before and after.
        for cut in [300_000, 1_300_000, 2_150_000] {
            let target = &bench.pair.target;
            let proxy = Arc::new(Proxy::start((target.host.as_str(), target.port)).unwrap());
            let behind = target.with_address("127.0.0.1", proxy.port());
            let (line, begun) = (proxy.clone(), AtomicBool::new(false));
            let cutting = move |event: Event| {
                if matches!(event, Event::Started { .. }) && !begun.swap(true, Ordering::Relaxed) {
                    line.cut_after(cut);
                }
            };
            let job = CloneJob::new(bench.source_url(), behind.url_of(&bench.to)).options(options());
            let report = job.on_event(cutting).run().await.unwrap();
            bench.assert_equal();
            let told = report.warnings.iter().chain(report.objects.iter().flat_map(|object| &object.warnings));
            assert!(told.clone().any(|warning| warning.contains("again")), "{flavor} {cut}: {report:?}");
            bench.pair.target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
        }
    });
}

/// Makes the answer to a COMMIT get lost: the server has the batch, and the client cannot know.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_doubles_nothing() {
    for &flavor in sampled_flavors() {
        let bench = bench(flavor);
        let target = &bench.pair.target;
        let proxy = Arc::new(Proxy::start((target.host.as_str(), target.port)).unwrap());
        let behind = target.with_address("127.0.0.1", proxy.port());
        // While answers take their time, a line of the journal can be read: its transaction is committed, and the
        // client does not know yet.
        let (line, server, name) = (proxy.clone(), target.clone(), bench.to.clone());
        let (cuts, mut seen) = (Arc::new(AtomicU32::new(0)), 0);
        let counted = cuts.clone();
        let cutter = BackgroundLoop::new(move |_| {
            let committed = server.sql(&format!("SELECT COUNT(*) FROM `{name}`._dbgraft_journal WHERE kind = 'batch'"));
            let committed: u32 = committed.map_or(0, |count| count.trim().parse().unwrap());
            if committed > seen && counted.load(Ordering::Relaxed) == 0 {
                seen = committed;
                line.cut();
                counted.fetch_add(1, Ordering::Relaxed);
            } else if counted.load(Ordering::Relaxed) > 0 {
                line.set_latency(Duration::ZERO);
            }
            committed > 0
        });
        let line = proxy.clone();
        let slow = move |event: Event| {
            if matches!(event, Event::Phase { phase: Phase::Rows, .. }) {
                line.set_latency(Duration::from_millis(200));
            }
        };
        let job = CloneJob::new(bench.source_url(), behind.url_of(&bench.to)).options(options()).on_event(slow);
        let report = job.run().await.unwrap();
        drop(cutter);
        bench.assert_equal();
        assert!(cuts.load(Ordering::Relaxed) > 0, "nothing was cut");
        let told = report.warnings.iter().chain(report.objects.iter().flat_map(|object| &object.warnings));
        assert!(told.clone().any(|warning| warning.contains("again")), "{flavor}: {report:?}");
    }
}

/// A table whose engine has no transactions keeps what a broken batch has left in it: it must not be tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_transactions_is_never_doubled() {
    for &flavor in sampled_flavors() {
        let bench = bench(flavor);
        bench.source("DROP TABLE keyed; ALTER TABLE plain ENGINE = MyISAM");
        for cut in [300_000, 1_000_000, 1_300_000] {
            let target = &bench.pair.target;
            let proxy = Arc::new(Proxy::start((target.host.as_str(), target.port)).unwrap());
            let behind = target.with_address("127.0.0.1", proxy.port());
            let (line, begun) = (proxy.clone(), AtomicBool::new(false));
            let cutting = move |event: Event| {
                if matches!(event, Event::Started { .. }) && !begun.swap(true, Ordering::Relaxed) {
                    line.cut_after(cut);
                }
            };
            let job = CloneJob::new(bench.source_url(), behind.url_of(&bench.to)).options(options());
            match job.on_event(cutting).run().await {
                Ok(_) => bench.assert_equal(),
                Err(error) => {
                    assert!(error.to_string().contains("transaction"), "{error}");
                    assert!(!bench.target_exists());
                }
            }
            bench.pair.target.sql(&format!("DROP DATABASE IF EXISTS {}", bench.to)).unwrap();
        }
    }
}

/// The line breaks while the server builds indexes: it may or may not come to their end.
#[test]
fn indexes_whose_building_was_cut_off_are_all_there() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(
            flavor,
            "CREATE TABLE keyed (id INT AUTO_INCREMENT PRIMARY KEY, b TEXT, c INT, KEY (b(20)), KEY (c), UNIQUE KEY (c, id), FULLTEXT one (b), FULLTEXT two (b)); \
             INSERT INTO keyed (b, c) WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT REPEAT(CONCAT('word', n, ' '), 300), n FROM n; ANALYZE TABLE keyed",
        );
        let target = &bench.pair.target;
        let proxy = Proxy::start((target.host.as_str(), target.port)).unwrap();
        let behind = target.with_address("127.0.0.1", proxy.port());
        // A reader keeps the server from altering the table, so that there is something to cut off.
        let to = bench.to.clone();
        let reader = BackgroundLoop::new(move |_| {
            target.sql_in(&to, "START TRANSACTION; SELECT COUNT(*) FROM keyed; DO SLEEP(2)").is_ok()
        });
        let (to, mut cut) = (bench.to.clone(), false);
        let cutter = BackgroundLoop::new(move |_| {
            let list = target.process_list();
            let waits = format!("SELECT COUNT(*) FROM {list} WHERE INFO LIKE 'ALTER%' AND DB = '{to}'");
            if !cut && target.sql(&waits).is_ok_and(|count| count.trim() != "0") {
                proxy.cut();
                cut = true;
            }
            cut
        });
        let job = CloneJob::new(bench.source_url(), behind.url_of(&bench.to)).options(options());
        let report = job.run().await.unwrap();
        drop((reader, cutter));
        bench.assert_equal();
        let told = report.objects.iter().flat_map(|object| &object.warnings).any(|warning| warning.contains("indexes"));
        assert!(told, "no building was cut off: {report:?}");
    });
}

/// The line breaks while views, routines, foreign keys and the like are made: what is there is not made again.
#[test]
fn steps_after_the_rows_are_retried() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(
            flavor,
            "CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES p (id)); \
             INSERT INTO p VALUES (1); INSERT INTO c VALUES (1); \
             ALTER DATABASE COLLATE latin1_german1_ci; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; CREATE PROCEDURE q() SELECT 1; \
             ALTER DATABASE COLLATE utf8mb4_unicode_ci; CREATE FUNCTION g() RETURNS INT DETERMINISTIC RETURN 2; \
             CREATE VIEW v AS SELECT f() AS a; CREATE VIEW w AS SELECT a FROM v; \
             CREATE TRIGGER one BEFORE INSERT ON p FOR EACH ROW SET @x = 1; CREATE TRIGGER two BEFORE INSERT ON p FOR EACH ROW SET @x = 2; \
             CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO DO 1",
        );
        for cut in [300, 2500, 5000, 7500] {
            let target = &bench.pair.target;
            let proxy = Arc::new(Proxy::start((target.host.as_str(), target.port)).unwrap());
            let behind = target.with_address("127.0.0.1", proxy.port());
            let line = proxy.clone();
            let cutting = move |event: Event| {
                if matches!(event, Event::Phase { phase: Phase::Objects, .. }) {
                    line.cut_after(cut);
                }
            };
            let job = CloneJob::new(bench.source_url(), behind.url_of(&bench.to)).options(options());
            let report = job.on_event(cutting).run().await.unwrap();
            assert_eq!(report.fidelity, []);
            bench.assert_equal();
            // One cut is one retry: the next try uses no other connection that was cut.
            let told = report.warnings.iter().filter(|warning| warning.contains("tried again")).count();
            assert_eq!(told, 1, "{flavor} {cut}: {report:?}");
            bench.pair.target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
        }
    });
}

/// Tables that are read for some seconds: one without a key, one in several chunks.
fn large(flavor: Flavor) -> Bench {
    let bench = bench(flavor);
    for _ in 0..4 {
        bench.source("INSERT INTO plain SELECT a + 10, b FROM plain; INSERT INTO keyed (b) SELECT b FROM keyed");
    }
    bench.source("ANALYZE TABLE plain, keyed");
    bench
}

/// Kills connections of the source of which this holds, as soon as rows flow: one, or all again and again.
fn killing(bench: &Bench, of: String, all: bool) -> impl Fn(Event) + Send + Sync + 'static {
    let (source, done) = (bench.pair.source.clone(), AtomicBool::new(false));
    move |event| {
        if matches!(event, Event::Progress { phase: Phase::Rows, amount, .. } if amount.rows > 0)
            && (all || !done.load(Ordering::Relaxed))
        {
            let sql = format!("SELECT ID FROM {} WHERE ID <> CONNECTION_ID() AND", source.process_list());
            let ids = source.sql(&format!("{sql} {of}")).unwrap();
            for id in ids.lines().take(if all { usize::MAX } else { 1 }) {
                done.store(true, Ordering::Relaxed);
                let _ = source.sql(&format!("KILL {id}"));
            }
        }
    }
}

/// Each chunk has a number, and each of its batches: another connection of the same moment reads what is left.
#[test]
fn a_reader_that_is_killed_is_replaced_by_the_others() {
    on_sampled_flavors(async |flavor| {
        let bench = large(flavor);
        let options = CloneOptions { max_rate: Some(16 << 20), threads: 4, verify: Verify::Checksum, ..options() };
        let reading = format!("INFO LIKE 'SELECT%FROM `{}`%'", bench.from);
        let report = bench.job(options).on_event(killing(&bench, reading, false)).run().await.unwrap();
        bench.assert_equal();
        let mut told = report.objects.iter().flat_map(|object| &object.warnings);
        assert!(told.any(|warning| warning.contains("reading chunk")), "{flavor}: {report:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_is_lost_with_the_last_reader() {
    for &flavor in sampled_flavors() {
        let bench = large(flavor);
        let options = CloneOptions { max_rate: Some(16 << 20), ..options() };
        let account = Account::new(&bench.pair.source, &["ALL ON *.*"]);
        let job = CloneJob::new(account.server().url_of(&bench.from), bench.target_url()).options(options);
        let ours = format!("USER = '{}'", account.name);
        let error = job.on_event(killing(&bench, ours, true)).run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        assert!(error.to_string().contains("the source's moment is lost"), "{error}");
        // A table may be complete by then, which a resume would keep.
        if bench.target_exists() {
            assert!(error.to_string().contains("--resume"), "{error}");
            TargetJob::new(bench.target_url()).abandon().await.unwrap();
        }
        assert!(!bench.target_exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_in_mid_clone_is_a_change() {
    for &flavor in sampled_flavors() {
        for change in ["RENAME TABLE other TO another", "ALTER TABLE other DROP COLUMN b, ADD COLUMN c INT"] {
            let bench =
                Bench::new(flavor, "CREATE TABLE other (a INT PRIMARY KEY, b INT); INSERT INTO other VALUES (1, 1)");
            let (source, from, begun) = (bench.pair.source.clone(), bench.from.clone(), AtomicBool::new(false));
            let changing = move |event| {
                if matches!(event, Event::Phase { phase: Phase::Rows, .. }) && !begun.swap(true, Ordering::Relaxed) {
                    source.sql_in(&from, change).unwrap();
                }
            };
            let error = bench.job(options()).on_event(changing).run().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed, "{flavor} {change}: {error}");
            assert!(error.to_string().contains("table other was altered, renamed or dropped"), "{error}");
        }
    }
}

/// Before the first row nothing but the answer is lost.
#[test]
fn the_preflight_is_retried() {
    on_sampled_flavors(async |flavor| {
        let bench = bench(flavor);
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        for cut in [50, 2_000, 9_000] {
            for which in ["source", "target"] {
                let server = if which == "source" { &bench.pair.source } else { &bench.pair.target };
                let line = Proxy::start((server.host.as_str(), server.port)).unwrap();
                line.cut_after(cut);
                let behind = server.with_address("127.0.0.1", line.port());
                let (source, target) = match which {
                    "source" => (behind.url_of(&bench.from), bench.target_url()),
                    _ => (bench.source_url(), behind.url_of(&bench.to)),
                };
                let again = Arc::new(AtomicU32::new(0));
                let counted = again.clone();
                let hear = move |event| {
                    if matches!(&event, Event::Warning { message } if message.contains("is tried again")) {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                };
                let job = CloneJob::new(source, target).options(options()).on_event(hear);
                let overview = job.plan().await.unwrap();
                assert!(overview.findings.iter().all(|found| found.severity != Severity::Error), "{overview:?}");
                assert_eq!(again.load(Ordering::Relaxed), 1, "{flavor} {which} {cut}");
            }
        }
        assert_eq!(bench.target("SHOW TABLES"), "", "a probe is left");
    });
}

/// A server that loses commits that it has acknowledged loses the journal's lines with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_target_lost_after_its_commit_fails_the_clone() {
    for &flavor in sampled_flavors() {
        let bench = bench(flavor);
        let (target, to) = (bench.pair.target.clone(), bench.to.clone());
        let lose = move |event: Event| {
            if matches!(event, Event::Phase { phase: Phase::Objects, .. }) {
                let line =
                    "FROM _dbgraft_journal WHERE kind = 'batch' AND table_number = 0 AND chunk = 0 AND batch = 0";
                let content = target.sql_in(&to, &format!("SELECT content {line}")).unwrap();
                let content: serde_json::Value = serde_json::from_str(content.trim()).unwrap();
                // The rows of a batch and its line are lost together.
                let rows = &content["rows"];
                target.sql_in(&to, &format!("DELETE {line}; DELETE FROM keyed LIMIT {rows}")).unwrap();
            }
        };
        let error = bench.job(options()).on_event(lose).run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("has lost batches that it had committed, 1 of table keyed"), "{error}");
        assert!(!bench.target_exists());
        bench.clone(options()).await.unwrap();
        bench.assert_equal();
    }
}

/// The same by a crash: nothing but what DDL has flushed is on the disk. Of a table in memory only the crash tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_crashes_and_loses_commits_fails_the_clone() {
    // MySQL writes its log all the time, so that only the machine's crash loses it.
    let flavor = Flavor::MariaDb;
    for memory in [false, true] {
        let bench = bench(flavor);
        bench.source("CREATE TABLE early (a INT) ENGINE = MEMORY; INSERT INTO early VALUES (1)");
        let server = ServerOptions::new(flavor)
            .arg(format!("--innodb-flush-log-at-trx-commit={}", u8::from(memory)))
            .arg("--innodb-flush-log-at-timeout=2000")
            .arg("--innodb-log-buffer-size=64M");
        let server = Arc::new(Mutex::new(server.start().unwrap()));
        let url = server.lock().unwrap().url_of(&bench.to);
        // So long that a restart can be told from a clock that is not exact.
        let uptime = || server.lock().unwrap().sql("SHOW GLOBAL STATUS LIKE 'Uptime'").unwrap();
        let seconds = || uptime().split_whitespace().last().unwrap().parse::<u64>().unwrap();
        assert!(wait_until(|| seconds() > 3));
        let crashed = AtomicBool::new(false);
        let crash = move |event: Event| {
            let now = match &event {
                Event::Finished { object, .. } => memory && object.name == "early",
                Event::Progress { phase: Phase::Rows, amount, .. } => !memory && amount.rows > 0,
                _ => false,
            };
            if now && !crashed.swap(true, Ordering::Relaxed) {
                server.lock().unwrap().restart().unwrap();
            }
        };
        let include = if memory { vec!["early".to_owned(), "plain".to_owned()] } else { vec!["keyed".to_owned()] };
        let options = CloneOptions { max_rate: Some(1 << 20), include, ..options() };
        let error = CloneJob::new(bench.source_url(), url).options(options).on_event(crash).run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let told =
            if memory { "table early of the target may have lost rows" } else { "innodb_flush_log_at_trx_commit is 0" };
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// A reader that waits for a slow target, and a loader that waits for a slow source.
#[test]
fn a_slow_clone_exceeds_no_timeout_of_the_servers() {
    on_sampled_flavors(async |flavor| {
        let timeouts = ["--net-write-timeout=1", "--net-read-timeout=1", "--wait-timeout=1"];
        let start =
            || timeouts.iter().fold(ServerOptions::new(flavor), |options, arg| options.arg(*arg)).start().unwrap();
        let (source, target) = (start(), start());
        source.sql("CREATE DATABASE d").unwrap();
        source.sql_in("d", &format!("{TABLES} {ROWS}")).unwrap();
        // 3.6 MB of rows.
        let options = CloneOptions { max_rate: Some(900_000), ..options() };
        let report = CloneJob::new(source.url_of("d"), target.url_of("d")).options(options).run().await.unwrap();
        assert!(report.seconds > 2.0, "it was not slow: {} s", report.seconds);
        compare(&source, "d", &target, "d").unwrap();
    });
}
