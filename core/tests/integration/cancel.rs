//! A clone that is cancelled, or whose servers die, ends, reports it, and leaves nothing of its own.

use std::sync::Arc;

use crate::common::{
    Account, Bench, HANG_GUARD, WAITS_FOR_LOCK, no_hang, rows_flow, sampled_flavors, unique, wait_until,
};
use dbgraft::{CloneJob, CloneOptions, ErrorKind, Event, IfExists, Phase, Report, TargetJob};
use dbgraft_testkit::{CompareOptions, Flavor, MariaDb, MySql, Proxy, dump, s3};
use tokio_util::sync::CancellationToken;

fn filled(flavor: Flavor) -> Bench {
    let bench = Bench::new(
        flavor,
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(200), KEY (a)); \
         INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 999) \
         SELECT n, CONCAT(n, REPEAT('x', 180)) FROM n; \
         CREATE TABLE u LIKE t; INSERT INTO u SELECT * FROM t; INSERT INTO u SELECT id + 1000, a FROM t; \
         CREATE TABLE parent (id INT PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t; \
         CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1; CREATE PROCEDURE p() SELECT 1",
    );
    for step in [2000, 4000] {
        bench.source(&format!("INSERT INTO u SELECT id + {step}, a FROM u"));
    }
    bench
}

/// A slow clone with an account of its own on each side, so that its connections can be recognized.
struct SlowClone {
    bench: Bench,
    reading: Account,
    writing: Account,
}

impl SlowClone {
    fn new(bench: Bench) -> Self {
        let all = ["ALL ON *.*"];
        let (reading, writing) = (Account::new(&bench.pair.source, &all), Account::new(&bench.pair.target, &all));
        Self { bench, reading, writing }
    }

    fn job(&self, options: CloneOptions) -> CloneJob {
        let (source, target) = (self.reading.server(), self.writing.server());
        CloneJob::new(source.url_of(&self.bench.from), target.url_of(&self.bench.to)).options(options)
    }

    /// Runs until `now` holds for an event, calls `wait`, cancels, and checks that no connection is left.
    async fn assert_cancels(
        &self,
        options: CloneOptions,
        now: impl Fn(&Event) -> bool + Send + Sync + 'static,
        wait: impl Fn() + Send + 'static,
    ) {
        let token = CancellationToken::new();
        let (sender, receiver) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let listener = move |event: Event| {
            if now(&event) {
                let _ = sender.lock().unwrap().send(());
            }
        };
        let job = self.job(options).on_event(listener).cancellation(token.clone());
        let running = tokio::spawn(job.run());
        let waited = tokio::task::spawn_blocking(move || {
            let came = receiver.recv_timeout(HANG_GUARD).is_ok();
            wait();
            came
        });
        assert!(waited.await.unwrap(), "the moment to cancel never came");
        token.cancel();
        let result: dbgraft::Result<Report> = no_hang(running).await.unwrap();
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert!(!error.to_string().contains("not cleaned up"), "{error}");
        let (source, target) = (self.reading.running(), self.writing.running());
        assert!(source.is_empty() && target.is_empty(), "still running: {source:?} {target:?}");
        self.reading.assert_gone();
        self.writing.assert_gone();
    }
}

