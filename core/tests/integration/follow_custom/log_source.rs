//! A source that is a program: its log of random transactions, and what the rows are after them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dbgraft::codec::BatchBuilder;
use dbgraft::{
    Batch, BatchId, BatchStream, Catalog, ChangeKind, ChangeStream, Chunk, Error, ErrorKind, LogEvent, LogPosition,
    MemoryBudget, Plan, Position, Result, RowChanges, RowImages, Selection, SnapshotMethod, Source, Table, TablePlan,
};
use futures::{StreamExt as _, stream};

use crate::common::seeded_random::SeededRandom;

fn amount(random: &mut SeededRandom) -> i64 {
    i64::try_from(random.below(100)).unwrap()
}

pub(super) const ACCOUNTS: u32 = 0;
pub(super) const LINES: u32 = 1;
pub(super) const TOTAL: i64 = 1000 * 20;

/// The rows after some transactions, and the log of these.
#[derive(Default)]
pub(super) struct Model {
    pub(super) accounts: BTreeMap<u32, (String, i64)>,
    pub(super) lines: Vec<String>,
    pub(super) log: Vec<LogEvent>,
    pub(super) transactions: u64,
    /// The number of accounts that were ever made.
    pub(super) made: u32,
}

pub(super) fn batch(table: u32, rows: &[Vec<String>]) -> Batch {
    let mut builder = BatchBuilder::default();
    for row in rows {
        row.iter().for_each(|value| builder.push_value(value.as_bytes()));
        builder.end_row();
    }
    builder.finish(BatchId { table, chunk: 0, batch: 0 })
}

pub(super) fn images(columns: u32, rows: &[Vec<String>]) -> RowImages {
    RowImages { columns: (0..columns).collect(), text: batch(0, rows).data }
}

pub(super) fn position(offset: u64) -> LogPosition {
    LogPosition {
        server: "s".into(),
        file: format!("log.{:06}", offset / 500 + 1),
        offset: offset % 500,
        ..LogPosition::default()
    }
}

impl Model {
    pub(super) fn new() -> Self {
        let account = |id: u32| (id, (format!("name {id}"), 1000));
        Self { accounts: (0..20).map(account).collect(), ..Self::default() }
    }

    pub(super) fn row(&self, id: u32) -> Vec<String> {
        let (name, balance) = &self.accounts[&id];
        vec![id.to_string(), name.clone(), balance.to_string()]
    }

    pub(super) fn change(&mut self, table: u32, kind: ChangeKind, before: Vec<Vec<String>>, after: Vec<Vec<String>>) {
        let columns = if table == ACCOUNTS { 3 } else { 1 };
        let rows = before.len().max(after.len()) as u64;
        let before = (kind != ChangeKind::Insert).then(|| images(columns, &before));
        let after = (kind != ChangeKind::Delete).then(|| images(columns, &after));
        self.log.push(LogEvent::Rows(RowChanges { table, kind, rows, before, after, with_cascades: false }));
    }

    /// Two accounts that are there, the first one before the second.
    pub(super) fn two(&self, random: &mut SeededRandom) -> (u32, u32) {
        let ids: Vec<u32> = self.accounts.keys().copied().collect();
        let first = random.below(ids.len() - 1);
        let second = first + 1 + random.below(ids.len() - first - 1);
        (ids[first], ids[second])
    }

    pub(super) fn transact(&mut self, random: &mut SeededRandom) {
        self.log.push(LogEvent::Begin { gtid: None });
        for _ in 0..=random.below(3) {
            self.statement(random);
        }
        self.transactions += 1;
        let end = position(self.transactions);
        self.log.push(LogEvent::Commit { end, committed_at_ms: 1_700_000_000_000 + self.transactions });
    }

