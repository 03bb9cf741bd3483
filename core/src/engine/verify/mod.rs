//! Compares what is at the target with what was read, chunk by chunk: beside a running leg, or by itself.

mod columns;
mod rows;
mod unit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::TryStreamExt as _;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;

use self::rows::{Buckets, Key, Side, Suspects};
use self::unit::{Part, Unit};
use super::meter::Meter;
use super::pipeline::{Leg, attend};
use super::throttle::Throttle;
use crate::batch::Batch;
use crate::catalog::{ObjectKind, ObjectRef, Printable};
use crate::codec::{Digest, lines};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Phase};
use crate::options::Verify;
use crate::plan::{Chunk, LeftOut, Plan, TablePlan};
use crate::source::{BatchStream, ReadObserver};
use crate::verification::{Difference, DifferingRow, Verification, range};

/// So many differing rows of each table are named.
const LISTED: usize = 100;

pub(super) type Units = mpsc::UnboundedSender<Unit>;

/// What the tasks of a comparison share.
pub(super) struct Comparing {
    leg: Leg,
    /// The tables as they are read back, with their numbers as indexes.
    there: Vec<TablePlan>,
    tables: Mutex<Vec<State>>,
    meter: Meter,
    throttle: Throttle,
}

/// How far the comparison of a table is.
#[derive(Debug, Clone, Default)]
struct State {
    units_left: usize,
    chunks: u64,
    rows: u64,
    /// The digest of all that was read.
    read: Digest,
    /// Units whose digests differ, with those of the source and of the target.
    wrong: Vec<(Unit, Digest, Digest)>,
    differences: Vec<Difference>,
    /// Why it cannot be compared.
    skipped: Option<String>,
}

impl Leg {
    /// Compares both ends, and changes neither. Dropping the future stops it; then the sink must be aborted and the
    /// source closed.
    pub(crate) async fn compare(mut self) -> Result<Verification> {
        self.phase(Phase::Verify);
        let found = self.sink.counterparts(&self.plan).await?;
        let mut plan = Plan::clone(&self.plan);
        let mut there = Vec::new();
        let mut missing = Vec::new();
        for (table, found) in plan.tables.iter_mut().zip(found) {
            let difference = match &found {
                None => Some("the table is missing at the target".to_owned()),
                Some(found) => columns::difference(&table.table, &found.table),
            };
            missing.push(difference.map(|what| Difference::of(table.table.object(), what)));
            let found = found.unwrap_or_else(|| table.clone());
            if self.source.reads_any_range() && !table.chunks.is_empty() {
                table.chunk_key.clone_from(&found.chunk_key);
                table.chunks.clone_from(&found.chunks);
            }
            // Read by the same expressions, and with the same filter.
            let TablePlan { chunk_key, chunks, .. } = found;
            there.push(TablePlan { chunk_key, chunks, ..table.clone() });
        }
        self.plan = Arc::new(plan);
        let comparing = Arc::new(Comparing::new(self, there));
        let (sender, receiver) = mpsc::unbounded_channel();
        for (number, difference) in (0..).zip(missing) {
            match difference {
                Some(difference) => comparing.tell(number, difference),
                None => comparing.add_table(number, &sender),
            }
        }
        drop(sender);
        let mut tasks = JoinSet::new();
        comparing.start(&mut tasks, receiver);
        let leg = &comparing.leg;
        attend(tasks, || leg.progress(Phase::Verify, &comparing.meter)).await?;
        leg.progress(Phase::Verify, &comparing.meter);
        leg.phase(Phase::Done);
        Ok(comparing.verification())
    }
}

impl Comparing {
    fn new(leg: Leg, there: Vec<TablePlan>) -> Self {
        let tables = Mutex::new(vec![State::default(); leg.plan.tables.len()]);
        Self { meter: Meter::new(&leg.plan), throttle: Throttle::new(leg.max_rate), tables, there, leg }
    }

