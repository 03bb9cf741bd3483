//! Compares what differs again, while the source changes and the target follows it. A difference is told if it lasts after
//! the target has passed what the source had committed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::comparison_unit::ComparisonUnit;
use super::row_cells::{Look, RowCells, Suspects};
use super::row_diff::{BUCKETS, RowKey, Side, bucket};
use super::{Comparer, MAX_LISTED_ROWS};
use crate::codec::{Digest, hash_row, row_texts};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::options::Verify;
use crate::verification::DifferingRow;

/// The most looks at what differs.
const MAX_LOOKS: usize = 12;
/// The number of equal looks at a count after which its difference lasts.
const EQUAL_LOOKS: usize = 3;
/// The most rows of one unit that are kept while they are looked at.
const MAX_ROWS: u64 = 8192;
/// The interval at which the target's position is read.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long the target's position may stay the same while it is waited for.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);

/// What lasts of the difference of a unit.
#[derive(Default)]
struct Lasting {
    /// The difference, in one line; `None` if there is none.
    what: Option<String>,
    rows: Vec<DifferingRow>,
    /// The number of rows, or of counts, that changed in each look.
    moving: u64,
}

impl Comparer {
    /// Reports which differences of a table last. `job` is the job by which the target follows the source.
    pub(super) async fn report_lasting(&self, table: u32, units: Vec<ComparisonUnit>, job: &str) -> Result<()> {
        let looks =
            units.into_iter().map(|unit| async move { Ok::<_, Error>((unit, self.find_lasting(unit, job).await?)) });
        let found: Vec<_> = stream::iter(looks).buffered(self.leg.threads).try_collect().await?;
        let mut room = MAX_LISTED_ROWS;
        let mut moving = 0;
        for (unit, lasting) in found {
            moving += lasting.moving;
            let Some(what) = lasting.what else { continue };
            let mut rows = lasting.rows;
            let mut difference = self.difference(unit, what);
            if self.leg.list_rows {
                difference.more = rows.len().saturating_sub(room) as u64;
                rows.truncate(room);
                room = room.saturating_sub(rows.len());
                difference.rows = rows;
            }
            self.add_difference(table, difference);
        }
        if moving > 0 {
            let what = if self.leg.verify == Verify::Counts { "counts" } else { "rows" };
            self.skip_table(table, format!("{moving} of its {what} changed in each of {MAX_LOOKS} looks"));
        }
        Ok(())
    }

    async fn find_lasting(&self, unit: ComparisonUnit, job: &str) -> Result<Lasting> {
        let unit = ComparisonUnit { read: None, ..unit };
        match self.leg.verify {
            Verify::Counts => self.find_lasting_count(unit, job).await,
            _ => self.find_lasting_rows(unit, job).await,
        }
    }

    async fn find_lasting_count(&self, unit: ComparisonUnit, job: &str) -> Result<Lasting> {
        let mut before = self.read_digest(unit, Side::Source).await?.rows;
        let (mut last, mut equal_looks) = (None, 0);
        for _ in 0..MAX_LOOKS {
            self.wait_until_applied(job).await?;
            let target = self.read_digest(unit, Side::Target).await?.rows;
            let after = self.read_digest(unit, Side::Source).await?.rows;
            if target == before || target == after {
                return Ok(Lasting::default());
            }
            let counts = (before == after).then_some((before, target));
            equal_looks = match counts {
                None => 0,
                Some(_) if counts == last => equal_looks + 1,
                Some(_) => 1,
            };
            if equal_looks == EQUAL_LOOKS {
                let what = format!("{before} rows at the source, {target} at the target");
                return Ok(Lasting { what: Some(what), ..Lasting::default() });
            }
            (last, before) = (counts, after);
        }
        Ok(Lasting { moving: 1, ..Lasting::default() })
    }

    async fn find_lasting_rows(&self, unit: ComparisonUnit, job: &str) -> Result<Lasting> {
        let Some(table) = self.source_table(unit.table) else { return Ok(Lasting::default()) };
        let key = RowKey::of_table(&table.table);
        let (buckets, left) = self.differing_buckets(unit, &key, job).await?;
        if buckets.is_empty() {
            return Ok(Lasting::default());
        }
        let mut suspects = Suspects::default();
        let mut before = self.read_cells(unit, Side::Source, &key, &buckets).await?;
        for _ in 0..MAX_LOOKS {
            self.wait_until_applied(job).await?;
            let target = self.read_cells(unit, Side::Target, &key, &buckets).await?;
            let after = self.read_cells(unit, Side::Source, &key, &buckets).await?;
            if !suspects.add(Look { before: &before, target: &target, after: &after }) {
                break;
            }
            before = after;
        }
        let (rows, moving) = suspects.into_rows();
        let what = match rows.len() {
            0 => None,
            1 => Some("1 row differs".to_owned()),
            count => Some(format!("{count} rows differ")),
        };
        Ok(Lasting { what, rows, moving: moving + left })
    }

