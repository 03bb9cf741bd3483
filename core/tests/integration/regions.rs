//! Agents work next to each server: rows do not pass the machine that started the clone, and nothing is left.

#![cfg(feature = "cli")]

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::region::{Region, kill};
use crate::common::{Account, Bench, no_hang, on_sampled_flavors, unique, wait_until};
use dbgraft::{CloneJob, CloneOptions, ErrorKind, Event, ExecutionSite, Phase, Verify};
use dbgraft_testkit::{Flavor, Proxy, becomes_true, s3};

/// Some objects, and about `2 << doublings` times 100 KB of rows that do not compress well.
fn filled(flavor: Flavor, doublings: u32) -> Bench {
    let bench = Bench::new(
        flavor,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(200) NOT NULL, KEY (a(10))); \
         INSERT INTO t (a) WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 999) \
         SELECT CONCAT(SHA2(RAND(), 256), SHA2(RAND(), 256), SHA2(n, 256)) FROM n; \
         CREATE TABLE none (id INT PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t; \
         CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1; CREATE PROCEDURE p() SELECT 1",
    );
    for _ in 0..doublings {
        bench.source("INSERT INTO t (a) SELECT CONCAT(SHA2(RAND(), 256), SHA2(id, 256), SHA2(RAND(), 256)) FROM t");
    }
    bench
}

fn agents(source: &Region, target: &Region) -> CloneOptions {
    CloneOptions { source_agent: Some(source.url()), target_agent: Some(target.url()), ..CloneOptions::default() }
}

fn staged(prefix: &str) -> Vec<String> {
    s3().keys(prefix).unwrap()
}

#[test]
fn the_database_is_reached_through_a_tunnel() {
    on_sampled_flavors(async |flavor| {
        let (bench, near, far) = (filled(flavor, 3), Region::new(), Region::new());
        let options = CloneOptions {
            source_tunnel: Some(near.url()),
            target_tunnel: Some(far.url()),
            verify: Verify::Checksum,
            ..CloneOptions::default()
        };
        let report = bench.clone(options).await.unwrap();
        assert!(near.carried() > report.bytes && far.carried() > report.bytes, "{flavor}: not through the tunnels");
        bench.assert_equal();
    });
}

#[test]
fn between_two_regions_the_rows_go_through_s3_and_not_through_the_coordinator() {
    on_sampled_flavors(async |flavor| {
        let (bench, near, far) = (filled(flavor, 7), Region::new(), Region::new());
        let prefix = format!("regions-{}", unique());
        let options = CloneOptions { via: Some(bench.s3(&prefix)), verify: Verify::Checksum, ..agents(&near, &far) };
        let report = bench.clone(options).await.unwrap();
        bench.assert_equal();
        assert!(report.bytes > 20_000_000, "{}", report.bytes);
        let carried = near.carried() + far.carried();
        assert!(carried < report.bytes / 50, "{flavor}: {carried} bytes passed, of {} bytes of rows", report.bytes);
        assert_eq!(staged(&prefix), [""; 0]);
        near.assert_no_agent();
        far.assert_no_agent();
    });
}

#[test]
fn without_s3_the_rows_flow_from_agent_to_agent_through_the_coordinator() {
    on_sampled_flavors(async |flavor| {
        let (bench, near, far) = (filled(flavor, 5), Region::new(), Region::new());
        let options = CloneOptions { verify: Verify::Checksum, memory: 32 << 20, ..agents(&near, &far) };
        let report = bench.clone(options).await.unwrap();
        bench.assert_equal();
        // Compressed, and what --verify reads back stays there.
        let (read, written) = (near.line.sent_down(), far.line.sent_up());
        let back = far.line.sent_down();
        let bytes = report.bytes;
        assert!(read < bytes && written < bytes && back < bytes / 10, "{read} {written} {back} of {bytes}");
        assert!(near.line.accepted() > 2, "one connection for everything");
        near.assert_no_agent();
        far.assert_no_agent();
    });
}

#[tokio::test]
async fn one_end_alone_may_have_an_agent() {
    let (bench, there) = (filled(Flavor::MySql, 3), Region::new());
    let prefix = format!("one-{}", unique());
    for via in [None, Some(bench.s3(&prefix))] {
        let from = CloneOptions { source_agent: Some(there.url()), via: via.clone(), ..CloneOptions::default() };
        bench.clone(CloneOptions { recreate_database: true, ..from }).await.unwrap();
        bench.assert_equal();
        let into = CloneOptions { target_agent: Some(there.url()), via, ..CloneOptions::default() };
        bench.clone(CloneOptions { recreate_database: true, ..into }).await.unwrap();
        bench.assert_equal();
    }
    assert_eq!(staged(&prefix), [""; 0]);
}

