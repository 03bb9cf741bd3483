//! Finds for each row of a batch the settings under which the target computes the values of the source.

use std::collections::{BTreeMap, BTreeSet};

use super::super::target::TargetDatabase;
use super::scratch_table::ScratchTable;
use super::settings::{SessionSetting, SessionSettings};
use super::{SettingsGroup, dependencies, project_fields, stored_generated_columns};
use crate::batch::Batch;
use crate::catalog::{Column, Table};
use crate::codec::{Digest, row_texts, split_fields};
use crate::error::Result;

/// The number of rows that decide which settings are tried on all rows.
const SAMPLE_ROWS: usize = 64;

/// The columns whose values must equal those of the source: the generated columns, and all dates if settings decide which
/// dates are valid.
pub(super) struct ComparedColumns {
    /// For each stored column, whether it is compared.
    chosen: Vec<bool>,
    /// For each compared column, whether it is generated.
    generated: Vec<bool>,
}

impl ComparedColumns {
    pub(super) fn from_table(table: &Table, dependencies: &BTreeSet<SessionSetting>) -> Self {
        let dates = dependencies::affect_date_validity(dependencies);
        let is_date = |column: &Column| ["date", "datetime", "timestamp"].contains(&column.data_type.as_str());
        let chosen: Vec<bool> =
            table.stored_columns().map(|column| column.generated || dates && is_date(column)).collect();
        let both = table.stored_columns().zip(&chosen).filter(|(_, chosen)| **chosen);
        let generated = both.map(|(column, _)| column.generated).collect();
        Self { chosen, generated }
    }

    /// The compared columns of the table.
    pub(super) fn columns<'t>(&self, table: &'t Table) -> Vec<&'t Column> {
        table.stored_columns().zip(&self.chosen).filter(|(_, chosen)| **chosen).map(|(column, _)| column).collect()
    }

    /// The compared values of a row of a batch.
    pub(super) fn project_row(&self, line: &[u8]) -> Vec<u8> {
        project_fields(line, &self.chosen)
    }

    /// The values of generated columns among compared values.
    pub(super) fn project_generated(&self, values: &[u8]) -> Vec<u8> {
        project_fields(values, &self.generated)
    }
}

/// The search for the settings of the rows of a batch.
pub(super) struct SettingsSearch<'a> {
    target: &'a TargetDatabase,
    batch: &'a Batch,
    /// `None` only after an error.
    scratch: Option<ScratchTable>,
    compared: ComparedColumns,
    texts: Vec<&'a [u8]>,
    /// The compared values of each row, as read from the source.
    read: Vec<Vec<u8>>,
    left: Vec<usize>,
    pub(super) groups: Vec<SettingsGroup>,
}

impl<'a> SettingsSearch<'a> {
    pub(super) fn new(
        target: &'a TargetDatabase,
        batch: &'a Batch,
        scratch: ScratchTable,
        compared: ComparedColumns,
        read: Vec<Vec<u8>>,
    ) -> Self {
        let texts = row_texts(&batch.data).collect();
        let left = (0..read.len()).collect();
        Self { target, batch, scratch: Some(scratch), compared, texts, read, left, groups: Vec::new() }
    }

    /// Whether any row has no settings yet.
    pub(super) fn has_rows_left(&self) -> bool {
        !self.left.is_empty()
    }

    fn select_batch(&self, rows: &[usize]) -> Batch {
        Batch::from_lines(self.batch.id, rows.iter().filter_map(|row| self.texts.get(*row).copied()))
    }

