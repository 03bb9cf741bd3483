//! Random tables arrive exactly.
//!
//! Each run generates the same tables, many to a database. For others, and more of them:
//! `PROPTEST_CASES=100 PROPTEST_RNG_SEED=7`. A failure shows the smallest tables that were found to fail.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "random numbers are reduced to the wanted range"
)]

mod column_type;
mod table;

use std::cell::Cell;
use std::env;

use crate::common::{Bench, quoted};
use dbgraft::CloneOptions;
use dbgraft_testkit::{CompareOptions, Flavor, compare_with};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use table::{Table, tables};
use tokio::runtime::Runtime;

/// The number of databases of each family.
const CASES: u32 = 3;
/// In milliseconds.
const SHRINK_FOR: u32 = 60_000;

#[test]
fn any_table_of_mysql_arrives_exactly() {
    all_arrive(Flavor::MySql);
}

#[test]
fn any_table_of_mariadb_arrives_exactly() {
    all_arrive(Flavor::MariaDb);
}

fn all_arrive(flavor: Flavor) {
    let bounded = Config { max_shrink_time: SHRINK_FOR, max_shrink_iters: u32::MAX, ..Config::default() };
    let mut config = Config { failure_persistence: None, ..bounded };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(3);
    }
    let runtime = Runtime::new().unwrap();
    let (wanted, made) = (Cell::new(0), Cell::new(0));
    let many = prop::collection::vec(tables(flavor), 1..=20);
    let outcome = TestRunner::new(config).run(&(any::<bool>(), many), |(through_s3, tables)| {
        let bench = Bench::names(flavor);
        wanted.set(wanted.get() + tables.len());
        made.set(made.get() + make(&bench, &tables));
        runtime.block_on(arrive(&bench, through_s3)).map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(reason, (_, tables))) = &outcome {
        let all = || tables.iter().enumerate();
        let is_named = |(number, table): &(usize, &Table)| reason.message().contains(&table.name(*number));
        let any_named = all().any(|one| is_named(&one));
        let shown = all().filter(|one| !any_named || is_named(one));
        let shown: Vec<String> = shown.map(|(number, table)| table.sql(number)).collect();
        panic!("{flavor}: {reason}\n{}", shown.join("\n"));
    }
    outcome.unwrap();
    assert!(made.get() * 20 >= wanted.get() * 19, "{flavor} took only {} of {} tables", made.get(), wanted.get());
}

/// Makes the tables, and says how many of them the server took.
fn make(bench: &Bench, tables: &[Table]) -> usize {
    let source = &bench.pair.source;
    source.sql(&format!("CREATE DATABASE {}", quoted(&bench.from))).unwrap();
    let settings = "SET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n";
    for (number, table) in tables.iter().enumerate() {
        if let Err(refused) = source.sql_in(&bench.from, &(settings.to_owned() + &table.sql(number))) {
            eprintln!("{refused}");
        }
    }
    bench.source("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()").parse().unwrap()
}

/// Clones the database and compares; in small pieces, so that big tables are cut.
async fn arrive(bench: &Bench, through_s3: bool) -> Result<(), String> {
    let ways = [Some(None), through_s3.then(|| Some(bench.s3(&format!("generated-{}", bench.from))))];
    for via in ways.into_iter().flatten() {
        let way = if via.is_some() { "through S3" } else { "directly" };
        let options = CloneOptions { via, recreate_database: true, memory: 8 << 20, threads: 8, ..Default::default() };
        let report = bench.clone(options).await.map_err(|error| format!("{way}: {error}"))?;
        if !report.fidelity.is_empty() {
            return Err(format!("{way}: the report has {:#?}", report.fidelity));
        }
        let strictly = CompareOptions { auto_increment: true, key_order: true, ..CompareOptions::default() };
        compare_with(&bench.pair.source, &bench.from, &bench.pair.target, &bench.to, &strictly)
            .map_err(|error| format!("{way}: {error}"))?;
    }
    Ok(())
}
