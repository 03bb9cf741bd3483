//! Objects and sessions of others on a server are never touched, locks do not block others, and a late refusal keeps the
//! rows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{
    Account, BackgroundLoop, Bench, HANG_GUARD, LOCK_WAIT, WAITS_FOR_LOCK, on_sampled_flavors, rows_flow,
    sampled_flavors, wait_until,
};
use dbgraft::{CloneJob, CloneOptions, ErrorKind, Event, IfExists, Phase, Report, Severity, SnapshotMethod, TargetJob};
use dbgraft_testkit::{Flavor, Proxy, ServerOptions, Session};
use tokio_util::sync::CancellationToken;

/// Tables with rows, and one object of each other kind.
const SHOP: &str = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(200), KEY (a)); \
    INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 999) \
    SELECT n, CONCAT(n, REPEAT('x', 180)) FROM n; \
    CREATE TABLE u LIKE t; INSERT INTO u SELECT * FROM t; INSERT INTO u SELECT id + 1000, a FROM t; \
    CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; CREATE VIEW v AS SELECT f() AS a, id FROM t; \
    CREATE VIEW w AS SELECT a FROM v; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1; \
    CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2038-01-01 00:00:00' DO DO 1";

fn slowly() -> CloneOptions {
    CloneOptions { memory: 8 << 20, max_rate: Some(150_000), ..CloneOptions::default() }
}

fn objects_begin(event: &Event) -> bool {
    matches!(event, Event::Phase { phase: Phase::Objects, .. })
}

/// A listener that calls `action` at the first event for which `when` holds.
fn once(when: fn(&Event) -> bool, action: impl Fn() + Send + Sync + 'static) -> impl Fn(Event) + Send + Sync + 'static {
    let done = AtomicBool::new(false);
    move |event: Event| {
        if when(&event) && !done.swap(true, Ordering::Relaxed) {
            action();
        }
    }
}

/// After a restart the server numbers its connections anew.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_others_survive_the_clean_up_after_a_restart() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let mut server = ServerOptions::new(flavor).start().unwrap();
        let line = Arc::new(Proxy::start((server.host.as_str(), server.port)).unwrap());
        let behind = server.with_address("127.0.0.1", line.port());
        let token = CancellationToken::new();
        let (sender, receiver) = std::sync::mpsc::channel();
        let cut = line.clone();
        let job = CloneJob::new(bench.source_url(), behind.url_of("d")).options(slowly()).cancellation(token.clone());
        let running = tokio::spawn(
            job.on_event(once(rows_flow, move || {
                cut.refuse(true);
                cut.cut();
                sender.send(()).unwrap();
            }))
            .run(),
        );
        tokio::task::spawn_blocking(move || receiver.recv_timeout(HANG_GUARD).unwrap()).await.unwrap();
        server.kill().unwrap();
        server.restart().unwrap();
        let account = Account::new(&server, &[]);
        let others: Vec<Session> = (0..40).map(|_| account.server().session("SELECT 1").unwrap()).collect();
        assert!(wait_until(|| account.processes().len() == others.len()));
        line.refuse(false);
        token.cancel();
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert!(!error.to_string().contains("not cleaned up"), "{error}");
        assert_eq!(account.processes().len(), others.len(), "sessions of others were killed");
        assert!(!crate::common::exists(&server, "d"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_others_create_during_a_clone_survive_its_failure() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let (server, to) = (bench.pair.target.clone(), bench.to.clone());
        let make = move || {
            let theirs = "CREATE TABLE theirs (a INT); INSERT INTO theirs VALUES (1); \
                          CREATE TRIGGER their_trigger BEFORE INSERT ON u FOR EACH ROW SET @y = 1; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 2";
            server.sql_in(&to, theirs).unwrap();
        };
        let options = CloneOptions { all_or_nothing: true, ..CloneOptions::default() };
        let error = bench.job(options).on_event(once(objects_begin, make)).run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server, "{error}");
        let message = error.to_string();
        assert!(message.contains("not cleaned up") && message.contains("table theirs, function f"), "{error}");
        // A DROP would remove the trigger with its table, so the table stays.
        assert!(message.contains("table u (somebody else made trigger their_trigger on it)"), "{error}");
        // With it stays the journal, by which it is removed once the trigger is gone.
        let left = "SHOW TABLES; SELECT a FROM theirs; SELECT f()";
        assert_eq!(bench.target(left), "_dbgraft_journal\ntheirs\nu\n1\n2");
        bench.target("DROP TRIGGER their_trigger");
        let error = TargetJob::new(bench.target_url()).abandon().await.unwrap_err();
        assert!(error.to_string().contains("table theirs, function f"), "{error}");
        assert_eq!(bench.target(left), "theirs\n1\n2");
    }
}

