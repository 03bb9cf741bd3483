//! A paused job reads nothing more, keeps its connections and its snapshot, and goes on to an exact clone.

#![cfg(feature = "cli")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::common::region::{Region, kill};
use crate::common::{Bench, exists, no_hang, on_sampled_flavors, rows_flow, unique, wait_until, with_default_signals};
use dbgraft::{CloneJob, CloneOptions, Event, JobControl, LegName, Report, Verify};
use dbgraft_testkit::{Database, Flavor, ServerOptions, compare};

/// This many events of progress in a row without a further row show that the job stands still.
const STANDSTILL: usize = 12;

/// About 8 MB of rows in two tables.
const TABLES: &str = "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(500) NOT NULL, KEY (a(10))); \
    INSERT INTO t (a) WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 999) \
    SELECT CONCAT(n, REPEAT('x', 480)) FROM n; INSERT INTO t (a) SELECT REVERSE(a) FROM t; \
    INSERT INTO t (a) SELECT a FROM t; INSERT INTO t (a) SELECT a FROM t; \
    CREATE TABLE u (id INT PRIMARY KEY, a VARCHAR(500) NOT NULL, KEY (a(10))); INSERT INTO u SELECT id, a FROM t; \
    CREATE VIEW v AS SELECT * FROM t";

fn slowly() -> CloneOptions {
    CloneOptions { memory: 8 << 20, threads: 4, max_rate: Some(2 << 20), ..CloneOptions::default() }
}

/// The events of a job, in their order.
#[derive(Clone, Default)]
struct EventLog(Arc<Mutex<Vec<Event>>>);

impl EventLog {
    fn listener(&self) -> impl Fn(Event) + Send + Sync + 'static {
        let events = self.0.clone();
        move |event| events.lock().unwrap().push(event)
    }

    fn any(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(wanted)
    }

    /// The reasons of the pauses that began, and those of the pauses that ended.
    fn pauses(&self) -> (Vec<String>, Vec<String>) {
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for event in &*self.0.lock().unwrap() {
            match event {
                Event::Paused { reason } => begun.push(reason.clone()),
                Event::Unpaused { reason, seconds } if *seconds > 0.0 => ended.push(reason.clone()),
                _ => {}
            }
        }
        (begun, ended)
    }

    /// The leg and the rows of each progress event so far.
    fn progress(&self) -> Vec<(LegName, u64)> {
        let rows = |event: &Event| match event {
            Event::Progress { leg, amount, .. } => Some((*leg, amount.rows)),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(rows).collect()
    }

    /// Waits until the job is paused and stands still.
    fn assert_stands_still(&self) {
        assert!(wait_until(|| self.any(|event| matches!(event, Event::Paused { .. }))), "no pause");
        let stands = || {
            let progress = self.progress();
            let last = progress.iter().rev().take(2 * STANDSTILL);
            let legs: HashSet<LegName> = last.clone().map(|(leg, _)| *leg).collect();
            // Each leg of a clone through an archive reports its own rows.
            last.len() == 2 * STANDSTILL && last.collect::<HashSet<_>>().len() == legs.len()
        };
        assert!(wait_until(stands), "rows still arrive: {:?}", self.progress().iter().rev().take(50));
    }
}

/// The rows of both tables of the target.
fn arrived(server: &Database, database: &str) -> String {
    server.sql_in(database, "SELECT (SELECT COUNT(*) FROM t) + (SELECT COUNT(*) FROM u)").unwrap()
}

