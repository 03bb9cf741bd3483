//! Proves that a table is the one that this clone made: by its definition and its rows, which the journal has.
//!
//! A name proves nothing. Since the clone made a table, somebody may have dropped it and made another one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::chunk_query;
use super::connect::Conn;
use super::ddl::quote_name;
use super::journal::{self, JournalContents, TableLine, TableState};
use super::lock_wait::{is_lock_wait, shorten_lock_wait};
use super::preflight_remains::PROBE_PREFIX;
use super::record::read_parts;
use super::remains::FateDecision;
use super::session;
use super::target::TargetDatabase;
use super::undo_log::{CreatedItem, UndoEntry};
use super::write::is_transactional;
use crate::catalog::{Flavor, ObjectKind, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Chunk, TablePlan};

const UNKNOWN_DATABASE: u16 = 1049;
const UNKNOWN_TABLE: u16 = 1146;
/// The errors of a table without transactions that a crash of its server has damaged.
const DAMAGED_TABLE: [u16; 3] = [1034, 1194, 1195];
/// The error of a table whose definition is newer than the snapshot: an ALTER of the killed process has just ended.
pub(super) const DEFINITION_CHANGED: u16 = 1412;
/// How often the tables are looked at while definitions change.
pub(super) const MAX_LOOKS: usize = 20;
/// How many rows of a table that is to be removed are counted: a count of billions would take longer than their copy.
const MAX_COUNTED_ROWS: u64 = 1_000_000;

/// The number of rows of a table beside the journal's.
enum RowComparison {
    /// So many rows, as the journal says.
    Same(u64),
    Different(String),
    /// Their number says nothing, or they may be fewer.
    Unproven,
}

/// Compares tables with what the journal says of them, in a snapshot of both.
pub(super) struct OwnershipCheck<'a> {
    pub(super) database: &'a str,
    pub(super) contents: &'a JournalContents,
    /// Whether the target's server was restarted since the last process began.
    pub(super) restarted: bool,
    /// Whether the table is to be removed: then an empty one of the same definition passes, as nothing in it can be lost, and
    /// the rows of a large one are not counted to the end.
    pub(super) removes: bool,
}

