//! The examples run as written.

use std::path::PathBuf;
use std::process::Command;

use crate::common::region::Region;
use crate::common::{Bench, sampled_flavors};
use dbgraft_testkit::{Flavor, SampleSize, sample};

/// `cargo test` builds the examples next to the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.is_file(), "{} is not there: cargo build --examples", path.display());
    path
}

fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(example(name)).args(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout.into_owned()
}

#[test]
fn a_service_with_a_pool() {
    for &flavor in sampled_flavors() {
        let bench = Bench::names(flavor);
        sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
        let said = run("service", &[&bench.source_url(), &bench.target_url()]);
        assert!(said.contains("the pool sees") && said.contains(" rows in "), "{said}");
        bench.assert_equal();
    }
}

#[test]
fn a_direct_clone() {
    for &flavor in sampled_flavors() {
        let bench = Bench::names(flavor);
        sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
        let said = run("direct", &[&bench.source_url(), &bench.target_url()]);
        assert!(said.contains("table orders"), "{said}");
        bench.assert_equal();
    }
}

#[test]
fn a_move_of_a_live_database() {
    for &flavor in sampled_flavors() {
        let bench = Bench::names(flavor);
        let sql = "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)";
        bench.pair.source.sql(&format!("CREATE DATABASE {}", bench.from)).unwrap();
        bench.source(sql);
        let said = run("follow", &[&bench.source_url(), &bench.target_url()]);
        assert!(said.contains("has every change up to"), "{said}");
        bench.assert_equal();
    }
}

#[test]
fn a_clone_through_s3() {
    for &flavor in sampled_flavors() {
        let bench = Bench::names(flavor);
        sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
        let said = run("through_s3", &[&bench.source_url(), &bench.target_url(), &bench.s3("examples")]);
        assert!(said.contains("Import: table orders is complete"), "{said}");
        bench.assert_equal();
    }
}

#[test]
fn a_clone_through_ssh_tunnels() {
    let (bench, near, far) = (Bench::names(Flavor::MySql), Region::new(), Region::new());
    sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
    let said = run("tunnel", &[&bench.source_url(), &near.url(), &bench.target_url(), &far.url()]);
    assert!(said.contains("rows"), "{said}");
    bench.assert_equal();
}

#[test]
fn a_clone_between_regions() {
    let (bench, near, far) = (Bench::names(Flavor::MariaDb), Region::new(), Region::new());
    sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
    let (from, to, via) = (bench.source_url(), bench.target_url(), bench.s3("regions"));
    let said = run("regions", &[&from, &near.url(), &to, &far.url(), &via, env!("CARGO_BIN_EXE_dbgraft")]);
    assert!(said.contains("Export: table orders is complete") && said.contains("Import: "), "{said}");
    bench.assert_equal();
}

#[test]
fn a_closure_chooses_and_a_source_of_ones_own_fills() {
    for &flavor in sampled_flavors() {
        let bench = Bench::names(flavor);
        sample(&bench.pair.source, &bench.from, SampleSize::Small).unwrap();
        let said = run("partial", &[&bench.source_url(), &bench.target_url()]);
        assert!(said.contains("left out: view "), "{said}");
        assert_eq!(bench.target("SELECT COUNT(*) FROM orders"), bench.source("SELECT COUNT(*) FROM orders"));
    }
    let bench = Bench::names(Flavor::MySql);
    run("own_source", &[&bench.target_url()]);
    assert_eq!(bench.target("SELECT COUNT(*), MAX(square) FROM squares"), "100000\t9999800001");
}
