//! Promise: changes of any source are applied exactly once, in an order that conflicts nowhere, whatever breaks meanwhile.
//!
//! The source is a program: it makes a log of random transactions, and its stream breaks often.

mod log_source;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dbgraft::{
    CancellationToken, ChangeKind, CloneJob, CloneOptions, CloneState, ErrorKind, LogEvent, SourceEndpoint, TargetJob,
    Verify,
};

use self::log_source::{ACCOUNTS, LINES, LogSource, Model, TOTAL, position};
use crate::common::seeded_random::SeededRandom;
use crate::common::{BackgroundLoop, Bench, FLAVORS, becomes_true, sampled_flavors, wait_until};

fn own(source: LogSource) -> SourceEndpoint {
    SourceEndpoint::Own(Arc::new(source))
}

fn options(threads: usize) -> CloneOptions {
    CloneOptions { follow: true, threads, ..CloneOptions::default() }
}

fn assert_applied(bench: &Bench, model: &Model) {
    let accounts = bench.target("SELECT id, name, balance FROM accounts ORDER BY id");
    let wanted: Vec<String> = model.accounts.keys().map(|id| model.row(*id).join("\t")).collect();
    assert_eq!(accounts.lines().collect::<Vec<_>>(), wanted);
    let lines = bench.target("SELECT HEX(line) FROM some_lines ORDER BY HEX(line)");
    let hex = |line: &String| line.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
    let mut wanted: Vec<String> = model.lines.iter().map(hex).collect();
    wanted.sort();
    assert_eq!(lines.lines().collect::<Vec<_>>(), wanted);
    assert_eq!(bench.target("SHOW TABLES LIKE '%journal'"), "");
}

