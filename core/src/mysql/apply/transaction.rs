//! An open transaction: writes the statements of changes, several rows in one where that is possible.

use std::sync::Arc;

use async_trait::async_trait;

use super::AppliedState;
use super::condition::{TextComparison, key_literal, push_conditions};
use super::table::AppliedTable;
use crate::batch::{Batch, BatchId};
use crate::catalog::{Column, Flavor, Printable, Table};
use crate::change::{ChangeKind, RowChanges, RowImages};
use crate::change_applier::TargetTransaction;
use crate::checkpoint::Checkpoint;
use crate::codec::{Field, row_texts, split_fields};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::{Conn, OkPacket};
use crate::mysql::ddl::quote_name;
use crate::mysql::journal;
use crate::mysql::load::{self, LoadOptions};
use crate::mysql::negative_zero;
use crate::mysql::target::JournalAccess;
use crate::plan::TablePlan;

/// The most rows and bytes of one statement, unless one row has more.
const MAX_ROWS: usize = 200;
const MAX_BYTES: usize = 128 << 10;

/// The number from which on the rows of each applier have a chunk of their own. No chunk of a plan has such a number.
pub(super) const FIRST_CHANGE_CHUNK: u32 = 1 << 31;

/// Rows that one statement inserts or deletes.
struct PendingRows {
    table: u32,
    is_insert: bool,
    /// The columns of the lines, as indexes into the stored columns.
    columns: Vec<u32>,
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

pub(super) struct AppliedTransaction {
    state: Arc<AppliedState>,
    /// The access to the journal when the transaction began.
    access: JournalAccess,
    conn: Conn,
    applier: u32,
    /// Whether each row has a statement of its own.
    is_careful: bool,
    /// Whether the session checks foreign keys, so that they change further rows.
    checks_foreign_keys: bool,
    pending: Option<PendingRows>,
}

impl AppliedTransaction {
    pub(super) fn new(
        state: Arc<AppliedState>,
        access: JournalAccess,
        conn: Conn,
        applier: u32,
        is_careful: bool,
    ) -> Self {
        Self { state, access, conn, applier, is_careful, checks_foreign_keys: false, pending: None }
    }

    fn table(&self, number: u32) -> Result<Arc<AppliedTable>> {
        let table = self.state.tables.get(number as usize).cloned();
        table.ok_or_else(|| Error::new(ErrorKind::Internal, "changes of a table that is not in the plan"))
    }

    /// Adds a row to those that one statement inserts or deletes.
    async fn add(&mut self, table: u32, is_insert: bool, columns: &[u32], line: &[u8]) -> Result<()> {
        let fits = |pending: &PendingRows| {
            pending.table == table
                && pending.is_insert == is_insert
                && pending.columns == columns
                && pending.lines.len() < MAX_ROWS
                && pending.bytes + line.len() <= MAX_BYTES
        };
        if self.is_careful || !self.pending.as_ref().is_some_and(fits) {
            self.flush().await?;
        }
        let new = || PendingRows { table, is_insert, columns: columns.to_vec(), lines: Vec::new(), bytes: 0 };
        let pending = self.pending.get_or_insert_with(new);
        pending.lines.push(line.to_vec());
        pending.bytes += line.len();
        Ok(())
    }

    /// Runs the statement of the rows that wait for it.
    async fn flush(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let table = self.table(pending.table)?;
        match pending.is_insert {
            true => self.insert(&table, &pending).await,
            false => self.delete(&table, &pending).await,
        }
    }

    async fn insert(&mut self, table: &AppliedTable, pending: &PendingRows) -> Result<()> {
        let images = RowImages { columns: pending.columns.clone(), text: Default::default() };
        let columns = table.image_columns(&images)?.into_iter().cloned().collect();
        let part = Table { columns, ..table.table.clone() };
        let plan = TablePlan {
            number: pending.table,
            table: part,
            filter: None,
            chunk_key: Vec::new(),
            chunks: Vec::new(),
            position: None,
        };
        let chunk = FIRST_CHANGE_CHUNK.saturating_add(self.applier);
        let id = BatchId { table: pending.table, chunk, batch: 0 };
        let batch = Batch::from_lines(id, pending.lines.iter().map(Vec::as_slice));
        // Escapes and expressions add to the text.
        let by_insert = 4 * pending.bytes < self.state.target.state().max_allowed_packet;
        let options = LoadOptions { by_insert, ..LoadOptions::default() };
        let loaded = self.state.target.load_rows(&mut self.conn, &plan, &batch, &options).await;
        self.state.target.state().count_lost_signs(id);
        loaded.map_err(|error| self.named(table, pending, error))
    }

