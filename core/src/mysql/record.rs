//! Records in the journal what the sink creates and completes.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::connect::Conn;
use super::database_lock::DatabaseLock;
use super::ddl::{quote_name, table_parts};
use super::journal::{self, BatchLine, Line, TableLine, TableState};
use super::negative_zero::LostZeroSigns;
use super::target::{JournalAccess, TargetDatabase};
use super::undo_log::{CreatedItem, proves_no_creation};
use crate::batch::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::TablePlan;
use crate::report::Note;

impl TargetDatabase {
    /// The access to the journal.
    ///
    /// # Errors
    /// `Changed` if another process took the lock of the database.
    fn journal(&self) -> Result<JournalAccess> {
        let state = self.state();
        state.lock.as_ref().map_or(Ok(()), DatabaseLock::check)?;
        let access = state.journal.clone();
        access.ok_or_else(|| Error::new(ErrorKind::Internal, "the journal is used before it is created"))
    }

    /// Runs the statement that creates an item, and records its outcome. The journal has the item before it exists.
    pub(super) async fn record_creation<T>(
        &self,
        item: CreatedItem,
        create: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if !self.undo_log.contains(&item) {
            self.undo_log.intend(item.clone());
        }
        // The answer to an earlier try may have been lost, and with it the record.
        if self.undo_log.has_unsaved_intention() {
            self.save_undo_records().await?;
        }
        let created = create.await;
        match &created {
            Ok(_) => self.undo_log.add(item),
            Err(error) if proves_no_creation(error) => {
                self.undo_log.withdraw(item);
                self.save_undo_records().await?;
            }
            // The outcome is unknown.
            Err(_) => {}
        }
        created
    }

    /// Records an item that exists, or that must be undone in any case.
    pub(super) async fn record_item(&self, item: CreatedItem) -> Result<()> {
        self.undo_log.add(item);
        self.save_undo_records().await
    }

    /// Saves the records of the undo log that the journal does not have yet, once there is a journal.
    pub(super) async fn save_undo_records(&self) -> Result<()> {
        let mut next = self.saved_items.lock().await;
        let Some(JournalAccess { job, owner }) = self.state().journal.clone() else { return Ok(()) };
        let records = self.undo_log.take_unsaved();
        let lines: Vec<Line> = (*next..).zip(&records).map(|(number, record)| Line::item(number, record)).collect();
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let database = &self.address.database;
        let insert = async |conn: &mut Conn| {
            if journal::insert(conn, database, &job, &owner, &lines).await? {
                return Ok(());
            }
            // An earlier try, whose answer was lost, has stored some of them.
            for line in lines.chunks(1) {
                journal::insert(conn, database, &job, &owner, line).await?;
            }
            Ok(())
        };
        let saved = self.on_load_session(insert).await;
        match saved {
            Ok(_) => *next = next.saturating_add(count),
            Err(_) => self.undo_log.put_back_unsaved(records),
        }
        saved
    }

    /// Runs work on a session that loads rows. Kills the session after an error.
    async fn on_load_session<T>(&self, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let mut conn = self.load_session().await?;
        match work(&mut conn).await {
            Ok(done) => {
                self.state().load_sessions.push(conn);
                Ok(done)
            }
            Err(error) => {
                self.discard(conn).await;
                Err(error)
            }
        }
    }

    /// Records the batch in the current transaction. Returns false if the journal has the batch already.
    pub(super) async fn record_batch(&self, conn: &mut Conn, batch: &Batch) -> Result<bool> {
        let JournalAccess { job, owner } = self.journal()?;
        let line = Line::batch(batch.id, &BatchLine::of(batch));
        journal::insert(conn, &self.address.database, &job, &owner, &[line]).await
    }