#[tokio::test]
async fn an_export_and_an_import_run_where_the_server_is() {
    let (bench, there) = (filled(Flavor::MariaDb, 6), Region::new());
    let prefix = format!("export-{}", unique());
    let archive = bench.s3(&prefix);
    let site = || ExecutionSite::Agent(there.url());
    let report = CloneJob::new(bench.source_url(), archive.as_str()).source_site(site()).run().await.unwrap();
    CloneJob::new(archive.as_str(), bench.target_url()).target_site(site()).run().await.unwrap();
    bench.assert_equal();
    assert!(there.carried() < report.bytes / 20, "{} of {}", there.carried(), report.bytes);
    assert!(staged(&prefix).iter().any(|key| key.ends_with("manifest.json")));
    there.assert_no_agent();
}

#[tokio::test]
#[ignore = "long: make test-long"]
async fn a_comparison_between_regions_moves_no_rows() {
    let (bench, near, far) = (filled(Flavor::MySql, 6), Region::new(), Region::new());
    let bytes = bench.clone(CloneOptions::default()).await.unwrap().bytes;
    bench.target("UPDATE t SET a = 'other' WHERE id = 77");
    // The agents keep to the rate, and their progress arrives here.
    let progress = Arc::new(Mutex::new(Vec::new()));
    let heard = progress.clone();
    let options = CloneOptions { max_rate: Some(bytes / 2), memory: 8 << 20, ..agents(&near, &far) };
    let job = bench.job(options).on_event(move |event| {
        if let Event::Progress { amount, .. } = event {
            heard.lock().unwrap().push((amount.rows, amount.bytes));
        }
    });
    let begun = Instant::now();
    let found = job.verify().await.unwrap().verification;
    assert_eq!((found.differences.len(), found.rows), (1, 999 << 6));
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    let progress = progress.lock().unwrap().clone();
    assert_eq!(progress.last(), Some(&(999 << 6, bytes)));
    assert!(progress.iter().any(|(rows, _)| (1..999 << 5).contains(rows)), "{progress:?}");
    let carried = near.carried() + far.carried();
    assert!(carried < bytes / 20, "{carried} bytes passed, of {bytes} bytes of rows");

    let options = CloneOptions { list_rows: true, verify: Verify::Checksum, threads: 1, ..agents(&near, &far) };
    let found = bench.job(options).verify().await.unwrap().verification;
    assert_eq!((found.differences.len(), found.differences[0].rows[0].key.as_str()), (1, "id = 77"));
    assert!(near.carried() < 3 * bytes, "{} of {bytes}", near.carried());
}