    /// Adds the table to the error, and the key of the row if there is one only.
    fn named(&self, table: &AppliedTable, pending: &PendingRows, error: Error) -> Error {
        let error = error.with("table", Printable(&table.table.name));
        let images = RowImages { columns: pending.columns.clone(), text: Default::default() };
        match (pending.lines.as_slice(), table.locator_places(&images)) {
            ([line], Ok((places, true))) => error.with("key", self.key_text(table, &pending.columns, &places, line)),
            _ => error,
        }
    }

    /// Describes the key of a row: `id = 5`.
    fn key_text(&self, table: &AppliedTable, columns: &[u32], places: &[usize], line: &[u8]) -> String {
        let fields: Vec<Field<'_>> = split_fields(line).collect();
        let parts = places.iter().filter_map(|place| {
            let column = table.columns.get(*columns.get(*place)? as usize)?;
            let value = key_literal(column, *fields.get(*place)?, self.conn.server.flavor);
            Some(format!("{} = {}", column.name, value.unwrap_or_else(|| "…".to_owned())))
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    async fn delete(&mut self, table: &AppliedTable, pending: &PendingRows) -> Result<()> {
        let images = RowImages { columns: pending.columns.clone(), text: Default::default() };
        let columns = table.image_columns(&images)?;
        let (places, is_key) = table.locator_places(&images)?;
        let statements = match is_key {
            true => vec![self.delete_by_key(table, &columns, &places, &pending.lines)],
            false => pending.lines.iter().map(|line| self.delete_by_row(table, &columns, &places, line)).collect(),
        };
        let mut deleted = 0;
        for sql in statements {
            deleted += self.conn.exec_bytes(&sql).await.map_err(|error| self.named(table, pending, error))?.affected;
        }
        match deleted == pending.lines.len() as u64 {
            true => Ok(()),
            false => Err(self.missing(table, pending, "delete", deleted)),
        }
    }

    /// The error of rows that are not found.
    fn missing(&self, table: &AppliedTable, pending: &PendingRows, what: &str, found: u64) -> Error {
        let message = format!(
            "the source's log says to {what} {} row(s), and the target has {found} of them: another session has changed the \
             target",
            pending.lines.len()
        );
        self.named(table, pending, Error::new(ErrorKind::Data, message))
    }

    fn delete_by_key(&self, table: &AppliedTable, columns: &[&Column], places: &[usize], lines: &[Vec<u8>]) -> Vec<u8> {
        let mut sql = format!("DELETE FROM {} WHERE ", table.name).into_bytes();
        let flavor = self.conn.server.flavor;
        if let [place] = places
            && let Some(column) = columns.get(*place)
        {
            let literals: Option<Vec<String>> =
                lines.iter().map(|line| key_literal(column, split_fields(line).nth(*place)?, flavor)).collect();
            if let Some(literals) = literals {
                sql.extend_from_slice(format!("{} IN ({})", quote_name(&column.name), literals.join(",")).as_bytes());
                return sql;
            }
        }
        for (index, line) in lines.iter().enumerate() {
            sql.extend_from_slice(if index > 0 { b" OR (" } else { b"(" });
            push_conditions(&mut sql, columns, places, line, TextComparison::Collation, flavor);
            sql.push(b')');
        }
        sql
    }

    fn delete_by_row(&self, table: &AppliedTable, columns: &[&Column], places: &[usize], line: &[u8]) -> Vec<u8> {
        let mut sql = format!("DELETE FROM {} WHERE ", table.name).into_bytes();
        push_conditions(&mut sql, columns, places, line, TextComparison::Bytes, self.conn.server.flavor);
        sql.extend_from_slice(b" LIMIT 1");
        sql
    }

    /// Updates one row where it is. Returns false if that needs another way.
    async fn update(
        &mut self,
        table: &AppliedTable,
        number: u32,
        before: &RowImages,
        after: &RowImages,
    ) -> Result<bool> {
        let (places, is_key) = table.locator_places(before)?;
        let flavor = self.conn.server.flavor;
        if !is_key && !self.checks_foreign_keys || flavor == Flavor::MariaDb && has_negative_zero(table, after)? {
            return Ok(false);
        }
        let lines: Vec<&[u8]> = row_texts(&before.text).chain(row_texts(&after.text)).collect();
        let [old_line, new_line] = lines.as_slice() else { return Ok(false) };
        let (old_columns, new_columns) = (table.image_columns(before)?, table.image_columns(after)?);
        let old: Vec<Field<'_>> = split_fields(old_line).collect();
        let mut sql = format!("UPDATE {} SET ", table.name).into_bytes();
        let (mut is_first, mut wrong) = (true, 0);
        let mut begin = |sql: &mut Vec<u8>, column: &Column| {
            let comma = if std::mem::take(&mut is_first) { "" } else { ", " };
            sql.extend_from_slice(format!("{comma}{} = ", quote_name(&column.name)).as_bytes());
        };
        let options = LoadOptions::default();
        let mut assigned = Vec::new();
        for ((index, column), field) in after.columns.iter().zip(new_columns).zip(split_fields(new_line)) {
            let place = before.columns.iter().position(|there| there == index);
            let is_same = place.and_then(|place| old.get(place)) == Some(&field);
            if column.generated || is_same {
                continue;
            }
            begin(&mut sql, column);
            wrong += load::push_value(&mut sql, column, field, &options);
            assigned.push(*index);
        }
        // A column may have ON UPDATE CURRENT_TIMESTAMP.
        let is_time = |column: &&Column| matches!(column.data_type.as_str(), "timestamp" | "datetime");
        for (_, column) in (0..).zip(&table.columns).filter(|(index, c)| !assigned.contains(index) && is_time(c)) {
            if !column.generated {
                begin(&mut sql, column);
                sql.extend_from_slice(quote_name(&column.name).as_bytes());
            }
        }
        if is_first {
            // Nothing but a generated column has changed; the row must be there all the same.
            let Some(column) = table.columns.iter().find(|column| !column.generated) else { return Ok(false) };
            let name = quote_name(&column.name);
            sql.extend_from_slice(format!("{name} = {name}").as_bytes());
        }
        sql.extend_from_slice(b" WHERE ");
        let texts = if is_key { TextComparison::Collation } else { TextComparison::Bytes };
        push_conditions(&mut sql, &old_columns, &places, old_line, texts, flavor);
        if !is_key {
            sql.extend_from_slice(b" LIMIT 1");
        }
        if sql.len() > self.state.target.state().max_allowed_packet {
            return Ok(false);
        }
        let pending = PendingRows {
            table: number,
            is_insert: false,
            columns: before.columns.clone(),
            lines: vec![old_line.to_vec()],
            bytes: 0,
        };
        options.set_up_session(&mut self.conn, wrong > 0).await?;
        let done = self.conn.exec_bytes(&sql).await.map_err(|error| self.named(table, &pending, error))?;
        let OkPacket { info, warnings, affected } = done;
        let counts = load::parse_counts(&info);
        let warnings = counts.get(2).copied().unwrap_or(u64::from(warnings));
        let checked = load::check_warnings(&mut self.conn, &table.table, warnings, wrong).await;
        checked.map_err(|error| self.named(table, &pending, error))?;
        options.reset_session(&mut self.conn, wrong > 0).await?;
        match counts.first().copied().unwrap_or(affected) {
            1 => Ok(true),
            found => Err(self.missing(table, &pending, "update", found)),
        }
    }

    async fn apply_rows(&mut self, table: &AppliedTable, changes: &RowChanges) -> Result<()> {
        let number = changes.table;
        match (changes.kind, &changes.before, &changes.after) {
            (ChangeKind::Insert, _, Some(after)) => {
                for line in row_texts(&after.text) {
                    self.add(number, true, &after.columns, line).await?;
                }
            }
            (ChangeKind::Delete, Some(before), _) => {
                for line in row_texts(&before.text) {
                    self.add(number, false, &before.columns, line).await?;
                }
            }
            (ChangeKind::Update, Some(before), Some(after)) => {
                let is_whole = table.is_full(before) && table.is_full(after);
                let rows = Iterator::zip(row_texts(&before.text), row_texts(&after.text));
                if changes.rows > 1 && is_whole && !self.is_careful {
                    for line in row_texts(&before.text) {
                        self.add(number, false, &before.columns, line).await?;
                    }
                    for line in row_texts(&after.text) {
                        self.add(number, true, &after.columns, line).await?;
                    }
                    return Ok(());
                }
                self.flush().await?;
                for (old, new) in rows {
                    let image = |columns: &Vec<u32>, line: &[u8]| {
                        let text = [line, b"\n"].concat().into();
                        RowImages { columns: columns.clone(), text }
                    };
                    let (one, other) = (image(&before.columns, old), image(&after.columns, new));
                    if self.update(table, number, &one, &other).await? {
                        continue;
                    }
                    if self.checks_foreign_keys {
                        let message = "other rows refer to a row whose key changes, and the target cannot change it where it is: \
                                       it is larger than max_allowed_packet, or has a negative zero";
                        return Err(table.error(message));
                    }
                    if !is_whole {
                        return Err(
                            table.error("the source's log has only a part of a row: set binlog_row_image to FULL")
                        );
                    }
                    self.add(number, false, &before.columns, old).await?;
                    self.add(number, true, &after.columns, new).await?;
                    self.flush().await?;
                }
            }
            _ => return Err(table.error("a change without its rows")),
        }
        Ok(())
    }

    /// Lets foreign keys change further rows, or not.
    async fn check_foreign_keys(&mut self, checks: bool) -> Result<()> {
        self.conn.exec(&format!("SET SESSION foreign_key_checks = {}", u8::from(checks))).await?;
        self.checks_foreign_keys = checks;
        Ok(())
    }
}

/// Whether a row has a negative zero, which MariaDB takes in an insert only.
fn has_negative_zero(table: &AppliedTable, images: &RowImages) -> Result<bool> {
    let columns = table.image_columns(images)?.into_iter().cloned().collect();
    let part = Table { columns, ..table.table.clone() };
    let id = BatchId { table: 0, chunk: 0, batch: 0 };
    Ok(negative_zero::encode_negative_zeros(&part, &Batch::from_lines(id, row_texts(&images.text))).is_some())
}

#[async_trait]
impl TargetTransaction for AppliedTransaction {
    async fn apply(&mut self, changes: &RowChanges) -> Result<()> {
        let table = self.table(changes.table)?;
        if !table.hasher.cascades.act_on(changes) {
            return self.apply_rows(&table, changes).await;
        }
        table.cascades.check()?;
        // The same row by row, in the same order, as at the source: what foreign keys do depends on both.
        self.flush().await?;
        let was_careful = std::mem::replace(&mut self.is_careful, true);
        self.check_foreign_keys(true).await?;
        self.apply_rows(&table, changes).await?;
        self.flush().await?;
        self.check_foreign_keys(false).await?;
        self.is_careful = was_careful;
        Ok(())
    }

    async fn commit(mut self: Box<Self>, checkpoint: &Checkpoint) -> Result<()> {
        let mut commit = async || {
            self.flush().await?;
            let database = &self.state.target.address.database;
            let (job, owner) = (&self.access.job, &self.access.owner);
            journal::write_checkpoint(&mut self.conn, database, job, owner, self.applier, checkpoint).await?;
            self.conn.exec("COMMIT").await.map(drop)
        };
        let committed = commit().await;
        match committed {
            Ok(()) => {
                self.state.put_back(self.conn);
                Ok(())
            }
            Err(error) => {
                self.rollback().await;
                Err(error)
            }
        }
    }

    async fn rollback(mut self: Box<Self>) {
        let is_undone = self.conn.exec("ROLLBACK").await.is_ok();
        // A session that does not answer is closed.
        if is_undone && (!self.checks_foreign_keys || self.check_foreign_keys(false).await.is_ok()) {
            self.state.put_back(self.conn);
        }
    }
}