    /// Looks once at the whole unit, and returns the buckets of keys that may differ for good. Also returns the number of
    /// other such buckets, which are too many to look at.
    async fn differing_buckets(
        &self,
        unit: ComparisonUnit,
        key: &RowKey<'_>,
        job: &str,
    ) -> Result<(BTreeSet<u32>, u64)> {
        let (before, rows) = self.read_buckets(unit, Side::Source, key).await?;
        self.wait_until_applied(job).await?;
        let (target, _) = self.read_buckets(unit, Side::Target, key).await?;
        let (after, _) = self.read_buckets(unit, Side::Source, key).await?;
        let sums = before.iter().zip(&target).zip(&after);
        let all = (0_u32..).zip(sums).filter(|(_, ((before, target), after))| target != before && target != after);
        // Those that rested come first: they differ almost surely.
        let (resting, moving): (Vec<_>, Vec<_>) = all.partition(|(_, ((before, _), after))| before == after);
        let limit = (MAX_ROWS * u64::from(BUCKETS) / rows.max(1)).clamp(1, MAX_ROWS);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut numbers = resting.into_iter().chain(moving).map(|(bucket, _)| bucket);
        let chosen = numbers.by_ref().take(limit).collect();
        Ok((chosen, numbers.count() as u64))
    }

    /// Reads the sum of the hashes of the rows in each bucket of keys, and the number of rows.
    async fn read_buckets(&self, unit: ComparisonUnit, side: Side, key: &RowKey<'_>) -> Result<(Vec<u128>, u64)> {
        let read = async || {
            let (mut sums, mut rows) = (vec![0_u128; BUCKETS as usize], 0);
            let add = |row: &[u8]| {
                if let Some(sum) = sums.get_mut(bucket(key.hash(row)) as usize) {
                    *sum = sum.wrapping_add(hash_row(row));
                }
                rows += 1;
            };
            let mut add = add;
            self.for_each_batch(unit, side, |batch| row_texts(&batch.data).for_each(&mut add)).await?;
            Ok((sums, rows))
        };
        self.leg.retry.run(read, |error| self.warn(unit, error)).await
    }

    async fn read_cells(
        &self,
        unit: ComparisonUnit,
        side: Side,
        key: &RowKey<'_>,
        buckets: &BTreeSet<u32>,
    ) -> Result<RowCells> {
        let read = async || {
            let mut cells = RowCells::default();
            self.for_each_batch(unit, side, |batch| cells.add(key, buckets, &batch.data)).await?;
            Ok(cells)
        };
        self.leg.retry.run(read, |error| self.warn(unit, error)).await
    }

    async fn read_digest(&self, unit: ComparisonUnit, side: Side) -> Result<Digest> {
        self.leg.retry.run(|| self.digest(unit, side), |error| self.warn(unit, error)).await
    }

    /// Waits until the target has everything that the source has committed until now.
    async fn wait_until_applied(&self, job: &str) -> Result<()> {
        let warn = |error: &Error| {
            let message = format!("waiting for the target is tried again: {error}");
            self.leg.events.emit(Event::Warning { message });
        };
        let goal = self.leg.retry.run(|| self.leg.source.log_end(), warn).await?;
        let (mut last, mut changed_at) = (None, Instant::now());
        loop {
            let checkpoint = self.leg.retry.run(|| self.leg.sink.read_checkpoint(job), warn).await?;
            let Some(checkpoint) = checkpoint else {
                let message = "the target follows no more: it was cut over, or abandoned";
                return Err(Error::new(ErrorKind::Changed, message));
            };
            let applied = checkpoint.applied;
            if applied.server != goal.server {
                return Err(Error::new(ErrorKind::Changed, "the target follows another server than this source"));
            }
            if applied.has_reached(&goal) {
                return Ok(());
            }
            if last.as_ref() != Some(&applied) {
                (last, changed_at) = (Some(applied), Instant::now());
            } else if changed_at.elapsed() > STALL_TIMEOUT {
                let message = format!(
                    "the target has stayed at {} of the source's log for {} s: see `dbgraft status`, and compare again when it \
                     follows",
                    applied.describe(),
                    STALL_TIMEOUT.as_secs()
                );
                return Err(Error::new(ErrorKind::Server, message));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
