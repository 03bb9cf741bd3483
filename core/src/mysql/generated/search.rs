//! Finds for each row of a batch the settings under which the target computes what was read.

use std::collections::{BTreeMap, BTreeSet};

use super::super::target::Target;
use super::scratch::Scratch;
use super::settings::{Setting, Settings};
use super::{Part, depend, projected, stored};
use crate::batch::Batch;
use crate::catalog::{Column, Table};
use crate::codec::{Digest, row_texts, split_fields};
use crate::error::Result;

/// So many rows decide which settings are worth a look at all.
const SAMPLE: usize = 64;

/// The columns whose values must be as they were read: the generated ones, and where settings say what is a date, the
/// dates beside them.
pub(super) struct Compared {
    /// Of the columns that are stored.
    chosen: Vec<bool>,
    /// Of those that are chosen.
    generated: Vec<bool>,
}

impl Compared {
    pub(super) fn of(table: &Table, dependencies: &BTreeSet<Setting>) -> Self {
        let dates = depend::judge_dates(dependencies);
        let is_date = |column: &Column| ["date", "datetime", "timestamp"].contains(&column.data_type.as_str());
        let chosen: Vec<bool> =
            table.stored_columns().map(|column| column.generated || dates && is_date(column)).collect();
        let both = table.stored_columns().zip(&chosen).filter(|(_, chosen)| **chosen);
        let generated = both.map(|(column, _)| column.generated).collect();
        Self { chosen, generated }
    }

    /// Of the columns that are stored, those that are compared.
    pub(super) fn columns<'t>(&self, table: &'t Table) -> Vec<&'t Column> {
        table.stored_columns().zip(&self.chosen).filter(|(_, chosen)| **chosen).map(|(column, _)| column).collect()
    }

    /// The values of a row of a batch.
    pub(super) fn of_batch(&self, line: &[u8]) -> Vec<u8> {
        projected(line, &self.chosen)
    }

    /// Of these values those of generated columns.
    pub(super) fn generated(&self, values: &[u8]) -> Vec<u8> {
        projected(values, &self.generated)
    }
}

/// The rows of a batch that still have to find their settings.
pub(super) struct Search<'a> {
    target: &'a Target,
    batch: &'a Batch,
    /// Gone after an error only.
    scratch: Option<Scratch>,
    compared: Compared,
    texts: Vec<&'a [u8]>,
    /// The values that were read.
    read: Vec<Vec<u8>>,
    left: Vec<usize>,
    pub(super) parts: Vec<Part>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        target: &'a Target,
        batch: &'a Batch,
        scratch: Scratch,
        compared: Compared,
        read: Vec<Vec<u8>>,
    ) -> Self {
        let texts = row_texts(&batch.data).collect();
        let left = (0..read.len()).collect();
        Self { target, batch, scratch: Some(scratch), compared, texts, read, left, parts: Vec::new() }
    }

    /// Whether any row is left.
    pub(super) fn has_rows(&self) -> bool {
        !self.left.is_empty()
    }

    fn batch_of(&self, rows: &[usize]) -> Batch {
        Batch::from_lines(self.batch.id, rows.iter().filter_map(|row| self.texts.get(*row).copied()))
    }

    /// What the target computes of each row; nothing of one that it does not take under these settings.
    async fn compute(&mut self, rows: &[usize], settings: &Settings) -> Result<Vec<Option<Vec<u8>>>> {
        let Some(scratch) = self.scratch.as_mut() else { return Ok(Vec::new()) };
        if !scratch.make_under(settings).await? {
            return Ok(vec![None; rows.len()]);
        }
        let mut computed = Vec::new();
        let mut left = vec![rows];
        while let Some(rows) = left.pop() {
            let batch = self.batch_of(rows);
            let Some(scratch) = self.scratch.as_mut() else { return Ok(Vec::new()) };
            match scratch.load(self.target, &batch, settings).await {
                Ok(()) => computed.extend(self.values(&batch).await?.into_iter().map(Some)),
                Err(error) if error.code().is_none() || error.is_retryable() => return Err(error),
                Err(_) if rows.len() < 2 => computed.push(None),
                Err(_) => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    left.extend([second, first]);
                }
            }
        }
        Ok(computed)
    }

    /// What the scratch table holds.
    async fn values(&mut self, batch: &Batch) -> Result<Vec<Vec<u8>>> {
        let Some(scratch) = self.scratch.take() else { return Ok(Vec::new()) };
        let columns = self.compared.columns(scratch.table());
        let columns: Vec<Column> = columns.into_iter().cloned().collect();
        let (scratch, values) = scratch.values(batch, &columns).await?;
        self.scratch = Some(scratch);
        Ok(values)
    }

    /// The settings under which most of the rows that are left have their values; `None` where none has.
    pub(super) async fn best_of<'s>(&mut self, candidates: &[&'s Settings]) -> Result<Option<&'s Settings>> {
        let step = self.left.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<usize> = self.left.iter().copied().step_by(step).collect();
        let mut best = (0, None);
        for settings in candidates {
            let computed = self.compute(&sample, settings).await?;
            let fits = sample
                .iter()
                .zip(&computed)
                .filter(|(row, computed)| self.is_as_read(**row, computed.as_deref()))
                .count();
            if fits > best.0 {
                best = (fits, Some(*settings));
            }
            if fits == sample.len() {
                break;
            }
        }
        Ok(best.1)
    }

    fn is_as_read(&self, row: usize, computed: Option<&[u8]>) -> bool {
        computed.is_some() && self.read.get(row).map(Vec::as_slice) == computed
    }

    /// Makes a part of the rows that have their values under these settings.
    pub(super) async fn take(&mut self, settings: &Settings) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let left = std::mem::take(&mut self.left);
        let computed = self.compute(&left, settings).await?;
        let same = |(row, computed): &(&usize, &Option<Vec<u8>>)| self.is_as_read(**row, computed.as_deref());
        let (fitting, others): (Vec<_>, Vec<_>) = left.iter().zip(&computed).partition(same);
        let fitting: Vec<usize> = fitting.into_iter().map(|(row, _)| *row).collect();
        self.left = others.into_iter().map(|(row, _)| *row).collect();
        if !fitting.is_empty() {
            let batch = self.batch_of(&fitting);
            self.parts.push(Part { settings: settings.clone(), batch });
        }
        Ok(())
    }

    /// Makes a last part of what is left, and says in how many rows each column differs and what the whole batch will hold.
    pub(super) async fn rest(&mut self, settings: &Settings, table: &Table) -> Result<(BTreeMap<String, u64>, Digest)> {
        let mut different = BTreeMap::new();
        let left = std::mem::take(&mut self.left);
        if !left.is_empty() {
            let computed = self.compute(&left, settings).await?;
            for (row, computed) in left.iter().zip(computed) {
                // One that is not taken is refused when it is written, too.
                let (Some(read), Some(computed)) = (self.read.get_mut(*row), computed) else { continue };
                let (before, after) = (self.compared.generated(read), self.compared.generated(&computed));
                for (column, _) in
                    stored(table).zip(split_fields(&before).zip(split_fields(&after))).filter(|(_, (a, b))| a != b)
                {
                    *different.entry(column.name.clone()).or_default() += 1;
                }
                *read = computed;
            }
            let batch = self.batch_of(&left);
            self.parts.push(Part { settings: settings.clone(), batch });
        }
        let mut digest = Digest::default();
        self.read.iter().for_each(|row| digest.add_row(&self.compared.generated(row)));
        Ok((different, digest))
    }
}