impl OwnershipCheck<'_> {
    /// Says what distinguishes a table from the one that the clone made; `None` if nothing does, or if there is no table.
    pub(super) async fn find_difference(&self, conn: &mut Conn, table: &TablePlan) -> Result<Option<String>> {
        let Some(parts) = self.read_parts(conn, &table.table.name).await? else { return Ok(None) };
        if parts.is_empty() {
            return Ok(Some("is no table any more".to_owned()));
        }
        let Some(line) = self.contents.tables.get(&table.number) else {
            return self.compare_with_new(conn, table, &parts).await;
        };
        let difference = match compare_parts(table, line, &parts) {
            Some(what) if !(self.removes && self.is_altered_only(conn, table, line, &parts).await?) => {
                Some(format!("was altered: {what} is not as the clone made it"))
            }
            Some(_) => None,
            None => match self.compare_rows(conn, table, line).await? {
                RowComparison::Different(difference) => Some(difference),
                RowComparison::Same(_) | RowComparison::Unproven => None,
            },
        };
        match (line.state, difference) {
            // It may have been made anew already.
            (TableState::Anew, Some(difference)) => {
                Ok(self.compare_with_new(conn, table, &parts).await?.map(|_| difference))
            }
            (_, difference) => Ok(difference),
        }
    }

    /// Whether the table of another definition is the clone's: an ALTER keeps its rows.
    async fn is_altered_only(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        line: &TableLine,
        parts: &BTreeMap<String, u64>,
    ) -> Result<bool> {
        let has_all_columns = missing_column(table, parts).is_none();
        Ok(has_all_columns && matches!(self.compare_rows(conn, table, line).await?, RowComparison::Same(1..)))
    }

    /// Whether there is a table, or a view, of this name.
    pub(super) async fn is_there(&self, conn: &mut Conn, name: &str) -> Result<bool> {
        Ok(self.read_parts(conn, name).await?.is_some())
    }

    /// The hashes of a definition; `None` without a table.
    async fn read_parts(&self, conn: &mut Conn, name: &str) -> Result<Option<BTreeMap<String, u64>>> {
        match read_parts(conn, self.database, name).await {
            Err(error) if matches!(error.code(), Some(UNKNOWN_DATABASE | UNKNOWN_TABLE)) => Ok(None),
            parts => parts.map(Some),
        }
    }

    /// Compares a table with one that the clone has just made, and loaded nothing into.
    async fn compare_with_new(
        &self,
        conn: &mut Conn,
        table: &TablePlan,
        parts: &BTreeMap<String, u64>,
    ) -> Result<Option<String>> {
        if let Some(column) = missing_column(table, parts) {
            return Ok(Some(format!("has no column {column}: somebody else made it")));
        }
        let (database, name) = (quote_name(self.database), quote_name(&table.table.name));
        let row = conn.row(&format!("SELECT 1 FROM {database}.{name} LIMIT 1")).await?;
        Ok(row.map(|_| "has rows, and the clone has loaded none into it: somebody else made it".to_owned()))
    }

    async fn compare_rows(&self, conn: &mut Conn, table: &TablePlan, line: &TableLine) -> Result<RowComparison> {
        let is_transactional = is_transactional(&table.table);
        let lost_history = table.table.history && conn.server.flavor == Flavor::MySql;
        // Events may have changed rows of a clone that had everything. An engine may show rows of other tables.
        let shows_other_rows = table.chunks.is_empty() && !is_transactional;
        if shows_other_rows || lost_history || self.contents.has_all_objects() || self.contents.is_changed() {
            return Ok(RowComparison::Unproven);
        }
        // Without transactions, the line of a batch is there before its rows, and a crash may take rows.
        let is_exact = is_transactional || line.state == TableState::Complete && !self.restarted;
        let limit = self.removes.then_some(MAX_COUNTED_ROWS);
        let (all, whole) = (unfiltered(table), Chunk::whole());
        let count = match limit {
            Some(limit) => chunk_query::bounded_count_statement(self.database, &all, &whole, limit),
            None => chunk_query::count_statement(self.database, &all, &whole),
        };
        let rows = match conn.row(&count).await {
            Err(error) if !is_exact && error.code().is_some_and(|code| DAMAGED_TABLE.contains(&code)) => {
                return Ok(RowComparison::Unproven);
            }
            row => row?.map_or(0, |row| row.number(0)),
        };
        let recorded = self.contents.totals(table.number, 0).rows;
        let counted = limit.map_or(recorded, |limit| recorded.min(limit));
        if rows == counted {
            return Ok(RowComparison::Same(rows));
        }
        if !is_exact && rows < counted || rows == 0 && self.removes {
            return Ok(RowComparison::Unproven);
        }
        let or_more = if limit == Some(rows) { " or more" } else { "" };
        Ok(RowComparison::Different(format!(
            "has {rows}{or_more} rows, and the journal says {recorded}: somebody changed the table, or the journal"
        )))
    }
}

fn unfiltered(table: &TablePlan) -> TablePlan {
    TablePlan { filter: None, chunk_key: Vec::new(), ..table.clone() }
}

/// The first part of a definition that is not as the journal says.
fn compare_parts(table: &TablePlan, line: &TableLine, parts: &BTreeMap<String, u64>) -> Option<String> {
    if line.parts.is_empty() {
        return missing_column(table, parts).map(|column| format!("column {column}"));
    }
    let changed = line.parts.iter().find(|(what, hash)| parts.get(*what) != Some(*hash));
    let added = parts.keys().find(|what| {
        // Indexes and foreign keys are added by the clone itself.
        let is_key = ["index ", "foreign key "].iter().any(|kind| what.starts_with(kind));
        !is_key && !line.parts.contains_key(*what)
    });
    changed.map(|(what, _)| what).or(added).cloned()
}

/// A column of the plan that a definition lacks.
fn missing_column(table: &TablePlan, parts: &BTreeMap<String, u64>) -> Option<String> {
    // The translation may leave out the columns of a history.
    if table.table.history {
        return None;
    }
    let names: BTreeSet<String> =
        parts.keys().filter_map(|part| part.strip_prefix("column ")).map(str::to_lowercase).collect();
    let missing = table.table.columns.iter().find(|column| !names.contains(&column.name.to_lowercase()));
    missing.map(|column| Printable(&column.name).to_string())
}