    /// The comparison that goes along with a leg, if one is wanted.
    pub(super) fn along(leg: &Leg) -> Option<Arc<Self>> {
        if leg.verify == Verify::None {
            return None;
        }
        // A filter may name tables that are not there, and everything that is there has passed it.
        let whole = |table: &TablePlan| TablePlan { filter: None, ..table.clone() };
        let there = leg.plan.tables.iter().map(whole).collect();
        Some(Arc::new(Self::new(Leg { staged: None, ..leg.clone() }, there)))
    }

    /// Starts as many tasks as the leg has threads; they end when nobody can send units any more.
    pub(super) fn start(self: &Arc<Self>, tasks: &mut JoinSet<Result<()>>, receiver: mpsc::UnboundedReceiver<Unit>) {
        let receiver = Arc::new(AsyncMutex::new(receiver));
        for _ in 0..self.leg.threads {
            tasks.spawn(Self::compare_units(self.clone(), receiver.clone()));
        }
    }

    /// A table is complete, and these are the digests of its chunks.
    pub(super) fn add_read(&self, table: u32, digests: &[Digest], units: &Units) {
        let unit = |(chunk, digest): (usize, &Digest)| Unit { table, part: Part::Chunk(chunk), read: Some(*digest) };
        self.add(table, digests.iter().enumerate().map(unit).collect(), units);
    }

    /// A table that is read on both sides.
    fn add_table(&self, table: u32, units: &Units) {
        let (Some(here), Some(there)) = (self.here(table), self.there(table)) else { return };
        let by_chunk = here.chunks == there.chunks && here.chunk_key == there.chunk_key;
        let parts = if by_chunk { (0..here.chunks.len()).map(Part::Chunk).collect() } else { vec![Part::Chunks] };
        self.add(table, parts.into_iter().map(|part| Unit { table, part, read: None }).collect(), units);
    }

    fn add(&self, table: u32, all: Vec<Unit>, units: &Units) {
        self.change(table, |state| state.units_left = all.len());
        for unit in all {
            // Who takes them goes away only by an error of its own, which ends the leg.
            let _ = units.send(unit);
        }
    }

    async fn compare_units(self: Arc<Self>, receiver: Arc<AsyncMutex<mpsc::UnboundedReceiver<Unit>>>) -> Result<()> {
        loop {
            let unit = receiver.lock().await.recv().await;
            let Some(unit) = unit else { return Ok(()) };
            match self.digests(unit).await {
                Ok(Ok((here, there))) => self.change(unit.table, |state| {
                    state.chunks += 1;
                    state.rows += there.rows;
                    state.read.add(&here);
                    if here != there {
                        state.wrong.push((unit, here, there));
                    }
                }),
                Ok(Err(unreadable)) => self.tell(unit.table, self.difference(unit, unreadable)),
                Err(error) if error.kind() == ErrorKind::Unsupported => self.skip(unit.table, error.to_string()),
                Err(error) => return Err(error.with("table", Printable(&self.object(unit.table).name))),
            }
            let mut settled = false;
            self.change(unit.table, |state| {
                state.units_left = state.units_left.saturating_sub(1);
                settled = state.units_left == 0;
            });
            if settled {
                self.settle(unit.table).await;
            }
        }
    }

