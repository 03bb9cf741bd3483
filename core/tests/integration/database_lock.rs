//! Promise: a clone outlives the loss of the connection that holds the lock of its database, and ends if another process
//! takes the lock meanwhile.

use crate::common::{Bench, no_hang, sampled_flavors, wait_until};
use crate::resume::{SHOP, state};
use dbgraft::{CloneOptions, CloneState, ErrorKind, TargetJob};
use dbgraft_testkit::Session;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_128;

/// A clone that takes some seconds after its rows have begun.
fn slowly() -> CloneOptions {
    CloneOptions { threads: 1, memory: 8 << 20, max_rate: Some(200 << 10), ..CloneOptions::default() }
}

fn lock_name(bench: &Bench) -> String {
    format!("dbgraft:{:032x}", xxh3_128(bench.to.to_lowercase().as_bytes()))
}

/// The connection that holds the lock; `NULL` if there is none.
fn holder(bench: &Bench) -> String {
    bench.pair.target.sql(&format!("SELECT IS_USED_LOCK('{}')", lock_name(bench))).unwrap().trim().to_owned()
}

/// Waits until a running clone has begun to load, and returns the connection that holds its lock.
async fn holder_of_running(bench: &Bench) -> String {
    let (server, to) = (bench.pair.target.clone(), bench.to.clone());
    let flows = move || crate::resume::lines(&server, &to, "kind = 'batch'").is_some_and(|lines| lines >= 1);
    assert!(tokio::task::spawn_blocking(move || wait_until(flows)).await.unwrap(), "no rows came");
    holder(bench)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_taken_again_when_its_connection_is_killed() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let running = tokio::spawn(bench.job(slowly()).run());
        let mut holders = vec![holder_of_running(&bench).await];
        for _ in 0..2 {
            let killed = holders.last().unwrap().clone();
            bench.pair.target.sql(&format!("KILL {killed}")).unwrap();
            let taken = || !["NULL", killed.as_str()].contains(&holder(&bench).as_str());
            assert!(wait_until(|| taken() || running.is_finished()));
            holders.push(holder(&bench));
        }
        assert!(!running.is_finished(), "the clone ended before it took the lock again");
        assert_eq!(state(&bench).await, CloneState::Running);
        no_hang(running).await.unwrap().unwrap();
        bench.assert_equal();
        assert_eq!((holder(&bench).as_str(), state(&bench).await), ("NULL", CloneState::None));
    }
}

/// Takes the lock from the connection that holds it.
fn take_lock(bench: &Bench, first: &str) -> Session {
    let name = lock_name(bench);
    let waiting = bench.pair.target.session(&format!("SELECT GET_LOCK('{name}', 300)")).unwrap();
    let list = bench.pair.target.process_list();
    let queued = format!("SELECT COUNT(*) FROM {list} WHERE INFO LIKE 'SELECT GET_LOCK%{name}%'");
    assert!(wait_until(|| bench.pair.target.sql(&queued).unwrap().trim() == "1"), "nobody waits for the lock");
    bench.pair.target.sql(&format!("KILL {first}")).unwrap();
    waiting
}

/// The other process may have begun to use the database before this one has noticed that its lock is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_clone_removes_nothing_once_another_session_has_the_lock() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let cancellation = CancellationToken::new();
        let running = tokio::spawn(bench.job(slowly()).cancellation(cancellation.clone()).run());
        let first = holder_of_running(&bench).await;
        let other = take_lock(&bench, &first);
        assert!(wait_until(|| !["NULL", first.as_str()].contains(&holder(&bench).as_str())));
        cancellation.cancel();
        let error = no_hang(running).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("not cleaned up"), "{error}");
        assert_eq!(bench.target("SHOW TABLES LIKE 'customers'"), "customers");
        drop(other);
        assert!(wait_until(|| holder(&bench) == "NULL"));
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(!bench.target_exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_whose_lock_another_session_takes_ends_and_leaves_all_as_it_is() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, SHOP);
        let running = tokio::spawn(bench.job(slowly()).run());
        let first = holder_of_running(&bench).await;
        let waiting = take_lock(&bench, &first);
        let error = no_hang(running).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("the lock of the target's database was lost") && text.contains("not cleaned up"),
            "{text}"
        );
        assert!(bench.target_exists());
        drop(waiting);
        assert!(wait_until(|| holder(&bench) == "NULL"));
        assert_eq!(state(&bench).await, CloneState::Dead);
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(!bench.target_exists());
    }
}