/// What the clean-up must know of the clone before it removes anything.
#[derive(Default)]
pub(super) struct CleanupRules {
    /// The tables that must stay, by name, with the reason of each.
    foreign: BTreeMap<String, Error>,
    /// Whether the clone leaves no trace in the server's log.
    pub(super) skips_binlog: bool,
}

impl CleanupRules {
    /// The reason why an item must stay; `None` if it is the clone's.
    pub(super) fn reason_to_stay(&self, item: &CreatedItem) -> Option<Error> {
        let reason = self.foreign.get(table_name(item)?)?;
        let copy = Error::new(reason.kind(), reason.to_string());
        Some(if reason.is_retryable() { copy.retryable() } else { copy })
    }
}

impl TargetDatabase {
    /// Finds the tables among these items that are not as this clone left them. `known` is what an earlier look has found,
    /// which counts once the journal is removed.
    pub(super) async fn read_cleanup_rules(
        &self,
        items: &[UndoEntry],
        known: Option<CleanupRules>,
    ) -> Result<CleanupRules> {
        for _ in 0..MAX_LOOKS {
            match self.read_cleanup_rules_once(items).await {
                Ok(None) => return Ok(known.unwrap_or_default()),
                Ok(Some(found)) => return Ok(found),
                Err(error) if error.code() == Some(DEFINITION_CHANGED) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Server, "its tables change all the time: another session alters them"))
    }

    async fn read_cleanup_rules_once(&self, items: &[UndoEntry]) -> Result<Option<CleanupRules>> {
        let database = &self.address.database;
        let mut conn = session::open_control(&self.address).await?;
        let _ = shorten_lock_wait(&mut conn).await;
        conn.exec("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        let Some(contents) = journal::read(&mut conn, database).await? else { return Ok(None) };
        let restarted = FateDecision::read(&mut conn, &contents, false).await?.restarted;
        let check = OwnershipCheck { database, contents: &contents, restarted, removes: true };
        let planned = contents.description.iter().flat_map(|job| &job.plan.tables);
        let planned: BTreeMap<&str, &TablePlan> = planned.map(|table| (table.table.name.as_str(), table)).collect();
        let mut foreign = BTreeMap::new();
        for name in items.iter().filter_map(|entry| table_name(&entry.item)) {
            let difference = match (&contents.damage, planned.get(name)) {
                // Found by its comment.
                (_, None) if name.starts_with(PROBE_PREFIX) => continue,
                (Some(damage), _) => Ok(Some(format!("cannot be compared: {damage}"))),
                (None, Some(table)) => check.find_difference(&mut conn, table).await,
                (None, None) => {
                    let parts = check.read_parts(&mut conn, name).await;
                    parts.map(|parts| parts.map(|_| "is not among the tables of the clone".to_owned()))
                }
            };
            let reason = match difference {
                Ok(None) => continue,
                Ok(Some(difference)) => foreign_error(&difference),
                Err(error) if error.code().is_none() || error.code() == Some(DEFINITION_CHANGED) => return Err(error),
                Err(error) if is_lock_wait(&error) => {
                    // The waits for further locks must not add up to minutes.
                    let _ = conn.exec("SET SESSION lock_wait_timeout = 1").await;
                    self.explain_lock_wait(error).await
                }
                Err(error) => error,
            };
            foreign.insert(name.to_owned(), reason);
        }
        conn.exec("COMMIT").await?;
        // Who abandons a clone does not know its options.
        let options = contents.description.as_ref().map(|job| &job.options);
        let skips_binlog = options.and_then(|options| options.get("skip_binlog")).and_then(Value::as_bool);
        Ok(Some(CleanupRules { foreign, skips_binlog: skips_binlog.unwrap_or(self.options.skip_binlog) }))
    }
}

/// The name of the table that the item is, or whose rows it is.
fn table_name(item: &CreatedItem) -> Option<&str> {
    match item {
        CreatedItem::Object(object) if object.kind == ObjectKind::Table => Some(&object.name),
        CreatedItem::Rows(table) => Some(table),
        _ => None,
    }
}

/// The error of a table that must stay. Another try would have the same result.
fn foreign_error(difference: &str) -> Error {
    let message = format!(
        "it {difference}: rename it or drop it yourself and abandon the clone again, or drop table {} to keep it",
        journal::TABLE_NAME
    );
    Error::new(ErrorKind::Changed, message)
}
