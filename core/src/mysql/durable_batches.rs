//! The batches that the sink has reported as durable, and the uptime of the target's server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::connect::Conn;
use crate::batch::BatchId;
use crate::error::Result;
use crate::plan::TablePlan;

/// The seconds by which the server's uptime may lag behind the local clock, because it counts whole seconds.
const MAX_LAG_SECONDS: u64 = 2;

/// The batches of each table and chunk that the sink has reported as durable.
#[derive(Default)]
pub(super) struct DurableBatches {
    chunks: BTreeMap<(u32, u32), BatchNumberSet>,
}

/// A set of batch numbers that arrive almost in order.
#[derive(Default)]
struct BatchNumberSet {
    /// All numbers below this are in the set.
    next: u32,
    others: BTreeSet<u32>,
}

impl DurableBatches {
    /// Adds a batch. Adding a batch again has no effect.
    pub(super) fn add(&mut self, id: BatchId) {
        let numbers = self.chunks.entry((id.table, id.chunk)).or_default();
        if id.batch >= numbers.next {
            numbers.others.insert(id.batch);
        }
        while numbers.others.remove(&numbers.next) {
            numbers.next += 1;
        }
    }

    /// Returns how many batches of each table are missing in the journal, which has `counts` rows per table and chunk.
    pub(super) fn count_missing(&self, counts: &BTreeMap<(u32, u32), u64>) -> BTreeMap<u32, u64> {
        let mut lost = BTreeMap::new();
        for (chunk, numbers) in &self.chunks {
            let acknowledged = u64::from(numbers.next) + numbers.others.len() as u64;
            let missing = acknowledged.saturating_sub(counts.get(chunk).copied().unwrap_or(0));
            if missing > 0 {
                *lost.entry(chunk.0).or_default() += missing;
            }
        }
        lost
    }

    pub(super) fn contains(&self, id: BatchId) -> bool {
        let numbers = self.chunks.get(&(id.table, id.chunk));
        numbers.is_some_and(|numbers| id.batch < numbers.next || numbers.others.contains(&id.batch))
    }

    pub(super) fn contains_table(&self, table: &TablePlan) -> bool {
        self.chunks.range((table.number, 0)..=(table.number, u32::MAX)).next().is_some()
    }
}

/// The uptime of the target's server, and the time at which it was read.
#[derive(Clone, Copy)]
pub(super) struct ServerUptime {
    read_at: Instant,
    seconds: u64,
}

impl ServerUptime {
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        let row = conn.row("SHOW GLOBAL STATUS LIKE 'Uptime'").await?;
        Ok(Self { read_at: Instant::now(), seconds: row.map_or(0, |row| row.number(1)) })
    }

    /// The time when the server was started, by its own clock, in seconds of the Unix epoch.
    pub(super) async fn read_start_time(conn: &mut Conn) -> Result<u64> {
        let uptime = Self::read(conn).await?.seconds;
        let now = conn.row("SELECT UNIX_TIMESTAMP()").await?.map_or(0, |row| row.number(0));
        Ok(now.saturating_sub(uptime))
    }

    /// Whether the later uptime shows that the server was restarted in between.
    pub(super) fn shows_restart(&self, later: &Self) -> bool {
        let passed = later.read_at.saturating_duration_since(self.read_at).as_secs();
        later.seconds + MAX_LAG_SECONDS < self.seconds + passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(table: u32, chunk: u32, batch: u32) -> BatchId {
        BatchId { table, chunk, batch }
    }

    #[test]
    fn batches_missing_in_the_journal_are_counted_once() {
        let mut durable_batches = DurableBatches::default();
        for batch in [2, 0, 1, 1, 4, 0] {
            durable_batches.add(id(0, 3, batch));
        }
        durable_batches.add(id(7, 0, 0));
        assert!(durable_batches.contains(id(0, 3, 4)) && !durable_batches.contains(id(0, 3, 3)));
        assert_eq!(durable_batches.chunks[&(0, 3)].next, 3, "what came in order takes no room");
        let whole = BTreeMap::from([((0, 3), 4), ((7, 0), 1)]);
        assert_eq!(durable_batches.count_missing(&whole), BTreeMap::new());
        assert_eq!(durable_batches.count_missing(&BTreeMap::from([((0, 3), 2)])), BTreeMap::from([(0, 2), (7, 1)]));
    }

    #[test]
    fn a_restart_shows_in_the_uptime() {
        let begin = Instant::now();
        let at = |passed, seconds| ServerUptime { read_at: begin + std::time::Duration::from_secs(passed), seconds };
        assert!(!at(0, 50).shows_restart(&at(100, 149)));
        assert!(at(0, 50).shows_restart(&at(100, 99)));
    }
}
