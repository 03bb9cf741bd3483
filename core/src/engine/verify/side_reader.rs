//! Reads one side of a comparison: digests, counts, and rows where differing rows are listed.

use async_trait::async_trait;
use futures::TryStreamExt as _;

use super::Comparer;
use super::comparison_unit::ComparisonUnit;
use super::row_diff::Side;
use crate::batch::Batch;
use crate::codec::Digest;
use crate::engine::leg::Leg;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::options::Verify;
use crate::plan::{Chunk, TablePlan};
use crate::source::{BatchStream, ReadObserver};

impl Comparer {
    /// The digests of the source and of the target, or the reason why one side is unreadable, which is a difference.
    pub(super) async fn digests(&self, unit: ComparisonUnit) -> Result<Result<(Digest, Digest), String>> {
        let warn = |error: &Error| self.warn(unit, error);
        let source = async {
            match unit.read {
                Some(read) => Ok(read),
                None => self.leg.retry.run(|| self.digest(unit, Side::Source), warn).await,
            }
        };
        let target = self.leg.retry.run(|| self.digest(unit, Side::Target), warn);
        // Waits for both sides even after an error: a connection that stops within its rows is lost to the snapshot.
        let (source, target) = futures::join!(source, target);
        let (source, target) = match (readable(Side::Source, source)?, readable(Side::Target, target)?) {
            (Ok(source), Ok(target)) => (source, target),
            (Err(reason), _) | (_, Err(reason)) => return Ok(Err(reason)),
        };
        Ok(Ok(match self.leg.verify {
            Verify::Counts => (Digest::from_count(source.rows), Digest::from_count(target.rows)),
            _ => (source, target),
        }))
    }

    /// Warns that a unit is read again.
    pub(super) fn warn(&self, unit: ComparisonUnit, error: &Error) {
        let message =
            format!("reading for the comparison is tried again: {}", self.difference(unit, error.to_string()));
        self.leg.events.emit(Event::Warning { message });
    }

    pub(super) async fn digest(&self, unit: ComparisonUnit, side: Side) -> Result<Digest> {
        let Leg { source, sink, memory, .. } = &self.leg;
        let mut digest = Digest::default();
        for (table, chunk) in self.chunks(unit, side) {
            self.leg.gate.wait_until_open().await;
            digest.add(&match (side, self.leg.verify) {
                (Side::Source, Verify::Counts) => Digest::from_count(source.count(table, chunk, memory).await?),
                (Side::Target, Verify::Counts) => Digest::from_count(sink.count(table, chunk, memory).await?),
                (Side::Source, _) => source.digest(table, chunk, memory, &self.observer(unit)).await?,
                (Side::Target, _) => sink.digest(table, chunk, memory).await?,
            });
        }
        Ok(digest)
    }

    /// Calls `on_batch` with each batch of a unit.
    pub(super) async fn for_each_batch(
        &self,
        unit: ComparisonUnit,
        side: Side,
        mut on_batch: impl FnMut(&Batch),
    ) -> Result<()> {
        let memory = &self.leg.memory;
        for (table, chunk) in self.chunks(unit, side) {
            self.leg.gate.wait_until_open().await;
            let mut batches: BatchStream<'_> = match side {
                Side::Source => self.leg.source.read(table, chunk, memory).await?,
                Side::Target => self.leg.sink.read_back(table, chunk, memory).await?,
            };
            while let Some(batch) = batches.try_next().await? {
                on_batch(&batch);
                if side == Side::Source {
                    self.observer(unit).on_batch(batch.rows, batch.data.len() as u64).await;
                }
            }
        }
        Ok(())
    }

    /// The chunks of a unit on one side, with their tables.
    fn chunks(&self, unit: ComparisonUnit, side: Side) -> impl Iterator<Item = (&TablePlan, &Chunk)> {
        let table = if side == Side::Source { self.source_table(unit.table) } else { self.target_table(unit.table) };
        table.into_iter().flat_map(move |table| unit.chunks(table).iter().map(move |chunk| (table, chunk)))
    }

    fn observer(&self, unit: ComparisonUnit) -> SourceObserver<'_> {
        SourceObserver { comparer: self, table: unit.table }
    }
}

/// Measures and limits the reading of the source.
struct SourceObserver<'a> {
    comparer: &'a Comparer,
    table: u32,
}

#[async_trait]
impl ReadObserver for SourceObserver<'_> {
    async fn on_batch(&self, rows: u64, bytes: u64) {
        self.comparer.meter.add(self.table, rows, bytes);
        self.comparer.rate_limiter.acquire(bytes).await;
    }
}

/// Turns an error that means a difference into its description: a damaged object of an archive, a missing table of the
/// target. Returns all other errors.
fn readable(side: Side, digest: Result<Digest>) -> Result<Result<Digest, String>> {
    let (name, is_difference) = match (side, digest.as_ref().map_err(Error::kind)) {
        (Side::Source, Err(ErrorKind::Data | ErrorKind::Storage)) => ("source", true),
        (Side::Target, Err(ErrorKind::Data | ErrorKind::Storage | ErrorKind::Server)) => ("target", true),
        _ => ("", false),
    };
    match digest {
        Err(error) if is_difference && !error.is_retryable() => {
            Ok(Err(format!("cannot be read at the {name}: {error}")))
        }
        other => other.map(Ok),
    }
}
