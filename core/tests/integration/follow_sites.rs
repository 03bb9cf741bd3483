//! Promise: a clone is followed through tunnels and by agents, and what breaks on the way loses and doubles nothing.

#![cfg(feature = "cli")]

use std::process::Child;
use std::time::Duration;

use dbgraft::{CloneOptions, CloneState, TargetJob, Verify};
use dbgraft_testkit::{Flavor, pair_of};

use crate::common::follower::Follower;
use crate::common::region::{Region, kill as signal};
use crate::common::{BackgroundLoop, Bench, FLAVORS, on_sampled_flavors, sampled_flavors, wait_until};
use crate::follow::{
    SCHEMA, applied, assert_applies, assert_follows, bench_between, big_transaction, cut_over_by, kill, native_server,
    start, state_of, watch_sum, writer,
};
use crate::follow_back::{active_objects, reversed};
use crate::resume::{Until, kill_at, kill_quickly, state, stderr};
use crate::resume_catch_up::{self, assert_catches_up, let_work};

/// How an end is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Site {
    Here,
    Tunnel,
    Agent,
}

/// A followed clone whose source has writers.
struct FollowedClone {
    bench: Bench,
    near: Region,
    far: Region,
    sites: [Site; 2],
    child: Option<Child>,
    writers: Vec<BackgroundLoop>,
    sum: BackgroundLoop,
}

impl FollowedClone {
    async fn start(bench: Bench, sites: [Site; 2], seed: u64) -> Self {
        let (near, far) = (Region::new(), Region::new());
        let writers = [2 * seed + 1, 2 * seed + 2].map(|seed| writer(&bench.pair.source, &bench.from, seed));
        writers.iter().for_each(BackgroundLoop::assert_begun);
        let sum = watch_sum(&bench.pair.target, &bench.to);
        let mut clone = Self { bench, near, far, sites, child: None, writers: writers.into(), sum };
        let slowly = ["--follow", "--max-rate", "1M", "--memory", "16M", "--on-unsupported", "degrade"];
        clone.child = Some(clone.run("clone", &slowly));
        clone.assert_follows().await;
        clone
    }