/// A clone whose rows flow, with an account of its own on each side.
struct RunningClone {
    bench: Bench,
    near: Region,
    far: Region,
    prefix: String,
    reading: Account,
    writing: Account,
    running: tokio::task::JoinHandle<dbgraft::Result<dbgraft::Report>>,
    token: dbgraft::CancellationToken,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl RunningClone {
    /// Rows flow at 2 MB/s, so that there is time to disturb them.
    async fn start(via_s3: bool) -> Self {
        Self::start_of(filled(Flavor::MySql, 7), via_s3).await
    }

    async fn start_of(bench: Bench, via_s3: bool) -> Self {
        let (near, far) = (Region::new(), Region::new());
        let all = ["ALL ON *.*"];
        let (reading, writing) = (Account::new(&bench.pair.source, &all), Account::new(&bench.pair.target, &all));
        let prefix = format!("clone-{}", unique());
        let via = via_s3.then(|| bench.s3(&prefix));
        let options = CloneOptions { via, max_rate: Some(2 << 20), memory: 8 << 20, threads: 2, ..agents(&near, &far) };
        let (source, target) = (reading.server().url_of(&bench.from), writing.server().url_of(&bench.to));
        let token = dbgraft::CancellationToken::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sender = std::sync::Mutex::new(Some(sender));
        let warnings = Arc::<Mutex<Vec<String>>>::default();
        let heard = warnings.clone();
        let job =
            CloneJob::new(source, target).options(options).cancellation(token.clone()).on_event(
                move |event| match event {
                    Event::Progress { amount, .. } if amount.rows > 0 => {
                        let _ = sender.lock().unwrap().take().map(|sender| sender.send(()));
                    }
                    Event::Warning { message } => heard.lock().unwrap().push(message),
                    Event::Phase { phase: Phase::Cleanup, .. } => heard.lock().unwrap().push("clean-up".to_owned()),
                    _ => {}
                },
            );
        let running = tokio::spawn(job.run());
        if no_hang(receiver).await.is_err() {
            panic!("no rows came: {:?}", running.await);
        }
        Self { bench, near, far, prefix, reading, writing, running, token, warnings }
    }

    /// Disturbs the line to a host, and waits until the control connection to its agent was made again.
    async fn assert_reattached(&self, region: &Region, disturb: impl FnOnce(&Proxy)) {
        let port = region.line.port().to_string();
        let is_again = |line: &&String| line.contains("was made again") && line.contains(&port);
        let count = || self.warnings.lock().unwrap().iter().filter(is_again).count();
        let before = count();
        disturb(&region.line);
        assert!(becomes_true(|| count() > before || self.running.is_finished()).await);
        assert_eq!(count(), before + 1, "{:?}", self.warnings.lock().unwrap());
    }

    /// Waits for the failure, and sees that nothing is left.
    async fn fails(mut self) -> dbgraft::Error {
        let error = self.error().await;
        self.near.assert_no_agent();
        self.far.assert_no_agent();
        let gone = wait_until(|| !self.bench.target_exists() && staged(&self.prefix).is_empty());
        assert!(gone, "after `{error}`: database {}, {:?}", self.bench.target_exists(), staged(&self.prefix));
        self.reading.assert_gone();
        self.writing.assert_gone();
        error
    }

    async fn error(&mut self) -> dbgraft::Error {
        no_hang(&mut self.running).await.unwrap().unwrap_err()
    }
}

#[tokio::test]
#[ignore = "long: make test-long"]
async fn a_stopped_agent_is_lost_and_ends_when_it_continues() {
    let mut clone = RunningClone::start(false).await;
    let agent = clone.near.agents()[0];
    kill("STOP", agent);
    let error = clone.error().await;
    assert!(error.to_string().contains("silent"), "{error}");
    kill("CONT", agent);
    clone.near.assert_no_agent();
    clone.far.assert_no_agent();
    assert!(!clone.bench.target_exists());
}

#[tokio::test]
async fn a_cancelled_clone_leaves_nothing_in_any_region() {
    for via_s3 in [true, false] {
        let clone = RunningClone::start(via_s3).await;
        clone.token.cancel();
        assert_eq!(clone.fails().await.kind(), ErrorKind::Cancelled);
    }
}

#[tokio::test]
#[ignore = "long: make test-long"]
async fn an_agent_that_is_killed_ends_the_clone_and_another_cleans_up_after_it() {
    for (via_s3, of_the_source) in [(true, true), (true, false), (false, true), (false, false)] {
        let clone = RunningClone::start(via_s3).await;
        let region = if of_the_source { &clone.near } else { &clone.far };
        kill("KILL", region.agents()[0]);
        let error = clone.fails().await;
        assert!(error.to_string().contains("signal KILL"), "{error}");
    }
}

#[tokio::test]
#[ignore = "long: make test-long"]
async fn a_stream_of_rows_that_breaks_is_tried_again_or_ends_the_clone() {
    let mut clone = RunningClone::start(false).await;
    let lanes = clone.far.agents();
    assert!(lanes.len() > 1, "{lanes:?}");
    kill("KILL", lanes[1]);
    let report = (&mut clone.running).await.unwrap().unwrap();
    assert!(report.rows > 100_000);
    clone.bench.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_when_the_lines_to_its_agents_were_cut() {
    for via_s3 in [true, false] {
        let mut clone = RunningClone::start(via_s3).await;
        let agents = (clone.near.agents()[0], clone.far.agents()[0]);
        // As a login may send it that ends.
        kill("HUP", agents.0);
        kill("HUP", agents.1);
        for _ in 0..2 {
            clone.assert_reattached(&clone.near, Proxy::cut).await;
            clone.assert_reattached(&clone.far, Proxy::cut).await;
        }
        // Both at the same time, and soon after an attempt.
        clone.near.line.cut();
        clone.assert_reattached(&clone.far, Proxy::cut).await;
        assert_eq!((clone.near.agents()[0], clone.far.agents()[0]), agents, "an agent was started anew");
        let report = no_hang(&mut clone.running).await.unwrap().unwrap();
        assert!(report.resumed.is_none() && report.rows == 999 << 7, "{report:?}");
        clone.bench.assert_equal();
        let told = report.warnings.iter().filter(|warning| warning.contains("was made again")).count();
        assert!(told >= 6, "{:?}", report.warnings);
        assert_eq!(staged(&clone.prefix), [""; 0]);
        clone.near.assert_no_agent();
        clone.far.assert_no_agent();
    }
}

/// Without a key a table is one chunk, so that each cut interrupts a connection of the snapshot in the middle of its result.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_when_lines_are_cut_in_the_middle_of_a_table() {
    let bench = filled(Flavor::MySql, 7);
    bench.source("ALTER TABLE t MODIFY id INT NOT NULL, DROP PRIMARY KEY, DROP KEY a");
    let mut clone = RunningClone::start_of(bench, false).await;
    for _ in 0..3 {
        clone.assert_reattached(&clone.near, Proxy::cut).await;
        // The chunk is read again from its start, and flows.
        let carried = clone.near.line.sent_down() + 1_000_000;
        assert!(becomes_true(|| clone.near.line.sent_down() > carried || clone.running.is_finished()).await);
    }
    let report = no_hang(&mut clone.running).await.unwrap().unwrap();
    assert_eq!(report.rows, 999 << 7);
    clone.bench.assert_equal();
}

/// The agent still loads the rows when the engine, whose line to it broke, tries the batch again.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_without_transactions_is_not_loaded_twice_when_its_line_breaks() {
    let bench = filled(Flavor::MySql, 6);
    bench.source("ALTER TABLE t MODIFY id INT NOT NULL, DROP PRIMARY KEY, DROP KEY a, ENGINE = MyISAM");
    let mut clone = RunningClone::start_of(bench, false).await;
    let (target, to) = (&clone.bench.pair.target, &clone.bench.to);
    let list = target.process_list();
    let locked = target.session(&format!("LOCK TABLES `{to}`.t READ; DO SLEEP(600)")).unwrap();
    let waiting = format!("SELECT COUNT(*) FROM {list} WHERE INFO LIKE 'LOAD DATA%{to}%' AND STATE LIKE 'Waiting%'");
    let loads = || target.sql(&waiting).unwrap().trim().parse::<u32>().unwrap();
    assert!(becomes_true(|| loads() > 0 || clone.running.is_finished()).await && !clone.running.is_finished());
    let before = loads();
    clone.assert_reattached(&clone.far, Proxy::cut).await;
    let is_undone = || clone.warnings.lock().unwrap().iter().any(|heard| heard == "clean-up");
    assert!(becomes_true(|| loads() > before || is_undone()).await);
    drop(locked);
    match no_hang(&mut clone.running).await.unwrap() {
        Ok(_) => clone.bench.assert_equal(),
        Err(error) => {
            assert!(error.to_string().contains("transactions"), "{error}");
            assert!(wait_until(|| !clone.bench.target_exists()), "left after {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make test-long"]
async fn a_copy_goes_on_after_a_silent_line() {
    let mut clone = RunningClone::start(true).await;
    let silent = |line: &Proxy| {
        line.stall(true);
        // Longer than SSH waits for an answer.
        std::thread::sleep(Duration::from_secs(20));
        line.stall(false);
    };
    clone.assert_reattached(&clone.near, silent).await;
    let report = no_hang(&mut clone.running).await.unwrap().unwrap();
    assert_eq!(report.rows, 999 << 7);
    clone.bench.assert_equal();
    clone.near.assert_no_agent();
    clone.far.assert_no_agent();
}

#[tokio::test]
#[ignore = "long: make test-long"]
async fn a_host_that_is_gone_for_too_long_ends_the_work_at_both_ends() {
    for stalls in [false, true] {
        let clone = RunningClone::start(true).await;
        let line = &clone.near.line;
        if stalls {
            line.stall(true)
        } else {
            line.refuse(true);
            line.cut()
        }
        let error = clone.fails().await;
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        assert!(error.to_string().contains("cannot be reached again"), "{error}");
    }
}

#[tokio::test]
async fn no_secret_is_visible_on_the_hosts_of_agents() {
    for via_s3 in [true, false] {
        let clone = RunningClone::start(via_s3).await;
        let seen = clone.near.visible() + &clone.far.visible();
        let key = std::env::var("AWS_SECRET_ACCESS_KEY").unwrap();
        for secret in [format!("Secret-{}", clone.reading.name), format!("Secret-{}", clone.writing.name), key] {
            assert!(!seen.contains(&secret), "{secret} can be seen");
        }
        assert!(!seen.contains("AWS_"), "{seen}");
        clone.token.cancel();
        clone.fails().await;
    }
}

#[test]
fn a_region_may_have_credentials_that_the_coordinator_lacks() {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"];
    let values = names.map(|name| format!("{name}={}", std::env::var(name).unwrap())).join(" ");
    let region = || Region::with(&format!("SetEnv {values}"));
    let (bench, near, far) = (filled(Flavor::MariaDb, 3), region(), region());
    let prefix = format!("inherited-{}", unique());
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbgraft"));
    command.args(["clone", &bench.source_url(), &bench.target_url(), "--via", &bench.s3(&prefix)]);
    command.args(["--source-agent", &near.url(), "--target-agent", &far.url(), "--progress=none"]);
    for name in names {
        command.env_remove(name);
    }
    let refused = command.output().unwrap();
    assert!(!refused.status.success(), "without credentials anywhere");
    let done = command.arg("--agent-credentials=inherit").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    bench.assert_equal();
    assert_eq!(staged(&prefix), [""; 0]);
}
