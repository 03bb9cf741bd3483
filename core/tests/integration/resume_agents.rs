//! Promise: agents leave what the target's journal records when their coordinator is gone, or when one of them is killed; a
//! resume goes on with it, and `abandon` removes it.

#![cfg(feature = "cli")]

use crate::common::region::{Region, kill as signal};
use crate::common::{Bench, becomes_true, no_hang, sampled_flavors, unique, wait_until};
use crate::resume::{SHOP, SLOWLY, Until, case, kill_at, kill_quickly, lines, reach, resume, run, state};
use dbgraft::{CloneOptions, CloneState, ErrorKind, ResumeCase, TargetJob};
use dbgraft_testkit::{Flavor, s3};

/// A clone whose servers both have an agent.
struct Regions {
    bench: Bench,
    near: Region,
    far: Region,
    /// Where rows are staged; `None` if they go through lanes.
    via: Option<String>,
    prefix: String,
}

impl Regions {
    fn new(flavor: Flavor, via_s3: bool) -> Self {
        let (bench, prefix) = (Bench::new(flavor, SHOP), format!("agents-{}", unique()));
        let via = via_s3.then(|| bench.s3(&prefix));
        Self { bench, near: Region::new(), far: Region::new(), via, prefix }
    }

    fn options(&self) -> CloneOptions {
        CloneOptions {
            via: self.via.clone(),
            source_agent: Some(self.near.url()),
            target_agent: Some(self.far.url()),
            ..CloneOptions::default()
        }
    }

    /// Starts the command.
    fn start(&self, options: &[&str]) -> std::process::Child {
        let (source, target) = (self.bench.source_url(), self.bench.target_url());
        let (near, far) = (self.near.url(), self.far.url());
        let mut arguments = vec!["clone", &source, &target, "--source-agent", &near, "--target-agent", &far];
        if let Some(via) = &self.via {
            arguments.extend(["--via", via]);
        }
        run(&[&arguments[..], options].concat())
    }

    fn staged(&self) -> Vec<String> {
        s3().keys(&self.prefix).unwrap()
    }

    fn assert_no_agent(&self) {
        self.near.assert_no_agent();
        self.far.assert_no_agent();
    }

    /// Resumes, if need be with tables of several moments; the source stands still. Compares.
    async fn assert_resumes(&self) {
        let options = CloneOptions { no_consistency: true, resume: true, ..self.options() };
        let report = self.bench.clone(options).await.unwrap();
        // An export may have been complete.
        assert!(matches!(case(&report), ResumeCase::SeveralMoments | ResumeCase::OneMoment), "{report:?}");
        assert!(!report.resumed.unwrap().taken_over.is_empty());
        self.bench.assert_equal();
        assert_eq!(state(&self.bench).await, CloneState::None);
        assert_eq!(self.staged(), [""; 0]);
    }
}

/// Bytes per second: the large tables, of 5 MB, then take longer than it takes to give up a host or an agent.
const MAX_RATE: u64 = 100_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make test-long"]
async fn a_clone_by_agents_whose_coordinator_was_killed_is_resumed_or_abandoned() {
    let mut ended = Vec::new();
    for &flavor in sampled_flavors() {
        for via_s3 in [true, false] {
            let regions = Regions::new(flavor, via_s3);
            let clone = reach(&regions.bench, regions.start(&SLOWLY), Until::Complete(3));
            kill_quickly(clone);
            // At once: the agent of the target waits for its coordinator, and ends when it is asked.
            let error = regions.bench.clone(CloneOptions { resume: true, ..regions.options() }).await.unwrap_err();
            assert!(error.to_string().contains("rows are missing"), "{error}");
            regions.assert_resumes().await;

            regions.bench.pair.target.sql(&format!("DROP DATABASE {}", regions.bench.to)).unwrap();
            let clone = reach(&regions.bench, regions.start(&SLOWLY), Until::Batches(2));
            kill_quickly(clone);
            let target = TargetJob::new(regions.bench.target_url());
            target.options(regions.options()).abandon().await.unwrap();
            assert!(!regions.bench.target_exists());
            ended.push(regions);
        }
    }
    // The agents of the sources have waited for their coordinators.
    for regions in ended {
        regions.assert_no_agent();
        assert_eq!(regions.staged(), [""; 0]);
    }
}