/// Pauses a job while its rows flow, checks that nothing arrives any more, and lets it go on.
async fn pause_once(bench: &Bench, options: CloneOptions) -> (Report, EventLog) {
    let log = EventLog::default();
    let job = bench.job(options).on_event(log.listener());
    let control: JobControl = job.control();
    let running = tokio::spawn(job.run());
    let (seen, target, to) = (log.clone(), bench.pair.target.clone(), bench.to.clone());
    let paused = tokio::task::spawn_blocking(move || {
        assert!(wait_until(|| seen.any(rows_flow)), "no row flows");
        assert!(!control.is_paused());
        control.pause();
        seen.assert_stands_still();
        let before = arrived(&target, &to);
        let ticks = seen.progress().len();
        assert!(wait_until(|| seen.progress().len() > ticks + STANDSTILL));
        assert_eq!(arrived(&target, &to), before, "rows arrived in a paused job");
        assert!(control.is_paused() && before.trim().parse::<u64>().unwrap() < 2 * 7992, "all rows came: {before}");
        control.unpause();
    });
    no_hang(paused).await.unwrap();
    let report = no_hang(running).await.unwrap().unwrap();
    assert!(report.paused_seconds > 0.0 && report.paused_seconds < report.seconds, "{report:?}");
    bench.assert_equal();
    (report, log)
}

