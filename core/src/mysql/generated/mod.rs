//! Stored generated columns: the target computes them anew, and what it computes must be what was read.
//!
//! Their values travel with the rows. Where an expression depends on settings of the session, each batch is loaded into
//! a temporary table first, under one setting after the other until every row has the values that it had at the source;
//! then its rows are written under the settings that gave them. When a table is complete, the digests of these columns
//! are compared, whatever they depend on.

mod dependencies;
mod scratch_table;
mod settings;
mod settings_search;
mod state;

use std::collections::BTreeMap;

use self::scratch_table::{ScratchColumns, ScratchTable};
use self::settings_search::{ComparedColumns, SettingsSearch};
use super::connect::Conn;
use super::ddl::quote_name;
use super::target::TargetDatabase;
use crate::batch::Batch;
use crate::catalog::{Column, Flavor, Printable, Server, Table};
use crate::codec::{Digest, Field, row_texts, split_fields};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::TablePlan;
use crate::report::Note;

pub(super) use settings::SessionSettings;
pub(super) use state::GeneratedColumnState;

/// Settings are searched for in vain so often in one table, and then no more.
const MAX_FRUITLESS_SEARCHES: u32 = 3;

/// Rows of a batch that are written under the same settings.
pub(super) struct BatchPart {
    pub(super) settings: SessionSettings,
    pub(super) batch: Batch,
}

/// A batch, divided by the settings under which its rows were written.
pub(super) struct BatchDivision {
    pub(super) parts: Vec<BatchPart>,
    /// What the target will compute.
    computed: Digest,
    different: BTreeMap<String, u64>,
}

/// The generated columns whose values travel.
fn stored_generated_columns(table: &Table) -> impl Iterator<Item = &Column> {
    table.stored_columns().filter(|column| column.generated)
}

/// Of a row the fields that are chosen.
fn project_fields(line: &[u8], chosen: &[bool]) -> Vec<u8> {
    let kept = split_fields(line).zip(chosen).filter(|(_, chosen)| **chosen);
    let texts: Vec<&[u8]> = kept
        .map(|(field, _)| match field {
            Field::Null => br"\N".as_slice(),
            Field::Escaped(text) => text,
        })
        .collect();
    texts.join(&b'\t')
}

/// Whether a row may hold a date whose month or day is zero.
fn may_hold_zero_dates(batch: &Batch) -> bool {
    batch.data.windows(3).any(|bytes| bytes == b"-00")
}

/// Whether the server takes a time with its offset, whatever the session's time zone is. Source: "Date and Time Literals"
/// (<https://dev.mysql.com/doc/refman/9.7/en/date-and-time-literals.html>): since MySQL 8.0.19.
fn accepts_time_offsets(server: &Server) -> bool {
    server.flavor == Flavor::MySql && server.version_numbers() >= (8, 0, 19)
}

impl TargetDatabase {
    /// Divides a batch by the settings that its rows need; one part where nothing depends on any.
    pub(super) async fn divide_batch(&self, plan: &TablePlan, batch: &Batch, server: &Server) -> Result<BatchDivision> {
        if !plan.table.columns.iter().any(|column| column.generated) {
            let parts = vec![BatchPart { settings: SessionSettings::default(), batch: batch.clone() }];
            return Ok(BatchDivision { parts, computed: Digest::default(), different: BTreeMap::new() });
        }
        let table = &self.with_own_definition(&plan.table);
        let zeros = may_hold_zero_dates(batch);
        let anywhere = dependencies::column_dependencies(table, true, zeros);
        let compared = ComparedColumns::from_table(table, &anywhere);
        let has_stored = stored_generated_columns(table).next().is_some();
        let whole = |settings| vec![BatchPart { settings, batch: batch.clone() }];
        let source = self.state().source.clone().unwrap_or_else(|| server.clone());
        let dependencies = dependencies::column_dependencies(table, accepts_time_offsets(server), zeros);
        let candidates = SessionSettings::candidates(&dependencies, &source);
        let usual = candidates.first().map(SessionSettings::accepting_all_dates).unwrap_or_default();
        // What another family computes may be something else whatever the settings.
        let doubtful = source.flavor != server.flavor || !anywhere.is_empty();
        let read: Vec<Vec<u8>> = match has_stored {
            true => row_texts(&batch.data).map(|line| compared.project_row(line)).collect(),
            false => Vec::new(),
        };
        let mut computed = Digest::default();
        read.iter().for_each(|row| computed.add_row(&compared.project_generated(row)));
        if !has_stored || !doubtful || table.history {
            return Ok(BatchDivision { parts: whole(usual), computed, different: BTreeMap::new() });
        }
        let Some(scratch) = ScratchTable::create(self, table, ScratchColumns::All).await? else {
            return Ok(BatchDivision { parts: whole(usual), computed, different: BTreeMap::new() });
        };
        let mut search = SettingsSearch::new(self, batch, scratch, compared, read);
        let (mut known, mut fruitless) = self
            .state()
            .generated_columns
            .get(&plan.number)
            .map(|table| (table.known.clone(), table.fruitless))
            .unwrap_or_default();
        for settings in known.iter().rev() {
            search.take_matching_rows(settings).await?;
        }
        let others: Vec<&SessionSettings> = candidates.iter().filter(|settings| !known.contains(settings)).collect();
        while fruitless < MAX_FRUITLESS_SEARCHES && search.has_rows_left() {
            let Some(settings) = search.find_best(&others).await? else {
                fruitless += 1;
                break;
            };
            search.take_matching_rows(settings).await?;
            known.push(settings.clone());
        }
        let usual = known.last().map_or(usual, SessionSettings::accepting_all_dates);
        let (different, computed) = search.finish(&usual, table).await?;
        let mut state = self.state();
        let table = state.generated_columns.entry(plan.number).or_default();
        table.fruitless = table.fruitless.max(fruitless);
        for settings in known {
            if !table.known.contains(&settings) {
                table.known.push(settings);
            }
        }
        Ok(BatchDivision { parts: search.parts, computed, different })
    }

