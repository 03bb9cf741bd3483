//! Stored generated columns: the target computes their values again, and the result must equal the source's values.
//!
//! Batches include the source's values. If an expression depends on session settings, each batch is first loaded into a
//! temporary table, under one setting after the other, until every row has the source's values. Then each row is written
//! under the settings that produced them. When a table is complete, the digests of all these columns are compared.

mod dependencies;
mod scratch_table;
mod settings;
mod settings_search;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OwnedRwLockReadGuard;

use self::scratch_table::{ScratchColumns, ScratchTable};
use self::settings_search::{ComparedColumns, SettingsSearch};
use super::capability::{self, Capability};
use super::ddl::quote_name;
use super::target::TargetDatabase;
use crate::batch::Batch;
use crate::catalog::{Column, Printable, Server, Table};
use crate::codec::{Digest, Field, row_texts, split_fields};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::TablePlan;
use crate::report::Note;

pub(super) use settings::SessionSettings;
pub(super) use state::GeneratedColumnState;

/// The number of searches without a result after which a table has no further searches.
const MAX_FRUITLESS_SEARCHES: u32 = 3;

/// The rows of a batch that are written under the same settings.
pub(super) struct SettingsGroup {
    pub(super) settings: SessionSettings,
    pub(super) batch: Batch,
}

/// A batch, divided by the settings under which its rows are written.
pub(super) struct BatchBySettings {
    pub(super) groups: Vec<SettingsGroup>,
    /// The digest of the values that the target will compute.
    computed: Digest,
    different: BTreeMap<String, u64>,
}

/// The generated columns whose values batches include.
fn stored_generated_columns(table: &Table) -> impl Iterator<Item = &Column> {
    table.stored_columns().filter(|column| column.generated)
}

/// Returns the chosen fields of a row.
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

/// Whether a row of the batch may hold a date with a zero month or day.
fn may_hold_zero_dates(batch: &Batch) -> bool {
    batch.data.windows(3).any(|bytes| bytes == b"-00")
}