#[test]
fn a_handle_pauses_a_direct_clone() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, TABLES);
        let (_, log) = pause_once(&bench, CloneOptions { verify: Verify::Checksum, ..slowly() }).await;
        assert_eq!(log.pauses(), (vec!["user".to_owned()], vec!["user".to_owned()]), "{flavor}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_pauses_the_legs_of_agents() {
    let (bench, near, far) = (Bench::new(Flavor::MySql, TABLES), Region::new(), Region::new());
    let via = Some(bench.s3(&format!("pauses-{}", unique())));
    let (source_agent, target_agent) = (Some(near.url()), Some(far.url()));
    pause_once(&bench, CloneOptions { via, source_agent, target_agent, max_load: Some(400), ..slowly() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_can_be_cancelled() {
    let bench = Bench::new(Flavor::MariaDb, TABLES);
    let (log, token) = (EventLog::default(), dbgraft::CancellationToken::new());
    let job = bench.job(slowly()).on_event(log.listener()).cancellation(token.clone());
    job.control().pause();
    let running = tokio::spawn(job.run());
    let seen = log.clone();
    tokio::task::spawn_blocking(move || seen.assert_stands_still()).await.unwrap();
    assert_eq!(
        log.progress().last(),
        Some(&(LegName::Clone, 0)),
        "a row came though the job was paused from the start"
    );
    token.cancel();
    let error = no_hang(running).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), dbgraft::ErrorKind::Cancelled, "{error}");
    assert!(!bench.target_exists());
}

#[test]
fn signals_pause_the_command() {
    let bench = Bench::new(Flavor::MariaDb, TABLES);
    let mut command = with_default_signals(env!("CARGO_BIN_EXE_dbgraft"));
    command.args(["clone", &bench.source_url(), &bench.target_url(), "--progress=json", "--report=-"]);
    command.args(["--memory=8M", "--max-rate=2M"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map_while(Result::ok);
    let rows = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        (event["event"] == "progress").then(|| event["rows"].as_u64().unwrap())
    };
    assert!(lines.any(|line| rows(&line).is_some_and(|rows| rows > 0)), "no row flows");
    kill("USR1", running.id());
    assert!(lines.any(|line| line == r#"{"event":"paused","reason":"user"}"#), "not paused");
    let (mut last, mut same) = (0, 0);
    let stands = lines.by_ref().filter_map(|line| rows(&line)).any(|rows| {
        same = if rows == last { same + 1 } else { 0 };
        last = rows;
        same == STANDSTILL
    });
    assert!(stands && last < 2 * 7992, "{last} rows came");
    assert_eq!(arrived(&bench.pair.target, &bench.to).trim(), last.to_string());
    kill("USR2", running.id());
    assert!(lines.any(|line| line.starts_with(r#"{"event":"unpaused","reason":"user""#)), "not unpaused");
    let report: Report = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert!(report.paused_seconds > 0.0);
    assert!(running.wait().unwrap().success());
    bench.assert_equal();
}

/// Ends the sessions of a server that run `SLEEP`.
fn end_sleepers(server: &Database) {
    let sql = format!("SELECT ID FROM {} WHERE INFO LIKE 'SELECT SLEEP(%'", server.process_list());
    let kills: Vec<String> = server.sql(&sql).unwrap().lines().map(|id| format!("KILL {id}")).collect();
    server.sql(&kills.join("; ")).unwrap();
}

#[test]
fn a_busy_server_pauses_the_clone() {
    on_sampled_flavors(async |flavor| {
        // Both databases are on one server without other users, so that its load is that of this test.
        let server = ServerOptions::new(flavor).start().unwrap();
        server.sql("CREATE DATABASE a").unwrap();
        server.sql_in("a", TABLES).unwrap();
        let sessions: Vec<_> = (0..12).map(|_| server.session("SELECT SLEEP(3600)").unwrap()).collect();
        let threads = || server.sql("SHOW GLOBAL STATUS LIKE 'Threads_running'").unwrap();
        let count = || threads().split_whitespace().last().unwrap().parse::<u64>().unwrap();
        assert!(wait_until(|| count() > 12), "{}", threads());
        let log = EventLog::default();
        // The snapshot would wait for the end of the running statements.
        let options = CloneOptions { max_load: Some(8), lock_guard: 0, ..slowly() };
        let job = CloneJob::new(server.url_of("a"), server.url_of("b")).options(options).on_event(log.listener());
        let running = tokio::spawn(job.run());
        let (seen, database) = (log.clone(), server.database().clone());
        let quiet = tokio::task::spawn_blocking(move || {
            seen.assert_stands_still();
            end_sleepers(&database);
        });
        no_hang(quiet).await.unwrap();
        let report = no_hang(running).await.unwrap().unwrap();
        assert!(report.paused_seconds > 0.0 && report.warnings.is_empty(), "{report:?}");
        let (begun, ended) = log.pauses();
        assert!(begun[0].contains("load of the ") && begun[0].contains(" > 8"), "{begun:?}");
        assert_eq!(begun, ended);
        compare(server.database(), "a", server.database(), "b").unwrap();
        drop(sessions);
    });
}

/// Makes `replica` a replica of `target` from now on.
fn replicate(replica: &Database, target: &Database) {
    let (host, port, user, password) = (&target.host, target.port, &target.user, &target.password);
    let status = match target.flavor {
        Flavor::MySql => target.sql("SHOW BINARY LOG STATUS").unwrap(),
        Flavor::MariaDb => target.sql("SHOW MASTER STATUS").unwrap(),
    };
    let mut position = status.split_whitespace();
    let (file, at) = (position.next().unwrap(), position.next().unwrap());
    let (source, extra, replica_word) = match target.flavor {
        Flavor::MySql => ("SOURCE", ", GET_SOURCE_PUBLIC_KEY = 1", "REPLICA"),
        Flavor::MariaDb => ("MASTER", "", "SLAVE"),
    };
    let change = match target.flavor {
        Flavor::MySql => "CHANGE REPLICATION SOURCE TO",
        Flavor::MariaDb => "CHANGE MASTER TO",
    };
    let sql = format!(
        "{change} {source}_HOST = '{host}', {source}_PORT = {port}, {source}_USER = '{user}', \
         {source}_PASSWORD = '{password}', {source}_LOG_FILE = '{file}', {source}_LOG_POS = {at}{extra}; \
         START {replica_word}"
    );
    replica.sql(&sql).unwrap();
}

#[test]
fn a_stopped_replica_pauses_the_clone() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, TABLES);
        let target = ServerOptions::new(flavor).start().unwrap();
        let replica = ServerOptions::new(flavor).arg("--server-id=2").start().unwrap();
        let options = CloneOptions { max_lag: Some(600), replica: Some(replica.url_of("b")), ..slowly() };
        let clone =
            |options: &CloneOptions| CloneJob::new(bench.source_url(), target.url_of("b")).options(options.clone());
        let refused = clone(&options).run().await.unwrap_err().to_string();
        assert!(refused.contains("the server is no replica") && !exists(&target, "b"), "{refused}");

        replicate(&replica, &target);
        let applier = |verb| match flavor {
            Flavor::MySql => format!("{verb} REPLICA SQL_THREAD"),
            Flavor::MariaDb => format!("{verb} SLAVE SQL_THREAD"),
        };
        replica.sql(&applier("STOP")).unwrap();
        let log = EventLog::default();
        let running = tokio::spawn(clone(&options).on_event(log.listener()).run());
        let (seen, database, start) = (log.clone(), replica.database().clone(), applier("START"));
        let started = tokio::task::spawn_blocking(move || {
            seen.assert_stands_still();
            database.sql(&start).unwrap();
        });
        no_hang(started).await.unwrap();
        let report = no_hang(running).await.unwrap().unwrap();
        assert!(report.paused_seconds > 0.0 && report.warnings.is_empty(), "{report:?}");
        let reason = vec!["replica does not replicate".to_owned()];
        assert_eq!(log.pauses(), (reason.clone(), reason), "{flavor}");
        compare(&bench.pair.source, &bench.from, target.database(), "b").unwrap();
        // The clone reaches the replica too: the rows came through the binary log.
        let there = || exists(&replica, "b") && compare(target.database(), "b", replica.database(), "b").is_ok();
        assert!(wait_until(there), "{flavor}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_lost_is_told_once_and_pauses_nothing() {
    let bench = Bench::new(Flavor::MariaDb, TABLES);
    let target = ServerOptions::new(Flavor::MariaDb).start().unwrap();
    let replica = ServerOptions::new(Flavor::MariaDb).arg("--server-id=2").start().unwrap();
    replicate(&replica, &target);
    let options = CloneOptions { max_lag: Some(600), replica: Some(replica.url_of("b")), ..slowly() };
    let log = EventLog::default();
    let job = CloneJob::new(bench.source_url(), target.url_of("b")).options(options).on_event(log.listener());
    let running = tokio::spawn(job.run());
    let seen = log.clone();
    let killed = tokio::task::spawn_blocking(move || {
        assert!(wait_until(|| seen.any(rows_flow)), "no row flows");
        replica.kill().unwrap();
    });
    no_hang(killed).await.unwrap();
    let report = no_hang(running).await.unwrap().unwrap();
    let told: Vec<_> = report.warnings.iter().filter(|warning| warning.contains("lag of the replica")).collect();
    assert!(told.len() == 1 && log.any(|event| matches!(event, Event::Warning { message } if message == told[0])));
    compare(&bench.pair.source, &bench.from, target.database(), "b").unwrap();
}

/// As long as nobody knows its lag, the job waits, and says again and again for what.
#[test]
fn a_replica_that_is_lost_while_the_clone_waits_for_it_is_named_again_and_again() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, TABLES);
        let target = ServerOptions::new(flavor).start().unwrap();
        let mut replica = ServerOptions::new(flavor).arg("--server-id=2").start().unwrap();
        replicate(&replica, &target);
        replica.sql(if flavor == Flavor::MySql { "STOP REPLICA SQL_THREAD" } else { "STOP SLAVE SQL_THREAD" }).unwrap();
        let options = CloneOptions { max_lag: Some(600), replica: Some(replica.url_of("b")), ..slowly() };
        let log = EventLog::default();
        let job = CloneJob::new(bench.source_url(), target.url_of("b")).options(options).on_event(log.listener());
        let running = tokio::spawn(job.run());
        let seen = log.clone();
        let back = tokio::task::spawn_blocking(move || {
            seen.assert_stands_still();
            replica.kill().unwrap();
            let address = format!("{}:{}", replica.host, replica.port);
            let told = || {
                let events = seen.0.lock().unwrap();
                let is_it = |event: &&Event| matches!(event, Event::Warning { message } if message.contains("stays paused") && message.contains(&address));
                events.iter().filter(is_it).count()
            };
            assert!(wait_until(|| told() >= 2), "{:?}", seen.0.lock().unwrap().iter().rev().take(9));
            replica.restart().unwrap();
            replica
        });
        let replica = no_hang(back).await.unwrap();
        let report = no_hang(running).await.unwrap().unwrap();
        assert_eq!(report.warnings.iter().filter(|warning| warning.contains("stays paused")).count(), 1, "{report:?}");
        compare(&bench.pair.source, &bench.from, target.database(), "b").unwrap();
        drop(replica);
    });
}
