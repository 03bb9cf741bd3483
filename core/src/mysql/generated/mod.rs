//! Stored generated columns: the target computes them anew, and what it computes must be what was read.
//!
//! Their values travel with the rows. Where an expression depends on settings of the session, each batch is loaded into
//! a temporary table first, under one setting after the other until every row has the values that it had at the source;
//! then its rows are written under the settings that gave them. When a table is complete, the digests of these columns
//! are compared, whatever they depend on.

mod depend;
mod scratch;
mod search;
mod settings;

use std::collections::BTreeMap;

use self::scratch::{Columns, Scratch};
use self::search::{Compared, Search};
use super::connect::Conn;
use super::ddl::quote_name;
use super::target::Target;
use crate::batch::Batch;
use crate::catalog::{Column, Flavor, Printable, Server, Table};
use crate::codec::{Digest, Field, row_texts, split_fields};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::TablePlan;
use crate::report::Note;

pub(super) use settings::Settings;

/// Settings are searched for in vain so often in one table, and then no more.
const SEARCHES: u32 = 3;

/// What is known of a table's generated columns.
#[derive(Default)]
pub(super) struct Generated {
    /// Settings that gave the source's values, the latest last.
    known: Vec<Settings>,
    /// How many searches found nothing.
    fruitless: u32,
    /// The settings under which the server opened the table.
    opened: Settings,
    /// How many rows of each column are not as at the source.
    different: BTreeMap<String, u64>,
    /// What must be in the target, by the number of the chunk.
    expected: BTreeMap<u32, Digest>,
}

/// Rows of a batch that are written under the same settings.
pub(super) struct Part {
    pub(super) settings: Settings,
    pub(super) batch: Batch,
}

/// A batch, divided by the settings under which its rows were written.
pub(super) struct Divided {
    pub(super) parts: Vec<Part>,
    /// What the target will compute.
    computed: Digest,
    different: BTreeMap<String, u64>,
}

/// The generated columns whose values travel.
fn stored(table: &Table) -> impl Iterator<Item = &Column> {
    table.stored_columns().filter(|column| column.generated)
}