    /// Starts the command.
    fn run(&self, command: &str, options: &[&str]) -> Child {
        let (source, target) = (self.bench.source_url(), self.bench.target_url());
        let (near, far) = (self.near.url(), self.far.url());
        let mut arguments = vec![command, &source, &target];
        let flags = [["--source-tunnel", "--source-agent"], ["--target-tunnel", "--target-agent"]];
        for ((site, [tunnel, agent]), url) in self.sites.into_iter().zip(flags).zip([&near, &far]) {
            match site {
                Site::Here => {}
                Site::Tunnel => arguments.extend([tunnel, url]),
                Site::Agent => arguments.extend([agent, url]),
            }
        }
        start(&[&arguments[..], options].concat())
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    async fn assert_follows(&mut self) {
        let target = self.bench.target_url();
        assert_follows(self.child(), &target).await;
    }

    /// Waits until some more transactions are applied.
    async fn assert_goes_on(&mut self) {
        let target = self.bench.target_url();
        let goal = applied(&target).await + 30;
        assert_applies(self.child(), &target, goal).await;
    }

    /// Kills the command, and starts it again.
    async fn kill(&mut self) {
        let earlier = [self.near.agents(), self.far.agents()].concat();
        kill_quickly(self.child.take().unwrap());
        // At once: the agent of the target waits for its coordinator, and ends when it is asked.
        self.child = Some(self.run("follow", &["--memory", "8M"]));
        self.assert_follows().await;
        let ours = |pid: &u32| earlier.contains(pid);
        assert!(wait_until(|| ![self.near.agents(), self.far.agents()].concat().iter().any(ours)), "{earlier:?}");
    }

    /// Kills the agent of an end; the command starts another one.
    async fn kill_agent(&mut self, of_the_source: bool) {
        let region = if of_the_source { &self.near } else { &self.far };
        signal("KILL", region.agents()[0]);
        self.assert_goes_on().await;
    }

    /// Stops the writers, cuts over through the target's site, and compares.
    async fn cut_over(mut self) {
        big_transaction(&self.bench.pair.source, &self.bench.from);
        self.assert_goes_on().await;
        self.writers.clear();
        assert!(self.sum.rounds() > 0);
        let far = Some(self.far.url());
        let options = match self.sites[1] {
            Site::Here => CloneOptions::default(),
            Site::Tunnel => CloneOptions { target_tunnel: far, ..CloneOptions::default() },
            Site::Agent => CloneOptions { target_agent: far, ..CloneOptions::default() },
        };
        let target = TargetJob::new(self.bench.target_url()).options(options);
        drop(self.sum);
        cut_over_by(target, self.child.take().unwrap()).await;
        assert_eq!(self.bench.target("SHOW TABLES LIKE '%journal'"), "");
        self.bench.assert_equal();
        self.near.assert_no_agent();
        self.far.assert_no_agent();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make test-long"]
async fn following_goes_on_through_tunnels_whose_hosts_are_lost_for_a_while() {
    for (seed, flavor) in (31..).zip(FLAVORS) {
        let mut clone = FollowedClone::start(Bench::new(flavor, SCHEMA), [Site::Tunnel, Site::Tunnel], seed).await;
        assert!(clone.near.carried() > 100_000 && clone.far.carried() > 100_000, "not through the tunnels");
        clone.near.line.cut();
        clone.assert_goes_on().await;
        clone.far.line.cut();
        clone.assert_goes_on().await;
        clone.near.restart_host();
        clone.far.restart_host();
        clone.assert_goes_on().await;
        clone.kill().await;
        clone.cut_over().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make test-long"]
async fn following_goes_on_when_agents_are_lost() {
    for (seed, flavor) in (41..).zip(FLAVORS) {
        let mut clone = FollowedClone::start(Bench::new(flavor, SCHEMA), [Site::Agent, Site::Agent], seed).await;
        clone.kill_agent(true).await;
        clone.kill_agent(false).await;
        clone.near.line.cut();
        clone.assert_goes_on().await;
        clone.far.line.cut();
        clone.assert_goes_on().await;
        clone.kill().await;
        clone.kill_agent(false).await;
        clone.cut_over().await;
    }
}

/// One end has an agent, and the other one is in the other family.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make test-long"]
async fn one_end_alone_may_have_an_agent_that_follows() {
    for (seed, flavor, sites) in
        [(51, Flavor::MySql, [Site::Agent, Site::Here]), (52, Flavor::MariaDb, [Site::Tunnel, Site::Agent])]
    {
        let other = if flavor == Flavor::MySql { Flavor::MariaDb } else { Flavor::MySql };
        // The usual server of MySQL does not change all rows that the foreign keys of these tables are to change.
        let native = (other == Flavor::MySql).then(native_server);
        let target = native.as_ref().map_or(&pair_of(other).target, |server| server.database());
        let bench = bench_between(&pair_of(flavor).source, target, SCHEMA);
        let mut clone = FollowedClone::start(bench, sites, seed).await;
        clone.assert_goes_on().await;
        clone.kill().await;
        clone.cut_over().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_end_with_their_coordinator_and_leave_what_is_applied() {
    let mut clone = FollowedClone::start(Bench::new(Flavor::MySql, SCHEMA), [Site::Agent, Site::Agent], 61).await;
    let target = clone.bench.target_url();
    // The command ends by itself, and following can be taken up without agents.
    signal("TERM", clone.child().id());
    assert!(wait_until(|| clone.child().try_wait().unwrap().is_some()), "it does not end");
    let message = stderr(clone.child());
    assert!(message.contains("dbgraft follow"), "{message}");
    clone.near.assert_no_agent();
    clone.far.assert_no_agent();
    assert_eq!(state_of(&target).await, CloneState::NotFollowing);
    clone.sites = [Site::Here, Site::Here];
    clone.child = Some(clone.run("follow", &[]));
    clone.assert_goes_on().await;
    clone.cut_over().await;
}

/// Long; `make soak` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn soak_a_clone_is_followed_by_agents_although_everything_on_the_way_breaks() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (kills, seed): (u64, u64) = (number("DBGRAFT_SOAK_KILLS", 20), number("DBGRAFT_SOAK_SEED", 1));
    for (seed, flavor) in (seed + 100..).zip(FLAVORS) {
        let mut clone = FollowedClone::start(Bench::new(flavor, SCHEMA), [Site::Agent, Site::Agent], seed).await;
        // One coordinator and two agents are killed in each round, two lines are cut, and one is silent.
        for round in 0..kills.div_ceil(6) {
            clone.kill_agent(true).await;
            clone.kill_agent(false).await;
            clone.near.line.cut();
            clone.far.line.cut();
            clone.assert_goes_on().await;
            clone.kill().await;
            clone.assert_goes_on().await;
            let silent = if round % 2 == 0 { &clone.near.line } else { &clone.far.line };
            silent.stall(true);
            // Longer than the coordinator and the agent wait for each other.
            tokio::time::sleep(Duration::from_secs(40)).await;
            silent.stall(false);
            clone.assert_goes_on().await;
        }
        clone.cut_over().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_comparisons_and_the_way_back_go_by_agents() {
    for &flavor in sampled_flavors() {
        let schema = "CREATE TABLE marks (id INT PRIMARY KEY, mark VARCHAR(40)); \
                      CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1); \
                      CREATE TRIGGER doubles BEFORE INSERT ON t FOR EACH ROW SET NEW.v = NEW.v * 2";
        let bench = Bench::new(flavor, schema);
        let (near, far) = (Region::new(), Region::new());
        let (near_url, far_url) = (near.url(), far.url());
        let by_agents = ["--source-agent", &near_url, "--target-agent", &far_url];
        let arguments = [&by_agents[..], &["--follow", "--on-ddl", "apply"]].concat();
        let mut follower = Follower::begin(&bench, "clone", &arguments).await;
        bench.source("ALTER TABLE t ADD COLUMN a INT NOT NULL DEFAULT 7; INSERT INTO t VALUES (2, 2, 2)");
        bench.source("CREATE TABLE n (id INT PRIMARY KEY); INSERT INTO n VALUES (1), (2); RENAME TABLE n TO m");
        follower.catch_up(&bench).await;
        bench.target("UPDATE t SET v = 9 WHERE id = 1");
        let at_target = CloneOptions { target_agent: Some(far.url()), ..CloneOptions::default() };
        let compared = CloneOptions { verify: Verify::Checksum, ..at_target };
        let cut_over = TargetJob::new(bench.target_url()).options(compared.clone());
        let error = cut_over.cut_over(None, Duration::from_secs(120)).await.unwrap_err();
        assert!(error.to_string().contains("table t"), "{error}");
        bench.target("UPDATE t SET v = 1 WHERE id = 1");
        follower.cut_over_with(compared).await;
        bench.assert_equal();
        let back = reversed(&bench);
        let by_agents = ["--source-agent", &far_url, "--target-agent", &near_url, "--from-cutover"];
        let mut follower = Follower::begin(back, "follow", &by_agents).await;
        back.source("INSERT INTO t VALUES (3, 3, 3); UPDATE m SET id = 5 WHERE id = 1");
        follower.catch_up(back).await;
        follower.cut_over_with(CloneOptions { target_agent: Some(near.url()), ..CloneOptions::default() }).await;
        assert_eq!(back.target("SELECT v FROM t WHERE id = 3"), "6");
        back.assert_equal();
        near.assert_no_agent();
        far.assert_no_agent();
    }
}

#[test]
fn a_killed_clone_catches_up_through_tunnels_that_are_lost() {
    on_sampled_flavors(async |flavor| {
        let bench = Bench::new(flavor, &resume_catch_up::schema());
        let (near, far) = (Region::new(), Region::new());
        let (near_url, far_url) = (near.url(), far.url());
        let through = ["--source-tunnel", &near_url, "--target-tunnel", &far_url];
        let writing = resume_catch_up::writer(&bench.pair.source, &bench.from);
        kill_at(&bench, resume_catch_up::start(&bench, &through), Until::Complete(2));
        let_work(&writing);
        let before = [near.carried(), far.carried()];
        let mut clone = resume_catch_up::start(&bench, &[&through[..], &["--resume"]].concat());
        assert_catches_up(&bench, &mut clone, 5).await;
        near.line.cut();
        far.line.cut();
        drop(writing);
        assert!(wait_until(|| clone.try_wait().unwrap().is_some()), "it hangs");
        assert!(clone.wait().unwrap().success(), "{}", stderr(&mut clone));
        let carried = [near.carried() - before[0], far.carried() - before[1]];
        assert!(carried.iter().all(|&bytes| bytes > 100_000), "not through the tunnels: {carried:?}");
        assert_eq!(bench.target("SELECT total FROM sums"), resume_catch_up::TOTAL);
        assert_eq!(state(&bench).await, CloneState::None);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_go_back_through_tunnels_that_are_lost() {
    for (seed, flavor) in (71..).zip(sampled_flavors().iter().copied()) {
        let bench = Bench::new(flavor, SCHEMA);
        let (near, far) = (Region::new(), Region::new());
        let (near_url, far_url) = (near.url(), far.url());
        let (source, target) = (bench.source_url(), bench.target_url());
        let through = ["--source-tunnel", &near_url, "--target-tunnel", &far_url];
        let mut child = start(&[&["clone", &source, &target, "--follow"], &through[..]].concat());
        assert_follows(&mut child, &target).await;
        let at_far = CloneOptions { target_tunnel: Some(far.url()), ..CloneOptions::default() };
        cut_over_by(TargetJob::new(&target).options(at_far), child).await;

        let back = reversed(&bench);
        let before = active_objects(back);
        let writing = writer(&back.pair.source, &back.from, seed);
        writing.assert_begun();
        let carried = [near.carried(), far.carried()];
        let through = ["--source-tunnel", &far_url, "--target-tunnel", &near_url];
        let follow = |more: &[&str]| start(&[&["follow", &target, &source], &through[..], more].concat());
        let mut child = follow(&["--from-cutover"]);
        assert_follows(&mut child, &source).await;
        assert_applies(&mut child, &source, 20).await;
        let carried = [near.carried() - carried[0], far.carried() - carried[1]];
        assert!(carried.iter().all(|&bytes| bytes > 20_000), "not through the tunnels: {carried:?}");
        for line in [&near.line, &far.line] {
            line.cut();
            let goal = applied(&source).await + 20;
            assert_applies(&mut child, &source, goal).await;
        }
        kill(child, &source).await;
        let mut child = follow(&[]);
        let goal = applied(&source).await + 20;
        assert_applies(&mut child, &source, goal).await;
        drop(writing);
        let at_near = CloneOptions { target_tunnel: Some(near.url()), ..CloneOptions::default() };
        cut_over_by(TargetJob::new(&source).options(at_near), child).await;
        assert_eq!(active_objects(back), before);
        back.assert_equal();
    }
}
