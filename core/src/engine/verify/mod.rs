//! Compares the target with what was read, chunk by chunk: while a leg runs, or without a clone.

mod comparable;
mod comparison_unit;
mod lasting;
mod row_cells;
mod row_diff;
mod side_reader;
mod standalone;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;

use self::comparison_unit::{ComparisonUnit, TablePart};
use self::row_diff::{BucketSums, DifferingKeys, RowKey, Side};
use super::leg::Leg;
use super::progress_meter::ProgressMeter;
use super::rate_limiter::RateLimiter;
use crate::catalog::{ObjectKind, ObjectRef, Printable};
use crate::codec::{Digest, row_texts};
use crate::error::{ErrorKind, Result};
use crate::event::Event;
use crate::options::Verify;
use crate::plan::{OmittedObject, TablePlan};
use crate::verification::{Difference, DifferingRow, Verification, chunk_condition};

/// The maximum number of differing rows listed for each table.
const MAX_LISTED_ROWS: usize = 100;

pub(super) type UnitSender = mpsc::UnboundedSender<ComparisonUnit>;

/// Compares tables. Shared by the tasks of a comparison.
pub(super) struct Comparer {
    leg: Leg,
    /// The tables as they are read at the target, with their numbers as indexes.
    target_tables: Vec<TablePlan>,
    states: Mutex<Vec<ComparisonState>>,
    meter: ProgressMeter,
    rate_limiter: RateLimiter,
    /// The job by which the target follows the source: both change while they are compared.
    followed_job: Option<String>,
}

/// The state of the comparison of one table.
#[derive(Debug, Clone, Default)]
struct ComparisonState {
    units_left: usize,
    chunks: u64,
    rows: u64,
    /// The digest of all rows of the source.
    read: Digest,
    /// The units that differ, with the digests of the source and of the target.
    unequal: Vec<(ComparisonUnit, Digest, Digest)>,
    differences: Vec<Difference>,
    /// The reason why the table cannot be compared.
    skipped: Option<String>,
}

impl Comparer {
    fn new(leg: Leg, target_tables: Vec<TablePlan>, followed_job: Option<String>) -> Self {
        Self {
            states: Mutex::new(vec![ComparisonState::default(); leg.plan.tables.len()]),
            meter: ProgressMeter::new(&leg.plan),
            rate_limiter: RateLimiter::new(leg.max_rate),
            target_tables,
            followed_job,
            leg,
        }
    }

    /// Creates the comparer that runs along with a leg; `None` if the leg does not verify.
    pub(super) fn for_leg(leg: &Leg) -> Option<Arc<Self>> {
        if leg.verify == Verify::None {
            return None;
        }
        // Reads the target without the filter: it may name tables that the target lacks, and all rows there passed it.
        let unfiltered = |table: &TablePlan| TablePlan { filter: None, ..table.clone() };
        let target_tables = leg.plan.tables.iter().map(unfiltered).collect();
        Some(Arc::new(Self::new(Leg { staged: None, ..leg.clone() }, target_tables, None)))
    }

    /// Spawns one comparing task for each thread of the leg. The tasks end when all senders of units are dropped.
    pub(super) fn spawn_tasks(
        self: &Arc<Self>,
        tasks: &mut JoinSet<Result<()>>,
        receiver: mpsc::UnboundedReceiver<ComparisonUnit>,
    ) {
        let receiver = Arc::new(AsyncMutex::new(receiver));
        for _ in 0..self.leg.threads {
            tasks.spawn(Self::compare_units(self.clone(), receiver.clone()));
        }
    }

    /// Adds a complete table of a clone; `digests` are those of its chunks, as they were read.
    pub(super) fn add_read_table(&self, table: u32, digests: &[Digest], units: &UnitSender) {
        let unit = |(chunk, digest): (usize, &Digest)| ComparisonUnit {
            table,
            part: TablePart::Chunk(chunk),
            read: Some(*digest),
        };
        self.add_units(table, digests.iter().enumerate().map(unit).collect(), units);
    }