/// Between our check for the database and our CREATE.
#[test]
fn a_database_that_another_session_created_just_before_stays() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, "CREATE TABLE t (id INT PRIMARY KEY)");
        let server = ServerOptions::new(flavor).start().unwrap();
        server.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON").unwrap();
        let line = Arc::new(Proxy::start((server.host.as_str(), server.port)).unwrap());
        let behind = server.with_address("127.0.0.1", line.port());
        let other = server.database().clone();
        let (began, slow, held) = (Arc::new(AtomicBool::new(false)), line.clone(), line.clone());
        let begun = began.clone();
        let thread = BackgroundLoop::new(move |_| {
            let looked = "SELECT COUNT(*) FROM mysql.general_log WHERE CAST(argument AS CHAR) LIKE '%SCHEMATA WHERE SCHEMA_NAME = ''d''%' \
                          AND CAST(argument AS CHAR) NOT LIKE '%general_log%'";
            if begun.load(Ordering::Relaxed) && other.sql(looked).unwrap().trim() != "0" {
                begun.store(false, Ordering::Relaxed);
                // Our CREATE waits on the link until the other one is done.
                held.stall(true);
                other.sql("CREATE DATABASE d; CREATE TABLE d.theirs (a INT)").unwrap();
                held.stall(false);
            }
            true
        });
        let other = server.database().clone();
        let begin = move || {
            other.sql("TRUNCATE TABLE mysql.general_log").unwrap();
            slow.set_latency(Duration::from_millis(300));
            began.store(true, Ordering::Relaxed);
        };
        let tables = |event: &Event| matches!(event, Event::Phase { phase: Phase::Tables, .. });
        let job = CloneJob::new(bench.source_url(), behind.url_of("d")).on_event(once(tables, begin));
        let error = job.run().await.unwrap_err();
        drop(thread);
        assert_eq!(error.code(), Some(1007), "{error}");
        assert_eq!(server.sql("SHOW TABLES FROM d").unwrap().trim(), "theirs");
    });
}

