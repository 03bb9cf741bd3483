//! Promise: whatever is killed in whatever phase of a clone, the clone goes on, or is resumed exactly, or is refused and undone
//! without a trace.
//!
//! The moments of the kills come from a seed. Each is a state that the journal shows, so that every phase has its share.

mod lab;

use std::collections::BTreeMap;

use self::lab::{Lab, Outcome, Victim, Way};
use crate::common::FLAVORS;
use crate::common::seeded_random::SeededRandom;
use dbgraft::CloneState;

/// What became of the kills.
#[derive(Debug, Default)]
struct Figures {
    kills: u32,
    victims: BTreeMap<Victim, u32>,
    outcomes: BTreeMap<Outcome, u32>,
    /// Runs that ended before the moment of their kill.
    missed: u32,
}

impl Figures {
    fn count(&mut self, victim: Victim) {
        self.kills += 1;
        *self.victims.entry(victim).or_default() += 1;
    }

    /// Whether each victim was killed, and enough clones went on or were resumed.
    fn is_varied(&self) -> bool {
        let [resumed, survived] = [Outcome::Resumed, Outcome::Survived]
            .map(|outcome| self.outcomes.get(&outcome).copied().unwrap_or_default());
        resumed >= 3 && resumed + survived >= 4 && self.victims.len() == 4
    }

    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.missed += other.missed;
        other.victims.iter().for_each(|(victim, count)| *self.victims.entry(*victim).or_default() += count);
        other.outcomes.iter().for_each(|(outcome, count)| *self.outcomes.entry(*outcome).or_default() += count);
    }
}

/// A state of the journal, of any phase.
fn moment(random: &mut SeededRandom, tables: u32) -> (&'static str, u32) {
    let (condition, most) = match random.below(5) {
        0 => ("kind = 'item'", tables),
        1 => ("kind = 'table'", tables),
        2 => ("kind = 'batch'", tables + 8),
        3 => ("kind = 'table' AND content LIKE '%\"state\":\"complete\"%'", tables),
        // Objects: after the records of tables.
        _ => ("kind = 'item'", 2 * tables + 40),
    };
    (condition, 1 + u32::try_from(random.below(most as usize)).unwrap())
}

/// Half of the victims are coordinators.
fn victim(random: &mut SeededRandom, way: Way) -> Victim {
    let others: &[Victim] = match way {
        Way::Import => &[Victim::TargetServer],
        Way::Agents | Way::Lanes => &[Victim::Agent, Victim::Agent, Victim::TargetServer, Victim::SourceServer],
        Way::Via | Way::Direct => &[Victim::TargetServer, Victim::SourceServer],
    };
    if random.below(2) == 0 { Victim::Coordinator } else { random.one_of(others) }
}

/// Clones, kills, brings to an end and compares until there were so many kills.
#[allow(clippy::print_stdout, reason = "a failure says which kill it was")]
async fn soak(labs: &mut [Lab], small: u32, seed: u64, kills: u32) -> Figures {
    let (mut random, mut figures) = (SeededRandom::new(&[seed]), Figures::default());
    let tables = small + 9;
    while figures.kills < kills {
        let lab = &mut labs[random.below(labs.len())];
        let way = random.one_of(&Way::ALL);
        let killed = victim(&mut random, way);
        let at = moment(&mut random, tables);
        println!("seed {seed}, kill {}: {killed:?} of {way:?} on {} at {at:?}", figures.kills, lab.flavor());
        match lab.start_and_kill(way, killed, &[], at, random.below(100) as u64) {
            None => figures.missed += 1,
            Some(false) => {
                figures.count(killed);
                *figures.outcomes.entry(Outcome::Survived).or_default() += 1;
            }
            Some(true) => {
                figures.count(killed);
                // A resume may be killed too.
                while random.below(3) == 0 && lab.state_after_kill().await == CloneState::Dead {
                    let at = moment(&mut random, tables);
                    let again = ["--resume", "--no-consistency"];
                    match lab.start_and_kill(way, Victim::Coordinator, &again, at, 0) {
                        Some(true) => figures.count(Victim::Coordinator),
                        _ => break,
                    }
                }
                *figures.outcomes.entry(lab.finish(way).await).or_default() += 1;
            }
        }
        lab.assert_complete().await;
    }
    figures
}

async fn labs(small: u32, doublings: u32) -> Vec<Lab> {
    let mut labs = Vec::new();
    for flavor in FLAVORS {
        labs.push(Lab::new(flavor, small, doublings).await);
    }
    labs
}

/// How often kills of a seed coincide with a phase depends on the machine: more kills follow until there was enough of each.
#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_of_all_phases_lose_nothing() {
    let mut labs = labs(8, 3).await;
    let mut figures = soak(&mut labs, 8, 5, 10).await;
    for seed in 6..18 {
        if !figures.is_varied() {
            figures.add(&soak(&mut labs, 8, seed, 1).await);
        }
    }
    assert!(figures.is_varied(), "{figures:?}");
}

/// `make soak`: as many kills as `DBGRAFT_SOAK_KILLS` says, over the seeds from `DBGRAFT_SOAK_SEED` on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes long: make soak"]
async fn many_kills_lose_nothing() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (kills, mut seed) = (number("DBGRAFT_SOAK_KILLS", 200), number("DBGRAFT_SOAK_SEED", 1));
    let mut labs = labs(100, 6).await;
    let mut all = Figures::default();
    while u64::from(all.kills) < kills {
        let left = u32::try_from(kills).unwrap() - all.kills;
        let one = soak(&mut labs, 100, seed, left.min(25)).await;
        all.add(&one);
        println!("seed {seed}: {one:?}; so far {all:?}, wrong 0");
        seed += 1;
    }
}