    /// Adds a table that is read on both sides.
    fn add_unread_table(&self, table: u32, units: &UnitSender) {
        let (Some(source), Some(target)) = (self.source_table(table), self.target_table(table)) else { return };
        let same_chunks = source.chunks == target.chunks && source.chunk_key == target.chunk_key;
        let parts = match same_chunks {
            true => (0..source.chunks.len()).map(TablePart::Chunk).collect(),
            false => vec![TablePart::AllChunks],
        };
        let unit = |part| ComparisonUnit { table, part, read: None };
        self.add_units(table, parts.into_iter().map(unit).collect(), units);
    }

    fn add_units(&self, table: u32, all: Vec<ComparisonUnit>, units: &UnitSender) {
        self.update(table, |state| state.units_left = all.len());
        for unit in all {
            // The receiving tasks stop only after an error, which ends the leg.
            let _ = units.send(unit);
        }
    }

    async fn compare_units(
        self: Arc<Self>,
        receiver: Arc<AsyncMutex<mpsc::UnboundedReceiver<ComparisonUnit>>>,
    ) -> Result<()> {
        loop {
            let unit = receiver.lock().await.recv().await;
            let Some(unit) = unit else { return Ok(()) };
            match self.digests(unit).await {
                Ok(Ok((source, target))) => self.update(unit.table, |state| {
                    state.chunks += 1;
                    state.rows += target.rows;
                    state.read.add(&source);
                    if source != target {
                        state.unequal.push((unit, source, target));
                    }
                }),
                Ok(Err(unreadable)) => self.add_difference(unit.table, self.difference(unit, unreadable)),
                Err(error) if error.kind() == ErrorKind::Unsupported => self.skip_table(unit.table, error.to_string()),
                Err(error) => return Err(error.with("table", Printable(&self.object(unit.table).name))),
            }
            let mut is_last = false;
            self.update(unit.table, |state| {
                state.units_left = state.units_left.saturating_sub(1);
                is_last = state.units_left == 0;
            });
            if is_last {
                self.report_table(unit.table).await?;
            }
        }
    }

    /// Reports the differences of a table after its last unit.
    async fn report_table(&self, table: u32) -> Result<()> {
        let (mut unequal, mut read) = (Vec::new(), Digest::default());
        self.update(table, |state| (unequal, read) = (std::mem::take(&mut state.unequal), state.read));
        self.meter.mark_complete(table);
        if let Some(job) = &self.followed_job {
            let units = match unequal.len() > 1 && self.has_text_key(table) {
                true => vec![ComparisonUnit { table, part: TablePart::Whole, read: None }],
                false => unequal.iter().map(|(unit, ..)| *unit).collect(),
            };
            return self.report_lasting(table, units, job).await;
        }
        if unequal.len() > 1 && self.has_text_key(table) {
            // MySQL and MariaDB sort texts differently. A row may then lie in another range at the target, so only the
            // digest of the whole table counts.
            let unit = ComparisonUnit { table, part: TablePart::Whole, read: Some(read) };
            if let Ok(Ok((source, target))) = self.digests(unit).await
                && source == target
            {
                self.update(table, |state| state.rows = target.rows);
                return Ok(());
            }
        }
        unequal.sort_by_key(|(unit, ..)| unit.part);
        let mut room = MAX_LISTED_ROWS;
        for (unit, source, target) in unequal {
            let what = match (source.rows, target.rows) {
                (source, target) if source != target => format!("{source} rows at the source, {target} at the target"),
                (rows, _) => format!("{rows} rows on both sides, but not the same"),
            };
            let mut difference = self.difference(unit, what);
            if self.leg.list_rows {
                match self.list_rows(unit, room).await {
                    Ok((rows, more)) => (difference.rows, difference.more) = (rows, more),
                    Err(error) => difference.what.push_str(&format!("; its rows cannot be listed: {error}")),
                }
                room = room.saturating_sub(difference.rows.len());
            }
            self.add_difference(table, difference);
        }
        Ok(())
    }