impl TargetDatabase {
    /// Divides a batch by the settings that its rows need. Without such settings, the batch is one group.
    pub(super) async fn group_by_settings(
        &self,
        plan: &TablePlan,
        batch: &Batch,
        server: &Server,
    ) -> Result<BatchBySettings> {
        let rules =
            self.state().generated_columns.get(&plan.number).map(|table| table.rules.clone()).unwrap_or_default();
        if !plan.table.columns.iter().any(|column| column.generated) {
            let groups = vec![SettingsGroup { settings: rules, batch: batch.clone() }];
            return Ok(BatchBySettings { groups, computed: Digest::default(), different: BTreeMap::new() });
        }
        let table = &self.with_own_definition(&plan.table);
        let zeros = may_hold_zero_dates(batch);
        let anywhere = dependencies::column_dependencies(table, true, zeros);
        let compared = ComparedColumns::from_table(table, &anywhere);
        let has_stored = stored_generated_columns(table).next().is_some();
        let whole = |settings| vec![SettingsGroup { settings, batch: batch.clone() }];
        let source = self.state().source.clone().unwrap_or_else(|| server.clone());
        let dependencies =
            dependencies::column_dependencies(table, capability::has(server, Capability::TimeOffsetLiterals), zeros);
        let candidates = SessionSettings::candidates(&dependencies, &source);
        let usual = candidates.first().map(SessionSettings::accepting_all_dates).unwrap_or_default();
        let usual = usual.completed_by(&rules);
        // Another family may compute different values under any settings.
        let doubtful = source.flavor != server.flavor || !anywhere.is_empty();
        let read: Vec<Vec<u8>> = match has_stored {
            true => row_texts(&batch.data).map(|line| compared.project_row(line)).collect(),
            false => Vec::new(),
        };
        let mut computed = Digest::default();
        read.iter().for_each(|row| computed.add_row(&compared.project_generated(row)));
        if !has_stored || !doubtful || table.history {
            return Ok(BatchBySettings { groups: whole(usual), computed, different: BTreeMap::new() });
        }
        let Some(scratch) = ScratchTable::create(self, table, ScratchColumns::All).await? else {
            return Ok(BatchBySettings { groups: whole(usual), computed, different: BTreeMap::new() });
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
        Ok(BatchBySettings { groups: search.groups, computed, different })
    }

    /// Returns the table with its definition in the target's dialect.
    fn with_own_definition(&self, table: &Table) -> Table {
        let create = self.state().definitions.get(&table.name).cloned();
        Table { create: create.unwrap_or_else(|| table.create.clone()), ..table.clone() }
    }

    /// Makes the server open a table under these settings, by closing it if it is open under others.
    ///
    /// While the guard lives, no other batch makes the server reopen the table. Without the privilege to flush tables the
    /// call has no effect, and the comparison of the complete table reports differences.
    pub(super) async fn reopen_table(
        &self,
        table: &TablePlan,
        settings: &SessionSettings,
    ) -> Result<OwnedRwLockReadGuard<SessionSettings>> {
        let settings = settings.fixed_at_table_open();
        let (opened, by_others) = {
            let mut state = self.state();
            let state = state.generated_columns.entry(table.number).or_default();
            (Arc::clone(&state.opened), std::mem::take(&mut state.opened_by_others))
        };
        let same = Arc::clone(&opened).read_owned().await;
        if *same == settings && !by_others {
            return Ok(same);
        }
        drop(same);
        let mut other = opened.write_owned().await;
        if *other != settings || by_others {
            // Over its own connection, because the statement commits the current transaction.
            let mut conn = self.ddl_session().await?;
            let name = format!("{}.{}", quote_name(&self.address.database), quote_name(&table.table.name));
            let flushed = conn.exec(&format!("FLUSH NO_WRITE_TO_BINLOG TABLES {name}")).await;
            match flushed {
                Err(error) if error.code().is_none() => {
                    self.discard(conn).await;
                    return Err(error);
                }
                flushed => {
                    let mut state = self.state();
                    state.generated_columns.entry(table.number).or_default().cannot_reopen |= flushed.is_err();
                    state.ddl_sessions.push(conn);
                }
            }
            *other = settings;
        }
        Ok(other.downgrade())
    }

    /// Makes the next [`Self::reopen_table`] close the table, if the server should have opened it under certain settings.
    ///
    /// Between the closing and the next row another session may open the table. MariaDB opens every table of the server
    /// for some queries of `information_schema`.
    pub(super) fn suspect_other_sessions(&self, table: &TablePlan) {
        if let Some(state) = self.state().generated_columns.get_mut(&table.number) {
            let is_usual = state.opened.try_read().is_ok_and(|settings| *settings == SessionSettings::default());
            state.opened_by_others |= !is_usual;
        }
    }

    /// Whether the server has refused to reopen the table.
    pub(super) fn cannot_reopen(&self, table: &TablePlan) -> bool {
        self.state().generated_columns.get(&table.number).is_some_and(|table| table.cannot_reopen)
    }

    /// Records the settings under which the table's rules accepted rows. The next rows are tried under them first.
    pub(super) fn record_rule_settings(&self, table: &TablePlan, settings: Option<&SessionSettings>) {
        self.state().generated_columns.entry(table.number).or_default().rules = settings.cloned().unwrap_or_default();
    }

    /// Records the expected generated values of a batch that is stored.
    pub(super) fn record_expected(&self, table: u32, batch: &Batch, grouped: &BatchBySettings) {
        let mut state = self.state();
        let table = state.generated_columns.entry(table).or_default();
        table.expected.entry(batch.id.chunk).or_default().add(&grouped.computed);
        for (column, count) in &grouped.different {
            *table.different.entry(column.clone()).or_default() += count;
        }
    }

    /// Whether the plain columns accept the rows without warnings, so that all warnings come from computed values; `None`
    /// if no scratch table can be created.
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

    /// The digests that the generated columns of a complete table must have, by chunk number.
    pub(super) fn expected_digests(&self, table: u32) -> BTreeMap<u32, Digest> {
        self.state().generated_columns.get(&table).map(|table| table.expected.clone()).unwrap_or_default()
    }

    /// The latest settings under which rows of the table were written. The default is the source's global settings.
    pub(super) fn table_settings(&self, table: &TablePlan, server: &Server) -> SessionSettings {
        let state = self.state();
        let known = state.generated_columns.get(&table.number).and_then(|table| table.known.last().cloned());
        let known = known.unwrap_or_else(|| {
            let dependencies = dependencies::column_dependencies(
                &table.table,
                capability::has(server, Capability::TimeOffsetLiterals),
                false,
            );
            let candidates = SessionSettings::candidates(&dependencies, state.source.as_ref().unwrap_or(server));
            candidates.into_iter().next().unwrap_or_default()
        });
        known.accepting_all_dates()
    }

    /// The settings to try for rows that the table's rules refuse under the settings of their groups. Rules are checks,
    /// partitions and functional indexes.
    pub(super) fn rule_settings(
        &self,
        table: &Table,
        server: &Server,
        grouped: &BatchBySettings,
    ) -> Vec<SessionSettings> {
        let table = self.with_own_definition(table);
        let dependencies =
            dependencies::rule_dependencies(&table, capability::has(server, Capability::TimeOffsetLiterals));
        let source = self.state().source.clone().unwrap_or_else(|| server.clone());
        let mut candidates = SessionSettings::candidates(&dependencies, &source);
        if let Some(group) = grouped.groups.first() {
            candidates.iter_mut().for_each(|settings| *settings = settings.completed_by(&group.settings));
            candidates.sort_by_key(|settings| !settings.is_consistent_with(&group.settings));
        }
        candidates
    }
}

/// Reports the indexes whose entries the target computes again, under settings that may differ from the source's.
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

/// Returns the table with only its stored generated columns, to read them back; `None` if it has none.
pub(super) fn generated_columns_only(plan: &TablePlan) -> Option<TablePlan> {
    let mut only = TablePlan { filter: None, ..plan.clone() };
    only.table.columns = stored_generated_columns(&plan.table).cloned().collect();
    (!only.table.columns.is_empty()).then_some(only)
}

/// Whether the stored generated columns of a table depend on settings of the session that writes a row.
pub(super) fn depends_on_settings(table: &Table) -> bool {
    stored_generated_columns(table).next().is_some() && !dependencies::column_dependencies(table, true, true).is_empty()
}

/// The message that generated columns differ from the expected values in `wrong` of `all` chunks.
pub(super) fn mismatch_message(table: &Table, wrong: usize, all: usize) -> String {
    let names: Vec<String> =
        stored_generated_columns(table).map(|column| Printable(&column.name).to_string()).collect();
    let what = if names.len() == 1 { "generated column" } else { "one of the generated columns" };
    format!(
        "{what} {}: the target computed other values than were read, in {wrong} of {all} key ranges",
        names.join(", ")
    )
}
