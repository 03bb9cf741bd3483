//! Agents work next to each server: rows do not pass the machine that started the clone, and nothing is left.

#![cfg(feature = "cli")]

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::region::Region;
use crate::common::{Bench, on_sampled_flavors, unique};
use dbgraft::{CloneJob, CloneOptions, Event, ExecutionSite, Verify};
use dbgraft_testkit::{Flavor, s3};

/// The rows of the table `t` before they are doubled. They are long: a server makes a few of them sooner than many.
pub(crate) const ROWS: u64 = 111;

/// Some objects, and `ROWS << doublings` rows, about `2 << doublings` times 100 KB, which compress by half.
pub(crate) fn filled(flavor: Flavor, doublings: u32) -> Bench {
    let bench = Bench::new(
        flavor,
        &format!(
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(2000) NOT NULL, KEY (a(10))); \
             INSERT INTO t (a) WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) \
             SELECT HEX(RANDOM_BYTES(900)) FROM n; \
             CREATE TABLE none (id INT PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t; \
             CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1; CREATE PROCEDURE p() SELECT 1"
        ),
    );
    for _ in 0..doublings {
        bench.source("INSERT INTO t (a) SELECT HEX(RANDOM_BYTES(900)) FROM t");
    }
    bench
}

pub(crate) fn agents(source: &Region, target: &Region) -> CloneOptions {
    CloneOptions { source_agent: Some(source.url()), target_agent: Some(target.url()), ..CloneOptions::default() }
}

pub(crate) fn staged(prefix: &str) -> Vec<String> {
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
    assert_eq!((found.differences.len(), found.rows), (1, ROWS << 6));
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    let progress = progress.lock().unwrap().clone();
    assert_eq!(progress.last(), Some(&(ROWS << 6, bytes)));
    assert!(progress.iter().any(|(rows, _)| (1..ROWS << 5).contains(rows)), "{progress:?}");
    let carried = near.carried() + far.carried();
    assert!(carried < bytes / 20, "{carried} bytes passed, of {bytes} bytes of rows");

    let options = CloneOptions { list_rows: true, verify: Verify::Checksum, threads: 1, ..agents(&near, &far) };
    let found = bench.job(options).verify().await.unwrap().verification;
    assert_eq!((found.differences.len(), found.differences[0].rows[0].key.as_str()), (1, "id = 77"));
    assert!(near.carried() < 3 * bytes, "{} of {bytes}", near.carried());
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