    /// Lists up to `max` differing rows. Also returns a lower bound of the number of further ones.
    async fn list_rows(&self, unit: ComparisonUnit, max: usize) -> Result<(Vec<DifferingRow>, u64)> {
        let Some(table) = self.source_table(unit.table) else { return Ok((Vec::new(), 0)) };
        if max == 0 {
            return Ok((Vec::new(), 1));
        }
        let key = RowKey::of_table(&table.table);
        let mut sums = BucketSums::new(&key);
        for side in [Side::Source, Side::Target] {
            self.for_each_batch(unit, side, |batch| row_texts(&batch.data).for_each(|row| sums.add(side, row))).await?;
        }
        let (buckets, other_buckets) = sums.unequal_buckets(max);
        let mut keys = DifferingKeys::new(&key, buckets);
        for side in [Side::Source, Side::Target] {
            self.for_each_batch(unit, side, |batch| row_texts(&batch.data).for_each(|row| keys.add(side, row))).await?;
        }
        let mut rows = keys.into_rows();
        let listed = rows.by_ref().take(max).collect();
        Ok((listed, other_buckets + rows.count() as u64))
    }

    fn difference(&self, unit: ComparisonUnit, what: String) -> Difference {
        let range = self.source_table(unit.table).and_then(|table| match unit.part {
            TablePart::Chunk(chunk) => chunk_condition(&table.chunk_key, table.chunks.get(chunk)?),
            TablePart::AllChunks | TablePart::Whole => None,
        });
        Difference { range, ..Difference::new(self.object(unit.table), what) }
    }

    /// Adds a difference to the result and emits it as a warning.
    fn add_difference(&self, table: u32, difference: Difference) {
        self.leg.events.emit(Event::Warning { message: format!("different: {difference}") });
        self.update(table, |state| state.differences.push(difference));
    }

    /// Marks a table as incomparable and emits a warning.
    pub(super) fn skip_table(&self, table: u32, reason: String) {
        let message = format!("{} is not compared: {reason}", self.object(table));
        self.update(table, |state| {
            if state.skipped.is_none() {
                self.leg.events.emit(Event::Warning { message });
            }
            state.skipped = Some(reason);
        });
    }

    /// Takes the result, after all units are compared.
    pub(super) fn take_verification(&self) -> Verification {
        let mut states = self.states();
        let skipped = (0..).zip(states.iter_mut()).filter_map(|(table, state)| {
            Some(OmittedObject { object: self.object(table), reason: state.skipped.take()? })
        });
        Verification {
            skipped: skipped.collect(),
            how: self.leg.verify,
            tables: states.iter().filter(|state| state.chunks > 0).count() as u64,
            chunks: states.iter().map(|state| state.chunks).sum(),
            rows: states.iter().map(|state| state.rows).sum(),
            differences: states.iter_mut().flat_map(|state| std::mem::take(&mut state.differences)).collect(),
        }
    }

    fn source_table(&self, table: u32) -> Option<&TablePlan> {
        self.leg.plan.tables.get(table as usize)
    }

    fn target_table(&self, table: u32) -> Option<&TablePlan> {
        self.target_tables.get(table as usize)
    }

    fn states(&self) -> MutexGuard<'_, Vec<ComparisonState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, table: u32, change: impl FnOnce(&mut ComparisonState)) {
        if let Some(state) = self.states().get_mut(table as usize) {
            change(state);
        }
    }

    /// Whether the chunk key of a table has a text column.
    fn has_text_key(&self, table: u32) -> bool {
        let is_text = |table: &TablePlan, key: &String| {
            table.table.columns.iter().any(|column| column.name == *key && column.charset.is_some())
        };
        self.source_table(table).is_some_and(|table| table.chunk_key.iter().any(|key| is_text(table, key)))
    }

    fn object(&self, table: u32) -> ObjectRef {
        self.source_table(table).map_or_else(|| ObjectRef::new(ObjectKind::Table, ""), |table| table.table.object())
    }
}
