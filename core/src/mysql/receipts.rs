//! Which batches the sink called durable, and whether they still are. A server that does not write its log at each commit
//! (`innodb_flush_log_at_trx_commit` 0 or 2) loses acknowledged commits when it crashes. The journal's lines were part of
//! the same transactions: it lacks them too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::connect::Conn;
use super::journal;
use super::target::Target;
use super::write::is_transactional;
use crate::batch::BatchId;
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Plan, TablePlan};

/// Seconds by which the server's uptime may lag behind our clock: it counts whole ones.
const LAG: u64 = 2;

/// The batches of each table and chunk that the sink called durable.
#[derive(Default)]
pub(super) struct Receipts {
    chunks: BTreeMap<(u32, u32), Numbers>,
    /// Whether they were compared with the journal, and nothing was lost.
    is_checked: bool,
}

/// A set of numbers that come almost in order.
#[derive(Default)]
struct Numbers {
    /// All below this are in the set.
    next: u32,
    others: BTreeSet<u32>,
}

impl Receipts {
    /// Adds a batch. One that was added before changes nothing.
    pub(super) fn add(&mut self, id: BatchId) {
        let numbers = self.chunks.entry((id.table, id.chunk)).or_default();
        if id.batch >= numbers.next {
            numbers.others.insert(id.batch);
        }
        while numbers.others.remove(&numbers.next) {
            numbers.next += 1;
        }
    }

    /// How many batches of each table the journal lacks. `counts` are its lines for each table and chunk.
    fn lost(&self, counts: &BTreeMap<(u32, u32), u64>) -> BTreeMap<u32, u64> {
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

    fn has(&self, table: &TablePlan) -> bool {
        self.chunks.range((table.number, 0)..=(table.number, u32::MAX)).next().is_some()
    }
}

/// When the target's server was looked at, and for how many seconds it had been running.
#[derive(Clone, Copy)]
pub(super) struct Uptime {
    seen: Instant,
    seconds: u64,
}

impl Uptime {
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        let row = conn.row("SHOW GLOBAL STATUS LIKE 'Uptime'").await?;
        Ok(Self { seen: Instant::now(), seconds: row.map_or(0, |row| row.number(1)) })
    }

    /// Whether the server was started anew between the two looks.
    fn is_cut_off(&self, later: &Self) -> bool {
        let passed = later.seen.saturating_duration_since(self.seen).as_secs();
        later.seconds + LAG < self.seconds + passed
    }
}

impl Target {
    /// Compares what the sink called durable with what the server still holds.
    ///
    /// # Errors
    /// `Data` when the server has lost batches, or may have: a table without transactions is not in the journal, and a
    /// restart of its server is all that can be known of it.
    pub(super) async fn check_receipts(&self, conn: &mut Conn, plan: &Plan) -> Result<()> {
        let (transactional, others): (Vec<_>, Vec<_>) = {
            let state = self.state();
            let taken = plan.tables.iter().filter(|table| state.receipts.has(table));
            taken.partition(|table| is_transactional(&table.table))
        };
        // The DDL that removed the journal has flushed all that was committed before it.
        let is_done = self.state().receipts.is_checked && !journal::exists(conn, &self.address.database).await?;
        if !transactional.is_empty() && !is_done {
            let counts = journal::counts(conn, &self.address.database).await?;
            let lost = self.state().receipts.lost(&counts);
            let named = |table: &&TablePlan| {
                let lost = lost.get(&table.number)?;
                Some(format!("{lost} of table {}", Printable(&table.table.name)))
            };
            let lost: Vec<String> = transactional.iter().filter_map(named).collect();
            if !lost.is_empty() {
                return Err(lost_commits(conn, &lost).await);
            }
        }
        if let Some(table) = others.first()
            && self.is_restarted(conn).await?
        {
            let (name, engine) = (Printable(&table.table.name), Printable(&table.table.engine));
            let message = format!(
                "table {name} of the target may have lost rows: its server was restarted in mid-clone, and the engine \
                 {engine} has no transactions: start the clone again"
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        self.state().receipts.is_checked = true;
        Ok(())
    }

    /// Whether the server was restarted since the clone began: its uptime says so, and the first connection broke.
    async fn is_restarted(&self, conn: &mut Conn) -> Result<bool> {
        let now = Uptime::read(conn).await?;
        let (begun, guard) = {
            let mut state = self.state();
            (state.uptime, state.guard.take())
        };
        let Some(mut guard) = guard else { return Ok(false) };
        // A clock that was set back looks like a restart; a connection that lives does not.
        let alive = guard.exec("DO 1").await.is_ok();
        self.state().guard = Some(guard);
        Ok(!alive && begun.is_some_and(|begun| begun.is_cut_off(&now)))
    }
}

async fn lost_commits(conn: &mut Conn, lost: &[String]) -> Error {
    let setting = conn.row("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").await.ok().flatten();
    let setting = setting.map_or_else(|| "unknown".to_owned(), |row| row.string(0));
    let message = format!(
        "the target's server has lost batches that it had committed, {}: it crashed in mid-clone, and \
         innodb_flush_log_at_trx_commit is {setting}: set it to 1, or start the clone again",
        lost.join(", ")
    );
    Error::new(ErrorKind::Data, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(table: u32, chunk: u32, batch: u32) -> BatchId {
        BatchId { table, chunk, batch }
    }

    #[test]
    fn a_batch_that_the_journal_lacks_is_lost_and_one_that_came_twice_counts_once() {
        let mut receipts = Receipts::default();
        for batch in [2, 0, 1, 1, 4, 0] {
            receipts.add(id(0, 3, batch));
        }
        receipts.add(id(7, 0, 0));
        assert_eq!(receipts.chunks[&(0, 3)].next, 3, "what came in order takes no room");
        let whole = BTreeMap::from([((0, 3), 4), ((7, 0), 1)]);
        assert_eq!(receipts.lost(&whole), BTreeMap::new());
        assert_eq!(receipts.lost(&BTreeMap::from([((0, 3), 2)])), BTreeMap::from([(0, 2), (7, 1)]));
    }

    #[test]
    fn a_server_that_started_anew_has_been_running_for_less_than_it_should() {
        let seen = Instant::now();
        let at = |passed, seconds| Uptime { seen: seen + std::time::Duration::from_secs(passed), seconds };
        assert!(!at(0, 50).is_cut_off(&at(100, 149)));
        assert!(at(0, 50).is_cut_off(&at(100, 99)));
    }
}
