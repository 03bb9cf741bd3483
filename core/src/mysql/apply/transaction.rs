//! An open transaction: writes the statements of changes, several rows in one where that is possible.

use std::sync::Arc;

use async_trait::async_trait;

use super::AppliedState;
use super::condition::{TextComparison, key_literal, push_condition};
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
use crate::plan::TablePlan;

/// The most rows and bytes of one statement, unless one row has more.
const MAX_ROWS: usize = 200;
const MAX_BYTES: usize = 128 << 10;

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
    conn: Conn,
    applier: u32,
    /// Whether each row has a statement of its own.
    is_careful: bool,
    pending: Option<PendingRows>,
}

impl AppliedTransaction {
    pub(super) fn new(state: Arc<AppliedState>, conn: Conn, applier: u32, is_careful: bool) -> Self {
        Self { state, conn, applier, is_careful, pending: None }
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
        // No chunk of the plan has this number.
        let id = BatchId { table: pending.table, chunk: u32::MAX - self.applier, batch: 0 };
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
        if !is_key || flavor == Flavor::MariaDb && has_negative_zero(table, after)? {
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
        let mut assigned = Vec::new();
        for ((index, column), field) in after.columns.iter().zip(new_columns).zip(split_fields(new_line)) {
            let place = before.columns.iter().position(|there| there == index);
            let is_same = place.and_then(|place| old.get(place)) == Some(&field);
            if column.generated || is_same {
                continue;
            }
            begin(&mut sql, column);
            wrong += load::push_value(&mut sql, column, field, &LoadOptions::default());
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
        push_conditions(&mut sql, &old_columns, &places, old_line, TextComparison::Collation, flavor);
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
        let done = self.conn.exec_bytes(&sql).await.map_err(|error| self.named(table, &pending, error))?;
        let OkPacket { info, warnings, affected } = done;
        let counts = load::parse_counts(&info);
        let warnings = counts.get(2).copied().unwrap_or(u64::from(warnings));
        let checked = load::check_warnings(&mut self.conn, &table.table, warnings, wrong).await;
        checked.map_err(|error| self.named(table, &pending, error))?;
        match counts.first().copied().unwrap_or(affected) {
            1 => Ok(true),
            found => Err(self.missing(table, &pending, "update", found)),
        }
    }
}

/// Whether a row has a negative zero, which MariaDB takes in an insert only.
fn has_negative_zero(table: &AppliedTable, images: &RowImages) -> Result<bool> {
    let columns = table.image_columns(images)?.into_iter().cloned().collect();
    let part = Table { columns, ..table.table.clone() };
    let id = BatchId { table: 0, chunk: 0, batch: 0 };
    Ok(negative_zero::encode_negative_zeros(&part, &Batch::from_lines(id, row_texts(&images.text))).is_some())
}

/// Adds the conditions that find a row by the columns at these places.
fn push_conditions(
    sql: &mut Vec<u8>,
    columns: &[&Column],
    places: &[usize],
    line: &[u8],
    texts: TextComparison,
    flavor: Flavor,
) {
    let fields: Vec<Field<'_>> = split_fields(line).collect();
    let parts = places.iter().filter_map(|place| Some((columns.get(*place)?, fields.get(*place)?)));
    for (index, (column, field)) in parts.enumerate() {
        if index > 0 {
            sql.extend_from_slice(b" AND ");
        }
        push_condition(sql, column, *field, texts, flavor);
    }
    if places.is_empty() {
        sql.extend_from_slice(b"TRUE");
    }
}

#[async_trait]
impl TargetTransaction for AppliedTransaction {
    async fn apply(&mut self, changes: &RowChanges) -> Result<()> {
        let (number, table) = (changes.table, self.table(changes.table)?);
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
                    if self.update(&table, number, &one, &other).await? {
                        continue;
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

    async fn commit(mut self: Box<Self>, checkpoint: &Checkpoint) -> Result<()> {
        let mut commit = async || {
            self.flush().await?;
            let access = self.state.journal()?;
            let database = &self.state.target.address.database;
            let (job, owner) = (&access.job, &access.owner);
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
        // A session that does not answer is closed.
        if self.conn.exec("ROLLBACK").await.is_ok() {
            self.state.put_back(self.conn);
        }
    }
}