/// A server computes values as the session would that opened the table, and another one may open it just before the rows
/// come: on MariaDB by many a query of `information_schema`.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_another_session_opens_meanwhile_is_opened_anew() {
    let bench = Bench::new(
        Flavor::MariaDb,
        "SET sql_mode = 'NO_UNSIGNED_SUBTRACTION'; \
         CREATE TABLE t (id INT PRIMARY KEY, a BIGINT UNSIGNED, b BIGINT UNSIGNED, s BIGINT AS (a - b) STORED); \
         INSERT INTO t (id, a, b) VALUES (1, 5, 3), (2, 3, 5)",
    );
    let server = ServerOptions::new(Flavor::MariaDb).start().unwrap();
    let line = Arc::new(Proxy::start((server.host.as_str(), server.port)).unwrap());
    let (behind, other) = (server.with_address("127.0.0.1", line.port()), server.database().clone());
    let flushes = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_FLUSH'";
    let before = server.sql(flushes).unwrap();
    let was_opened = Arc::new(AtomicBool::new(false));
    let (opened, slow, fast) = (was_opened.clone(), line.clone(), line.clone());
    let opener = BackgroundLoop::new(move |_| {
        if !opened.load(Ordering::Relaxed) && other.sql(flushes).unwrap() != before {
            other.sql("SELECT * FROM d.t LIMIT 0").unwrap();
            opened.store(true, Ordering::Relaxed);
            fast.set_latency(Duration::ZERO);
        }
        true
    });
    let rows = |event: &Event| matches!(event, Event::Phase { phase: Phase::Rows, .. });
    let job = CloneJob::new(bench.source_url(), behind.url_of("d"));
    let report = job.on_event(once(rows, move || slow.set_latency(Duration::from_millis(50)))).run().await.unwrap();
    drop(opener);
    assert!(was_opened.load(Ordering::Relaxed));
    assert_eq!((report.rows, server.sql("SELECT s FROM d.t ORDER BY id").unwrap().as_str()), (2, "2\n-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clean_up_is_retried_while_the_target_is_read_only() {
    let bench = Bench::new(Flavor::MySql, SHOP);
    let server = ServerOptions::new(Flavor::MySql).start().unwrap();
    let (token, database) = (CancellationToken::new(), server.database().clone());
    let cancel = token.clone();
    let freeze = once(rows_flow, move || {
        database.sql("SET GLOBAL super_read_only = ON").unwrap();
        cancel.cancel();
        let database = database.clone();
        std::thread::spawn(move || {
            let refused = "SELECT COALESCE(SUM(SUM_ERRORS), 0) FROM performance_schema.events_statements_summary_by_digest \
                           WHERE DIGEST_TEXT LIKE 'DROP %'";
            assert!(wait_until(|| database.sql(refused).unwrap() != "0"), "no clean-up was tried");
            database.sql("SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF").unwrap();
        });
    });
    let job = CloneJob::new(bench.source_url(), server.url_of("d")).options(slowly());
    let error = job.on_event(freeze).cancellation(token).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert!(!error.to_string().contains("not cleaned up"), "{error}");
    assert!(!crate::common::exists(&server, "d"));
}

/// The wait for a lock of another session at the target lasts `--lock-wait`.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_at_the_target_ends_the_wait_and_names_its_holder() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        bench.pair.target.sql(&format!("CREATE DATABASE {}", bench.to)).unwrap();
        bench.target("CREATE TABLE t (a INT) ENGINE=InnoDB");
        let account = Account::new(&bench.pair.target, &[&format!("ALL ON `{}`.*", bench.to)]);
        let sql = format!("START TRANSACTION; SELECT * FROM `{}`.t", bench.to);
        let holder = account.server().session(&sql).unwrap();
        holder.wait().unwrap();
        let options = CloneOptions { if_exists: IfExists::Drop, lock_wait: LOCK_WAIT, ..CloneOptions::default() };
        let error = bench.clone(options.clone()).await.unwrap_err();
        assert_eq!(error.code(), Some(1205), "{error}");
        let message = error.to_string();
        assert!(message.contains(&account.name) && message.contains("--lock-wait"), "{flavor}: {error}");
        drop(holder);
        bench.clone(options).await.unwrap();
        bench.assert_equal();
    }
}

/// The same at the source, where the definition of a locked table cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_at_the_source_ends_the_wait_and_names_its_holder() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let account = Account::new(&bench.pair.source, &["ALL ON *.*"]);
        let holder = account.server().session(&format!("USE `{}`; LOCK TABLES t WRITE", bench.from)).unwrap();
        holder.wait().unwrap();
        let options = CloneOptions { lock_wait: LOCK_WAIT, ..CloneOptions::default() };
        let error = bench.clone(options.clone()).await.unwrap_err();
        assert_eq!(error.code(), Some(1205), "{error}");
        let message = error.to_string();
        assert!(message.contains(&account.name) && message.contains("end it at the source"), "{flavor}: {error}");
        drop(holder);
        bench.clone(options).await.unwrap();
        bench.assert_equal();
    }
}

