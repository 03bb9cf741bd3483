//! A clone between regions goes on, or ends without remains, when agents, hosts and lines are lost.

#![cfg(feature = "cli")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::region::{Region, kill};
use crate::common::{Account, Bench, becomes_true, no_hang, sampled, unique, wait_until};
use crate::regions::{ROWS, agents, filled, staged};
use dbgraft::{CloneJob, CloneOptions, ErrorKind, Event, Phase};
use dbgraft_testkit::{Flavor, Proxy};

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
        assert!(becomes_true(async || count() > before || self.running.is_finished()).await);
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
    for &via_s3 in sampled(&[true, false]) {
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
    assert_eq!(report.rows, ROWS << 7);
    clone.bench.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_when_the_lines_to_its_agents_were_cut() {
    for &via_s3 in sampled(&[true, false]) {
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
        assert!(report.resumed.is_none() && report.rows == ROWS << 7, "{report:?}");
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
        assert!(becomes_true(async || clone.near.line.sent_down() > carried || clone.running.is_finished()).await);
    }
    let report = no_hang(&mut clone.running).await.unwrap().unwrap();
    assert_eq!(report.rows, ROWS << 7);
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
    assert!(becomes_true(async || loads() > 0 || clone.running.is_finished()).await && !clone.running.is_finished());
    let before = loads();
    clone.assert_reattached(&clone.far, Proxy::cut).await;
    let is_undone = || clone.warnings.lock().unwrap().iter().any(|heard| heard == "clean-up");
    assert!(becomes_true(async || loads() > before || is_undone()).await);
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
    assert_eq!(report.rows, ROWS << 7);
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
