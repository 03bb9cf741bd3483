//! Promise: whatever phase a clone is killed in, it is resumed exactly, or refused and undone without a trace.
//!
//! The moments of the kills come from a seed. Each is a state that the journal shows, so that every phase has its share.

use crate::common::{Bench, FLAVORS, wait_until};
use crate::resume::{SHOP, kill, lines, run, state, stderr};
use dbgraft::{CloneJob, CloneOptions, CloneState, ErrorKind, TargetJob};
use dbgraft_testkit::s3;

/// Random numbers of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The ways of a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From an archive.
    Import,
    /// From the source through S3.
    Via,
    /// From the source, resumed with several moments.
    Direct,
}

/// What became of the kills.
#[derive(Debug, Default)]
struct Figures {
    kills: u32,
    resumed: u32,
    refused: u32,
    /// Runs that ended before the moment of their kill.
    missed: u32,
}

/// The source: the shop, some small tables, and so many objects that a kill finds them half made.
fn shop() -> String {
    let mut sql = SHOP.to_owned();
    for number in 0..8 {
        sql.push_str(&format!(
            "CREATE TABLE small_{number} (a VARCHAR(20), b INT, PRIMARY KEY (a, b)); \
             INSERT INTO small_{number} VALUES ('x', 1), ('y', {number}); \
             CREATE VIEW view_{number} AS SELECT a FROM small_{number}; \
             CREATE FUNCTION f_{number}() RETURNS INT DETERMINISTIC RETURN {number};"
        ));
    }
    sql
}

/// A state of the journal, of any phase.
fn moment(random: &mut Random) -> (&'static str, u32) {
    let (condition, most) = match random.below(5) {
        0 => ("kind = 'item'", 16),
        1 => ("kind = 'table'", 14),
        2 => ("kind = 'batch'", 18),
        3 => ("kind = 'table' AND content LIKE '%\"state\":\"complete\"%'", 14),
        // Objects: after 16 records of tables.
        _ => ("kind = 'item'", 60),
    };
    (condition, 1 + u32::try_from(random.below(most)).unwrap())
}

/// Starts a clone and kills it at a moment. Returns whether it was alive then.
fn start_and_kill(bench: &Bench, arguments: &[&str], random: &mut Random) -> bool {
    let (condition, count) = moment(random);
    let mut clone = run(arguments);
    let mut ended = None;
    let reached = wait_until(|| {
        ended = clone.try_wait().unwrap();
        ended.is_some() || lines(&bench.pair.target, &bench.to, condition).is_some_and(|found| found >= count)
    });
    assert!(reached, "neither {condition} >= {count} nor the end");
    if let Some(status) = ended {
        assert!(status.success(), "{}", stderr(&mut clone));
        return false;
    }
    kill(bench, clone);
    true
}

/// Clones, kills, resumes and compares until so many clones were killed.
async fn soak(seed: u64, kills: u32) -> Figures {
    let (mut random, mut figures) = (Random(seed | 1), Figures::default());
    let mut benches = Vec::new();
    for flavor in FLAVORS {
        let bench = Bench::new(flavor, &shop());
        let archive = bench.s3(&format!("soak-{}", bench.to));
        CloneJob::new(bench.source_url(), archive.as_str()).run().await.unwrap();
        benches.push((bench, archive));
    }
    while figures.kills < kills {
        let (bench, archive) = &benches[usize::try_from(random.below(2)).unwrap()];
        let way = [Way::Import, Way::Via, Way::Direct][usize::try_from(random.below(3)).unwrap()];
        let prefix = format!("soak-via-{}", bench.to);
        let (via, source, target) = (bench.s3(&prefix), bench.source_url(), bench.target_url());
        let rate = ["--threads", "2", "--memory", "8M", "--max-rate", "4M"];
        let ends = [if way == Way::Import { archive.as_str() } else { source.as_str() }, target.as_str()];
        let mut arguments = [&["clone"], &ends[..], &rate].concat();
        if way == Way::Via {
            arguments.extend(["--via", &via]);
        }
        let label = format!("seed {seed}, kill {}, {way:?}, {}", figures.kills, bench.pair.target.flavor);
        if !start_and_kill(bench, &arguments, &mut random) {
            figures.missed += 1;
        } else {
            figures.kills += 1;
            if way == Way::Direct {
                arguments.push("--no-consistency");
            }
            arguments.push("--resume");
            // A resume may be killed too.
            while random.below(3) == 0 && state(bench).await == CloneState::Dead && way == Way::Import {
                match start_and_kill(bench, &arguments, &mut random) {
                    true => figures.kills += 1,
                    false => break,
                }
            }
            finish(bench, ends[0], way, &via, &mut figures, &label).await;
        }
        bench.assert_equal();
        assert_eq!(state(bench).await, CloneState::None, "{label}");
        assert_eq!(s3().keys(&prefix).unwrap(), [""; 0], "{label}: staged objects are left");
        bench.pair.target.sql(&format!("DROP DATABASE {}", bench.to)).unwrap();
    }
    figures
}

/// Resumes what was killed; or finds it refused, abandons it and clones again.
async fn finish(bench: &Bench, source: &str, way: Way, via: &str, figures: &mut Figures, label: &str) {
    let options = CloneOptions {
        via: (way == Way::Via).then(|| via.to_owned()),
        no_consistency: way == Way::Direct,
        ..CloneOptions::default()
    };
    let job = |options: CloneOptions| CloneJob::new(source, bench.target_url()).options(options).run();
    let mut resumed = job(CloneOptions { resume: true, ..options.clone() }).await;
    if way == Way::Via
        && figures.kills.is_multiple_of(2)
        && resumed.as_ref().is_err_and(|error| error.to_string().contains("staging"))
    {
        figures.refused += 1;
        resumed = job(CloneOptions { resume: true, no_consistency: true, ..options.clone() }).await;
    }
    match resumed {
        Ok(report) => {
            figures.resumed += 1;
            assert_eq!(report.fidelity, [], "{label}");
        }
        Err(error) => {
            figures.refused += 1;
            assert_eq!(error.kind(), ErrorKind::Preflight, "{label}: {error}");
            // Rows are missing; or it was killed before its plan was recorded.
            let text = error.to_string();
            let is_right = way == Way::Via && text.contains("staging archive is incomplete")
                || text.contains("before it had a plan")
                || text.contains("nothing to resume");
            assert!(is_right, "{label}: {text}");
            TargetJob::new(bench.target_url()).abandon().await.unwrap_or_else(|error| panic!("{label}: {error}"));
            job(options).await.unwrap_or_else(|error| panic!("{label}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_all_phases_lose_nothing() {
    let figures = soak(7, 20).await;
    assert!(figures.resumed >= 8, "{figures:?}");
}

/// `make soak`: as many kills as `DBGRAFT_SOAK_KILLS` says, over the seeds from `DBGRAFT_SOAK_SEED` on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes long: make soak"]
async fn many_kills_lose_nothing() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (kills, mut seed) = (number("DBGRAFT_SOAK_KILLS", 200), number("DBGRAFT_SOAK_SEED", 1));
    let mut all = Figures::default();
    while u64::from(all.kills) < kills {
        let one = soak(seed, 25).await;
        all.kills += one.kills;
        all.resumed += one.resumed;
        all.refused += one.refused;
        all.missed += one.missed;
        println!("seed {seed}: {one:?}; so far {all:?}, wrong 0");
        seed += 1;
    }
}