/// The same after the rows: they stay, and the report lists the statement that failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_at_the_target_does_not_undo_the_rows() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        bench.source(
            "CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE child (id INT PRIMARY KEY, p INT, \
             CONSTRAINT to_id FOREIGN KEY (p) REFERENCES parent (id)); INSERT INTO child VALUES (1, NULL)",
        );
        let account = Arc::new(Account::new(&bench.pair.target, &["ALL ON *.*"]));
        let (sender, receiver) = std::sync::mpsc::channel();
        let server = account.clone();
        let sql = format!("START TRANSACTION; SELECT * FROM `{}`.child FOR UPDATE", bench.to);
        let hold = move || {
            let holder = server.server().session(&sql).unwrap();
            holder.wait().unwrap();
            sender.send(holder).unwrap();
        };
        let options = CloneOptions { lock_wait: LOCK_WAIT, ..CloneOptions::default() };
        let error = bench.job(options).on_event(once(objects_begin, hold)).run().await.unwrap_err();
        let holder = receiver.try_recv().unwrap();
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
        let message = error.to_string();
        assert!(message.contains("foreign key to_id") && message.contains(&account.name), "{flavor}: {error}");
        assert_eq!(Report::from_error(&error).unwrap().rows, 999 + 1998 + 1);
        assert_eq!(bench.target("SELECT COUNT(*) FROM u; SELECT COUNT(*) FROM w"), "1998\n999");
        drop(holder);
    }
}

/// Without rows too: tables wait for their foreign keys.
#[tokio::test(flavor = "multi_thread")]
async fn if_exists_skip_does_not_keep_the_remains_of_a_killed_schema_only_clone() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let options = CloneOptions { schema_only: true, ..CloneOptions::default() };
        let (begun, made) = tokio::sync::oneshot::channel();
        let begun = std::sync::Mutex::new(Some(begun));
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let stop = once(objects_begin, move || {
            let _ = begun.lock().unwrap().take().unwrap().send(());
            let _ = wait.lock().unwrap().recv();
        });
        let running = tokio::spawn(bench.job(options.clone()).on_event(stop).run());
        made.await.unwrap();
        running.abort();
        go_on.send(()).unwrap();
        assert!(running.await.unwrap_err().is_cancelled());
        let skip = CloneOptions { if_exists: IfExists::Skip, ..options.clone() };
        let error = bench.clone(skip).await.unwrap_err();
        assert!(error.to_string().contains("--if-exists drop"), "{error}");
        bench.clone(CloneOptions { if_exists: IfExists::Drop, ..options }).await.unwrap();
        assert_eq!(bench.target("SHOW TABLES"), "t\nu\nv\nw");
    }
}

/// `FLUSH TABLES WITH READ LOCK` would wait for a long statement, and all others for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_statement_at_the_source_is_not_queued_behind() {
    // A server of its own: a lock for another test would make the table wait for the statement.
    let server = ServerOptions::new(Flavor::MySql).start().unwrap();
    server.sql("CREATE DATABASE d").unwrap();
    server.sql_in("d", SHOP).unwrap();
    let bench = Bench::names(Flavor::MySql);
    let account = Account::new(&server, &["ALL ON *.*"]);
    // With a four-byte character in it, MySQL cannot list it in information_schema.
    let long = server.session("SELECT SLEEP(300), '🐢' FROM d.t LIMIT 1").unwrap();
    let runs = "SELECT COUNT(*) FROM performance_schema.processlist WHERE INFO LIKE 'SELECT SLEEP(300)%'";
    assert!(wait_until(|| server.sql(runs).unwrap().trim() == "1"));
    let queued = Arc::new(Mutex::new(String::new()));
    let (seen, watched, name) = (queued.clone(), server.database().clone(), account.name.clone());
    let watch = BackgroundLoop::new(move |_| {
        let sql = format!(
            "SELECT STATE, INFO FROM performance_schema.processlist WHERE USER = '{name}' AND {WAITS_FOR_LOCK}"
        );
        seen.lock().unwrap().push_str(&watched.sql(&sql).unwrap());
        true
    });
    let options = CloneOptions { lock_wait: LOCK_WAIT, ..CloneOptions::default() };
    let job = CloneJob::new(account.server().url_of("d"), bench.target_url()).options(options);
    let report = job.run().await.unwrap();
    drop((watch, long));
    assert_eq!(report.position.rung, SnapshotMethod::TableLocks, "{:?}", report.position);
    assert!(report.position.refused.iter().any(|why| why.contains("SELECT SLEEP(300)")), "{:?}", report.position);
    assert!(report.position.writers_waited_ms.is_some());
    assert_eq!(*queued.lock().unwrap(), "", "a lock stood in the queue");
    assert_eq!(report.rows, 999 + 1998);
}