/// Of a row the fields that are chosen.
fn projected(line: &[u8], chosen: &[bool]) -> Vec<u8> {
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
fn has_zeros(batch: &Batch) -> bool {
    batch.data.windows(3).any(|bytes| bytes == b"-00")
}

/// Whether the server takes a time with its offset, whatever the session's time zone is. Source: "Date and Time Literals"
/// (<https://dev.mysql.com/doc/refman/9.7/en/date-and-time-literals.html>): since MySQL 8.0.19.
fn takes_offsets(server: &Server) -> bool {
    server.flavor == Flavor::MySql && server.version_numbers() >= (8, 0, 19)
}

impl Target {
    /// Divides a batch by the settings that its rows need; one part where nothing depends on any.
    pub(super) async fn divide(&self, plan: &TablePlan, batch: &Batch, server: &Server) -> Result<Divided> {
        if !plan.table.columns.iter().any(|column| column.generated) {
            let parts = vec![Part { settings: Settings::default(), batch: batch.clone() }];
            return Ok(Divided { parts, computed: Digest::default(), different: BTreeMap::new() });
        }
        let table = &self.in_its_dialect(&plan.table);
        let zeros = has_zeros(batch);
        let anywhere = depend::dependencies(table, true, zeros);
        let compared = Compared::of(table, &anywhere);
        let has_stored = stored(table).next().is_some();
        let whole = |settings| vec![Part { settings, batch: batch.clone() }];
        let source = self.state().source.clone().unwrap_or_else(|| server.clone());
        let dependencies = depend::dependencies(table, takes_offsets(server), zeros);
        let candidates = Settings::candidates(&dependencies, &source);
        let usual = candidates.first().map(Settings::taking_dates).unwrap_or_default();
        // What another family computes may be something else whatever the settings.
        let doubtful = source.flavor != server.flavor || !anywhere.is_empty();
        let read: Vec<Vec<u8>> = match has_stored {
            true => row_texts(&batch.data).map(|line| compared.of_batch(line)).collect(),
            false => Vec::new(),
        };
        let mut computed = Digest::default();
        read.iter().for_each(|row| computed.add_row(&compared.generated(row)));
        if !has_stored || !doubtful || table.history {
            return Ok(Divided { parts: whole(usual), computed, different: BTreeMap::new() });
        }
        let Some(scratch) = Scratch::open(self, table, Columns::All).await? else {
            return Ok(Divided { parts: whole(usual), computed, different: BTreeMap::new() });
        };
        let mut search = Search::new(self, batch, scratch, compared, read);
        let (mut known, mut fruitless) = self
            .state()
            .generated
            .get(&plan.number)
            .map(|table| (table.known.clone(), table.fruitless))
            .unwrap_or_default();
        for settings in known.iter().rev() {
            search.take(settings).await?;
        }
        let others: Vec<&Settings> = candidates.iter().filter(|settings| !known.contains(settings)).collect();
        while fruitless < SEARCHES && search.has_rows() {
            let Some(settings) = search.best_of(&others).await? else {
                fruitless += 1;
                break;
            };
            search.take(settings).await?;
            known.push(settings.clone());
        }
        let usual = known.last().map_or(usual, Settings::taking_dates);
        let (different, computed) = search.rest(&usual, table).await?;
        let mut state = self.state();
        let table = state.generated.entry(plan.number).or_default();
        table.fruitless = table.fruitless.max(fruitless);
        for settings in known {
            if !table.known.contains(&settings) {
                table.known.push(settings);
            }
        }
        Ok(Divided { parts: search.parts, computed, different })
    }

    /// The table with its definition as this server writes it.
    fn in_its_dialect(&self, table: &Table) -> Table {
        let create = self.state().definitions.get(&table.name).cloned();
        Table { create: create.unwrap_or_else(|| table.create.clone()), ..table.clone() }
    }

    /// Has the server open a table anew where it opened it under other settings than these. Nothing does it where the
    /// account may not flush tables: then the comparison of the complete table tells.
    pub(super) async fn open_under(&self, conn: &mut Conn, table: &TablePlan, settings: &Settings) -> Result<()> {
        let settings = settings.fixed_at_open();
        {
            let mut state = self.state();
            let generated = state.generated.entry(table.number).or_default();
            if generated.opened == settings {
                return Ok(());
            }
            generated.opened = settings;
        }
        let name = format!("{}.{}", quote_name(&self.address.database), quote_name(&table.table.name));
        conn.try_exec_each(&[&format!("FLUSH NO_WRITE_TO_BINLOG TABLES {name}")]).await
    }

    /// A batch is in: notes what its generated columns must be.
    pub(super) fn expect(&self, table: u32, batch: &Batch, divided: &Divided) {
        let mut state = self.state();
        let table = state.generated.entry(table).or_default();
        table.expected.entry(batch.id.chunk).or_default().add(&divided.computed);
        for (column, count) in &divided.different {
            *table.different.entry(column.clone()).or_default() += count;
        }
    }

    /// Whether the rows themselves fit, so that whatever the server warns of can only be what it computes from them; `None`
    /// where it cannot be tried.
    pub(super) async fn rows_fit(&self, table: &Table, batch: &Batch) -> Result<Option<bool>> {
        let table = self.in_its_dialect(table);
        let Some(mut scratch) = Scratch::open(self, &table, Columns::Loaded).await? else { return Ok(None) };
        match scratch.load_strictly(self, batch).await {
            Ok(()) => Ok(Some(true)),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Ok(Some(false)),
        }
    }

    /// The digests that the generated columns of a complete table must have, by chunk.
    pub(super) fn expected(&self, table: u32) -> BTreeMap<u32, Digest> {
        self.state().generated.get(&table).map(|table| table.expected.clone()).unwrap_or_default()
    }

    /// The settings under which the rows of a table were written, the latest of them; the source's global ones where the
    /// rows did not tell.
    pub(super) fn settings_of(&self, table: &TablePlan, server: &Server) -> Settings {
        let state = self.state();
        let known = state.generated.get(&table.number).and_then(|table| table.known.last().cloned());
        let known = known.unwrap_or_else(|| {
            let dependencies = depend::dependencies(&table.table, takes_offsets(server), false);
            let candidates = Settings::candidates(&dependencies, state.source.as_ref().unwrap_or(server));
            candidates.into_iter().next().unwrap_or_default()
        });
        known.taking_dates()
    }

    /// The settings to try for rows that the rules of the table refuse under these: its checks, its partitions, and what it
    /// computes for indexes.
    pub(super) fn settings_for_rules(&self, table: &Table, server: &Server, under: &Settings) -> Vec<Settings> {
        let table = self.in_its_dialect(table);
        let dependencies = depend::of_rules(&table, takes_offsets(server));
        let source = self.state().source.clone().unwrap_or_else(|| server.clone());
        let mut candidates = Settings::candidates(&dependencies, &source);
        candidates.sort_by_key(|settings| !settings.agrees_with(under));
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
    depend::dependent_indexes(table).into_iter().map(note).collect()
}

impl Generated {
    /// What the report says of the columns that the target computes otherwise.
    pub(super) fn notes(&self, table: &Table) -> Vec<Note> {
        let note = |(column, count): (&String, &u64)| {
            Note::Fidelity(FidelityIssue {
                object: table.object(),
                what: format!("column {column}"),
                severity: Severity::Warning,
                source: format!("values in {count} rows, as the sessions computed them that wrote these"),
                target: "what the target computes, under every setting that was tried".to_owned(),
            })
        };
        let under = self.known.iter().map(Settings::describe).filter(|text| !text.is_empty());
        let under: Vec<String> = under.collect();
        let said = format!("its generated columns were computed under: {}", under.join("; "));
        let said = (!under.is_empty()).then(|| Note::about(&table.object(), said));
        self.different.iter().map(note).chain(said).collect()
    }
}

/// The table with nothing but its stored generated columns, to read them back; `None` where it has none.
pub(super) fn only_generated(plan: &TablePlan) -> Option<TablePlan> {
    let mut only = TablePlan { filter: None, ..plan.clone() };
    only.table.columns = stored(&plan.table).cloned().collect();
    (!only.table.columns.is_empty()).then_some(only)
}

/// What is told of a table in whose chunks, so many `wrong` ones of all, the columns are not as they were expected.
pub(super) fn unexpected(table: &Table, wrong: usize, all: usize) -> String {
    let names: Vec<String> = stored(table).map(|column| Printable(&column.name).to_string()).collect();
    let what = if names.len() == 1 { "generated column" } else { "one of the generated columns" };
    format!(
        "{what} {}: the target computed other values than were read, in {wrong} of {all} key ranges",
        names.join(", ")
    )
}