    fn statement(&mut self, random: &mut SeededRandom) {
        let (one, other) = self.two(random);
        match random.below(8) {
            0 => {
                // Moved into a new account, whose name differs from an earlier one by its case only.
                let id = self.accounts.keys().last().unwrap() + 1;
                let (before, amount) = (self.row(one), amount(random));
                self.accounts.get_mut(&one).unwrap().1 -= amount;
                self.made += 1;
                self.accounts.insert(id, (format!("NEW {}", self.made), amount));
                self.change(ACCOUNTS, ChangeKind::Update, vec![before], vec![self.row(one)]);
                self.change(ACCOUNTS, ChangeKind::Insert, vec![], vec![self.row(id)]);
            }
            1 if self.accounts.len() > 10 => {
                let (before, gone) = (self.row(one), self.row(other));
                let (_, amount) = self.accounts.remove(&other).unwrap();
                self.accounts.get_mut(&one).unwrap().1 += amount;
                self.change(ACCOUNTS, ChangeKind::Delete, vec![gone], vec![]);
                self.change(ACCOUNTS, ChangeKind::Update, vec![before], vec![self.row(one)]);
            }
            2 => {
                // Both names at once: no order of the two rows works by itself.
                let before = vec![self.row(one), self.row(other)];
                let (first, second) = (self.accounts[&one].0.clone(), self.accounts[&other].0.clone());
                self.accounts.get_mut(&one).unwrap().0 = second.to_uppercase();
                self.accounts.get_mut(&other).unwrap().0 = first.to_lowercase();
                self.change(ACCOUNTS, ChangeKind::Update, before, vec![self.row(one), self.row(other)]);
            }
            3 => {
                // The key of an account changes.
                let id = self.accounts.keys().last().unwrap() + 1 + u32::try_from(random.below(3)).unwrap();
                let before = self.row(one);
                let account = self.accounts.remove(&one).unwrap();
                self.accounts.insert(id, account);
                self.change(ACCOUNTS, ChangeKind::Update, vec![before], vec![self.row(id)]);
            }
            4 => {
                let line = ["a", "A", "\u{e4}", "it's\t\\"][random.below(4)].to_owned();
                self.lines.extend([line.clone(), line.clone()]);
                self.change(LINES, ChangeKind::Insert, vec![], vec![vec![line.clone()], vec![line]]);
            }
            5 if !self.lines.is_empty() => {
                let line = self.lines.swap_remove(random.below(self.lines.len()));
                self.change(LINES, ChangeKind::Delete, vec![vec![line]], vec![]);
            }
            6 if !self.lines.is_empty() => {
                let place = random.below(self.lines.len());
                let line = std::mem::replace(&mut self.lines[place], "changed".into());
                self.change(LINES, ChangeKind::Update, vec![vec![line]], vec![vec!["changed".into()]]);
            }
            _ => {
                let (before, amount) = (vec![self.row(one), self.row(other)], amount(random));
                self.accounts.get_mut(&one).unwrap().1 -= amount;
                self.accounts.get_mut(&other).unwrap().1 += amount;
                self.change(ACCOUNTS, ChangeKind::Update, before, vec![self.row(one), self.row(other)]);
            }
        }
    }
}

/// Streams the log, and breaks again and again.
#[derive(Clone)]
pub(super) struct LogSource {
    pub(super) catalog: Arc<Catalog>,
    pub(super) log: Arc<Vec<LogEvent>>,
    pub(super) transactions: u64,
    pub(super) breaks: Arc<AtomicU32>,
    pub(super) streams: Arc<AtomicU32>,
}

impl LogSource {
    pub(super) fn new(model: &Model, breaks: u32) -> Self {
        let key = |name: &str| vec![name.to_owned()];
        let columns = [("id", "int not null"), ("name", "varchar(20)"), ("balance", "bigint not null")];
        let mut accounts = Table::define("accounts", columns, &key("id"));
        accounts.create = accounts.create.replace("\n) ", ",\n  UNIQUE KEY `by_name` (`name`)\n) ");
        let lines = Table::define("some_lines", [("line", "varchar(20)")], &[]);
        Self {
            catalog: Arc::new(Catalog::from_tables(vec![accounts, lines])),
            log: Arc::new(model.log.clone()),
            transactions: model.transactions,
            breaks: Arc::new(AtomicU32::new(breaks)),
            streams: Arc::default(),
        }
    }
}

#[async_trait]
impl Source for LogSource {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(self.catalog.as_ref().clone())
    }

    async fn plan(&self, selection: &Selection) -> Result<Plan> {
        let start = position(0);
        let place = Position {
            binlog_file: Some(start.file),
            binlog_position: Some(start.offset),
            log_server: Some(start.server),
            ..Position::unknown(SnapshotMethod::External)
        };
        Ok(Plan::from_selection(&self.catalog, selection, place))
    }

    async fn read<'a>(&'a self, table: &'a TablePlan, _: &'a Chunk, _: &'a MemoryBudget) -> Result<BatchStream<'a>> {
        let model = Model::new();
        let is_filled = table.number == ACCOUNTS;
        let rows: Vec<Vec<String>> = model.accounts.keys().filter(|_| is_filled).map(|id| model.row(*id)).collect();
        let batch = batch(table.number, &rows);
        Ok(stream::iter((batch.rows > 0).then_some(Ok(batch))).boxed())
    }

    async fn changes<'a>(
        &'a self,
        _: &'a Plan,
        from: &'a LogPosition,
        _: &'a MemoryBudget,
    ) -> Result<ChangeStream<'a>> {
        let number = self.streams.fetch_add(1, Ordering::Relaxed);
        let is_passed = |event: &LogEvent| matches!(event, LogEvent::Commit { end, .. } if end == from);
        let start = self.log.iter().position(is_passed).map_or(0, |passed| passed + 1);
        let broken = self.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let length = if broken.is_ok() { 10 + 37 * number as usize % 300 } else { usize::MAX };
        let events = self.log[start..].iter().take(length).cloned().map(Ok);
        let lost = Error::new(ErrorKind::Connection, "the stream breaks").retryable();
        let end = match length {
            usize::MAX => {
                let idle = move |()| async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Ok(LogEvent::Idle { end: position(self.transactions), logged_at_ms: None }), ()))
                };
                stream::unfold((), idle).boxed()
            }
            _ => stream::iter([Err(lost)]).boxed(),
        };
        Ok(stream::iter(events).chain(end).boxed())
    }

    async fn log_end(&self) -> Result<LogPosition> {
        Ok(position(self.transactions))
    }
}