fn slowly() -> CloneOptions {
    CloneOptions { memory: 8 << 20, max_rate: Some(300_000), ..CloneOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_rows_flow_directly() {
    for &flavor in sampled_flavors() {
        let slow_clone = SlowClone::new(filled(flavor));
        slow_clone.assert_cancels(slowly(), rows_flow, || ()).await;
        assert!(!slow_clone.bench.target_exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_rows_flow_through_s3() {
    for &flavor in sampled_flavors() {
        let slow_clone = SlowClone::new(filled(flavor));
        let prefix = format!("cancel-{}", unique());
        let options = CloneOptions { via: Some(slow_clone.bench.s3(&prefix)), ..slowly() };
        let staged = prefix.clone();
        let wait = move || assert!(wait_until(|| s3().keys(&staged).unwrap().len() > 1));
        slow_clone.assert_cancels(options, rows_flow, wait).await;
        assert_eq!(s3().keys(&prefix).unwrap(), Vec::<String>::new());
        assert!(!slow_clone.bench.target_exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_the_target_stays() {
    for &flavor in sampled_flavors() {
        let bench = filled(flavor);
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        bench.target(
            "CREATE TABLE mine (a INT PRIMARY KEY); INSERT INTO mine VALUES (1); \
             CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES mine (a)); \
             CREATE VIEW my_view AS SELECT * FROM mine; CREATE FUNCTION mine() RETURNS INT DETERMINISTIC RETURN 1",
        );
        let look = |bench: &Bench| dump(&bench.pair.target, &bench.to, &CompareOptions::default()).unwrap();
        let before = look(&bench);
        let slow_clone = SlowClone::new(bench);
        slow_clone.assert_cancels(slowly(), rows_flow, || ()).await;
        assert_eq!(before.differences(&look(&slow_clone.bench)), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_snapshot_waits_for_its_lock() {
    for &flavor in sampled_flavors() {
        let slow_clone = SlowClone::new(filled(flavor));
        // The global read lock waits for statements that write.
        let slow = format!("UPDATE `{}`.parent SET id = id + 1 + SLEEP(600)", slow_clone.bench.from);
        slow_clone.bench.source("INSERT INTO parent VALUES (1)");
        let client = slow_clone.bench.pair.source.session(&slow).unwrap();
        let list = slow_clone.bench.pair.source.process_list();
        let running = format!("SELECT COUNT(*) FROM {list} WHERE INFO LIKE 'UPDATE%SLEEP(600)%'");
        assert!(wait_until(|| slow_clone.bench.source(&running) != "0"));
        let snapshot = |event: &Event| matches!(event, Event::Phase { phase: Phase::Snapshot, .. });
        let reading = slow_clone.reading.name.clone();
        let source = slow_clone.bench.pair.source.clone();
        let waiting = move || {
            let sql = format!("SELECT COUNT(*) FROM {list} WHERE USER = '{reading}' AND {WAITS_FOR_LOCK}");
            assert!(wait_until(|| source.sql(&sql).unwrap() != "0"), "nothing waits for a lock");
        };
        // Without the guard the clone requests the lock behind the running statement.
        let options = CloneOptions { lock_guard: 0, ..slowly() };
        slow_clone.assert_cancels(options, snapshot, waiting).await;
        let kill = format!(
            "SELECT CONCAT('KILL ', ID) FROM {list} WHERE INFO LIKE 'UPDATE `{}`%SLEEP(600)%'",
            slow_clone.bench.from
        );
        let kill = slow_clone.bench.source(&kill);
        slow_clone.bench.source(&kill);
        assert!(client.wait().is_err(), "the statement was killed");
        assert!(!slow_clone.bench.target_exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_index_is_built() {
    for &flavor in sampled_flavors() {
        let bench = filled(flavor);
        bench.source(
            "SET group_concat_max_len = 10000; CREATE TABLE texts (id INT PRIMARY KEY, a TEXT, FULLTEXT (a)); INSERT INTO texts \
             SELECT a.id, (SELECT GROUP_CONCAT(SHA2(b.id * 1000 + a.id, 224) SEPARATOR ' ') FROM t b WHERE b.id < 30) FROM u a; ANALYZE TABLE texts",
        );
        let slow_clone = SlowClone::new(bench);
        let writing = slow_clone.writing.name.clone();
        let target = slow_clone.bench.pair.target.clone();
        let building = move || {
            let list = target.process_list();
            let sql =
                format!("SELECT COUNT(*) FROM {list} WHERE USER = '{writing}' AND INFO LIKE 'ALTER TABLE%FULLTEXT%'");
            assert!(wait_until(|| target.sql(&sql).unwrap() != "0"), "no index was built");
        };
        let options = CloneOptions { include: vec!["table:texts".into()], ..CloneOptions::default() };
        slow_clone
            .assert_cancels(options, |event| matches!(event, Event::Phase { phase: Phase::Rows, .. }), building)
            .await;
        assert!(!slow_clone.bench.target_exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_killed_is_a_clear_error_and_no_hang() {
    let bench = filled(Flavor::MySql);
    let target = MySql::start().unwrap();
    let (pid, url) = (target.kill(), target.url_of("d"));
    // Only its address was wanted.
    pid.unwrap();
    let error = no_hang(CloneJob::new(bench.source_url(), url.as_str()).run()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    let mut target = target;
    target.restart().unwrap();
    let (token, target) = (CancellationToken::new(), Arc::new(target));
    let killed = target.clone();
    let kill = move |event: Event| {
        if rows_flow(&event) && !token.is_cancelled() {
            token.cancel();
            killed.kill().unwrap();
        }
    };
    let job = CloneJob::new(bench.source_url(), url.as_str()).options(slowly()).on_event(kill);
    let error = no_hang(job.run()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(error.to_string().contains("not cleaned up"), "{error}");
    bench.pair.target.sql("DO 1").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_killed_is_a_clear_error_and_leaves_nothing() {
    let bench = filled(Flavor::MariaDb);
    let source = Arc::new(MariaDb::start().unwrap());
    source.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a VARCHAR(2000))").unwrap();
    source.sql("USE d; INSERT INTO t SELECT seq, REPEAT('x', 2000) FROM seq_1_to_8000").unwrap();
    let killed = source.clone();
    let kill = move |event: Event| {
        if rows_flow(&event) && killed.is_running() {
            killed.kill().unwrap();
        }
    };
    let options = CloneOptions { memory: 8 << 20, max_rate: Some(2 << 20), ..CloneOptions::default() };
    let job = CloneJob::new(source.url_of("d"), bench.target_url()).options(options).on_event(kill);
    let error = no_hang(job.run()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert!(!bench.target_exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_server_that_dies_is_a_clear_error_and_nothing_is_left_for_good() {
    let bench = filled(Flavor::MySql);
    let endpoint = s3().endpoint.trim_start_matches("http://");
    let proxy = Arc::new(Proxy::start(endpoint).unwrap());
    let prefix = format!("dying-{}", unique());
    let via = format!("{}?endpoint=http://127.0.0.1:{}", s3().url_of(&prefix), proxy.port());
    assert!(bench.s3("x").contains("endpoint"));
    let line = proxy.clone();
    let kill = move |event: Event| {
        if rows_flow(&event) {
            line.refuse(true);
            line.cut();
        }
    };
    let job = bench.job(CloneOptions { via: Some(via), ..slowly() }).on_event(kill);
    let error = no_hang(job.run()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Storage | ErrorKind::Connection), "{error:?}");
    assert!(error.to_string().contains("not cleaned up"), "{error}");
    // Complete tables stay for a resume, and with them the journal, which names the staged objects.
    if bench.target_exists() {
        assert!(error.to_string().contains("--resume"), "{error}");
        proxy.refuse(false);
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert_eq!(s3().keys(&prefix).unwrap(), [""; 0]);
    }
    assert!(!bench.target_exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_middle_leaves_what_was_there_before() {
    for &flavor in sampled_flavors() {
        let bench = filled(flavor);
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        // Rows that do not fit the definition which is kept: only the loading can notice.
        bench.target("CREATE TABLE mine (a INT); INSERT INTO mine VALUES (1); CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(200), UNIQUE (id), CHECK (id < 500))");
        let options =
            CloneOptions { if_exists: IfExists::Truncate, include: vec!["table:*".into()], ..CloneOptions::default() };
        let error = bench.clone(options).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Server | ErrorKind::Preflight), "{error:?}");
        assert_eq!(bench.target("SELECT COUNT(*) FROM mine"), "1");
        assert_eq!(bench.target("SHOW TABLES"), "mine\nt");
        assert_eq!(bench.target("SELECT COUNT(*) FROM t"), "0");
    }
}
