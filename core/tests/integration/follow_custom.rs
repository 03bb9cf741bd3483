//! Promise: changes of any source are applied exactly once, in an order that conflicts nowhere, whatever breaks meanwhile.
//!
//! The source is a program: it makes a log of random transactions, and its stream breaks often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dbgraft::codec::BatchBuilder;
use dbgraft::{
    Batch, BatchId, BatchStream, CancellationToken, Catalog, ChangeKind, ChangeStream, Chunk, CloneJob, CloneOptions,
    CloneState, Error, ErrorKind, LogEvent, LogPosition, MemoryBudget, Plan, Position, Result, RowChanges, RowImages,
    Selection, SnapshotMethod, Source, SourceEndpoint, Table, TablePlan, TargetJob, Verify,
};
use futures::{StreamExt as _, stream};

use crate::common::{BackgroundLoop, Bench, FLAVORS, no_hang, sampled_flavors, wait_until};

const ACCOUNTS: u32 = 0;
const LINES: u32 = 1;
const TOTAL: i64 = 1000 * 20;

/// A small generator of random numbers, the same for each seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn amount(&mut self) -> i64 {
        i64::try_from(self.below(100)).unwrap()
    }
}

/// The rows after some transactions, and the log of these.
#[derive(Default)]
struct Model {
    accounts: BTreeMap<u32, (String, i64)>,
    lines: Vec<String>,
    log: Vec<LogEvent>,
    transactions: u64,
    /// The number of accounts that were ever made.
    made: u32,
}

fn batch(table: u32, rows: &[Vec<String>]) -> Batch {
    let mut builder = BatchBuilder::default();
    for row in rows {
        row.iter().for_each(|value| builder.push_value(value.as_bytes()));
        builder.end_row();
    }
    builder.finish(BatchId { table, chunk: 0, batch: 0 })
}

fn images(columns: u32, rows: &[Vec<String>]) -> RowImages {
    RowImages { columns: (0..columns).collect(), text: batch(0, rows).data }
}

fn position(offset: u64) -> LogPosition {
    LogPosition {
        server: "s".into(),
        file: format!("log.{:06}", offset / 500 + 1),
        offset: offset % 500,
        ..LogPosition::default()
    }
}

impl Model {
    fn new() -> Self {
        let account = |id: u32| (id, (format!("name {id}"), 1000));
        Self { accounts: (0..20).map(account).collect(), ..Self::default() }
    }

    fn row(&self, id: u32) -> Vec<String> {
        let (name, balance) = &self.accounts[&id];
        vec![id.to_string(), name.clone(), balance.to_string()]
    }

    fn change(&mut self, table: u32, kind: ChangeKind, before: Vec<Vec<String>>, after: Vec<Vec<String>>) {
        let columns = if table == ACCOUNTS { 3 } else { 1 };
        let rows = before.len().max(after.len()) as u64;
        let before = (kind != ChangeKind::Insert).then(|| images(columns, &before));
        let after = (kind != ChangeKind::Delete).then(|| images(columns, &after));
        self.log.push(LogEvent::Rows(RowChanges { table, kind, rows, before, after, with_cascades: false }));
    }

    /// Two accounts that are there, the first one before the second.
    fn two(&self, random: &mut Random) -> (u32, u32) {
        let ids: Vec<u32> = self.accounts.keys().copied().collect();
        let first = random.below(ids.len() - 1);
        let second = first + 1 + random.below(ids.len() - first - 1);
        (ids[first], ids[second])
    }

    fn transact(&mut self, random: &mut Random) {
        self.log.push(LogEvent::Begin { gtid: None });
        for _ in 0..=random.below(3) {
            self.statement(random);
        }
        self.transactions += 1;
        let end = position(self.transactions);
        self.log.push(LogEvent::Commit { end, committed_at_ms: 1_700_000_000_000 + self.transactions });
    }