/// Watches that the sum of all balances holds at every moment.
fn watch_sum(bench: &Bench) -> BackgroundLoop {
    let (target, to) = (bench.pair.target.clone(), bench.to.clone());
    BackgroundLoop::new(move |_| match target.sql_in(&to, "SELECT SUM(balance), COUNT(*) > 0 FROM accounts") {
        Ok(sum) if sum.trim().ends_with("\t1") => {
            let sum = sum.split('\t').next().unwrap().to_owned();
            assert_eq!(sum, TOTAL.to_string());
            true
        }
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_transaction_is_applied_once_although_the_stream_breaks() {
    for &flavor in sampled_flavors() {
        for (seed, threads) in [(1, 1), (2, 4)] {
            let mut random = SeededRandom::new(&[seed]);
            let mut model = Model::new();
            (0..1500).for_each(|_| model.transact(&mut random));
            let bench = Bench::names(flavor);
            let source = LogSource::new(&model, 3);
            let job = CloneJob::new(own(source.clone()), bench.target_url()).options(options(threads));
            let control = job.control();
            let sum = watch_sum(&bench);
            let running = tokio::spawn(job.run());
            let all = model.transactions;
            let is_done = || {
                running.is_finished() || control.follow_progress().is_some_and(|progress| progress.transactions == all)
            };
            while !is_done() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            control.cut_over(Verify::None);
            let report = running.await.unwrap().unwrap();
            assert!(sum.rounds() > 0);
            drop(sum);
            let followed = report.followed.unwrap();
            assert_eq!((followed.transactions, followed.position), (all, position(all)));
            assert_eq!(source.streams.load(Ordering::Relaxed), 4);
            assert_applied(&bench, &model);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn following_is_taken_up_where_it_ended() {
    for &flavor in sampled_flavors() {
        let mut random = SeededRandom::new(&[7]);
        let mut model = Model::new();
        (0..3000).for_each(|_| model.transact(&mut random));
        let bench = Bench::names(flavor);
        let source = LogSource::new(&model, 0);
        let (mut before, mut round) = (0, 0);
        loop {
            let token = CancellationToken::new();
            let job = CloneJob::new(own(source.clone()), bench.target_url()).options(options(1 + round % 4));
            let job = job.cancellation(token.clone());
            let control = job.control();
            let running = match round {
                0 => tokio::spawn(async { job.run().await.map(|report| report.followed.unwrap()) }),
                _ => tokio::spawn(job.follow()),
            };
            let transactions = || control.follow_progress().map_or(0, |progress| progress.transactions);
            while !running.is_finished() && transactions() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            before = transactions();
            round += 1;
            if before == model.transactions {
                control.cut_over(Verify::None);
                let followed = running.await.unwrap().unwrap();
                assert_eq!(followed.transactions, model.transactions);
                break;
            }
            token.cancel();
            let error = running.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
            // The server may not have noticed yet that the connection with the lock is closed.
            let is_free =
                async || TargetJob::new(bench.target_url()).status().await.unwrap().state == CloneState::NotFollowing;
            assert!(becomes_true(is_free).await);
            let applied = TargetJob::new(bench.target_url()).status().await.unwrap().following.unwrap().checkpoint;
            // What is applied before its turn counts as well: the appliers may not have ended in time.
            assert!(applied.transactions + applied.ahead.len() as u64 >= before, "{applied:?}, {before}");
        }
        assert_applied(&bench, &model);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_finds_no_row_ends_following_and_names_the_row() {
    for &flavor in sampled_flavors() {
        let mut model = Model::new();
        let bench = Bench::names(flavor);
        model.log.push(LogEvent::Begin { gtid: None });
        model.change(ACCOUNTS, ChangeKind::Delete, vec![vec!["77".into(), "x".into(), "1".into()]], vec![]);
        model.log.push(LogEvent::Commit { end: position(1), committed_at_ms: 1 });
        model.transactions = 1;
        let job = CloneJob::new(own(LogSource::new(&model, 0)), bench.target_url()).options(options(2));
        let error = job.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let message = error.to_string();
        for part in ["accounts", "id = 77", "log.000001:1"] {
            assert!(message.contains(part), "{message}");
        }
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        assert_eq!((status.state, status.following.unwrap().checkpoint.transactions), (CloneState::NotFollowing, 0));
        assert_eq!(bench.target("SELECT COUNT(*) FROM accounts"), "20");
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(wait_until(|| !bench.target_exists()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_the_memory_is_streamed() {
    for &flavor in sampled_flavors() {
        let mut model = Model::new();
        let mut random = SeededRandom::new(&[3]);
        (0..20).for_each(|_| model.transact(&mut random));
        model.log.push(LogEvent::Begin { gtid: None });
        for _ in 0..400 {
            let rows: Vec<Vec<String>> = (0..500).map(|_| vec!["0123456789abcdef".to_owned()]).collect();
            model.lines.extend(rows.iter().map(|row| row[0].clone()));
            model.change(LINES, ChangeKind::Insert, vec![], rows);
        }
        model.transactions += 1;
        model.log.push(LogEvent::Commit { end: position(model.transactions), committed_at_ms: 5 });
        (0..20).for_each(|_| model.transact(&mut random));
        let bench = Bench::names(flavor);
        let small = CloneOptions { memory: 8 << 20, ..options(4) };
        let job = CloneJob::new(own(LogSource::new(&model, 0)), bench.target_url()).options(small);
        job.control().cut_over(Verify::None);
        let followed = job.run().await.unwrap().followed.unwrap();
        assert_eq!(followed.transactions, model.transactions);
        assert_applied(&bench, &model);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_filter_its_changes_is_refused_with_a_filter() {
    let (bench, source) = (Bench::names(FLAVORS[0]), LogSource::new(&Model::new(), 0));
    let filters = [("accounts".to_owned(), "id > 1".to_owned())].into();
    let job = CloneJob::new(own(source), bench.target_url()).options(CloneOptions { filters, ..options(1) });
    let error = job.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
    assert!(error.to_string().contains("cannot leave out changes by a row filter"), "{error}");
    assert!(!bench.target_exists());
}