    /// Records the negative zeros that the batch has lost, in the current transaction.
    pub(super) async fn record_lost_signs(&self, conn: &mut Conn, batch: &Batch, lost: &LostZeroSigns) -> Result<()> {
        let JournalAccess { job, .. } = self.journal()?;
        let content = BatchLine { lost_zero_signs: lost.clone(), ..BatchLine::of(batch) };
        journal::update_batch(conn, &self.address.database, &job, batch.id, &content).await
    }

    /// Counts the negative zeros that a batch has lost in a transaction whose COMMIT was not answered.
    pub(super) async fn recall_lost_signs(&self, conn: &mut Conn, batch: &Batch) -> Result<()> {
        if self.state().durable_batches.contains(batch.id) {
            return Ok(());
        }
        let JournalAccess { job, .. } = self.journal()?;
        let line = journal::read_batch(conn, &self.address.database, &job, batch.id).await?;
        self.state().add_lost_signs(batch.id, &line.lost_zero_signs);
        Ok(())
    }

    /// Records that these tables are there and take rows; what the journal says of an earlier form of them is removed.
    pub(super) async fn record_begun(&self, tables: &[&TablePlan]) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let JournalAccess { job, owner } = self.journal()?;
        self.on_load_session(async |conn| {
            let mut lines = Vec::new();
            for table in tables {
                let parts = read_parts(conn, &self.address.database, &table.table.name).await?;
                let line = TableLine { state: TableState::Begun, parts, notes: Vec::new() };
                lines.push(Line::table(table.number, &line));
            }
            let numbers: Vec<u32> = tables.iter().map(|table| table.number).collect();
            conn.exec("START TRANSACTION").await?;
            journal::remove_table_lines(conn, &self.address.database, &numbers).await?;
            journal::insert(conn, &self.address.database, &job, &owner, &lines).await?;
            conn.exec("COMMIT").await.map(drop)
        })
        .await
    }

    /// Records that a table has all its rows and indexes.
    pub(super) async fn record_complete(&self, table: &TablePlan) -> Result<()> {
        let JournalAccess { job, owner } = self.journal()?;
        let notes = self.completion_notes(table);
        self.on_load_session(async |conn| {
            let database = &self.address.database;
            let parts = read_parts(conn, database, &table.table.name).await?;
            let line = TableLine { state: TableState::Complete, parts, notes };
            conn.exec("START TRANSACTION").await?;
            journal::update_table(conn, database, &job, &owner, table.number, &line).await?;
            conn.exec("COMMIT").await.map(drop)
        })
        .await
    }

    /// Records that all objects but the events are made.
    pub(super) async fn record_all_objects(&self) -> Result<()> {
        let Some(JournalAccess { job, owner }) = self.state().journal.clone() else { return Ok(()) };
        let database = &self.address.database;
        let line = [Line::all_tables()];
        self.on_load_session(async |conn| journal::insert(conn, database, &job, &owner, &line).await.map(drop)).await
    }

    /// The notes about a complete table that a later process cannot find out.
    fn completion_notes(&self, table: &TablePlan) -> Vec<Note> {
        let (object, state) = (table.table.object(), self.state());
        let is_found = |note: &&Note| match note {
            Note::Refused(found) => found.object == object,
            Note::Difference(found) => found.object == object,
            _ => false,
        };
        let generated = state.generated_columns.get(&table.number).map(|generated| generated.notes(&table.table));
        state.notes.iter().filter(is_found).cloned().chain(generated.into_iter().flatten()).collect()
    }
}

/// Hashes each part of a table's definition, by the name of the part.
pub(super) async fn read_parts(conn: &mut Conn, database: &str, table: &str) -> Result<BTreeMap<String, u64>> {
    let row = conn.row(&format!("SHOW CREATE TABLE {}.{}", quote_name(database), quote_name(table))).await?;
    let parts = row.and_then(|row| table_parts(&row.string(1))).unwrap_or_default();
    Ok(parts.into_iter().map(|(name, text)| (name, xxh3_64(text.as_bytes()))).collect())
}