/// Of some tables only these are locked, where the account may do both.
#[tokio::test(flavor = "multi_thread")]
async fn a_partial_clone_locks_its_own_tables_only() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let options = CloneOptions { include: vec!["table:t".into()], ..CloneOptions::default() };
        let planned = bench.job(options.clone()).plan().await.unwrap();
        let report = bench.clone(options).await.unwrap();
        assert_eq!(
            (planned.plan.position.rung, report.position.rung),
            (SnapshotMethod::TableLocks, SnapshotMethod::TableLocks)
        );
        assert!(report.position.binlog_file.is_some() && report.position.refused.is_empty(), "{:?}", report.position);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_refusal_of_the_target_does_not_undo_the_rows() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        bench.source(
            "CREATE TABLE parent (id INT PRIMARY KEY, x INT UNIQUE); \
             CREATE TABLE child (id INT PRIMARY KEY, p INT, x INT, CONSTRAINT to_id FOREIGN KEY (p) REFERENCES parent (id), CONSTRAINT to_x FOREIGN KEY (x) REFERENCES parent (x))",
        );
        let (server, to) = (bench.pair.target.clone(), bench.to.clone());
        let spoil = move || {
            let theirs = "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; ALTER TABLE parent DROP KEY x; \
                          CREATE VIEW w AS SELECT 1 AS a";
            server.sql_in(&to, theirs).unwrap();
        };
        let error = bench.job(CloneOptions::default()).on_event(once(objects_begin, spoil)).run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
        let report = Report::from_error(&error).unwrap();
        let mut refused: Vec<(String, &str, Severity)> =
            report.fidelity.iter().map(|f| (f.object.to_string(), f.what.as_str(), f.severity)).collect();
        refused.sort();
        let expected = [
            ("function f", "definition", Severity::Error),
            ("table child", "foreign key to_x", Severity::Warning),
            ("table parent", "index x", Severity::Warning),
            ("view w", "definition", Severity::Error),
        ];
        assert_eq!(refused, expected.map(|(object, what, severity)| (object.to_owned(), what, severity)));
        assert!(error.to_string().contains("foreign key to_x") && error.to_string().contains("function f"), "{error}");
        // Everything else is there, and no auxiliary object.
        assert_eq!(report.rows, 999 + 1998);
        assert_eq!(bench.target("SHOW TABLES"), "child\nparent\nt\nu\nv\nw");
        assert_eq!(bench.target("SELECT COUNT(*) FROM v; SELECT COUNT(*) FROM u"), "999\n1998");
        let rest = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE(); \
                    SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE(); \
                    SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()";
        assert_eq!(bench.target(rest), "tr\ne\tENABLED\nto_id");
    }
}

/// The other indexes are built.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_the_target_refuses_is_reported() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(
            flavor,
            "CREATE TABLE t (id INT PRIMARY KEY, n INT, a VARCHAR(2000), UNIQUE KEY once (n), KEY (a(10))); \
             INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT n, n, REPEAT('x', 2000) FROM n; ANALYZE TABLE t",
        );
        let (server, to) = (bench.pair.target.clone(), bench.to.clone());
        let spoil = move || drop(server.sql_in(&to, "INSERT INTO t VALUES (-1, 1, 'theirs')").unwrap());
        let rows = |event: &Event| matches!(event, Event::Phase { phase: Phase::Rows, .. });
        let error = bench.job(CloneOptions::default()).on_event(once(rows, spoil)).run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
        assert!(error.to_string().contains("index once"), "{error}");
        let keys =
            "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1";
        assert_eq!(bench.target(keys), "a\nPRIMARY");
        assert_eq!(bench.target("SELECT COUNT(*) FROM t"), "901");
    }
}