    /// The table with its definition as this server writes it.
    fn with_own_definition(&self, table: &Table) -> Table {
        let create = self.state().definitions.get(&table.name).cloned();
        Table { create: create.unwrap_or_else(|| table.create.clone()), ..table.clone() }
    }

    /// Has the server open a table anew where it opened it under other settings than these. Nothing does it where the
    /// account may not flush tables: then the comparison of the complete table tells.
    pub(super) async fn reopen_table(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        settings: &SessionSettings,
    ) -> Result<()> {
        let settings = settings.fixed_at_table_open();
        {
            let mut state = self.state();
            let generated = state.generated_columns.entry(table.number).or_default();
            if generated.opened == settings {
                return Ok(());
            }
            generated.opened = settings;
        }
        let name = format!("{}.{}", quote_name(&self.address.database), quote_name(&table.table.name));
        conn.try_each(&[&format!("FLUSH NO_WRITE_TO_BINLOG TABLES {name}")]).await
    }

    /// A batch is in: notes what its generated columns must be.
    pub(super) fn record_expected(&self, table: u32, batch: &Batch, division: &BatchDivision) {
        let mut state = self.state();
        let table = state.generated_columns.entry(table).or_default();
        table.expected.entry(batch.id.chunk).or_default().add(&division.computed);
        for (column, count) in &division.different {
            *table.different.entry(column.clone()).or_default() += count;
        }
    }

    /// Whether the rows themselves fit, so that whatever the server warns of can only be what it computes from them; `None`
    /// where it cannot be tried.
    pub(super) async fn accepts_rows(&self, table: &Table, batch: &Batch) -> Result<Option<bool>> {
        let table = self.with_own_definition(table);
        let Some(mut scratch) = ScratchTable::create(self, &table, ScratchColumns::Loaded).await? else {
            return Ok(None);
        };
        match scratch.load_strictly(self, batch).await {
            Ok(()) => Ok(Some(true)),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Ok(Some(false)),
        }
    }

    /// The digests that the generated columns of a complete table must have, by chunk.
    pub(super) fn expected_digests(&self, table: u32) -> BTreeMap<u32, Digest> {
        self.state().generated_columns.get(&table).map(|table| table.expected.clone()).unwrap_or_default()
    }

    /// The settings under which the rows of a table were written, the latest of them; the source's global ones where the
    /// rows did not tell.
    pub(super) fn table_settings(&self, table: &TablePlan, server: &Server) -> SessionSettings {
        let state = self.state();
        let known = state.generated_columns.get(&table.number).and_then(|table| table.known.last().cloned());
        let known = known.unwrap_or_else(|| {
            let dependencies = dependencies::column_dependencies(&table.table, accepts_time_offsets(server), false);
            let candidates = SessionSettings::candidates(&dependencies, state.source.as_ref().unwrap_or(server));
            candidates.into_iter().next().unwrap_or_default()
        });
        known.accepting_all_dates()
    }

    /// The settings to try for rows that the rules of the table refuse under these: its checks, its partitions, and what it
    /// computes for indexes.
    pub(super) fn rule_settings(
        &self,
        table: &Table,
        server: &Server,
        under: &SessionSettings,
    ) -> Vec<SessionSettings> {
        let table = self.with_own_definition(table);
        let dependencies = dependencies::rule_dependencies(&table, accepts_time_offsets(server));
        let source = self.state().source.clone().unwrap_or_else(|| server.clone());
        let mut candidates = SessionSettings::candidates(&dependencies, &source);
        candidates.sort_by_key(|settings| !settings.is_consistent_with(under));
        candidates
    }
}

/// What the report says of indexes whose entries are computed anew, under settings that may not have been the source's.
pub(super) fn index_notes(table: &Table) -> Vec<Note> {
    let note = |(index, variables): (String, Vec<&str>)| {
        Note::Fidelity(FidelityIssue {
            object: table.object(),
            what: format!("entries of index {index}"),
            severity: Severity::Warning,
            source: format!("computed by the sessions that wrote the rows; they depend on {}", variables.join(", ")),
            target: "computed anew, under the settings of the table's other columns or the source's global ones"
                .to_owned(),
        })
    };
    dependencies::dependent_indexes(table).into_iter().map(note).collect()
}

/// The table with nothing but its stored generated columns, to read them back; `None` where it has none.
pub(super) fn generated_columns_only(plan: &TablePlan) -> Option<TablePlan> {
    let mut only = TablePlan { filter: None, ..plan.clone() };
    only.table.columns = stored_generated_columns(&plan.table).cloned().collect();
    (!only.table.columns.is_empty()).then_some(only)
}

/// What is told of a table in whose chunks, so many `wrong` ones of all, the columns are not as they were expected.
pub(super) fn mismatch_message(table: &Table, wrong: usize, all: usize) -> String {
    let names: Vec<String> =
        stored_generated_columns(table).map(|column| Printable(&column.name).to_string()).collect();
    let what = if names.len() == 1 { "generated column" } else { "one of the generated columns" };
    format!(
        "{what} {}: the target computed other values than were read, in {wrong} of {all} key ranges",
        names.join(", ")
    )
}