    /// The digests of the source and of the target, or why one of them is not what it should be.
    async fn digests(&self, unit: Unit) -> Result<Result<(Digest, Digest), String>> {
        let warn = |error: &Error| {
            let message =
                format!("reading for the comparison is tried again: {}", self.difference(unit, error.to_string()));
            self.leg.events.emit(Event::Warning { message });
        };
        let here = async {
            match unit.read {
                Some(read) => Ok(read),
                None => self.leg.retry.run(|| self.digest(unit, Side::Source), warn).await,
            }
        };
        let there = self.leg.retry.run(|| self.digest(unit, Side::Target), warn);
        // Not to the first error: a connection that is left in the middle of its rows is lost to the snapshot.
        let (here, there) = futures::join!(here, there);
        let (here, there) = match (unreadable(Side::Source, here)?, unreadable(Side::Target, there)?) {
            (Ok(here), Ok(there)) => (here, there),
            (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
        };
        Ok(Ok(match self.leg.verify {
            Verify::Counts => (Digest::counted(here.rows), Digest::counted(there.rows)),
            _ => (here, there),
        }))
    }

    async fn digest(&self, unit: Unit, side: Side) -> Result<Digest> {
        let Leg { source, sink, memory, .. } = &self.leg;
        let mut digest = Digest::default();
        for (table, chunk) in self.chunks(unit, side) {
            digest.add(&match (side, self.leg.verify) {
                (Side::Source, Verify::Counts) => Digest::counted(source.count(table, chunk, memory).await?),
                (Side::Target, Verify::Counts) => Digest::counted(sink.count(table, chunk, memory).await?),
                (Side::Source, _) => source.digest(table, chunk, memory, &self.reading(unit)).await?,
                (Side::Target, _) => sink.digest(table, chunk, memory).await?,
            });
        }
        Ok(digest)
    }

    /// Hands over the rows: only where it has to be told which of them differ.
    async fn each_batch(&self, unit: Unit, side: Side, mut see: impl FnMut(&Batch)) -> Result<()> {
        let memory = &self.leg.memory;
        for (table, chunk) in self.chunks(unit, side) {
            let mut batches: BatchStream<'_> = match side {
                Side::Source => self.leg.source.read(table, chunk, memory).await?,
                Side::Target => self.leg.sink.read_back(table, chunk, memory).await?,
            };
            while let Some(batch) = batches.try_next().await? {
                see(&batch);
                if side == Side::Source {
                    self.reading(unit).on_batch(batch.rows, batch.data.len() as u64).await;
                }
            }
        }
        Ok(())
    }