/// Kills a clone whose archive is complete, and whose import waits for locks.
fn killed_import(flavor: Flavor) -> Regions {
    // A clone may end before the locks are taken.
    const TRIES: u32 = 5;
    for _ in 0..TRIES {
        let regions = Regions::new(flavor, true);
        let (server, to) = (&regions.bench.pair.target, &regions.bench.to);
        let clone = regions.start(&["--threads", "1", "--memory", "8M"]);
        assert!(
            wait_until(|| lines(server, to, "kind = 'table'").is_some_and(|lines| lines >= 6)),
            "no table was begun"
        );
        let locked = server.session(&format!("LOCK TABLES {to}.computed WRITE, {to}.orders WRITE, {to}.keyless WRITE"));
        let is_staged = || regions.staged().iter().any(|key| key.ends_with("manifest.json"));
        let is_ended = || lines(server, to, "kind = 'table'").is_none();
        assert!(wait_until(|| is_staged() || is_ended()), "the export is not complete");
        kill_quickly(clone);
        drop(locked.unwrap());
        if is_staged() && !is_ended() {
            return regions;
        }
    }
    panic!("each clone ended before its import was held up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_by_agents_is_brought_to_one_moment_by_the_log() {
    for &flavor in sampled_flavors() {
        let regions = Regions::new(flavor, false);
        regions.bench.source("DROP TABLE aged");
        kill_quickly(reach(&regions.bench, regions.start(&SLOWLY), Until::Complete(2)));
        regions.bench.source(
            "INSERT INTO customers (name) VALUES ('later'); INSERT INTO orders (customer, note) SELECT MAX(id), 'later' FROM customers; \
             UPDATE computed SET a = 'changed' WHERE id < 9; DELETE FROM keyless LIMIT 3; INSERT INTO empty_one VALUES (1)",
        );
        let report = regions.bench.clone(CloneOptions { resume: true, ..regions.options() }).await.unwrap();
        assert_eq!(case(&report), ResumeCase::CaughtUp, "{report:?}");
        regions.bench.assert_equal();
        assert_eq!(state(&regions.bench).await, CloneState::None);
        regions.assert_no_agent();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_leave_a_complete_archive_from_which_the_rest_is_read() {
    for &flavor in sampled_flavors() {
        let regions = killed_import(flavor);
        // The source moves on: the rest must be of the moment of the archive.
        regions.bench.source("INSERT INTO keyless VALUES ('later'); DELETE FROM aged");
        // At once: the agent of the target waits for its coordinator, and ends when it is asked.
        let report = regions.bench.clone(CloneOptions { resume: true, ..regions.options() }).await.unwrap();
        assert!(matches!(case(&report), ResumeCase::OneMoment | ResumeCase::NoRowMissing), "{report:?}");
        assert_eq!(regions.bench.target("SELECT COUNT(*) FROM keyless"), "600");
        assert_eq!(regions.bench.target("SELECT COUNT(*) FROM aged"), "600");
        assert_eq!(regions.staged(), [""; 0]);
        assert_eq!(state(&regions.bench).await, CloneState::None);
        regions.assert_no_agent();
    }
}

/// The host of one end cannot be reached for longer than an agent waits.
async fn assert_a_lost_host_ends_the_clone(via_s3: bool, of_the_source: bool) {
    let regions = Regions::new(Flavor::MySql, via_s3);
    let options = CloneOptions { threads: 1, memory: 8 << 20, max_rate: Some(MAX_RATE), ..regions.options() };
    let running = tokio::spawn(regions.bench.job(options).run());
    // The largest tables come first: after the third one hardly a row would be missing.
    let complete = "kind = 'table' AND content LIKE '%\"state\":\"complete\"%'";
    let (server, to) = (&regions.bench.pair.target, &regions.bench.to);
    let reached = async || lines(server, to, complete).is_some_and(|lines| lines >= 1);
    assert!(becomes_true(reached).await);
    let line = if of_the_source { &regions.near.line } else { &regions.far.line };
    line.refuse(true);
    line.cut();
    let error = no_hang(running).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    for named in ["cannot be reached again", "--resume", "dbgraft abandon"] {
        assert!(error.to_string().contains(named), "{error}");
    }
    regions.assert_no_agent();
    line.refuse(false);
    assert_eq!(state(&regions.bench).await, CloneState::Dead);
    regions.assert_resumes().await;
    regions.assert_no_agent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_host_that_is_gone_for_too_long_ends_the_clone_which_is_resumed() {
    assert_a_lost_host_ends_the_clone(true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_host_that_is_gone_for_too_long_ends_the_clone_which_is_resumed() {
    assert_a_lost_host_ends_the_clone(false, true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make test-long"]
async fn a_killed_agent_ends_the_clone_which_is_resumed() {
    for (flavor, via_s3, of_the_source) in [
        (Flavor::MySql, true, true),
        (Flavor::MariaDb, true, false),
        (Flavor::MariaDb, false, true),
        (Flavor::MySql, false, false),
    ] {
        let regions = Regions::new(flavor, via_s3);
        let options = CloneOptions { threads: 1, memory: 8 << 20, max_rate: Some(MAX_RATE), ..regions.options() };
        let running = tokio::spawn(regions.bench.job(options).run());
        let complete = "kind = 'table' AND content LIKE '%\"state\":\"complete\"%'";
        let (server, to) = (regions.bench.pair.target.clone(), regions.bench.to.clone());
        let reached = move || lines(&server, &to, complete).is_some_and(|lines| lines >= 1);
        assert!(tokio::task::spawn_blocking(move || wait_until(reached)).await.unwrap());
        let region = if of_the_source { &regions.near } else { &regions.far };
        signal("KILL", region.agents()[0]);
        let error = no_hang(running).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        for named in ["signal KILL", "--resume", "dbgraft abandon"] {
            assert!(error.to_string().contains(named), "{error}");
        }
        regions.assert_no_agent();
        assert_eq!(state(&regions.bench).await, CloneState::Dead);
        regions.assert_resumes().await;
        regions.assert_no_agent();
    }
}

/// An agent may serve the resume of a clone that had none.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_without_agents_is_resumed_by_one() {
    let regions = Regions::new(Flavor::MySql, false);
    let (source, target) = (regions.bench.source_url(), regions.bench.target_url());
    let clone = run(&[&["clone", &source, &target][..], &SLOWLY].concat());
    kill_at(&regions.bench, clone, Until::Complete(3));
    regions.assert_resumes().await;
    regions.assert_no_agent();
    let report = regions.bench.clone(CloneOptions { resume: true, ..regions.options() }).await.unwrap();
    assert_eq!(case(&report), ResumeCase::Finished);
    assert_eq!(case(&regions.bench.clone(resume()).await.unwrap()), ResumeCase::Finished);
}