    /// Returns the values that the target computes for each row; `None` for a row that it refuses under these settings.
    async fn compute_values(&mut self, rows: &[usize], settings: &SessionSettings) -> Result<Vec<Option<Vec<u8>>>> {
        let Some(scratch) = self.scratch.as_mut() else { return Ok(Vec::new()) };
        if !scratch.recreate_with(settings).await? {
            return Ok(vec![None; rows.len()]);
        }
        let mut computed = Vec::new();
        let mut left = vec![rows];
        while let Some(rows) = left.pop() {
            let batch = self.select_batch(rows);
            let Some(scratch) = self.scratch.as_mut() else { return Ok(Vec::new()) };
            match scratch.load_leniently(self.target, &batch, settings).await {
                Ok(()) => computed.extend(self.scratch_values(&batch).await?.into_iter().map(Some)),
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

    /// Reads the compared values from the scratch table.
    async fn scratch_values(&mut self, batch: &Batch) -> Result<Vec<Vec<u8>>> {
        let Some(scratch) = self.scratch.take() else { return Ok(Vec::new()) };
        let columns = self.compared.columns(scratch.table());
        let columns: Vec<Column> = columns.into_iter().cloned().collect();
        let (scratch, values) = scratch.read_values(batch, &columns).await?;
        self.scratch = Some(scratch);
        Ok(values)
    }

    /// Returns the settings under which the most rows of a sample match the source; `None` if no row matches.
    pub(super) async fn find_best<'s>(
        &mut self,
        candidates: &[&'s SessionSettings],
    ) -> Result<Option<&'s SessionSettings>> {
        let step = self.left.len().div_ceil(SAMPLE_ROWS).max(1);
        let sample: Vec<usize> = self.left.iter().copied().step_by(step).collect();
        let mut best = (0, None);
        for settings in candidates {
            let computed = self.compute_values(&sample, settings).await?;
            let fits = sample
                .iter()
                .zip(&computed)
                .filter(|(row, computed)| self.matches_source(**row, computed.as_deref()))
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

    fn matches_source(&self, row: usize, computed: Option<&[u8]>) -> bool {
        computed.is_some() && self.read.get(row).map(Vec::as_slice) == computed
    }

    /// Moves the rows that match the source under these settings into a part.
    pub(super) async fn take_matching_rows(&mut self, settings: &SessionSettings) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let left = std::mem::take(&mut self.left);
        let computed = self.compute_values(&left, settings).await?;
        let same = |(row, computed): &(&usize, &Option<Vec<u8>>)| self.matches_source(**row, computed.as_deref());
        let (fitting, others): (Vec<_>, Vec<_>) = left.iter().zip(&computed).partition(same);
        let fitting: Vec<usize> = fitting.into_iter().map(|(row, _)| *row).collect();
        self.left = others.into_iter().map(|(row, _)| *row).collect();
        if !fitting.is_empty() {
            let batch = self.select_batch(&fitting);
            self.groups.push(SettingsGroup { settings: settings.clone(), batch });
        }
        Ok(())
    }

    /// Moves the remaining rows into a last part.
    ///
    /// Returns in how many rows each column differs from the source, and the digest of the whole batch in the target.
    pub(super) async fn finish(
        &mut self,
        settings: &SessionSettings,
        table: &Table,
    ) -> Result<(BTreeMap<String, u64>, Digest)> {
        let mut different = BTreeMap::new();
        let left = std::mem::take(&mut self.left);
        if !left.is_empty() {
            let computed = self.compute_values(&left, settings).await?;
            for (row, computed) in left.iter().zip(computed) {
                // A row that is refused here is also refused when it is written.
                let (Some(read), Some(computed)) = (self.read.get_mut(*row), computed) else { continue };
                let (before, after) =
                    (self.compared.project_generated(read), self.compared.project_generated(&computed));
                for (column, _) in stored_generated_columns(table)
                    .zip(split_fields(&before).zip(split_fields(&after)))
                    .filter(|(_, (a, b))| a != b)
                {
                    *different.entry(column.name.clone()).or_default() += 1;
                }
                *read = computed;
            }
            let batch = self.select_batch(&left);
            self.groups.push(SettingsGroup { settings: settings.clone(), batch });
        }
        let mut digest = Digest::default();
        self.read.iter().for_each(|row| digest.add_row(&self.compared.project_generated(row)));
        Ok((different, digest))
    }
}