    fn reading(&self, unit: Unit) -> Reading<'_> {
        Reading { comparing: self, table: unit.table }
    }

    /// All chunks of a table are compared: says what is different in it.
    async fn settle(&self, table: u32) {
        let (mut wrong, mut read) = (Vec::new(), Digest::default());
        self.change(table, |state| (wrong, read) = (std::mem::take(&mut state.wrong), state.read));
        self.meter.complete(table);
        if wrong.len() > 1 && self.by_text(table) {
            // In the other family texts sort in another way: there rows may lie in another range, in two or in none.
            let whole = self.digests(Unit { table, part: Part::Whole, read: Some(read) }).await;
            if let Ok(Ok((here, there))) = whole
                && here == there
            {
                return self.change(table, |state| state.rows = there.rows);
            }
        }
        wrong.sort_by_key(|(unit, ..)| unit.part);
        let mut room = LISTED;
        for (unit, here, there) in wrong {
            let what = match (here.rows, there.rows) {
                (here, there) if here != there => format!("{here} rows at the source, {there} at the target"),
                (rows, _) => format!("{rows} rows on both sides, but not the same"),
            };
            let mut difference = self.difference(unit, what);
            if self.leg.list_rows {
                match self.list(unit, room).await {
                    Ok((rows, more)) => (difference.rows, difference.more) = (rows, more),
                    Err(error) => difference.what.push_str(&format!("; its rows cannot be listed: {error}")),
                }
                room = room.saturating_sub(difference.rows.len());
            }
            self.tell(table, difference);
        }
    }

    /// The first rows that differ, and at least how many more do.
    async fn list(&self, unit: Unit, room: usize) -> Result<(Vec<DifferingRow>, u64)> {
        let Some(table) = self.here(unit.table) else { return Ok((Vec::new(), 0)) };
        if room == 0 {
            return Ok((Vec::new(), 1));
        }
        let key = Key::of(&table.table);
        let mut buckets = Buckets::new(&key);
        for side in [Side::Source, Side::Target] {
            self.each_batch(unit, side, |batch| lines(&batch.data).for_each(|row| buckets.add(side, row))).await?;
        }
        let (chosen, others) = buckets.differing(room);
        let mut suspects = Suspects::new(&key, chosen);
        for side in [Side::Source, Side::Target] {
            self.each_batch(unit, side, |batch| lines(&batch.data).for_each(|row| suspects.look(side, row))).await?;
        }
        let mut differing = suspects.differing();
        let rows = differing.by_ref().take(room).collect();
        Ok((rows, others + differing.count() as u64))
    }

    fn difference(&self, unit: Unit, what: String) -> Difference {
        let range = self.here(unit.table).and_then(|table| match unit.part {
            Part::Chunk(chunk) => range(&table.chunk_key, table.chunks.get(chunk)?),
            Part::Chunks | Part::Whole => None,
        });
        Difference { range, ..Difference::of(self.object(unit.table), what) }
    }

    /// Notes a difference, and says so at once.
    fn tell(&self, table: u32, difference: Difference) {
        self.leg.events.emit(Event::Warning { message: format!("different: {difference}") });
        self.change(table, |state| state.differences.push(difference));
    }

    /// Notes that a table cannot be compared, and says so at once.
    fn skip(&self, table: u32, reason: String) {
        let message = format!("{} is not compared: {reason}", self.object(table));
        self.change(table, |state| {
            if state.skipped.is_none() {
                self.leg.events.emit(Event::Warning { message });
            }
            state.skipped = Some(reason);
        });
    }

    /// What was found, once all units are compared.
    pub(super) fn verification(&self) -> Verification {
        let mut tables = self.tables();
        let skipped = (0..)
            .zip(tables.iter_mut())
            .filter_map(|(table, state)| Some(LeftOut { object: self.object(table), reason: state.skipped.take()? }));
        Verification {
            skipped: skipped.collect(),
            how: self.leg.verify,
            tables: tables.iter().filter(|state| state.chunks > 0).count() as u64,
            chunks: tables.iter().map(|state| state.chunks).sum(),
            rows: tables.iter().map(|state| state.rows).sum(),
            differences: tables.iter_mut().flat_map(|state| std::mem::take(&mut state.differences)).collect(),
        }
    }

    fn here(&self, table: u32) -> Option<&TablePlan> {
        self.leg.plan.tables.get(table as usize)
    }

    fn there(&self, table: u32) -> Option<&TablePlan> {
        self.there.get(table as usize)
    }

    /// What is to be read on one side.
    fn chunks(&self, unit: Unit, side: Side) -> impl Iterator<Item = (&TablePlan, &Chunk)> {
        let table = if side == Side::Source { self.here(unit.table) } else { self.there(unit.table) };
        table.into_iter().flat_map(move |table| unit.chunks(table).iter().map(move |chunk| (table, chunk)))
    }

    fn tables(&self) -> MutexGuard<'_, Vec<State>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, table: u32, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.tables().get_mut(table as usize) {
            change(state);
        }
    }

    /// Whether the key ranges of the table are ranges of texts.
    fn by_text(&self, table: u32) -> bool {
        let is_text = |table: &TablePlan, key: &String| {
            table.table.columns.iter().any(|column| column.name == *key && column.charset.is_some())
        };
        self.here(table).is_some_and(|table| table.chunk_key.iter().any(|key| is_text(table, key)))
    }

    fn object(&self, table: u32) -> ObjectRef {
        self.here(table).map_or_else(|| ObjectRef::new(ObjectKind::Table, ""), |table| table.table.object())
    }
}

/// The reading of a table at the source: it is what progress and `--max-rate` are about.
struct Reading<'a> {
    comparing: &'a Comparing,
    table: u32,
}

#[async_trait]
impl ReadObserver for Reading<'_> {
    async fn on_batch(&self, rows: u64, bytes: u64) {
        self.comparing.meter.add(self.table, rows, bytes);
        self.comparing.throttle.take(bytes).await;
    }
}

/// What was seen, or in words that there is not what should be: a damaged object of an archive, a table of the target
/// that went away. Other errors say nothing of the kind.
fn unreadable(side: Side, seen: Result<Digest>) -> Result<Result<Digest, String>> {
    let (name, is_difference) = match (side, seen.as_ref().map_err(Error::kind)) {
        (Side::Source, Err(ErrorKind::Data | ErrorKind::Storage)) => ("source", true),
        (Side::Target, Err(ErrorKind::Data | ErrorKind::Storage | ErrorKind::Server)) => ("target", true),
        _ => ("", false),
    };
    match seen {
        Err(error) if is_difference && !error.is_retryable() => {
            Ok(Err(format!("cannot be read at the {name}: {error}")))
        }
        other => other.map(Ok),
    }
}
