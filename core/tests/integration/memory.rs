//! Memory use does not depend on the size of the database, directly and through an archive.

use std::process::{Command, Stdio};
use std::time::Duration;

use dbgraft_testkit::{Flavor, ServerOptions, pair_of, wait_until};

use crate::common::{Bench, sampled_flavors};
use crate::follow::{assert_follows, bench_between, cut_over, start};

const MIB: u64 = 1 << 20;
/// What the process takes beside the rows: code (unoptimised in a dev build), threads, connections, the SDK.
const BASE: u64 = 56 * MIB;

/// 96,000 rows of 1,100 bytes: over ten times the limit.
const ROWS: &str = "
    CREATE TABLE digit (d INT PRIMARY KEY);
    INSERT INTO digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
    CREATE TABLE seed (n INT PRIMARY KEY);
    INSERT INTO seed SELECT a.d + 10 * b.d + 100 * c.d FROM digit a, digit b, digit c;
    CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, filling VARBINARY(1100) NOT NULL);
    INSERT INTO big (filling) SELECT RPAD(HEX(RAND(s.n)), 1100, SHA2(CONCAT(s.n, '-', t.n), 512)) FROM seed s, seed t WHERE t.n < 96;
";

/// The process's largest resident size so far, in bytes; `None` once it has ended.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Runs the command to its end; its exit code and its largest size.
fn run(mut command: Command) -> (Option<i32>, u64) {
    let mut child = command.args(["--memory", "8MiB", "--progress", "none"]).stdout(Stdio::null()).spawn().unwrap();
    let mut largest = 0;
    while child.try_wait().unwrap().is_none() {
        largest = largest.max(peak(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    (child.wait().unwrap().code(), largest)
}

#[test]
#[ignore = "long: make test-long"]
fn a_database_ten_times_the_limit_is_cloned_within_it() {
    for &flavor in sampled_flavors() {
        let bench = Bench::new(flavor, ROWS);
        for via in [None, Some(bench.s3(&bench.from))] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dbgraft"));
            command.args(["clone", &bench.source_url(), &bench.target_url()]);
            command.args(["--if-exists", "drop", "--verify", "checksum"]);
            command.args(via.iter().flat_map(|via| ["--via", via]));
            let (code, largest) = run(command);
            assert_eq!((code, bench.target("SELECT COUNT(*) FROM big").as_str()), (Some(0), "96000"));
            assert!(largest > 8 * MIB && largest < 8 * MIB + BASE, "{} MiB, {via:?}", largest / MIB);
        }
        // Most rows differ, and are to be named.
        bench.target("UPDATE big SET filling = CONCAT('x', SUBSTR(filling, 2)) WHERE id % 10 > 0");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbgraft"));
        command.args(["verify", &bench.source_url(), &bench.target_url(), "--list-rows"]);
        let (code, largest) = run(command);
        assert_eq!(code, Some(1));
        assert!(largest > 8 * MIB && largest < 8 * MIB + BASE, "{} MiB to compare", largest / MIB);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make test-long"]
async fn a_compressed_transaction_ten_times_the_limit_is_followed_within_it() {
    for &flavor in sampled_flavors() {
        let compressed = match flavor {
            Flavor::MySql => "--binlog-transaction-compression=ON",
            Flavor::MariaDb => "--log-bin-compress=ON",
        };
        let server = ServerOptions::new(flavor).arg(compressed).start().unwrap();
        let (tables, _) = ROWS.rsplit_once("INSERT").unwrap();
        let bench = bench_between(server.database(), &pair_of(flavor).target, tables);
        let target = bench.target_url();
        let mut child = start(&["clone", &bench.source_url(), &target, "--follow", "--memory", "8MiB"]);
        assert_follows(&mut child, &target).await;
        // One transaction, which is half as long when it is compressed.
        let log_bytes = || {
            let files = server.sql("SHOW BINARY LOGS").unwrap();
            files.lines().map(|line| line.split('\t').nth(1).unwrap().parse::<u64>().unwrap()).sum::<u64>()
        };
        let before = log_bytes();
        bench.source("INSERT INTO big (filling) SELECT HEX(RANDOM_BYTES(550)) FROM seed s, seed t WHERE t.n < 96");
        let logged = log_bytes() - before;
        assert!(logged > 40 * MIB && logged < 80 * MIB, "{} MiB are logged", logged / MIB);
        let pid = child.id();
        assert!(wait_until(|| {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            bench.target("SELECT COUNT(*) FROM big") == "96000"
        }));
        let largest = peak(pid).unwrap();
        assert!(largest > 8 * MIB && largest < 8 * MIB + BASE, "{} MiB", largest / MIB);
        cut_over(child, &target).await;
        bench.assert_equal();
    }
}