    fn statement(&mut self, random: &mut Random) {
        let (one, other) = self.two(random);
        match random.below(8) {
            0 => {
                // Moved into a new account, whose name differs from an earlier one by its case only.
                let id = self.accounts.keys().last().unwrap() + 1;
                let (before, amount) = (self.row(one), random.amount());
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
                let (before, amount) = (vec![self.row(one), self.row(other)], random.amount());
                self.accounts.get_mut(&one).unwrap().1 -= amount;
                self.accounts.get_mut(&other).unwrap().1 += amount;
                self.change(ACCOUNTS, ChangeKind::Update, before, vec![self.row(one), self.row(other)]);
            }
        }
    }
}

/// Streams the log, and breaks again and again.
#[derive(Clone)]
struct LogSource {
    catalog: Arc<Catalog>,
    log: Arc<Vec<LogEvent>>,
    transactions: u64,
    breaks: Arc<AtomicU32>,
    streams: Arc<AtomicU32>,
}

impl LogSource {
    fn new(model: &Model, breaks: u32) -> Self {
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

fn own(source: LogSource) -> SourceEndpoint {
    SourceEndpoint::Own(Arc::new(source))
}

fn options(threads: usize) -> CloneOptions {
    CloneOptions { follow: true, threads, ..CloneOptions::default() }
}

fn assert_applied(bench: &Bench, model: &Model) {
    let accounts = bench.target("SELECT id, name, balance FROM accounts ORDER BY id");
    let wanted: Vec<String> = model.accounts.keys().map(|id| model.row(*id).join("\t")).collect();
    assert_eq!(accounts.lines().collect::<Vec<_>>(), wanted);
    let lines = bench.target("SELECT HEX(line) FROM some_lines ORDER BY HEX(line)");
    let hex = |line: &String| line.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
    let mut wanted: Vec<String> = model.lines.iter().map(hex).collect();
    wanted.sort();
    assert_eq!(lines.lines().collect::<Vec<_>>(), wanted);
    assert_eq!(bench.target("SHOW TABLES LIKE '%journal'"), "");
}

/// Watches that the sum of all balances holds at every moment.
fn watch_sum(bench: &Bench) -> BackgroundLoop {
    let (target, to) = (bench.pair.target.clone(), bench.to.clone());
    BackgroundLoop::new(move |_| match target.sql_in(&to, "SELECT SUM(balance), COUNT(*) > 0 FROM accounts") {
        Ok(sum) if sum.trim().ends_with("\t1") => {
            let sum = sum.split('\t').next().unwrap().to_owned();
            assert_eq!(sum, TOTAL.to_string());
            true
        }
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_transaction_is_applied_once_although_the_stream_breaks() {
    for &flavor in sampled_flavors() {
        for (seed, threads) in [(1, 1), (2, 4)] {
            let mut random = Random(seed);
            let mut model = Model::new();
            (0..1500).for_each(|_| model.transact(&mut random));
            let bench = Bench::names(flavor);
            let source = LogSource::new(&model, 3);
            let job = CloneJob::new(own(source.clone()), bench.target_url()).options(options(threads));
            let control = job.control();
            let sum = watch_sum(&bench);
            let running = tokio::spawn(job.run());
            let all = model.transactions;
            let is_done = || {
                running.is_finished() || control.follow_progress().is_some_and(|progress| progress.transactions == all)
            };
            while !is_done() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            control.cut_over(Verify::None);
            let report = running.await.unwrap().unwrap();
            assert!(sum.rounds() > 0);
            drop(sum);
            let followed = report.followed.unwrap();
            assert_eq!((followed.transactions, followed.position), (all, position(all)));
            assert_eq!(source.streams.load(Ordering::Relaxed), 4);
            assert_applied(&bench, &model);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn following_is_taken_up_where_it_ended() {
    for &flavor in sampled_flavors() {
        let mut random = Random(7);
        let mut model = Model::new();
        (0..3000).for_each(|_| model.transact(&mut random));
        let bench = Bench::names(flavor);
        let source = LogSource::new(&model, 0);
        let (mut before, mut round) = (0, 0);
        loop {
            let token = CancellationToken::new();
            let job = CloneJob::new(own(source.clone()), bench.target_url()).options(options(1 + round % 4));
            let job = job.cancellation(token.clone());
            let control = job.control();
            let running = match round {
                0 => tokio::spawn(async { job.run().await.map(|report| report.followed.unwrap()) }),
                _ => tokio::spawn(job.follow()),
            };
            let transactions = || control.follow_progress().map_or(0, |progress| progress.transactions);
            while !running.is_finished() && transactions() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            before = transactions();
            round += 1;
            if before == model.transactions {
                control.cut_over(Verify::None);
                let followed = running.await.unwrap().unwrap();
                assert_eq!(followed.transactions, model.transactions);
                break;
            }
            token.cancel();
            let error = running.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
            // The server may not have noticed yet that the connection with the lock is closed.
            no_hang(async {
                while TargetJob::new(bench.target_url()).status().await.unwrap().state != CloneState::NotFollowing {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
            let applied = TargetJob::new(bench.target_url()).status().await.unwrap().following.unwrap().checkpoint;
            // What is applied before its turn counts as well: the appliers may not have ended in time.
            assert!(applied.transactions + applied.ahead.len() as u64 >= before, "{applied:?}, {before}");
        }
        assert_applied(&bench, &model);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_finds_no_row_ends_following_and_names_the_row() {
    for &flavor in sampled_flavors() {
        let mut model = Model::new();
        let bench = Bench::names(flavor);
        model.log.push(LogEvent::Begin { gtid: None });
        model.change(ACCOUNTS, ChangeKind::Delete, vec![vec!["77".into(), "x".into(), "1".into()]], vec![]);
        model.log.push(LogEvent::Commit { end: position(1), committed_at_ms: 1 });
        model.transactions = 1;
        let job = CloneJob::new(own(LogSource::new(&model, 0)), bench.target_url()).options(options(2));
        let error = job.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let message = error.to_string();
        for part in ["accounts", "id = 77", "log.000001:1"] {
            assert!(message.contains(part), "{message}");
        }
        let status = TargetJob::new(bench.target_url()).status().await.unwrap();
        assert_eq!((status.state, status.following.unwrap().checkpoint.transactions), (CloneState::NotFollowing, 0));
        assert_eq!(bench.target("SELECT COUNT(*) FROM accounts"), "20");
        TargetJob::new(bench.target_url()).abandon().await.unwrap();
        assert!(wait_until(|| !bench.target_exists()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_the_memory_is_streamed() {
    for &flavor in sampled_flavors() {
        let mut model = Model::new();
        let mut random = Random(3);
        (0..20).for_each(|_| model.transact(&mut random));
        model.log.push(LogEvent::Begin { gtid: None });
        for _ in 0..400 {
            let rows: Vec<Vec<String>> = (0..500).map(|_| vec!["0123456789abcdef".to_owned()]).collect();
            model.lines.extend(rows.iter().map(|row| row[0].clone()));
            model.change(LINES, ChangeKind::Insert, vec![], rows);
        }
        model.transactions += 1;
        model.log.push(LogEvent::Commit { end: position(model.transactions), committed_at_ms: 5 });
        (0..20).for_each(|_| model.transact(&mut random));
        let bench = Bench::names(flavor);
        let small = CloneOptions { memory: 8 << 20, ..options(4) };
        let job = CloneJob::new(own(LogSource::new(&model, 0)), bench.target_url()).options(small);
        job.control().cut_over(Verify::None);
        let followed = job.run().await.unwrap().followed.unwrap();
        assert_eq!(followed.transactions, model.transactions);
        assert_applied(&bench, &model);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_filter_its_changes_is_refused_with_a_filter() {
    let (bench, source) = (Bench::names(FLAVORS[0]), LogSource::new(&Model::new(), 0));
    let filters = [("accounts".to_owned(), "id > 1".to_owned())].into();
    let job = CloneJob::new(own(source), bench.target_url()).options(CloneOptions { filters, ..options(1) });
    let error = job.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
    assert!(error.to_string().contains("cannot leave out changes by a row filter"), "{error}");
    assert!(!bench.target_exists());
}
