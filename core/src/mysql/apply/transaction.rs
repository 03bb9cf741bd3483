//! An open transaction: runs the statements of changes, many in one packet.

use std::sync::Arc;

use async_trait::async_trait;

use super::AppliedState;
use super::row_statement::{RowStatement, warnings};
use super::row_text::{RowText, RowWriter, UpdateText};
use super::statement_queue::{RowGroup, StatementQueue};
use super::table::AppliedTable;
use crate::batch::{Batch, BatchId};
use crate::catalog::{Printable, Table};
use crate::change::{ChangeKind, RowChanges, RowImages};
use crate::change_applier::TargetTransaction;
use crate::checkpoint::Checkpoint;
use crate::codec::row_texts;
use crate::conflict_hasher::ConflictKey;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::{Conn, OkPacket};
use crate::mysql::journal;
use crate::mysql::load::{self, LoadOptions};
use crate::mysql::target::JournalAccess;
use crate::plan::TablePlan;

/// The most bytes of statements that wait, unless one statement has more, and the most bytes of one packet.
const MAX_WAITING_BYTES: usize = 256 << 10;

/// The number from which on the rows of each applier have a chunk of their own. No chunk of a plan has such a number.
pub(super) const FIRST_CHANGE_CHUNK: u32 = 1 << 31;

pub(super) struct AppliedTransaction {
    state: Arc<AppliedState>,
    /// The access to the journal when the transaction began.
    access: JournalAccess,
    conn: Conn,
    applier: u32,
    /// Whether each row has a statement of its own, which runs at once.
    is_careful: bool,
    /// Whether the session checks foreign keys, so that they change further rows.
    checks_foreign_keys: bool,
    /// The longest statement that the server takes, in bytes.
    max_length: usize,
    waiting: StatementQueue,
}

/// Rows of one table with the same columns, and their texts.
struct WrittenRows<'a> {
    kind: ChangeKind,
    images: &'a RowImages,
    texts: Vec<RowText>,
}

impl AppliedTransaction {
    pub(super) fn new(
        state: Arc<AppliedState>,
        access: JournalAccess,
        conn: Conn,
        applier: u32,
        is_careful: bool,
    ) -> Self {
        // The packet has the number of the command, too.
        let max_length = state.target.state().max_allowed_packet.saturating_sub(1);
        let waiting = StatementQueue::new(max_length);
        Self { state, access, conn, applier, is_careful, checks_foreign_keys: false, max_length, waiting }
    }

    fn table(&self, number: u32) -> Result<Arc<AppliedTable>> {
        let table = self.state.tables.get(number as usize).cloned();
        table.ok_or_else(|| Error::new(ErrorKind::Internal, "changes of a table that is not in the plan"))
    }

    fn writer<'a>(&self, table: &'a AppliedTable) -> RowWriter<'a> {
        RowWriter { table, flavor: self.conn.server.flavor, max_length: self.max_length }
    }

    /// Adds rows to the statements that wait; in a careful transaction, runs their statements.
    async fn add(
        &mut self,
        writer: &RowWriter<'_>,
        number: u32,
        rows: WrittenRows<'_>,
        keys: &[ConflictKey],
    ) -> Result<()> {
        let WrittenRows { kind, images, texts } = rows;
        let group = RowGroup { table: number, kind, columns: &images.columns };
        let head = |form| writer.head(form, images);
        if !self.is_careful {
            self.waiting.add(group, keys, &texts, head)?;
            return match self.waiting.bytes() >= MAX_WAITING_BYTES {
                true => self.flush(None).await,
                false => Ok(()),
            };
        }
        for (text, line) in texts.iter().zip(row_texts(&images.text)) {
            self.waiting.add(group, keys, std::slice::from_ref(text), head)?;
            let key = writer.key(images, line);
            for statement in self.waiting.take() {
                self.run(&[RowStatement { key: key.clone(), ..statement }], None).await?;
            }
        }
        Ok(())
    }

    /// Runs the statements that wait, and at last the one that writes the checkpoint.
    async fn flush(&mut self, checkpoint: Option<&str>) -> Result<()> {
        let statements = self.waiting.take();
        let (longest, takes_several) = (self.max_length.min(MAX_WAITING_BYTES), self.conn.takes_multi_statements());
        let mut rest = statements.as_slice();
        while !rest.is_empty() {
            let mut length = 0;
            let fits = |statement: &&RowStatement| {
                length += statement.sql.len() + 1;
                takes_several && length <= longest
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (part, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = later;
            let fits = |sql: &&str| takes_several && length + sql.len() <= self.max_length;
            if let Some(checkpoint) = checkpoint.filter(fits).filter(|_| rest.is_empty()) {
                return self.run(part, Some(checkpoint)).await;
            }
            self.run(part, None).await?;
        }
        match checkpoint {
            Some(checkpoint) => self.run(&[], Some(checkpoint)).await,
            None => Ok(()),
        }
    }

    /// Runs statements together, and fails unless each of them does what the log says.
    async fn run(&mut self, statements: &[RowStatement], checkpoint: Option<&str>) -> Result<()> {
        let texts = statements.iter().map(|statement| statement.sql.as_slice());
        let texts: Vec<&[u8]> = texts.chain(checkpoint.map(str::as_bytes)).collect();
        let mut done = Vec::with_capacity(texts.len());
        let sent = self.conn.exec_together(&texts.join(&b';'), texts.len(), &mut done).await;
        for (statement, ok) in statements.iter().zip(&done) {
            let checked = self.check(statement, ok, texts.len() == 1).await;
            checked.map_err(|error| self.named(statement, error))?;
        }
        let written = match (sent, statements.get(done.len())) {
            (Err(error), Some(statement)) => return Err(self.named(statement, error)),
            (Err(error), None) => Err(error),
            (Ok(()), _) => Ok(done.pop().unwrap_or_default()),
        };
        match checkpoint {
            Some(_) => {
                let database = &self.state.target.address.database;
                journal::check_written(&mut self.conn, database, &self.access.owner, written).await
            }
            None => written.map(drop),
        }
    }

    /// Fails if a value has changed on the way, or the statement has not found or inserted its rows.
    async fn check(&mut self, statement: &RowStatement, ok: &OkPacket, is_alone: bool) -> Result<()> {
        let warnings = warnings(ok);
        if statement.kind != ChangeKind::Delete && warnings > 0 {
            // The server keeps the warnings of the last statement only.
            if is_alone {
                let table = self.table(statement.table)?;
                load::check_warnings(&mut self.conn, &table.table, warnings, 0).await?;
            }
            return Err(Error::new(ErrorKind::Data, format!("the target raised {warnings} warnings")));
        }
        statement.check_rows(ok)
    }

    /// Adds the table to the error, and the key of the row if there is one only.
    fn named(&self, statement: &RowStatement, error: Error) -> Error {
        let Ok(table) = self.table(statement.table) else { return error };
        let error = error.with("table", Printable(&table.table.name));
        match &statement.key {
            Some(key) => error.with("key", key),
            None => error,
        }
    }

    /// Inserts rows that need more than an INSERT in a strict session, after all that wait.
    async fn load(&mut self, table: &AppliedTable, number: u32, images: &RowImages, lines: &[&[u8]]) -> Result<()> {
        self.flush(None).await?;
        let columns = table.image_columns(images)?.into_iter().cloned().collect();
        let part = Table { columns, ..table.table.clone() };
        let plan =
            TablePlan { number, table: part, filter: None, chunk_key: Vec::new(), chunks: Vec::new(), position: None };
        let chunk = FIRST_CHANGE_CHUNK.saturating_add(self.applier);
        let id = BatchId { table: number, chunk, batch: 0 };
        let batch = Batch::from_lines(id, lines.iter().copied());
        // Escapes and expressions add to the text.
        let bytes = lines.iter().map(|line| line.len()).sum::<usize>();
        let options = LoadOptions { by_insert: 4 * bytes < self.max_length, ..LoadOptions::default() };
        let loaded = self.state.target.load_rows(&mut self.conn, &plan, &batch, &options).await;
        self.state.target.state().count_lost_signs(id);
        let key = match lines {
            [line] => self.writer(table).key(images, line),
            _ => None,
        };
        let (kind, sql) = (ChangeKind::Insert, Vec::new());
        let statement = RowStatement { table: number, kind, sql, rows: lines.len() as u64, key };
        loaded.map_err(|error| self.named(&statement, error))
    }

    /// Updates a row with an ENUM's error value, which a strict session refuses, after all that waits.
    async fn update_leniently(&mut self, table: &AppliedTable, statement: &RowStatement, wrong: u64) -> Result<()> {
        self.flush(None).await?;
        let options = LoadOptions::default();
        options.set_up_session(&mut self.conn, true).await?;
        let done = self.conn.exec_bytes(&statement.sql).await.map_err(|error| self.named(statement, error))?;
        let checked = load::check_warnings(&mut self.conn, &table.table, warnings(&done), wrong).await;
        checked.map_err(|error| self.named(statement, error))?;
        options.reset_session(&mut self.conn, true).await?;
        statement.check_rows(&done).map_err(|error| self.named(statement, error))
    }

    /// Adds insertions of these lines of the image.
    async fn insert(
        &mut self,
        table: &AppliedTable,
        number: u32,
        after: &RowImages,
        keys: &[ConflictKey],
    ) -> Result<()> {
        let writer = self.writer(table);
        let lines: Vec<&[u8]> = row_texts(&after.text).collect();
        let texts: Option<Vec<RowText>> =
            lines.iter().map(|line| writer.insert(after, line)).collect::<Result<Option<_>>>()?;
        match texts {
            Some(texts) => {
                let rows = WrittenRows { kind: ChangeKind::Insert, images: after, texts };
                self.add(&writer, number, rows, keys).await
            }
            None if self.is_careful => {
                for line in lines {
                    self.load(table, number, after, &[line]).await?;
                }
                Ok(())
            }
            None => self.load(table, number, after, &lines).await,
        }
    }

    async fn delete(
        &mut self,
        table: &AppliedTable,
        number: u32,
        before: &RowImages,
        keys: &[ConflictKey],
    ) -> Result<()> {
        let writer = self.writer(table);
        let texts = row_texts(&before.text).map(|line| writer.delete(before, line)).collect::<Result<_>>()?;
        let rows = WrittenRows { kind: ChangeKind::Delete, images: before, texts };
        self.add(&writer, number, rows, keys).await
    }

    /// Deletes all rows, and inserts what they became.
    async fn replace(
        &mut self,
        table: &AppliedTable,
        number: u32,
        (before, after): (&RowImages, &RowImages),
        keys: &[ConflictKey],
    ) -> Result<()> {
        self.delete(table, number, before, keys).await?;
        self.insert(table, number, after, keys).await
    }

    async fn update(
        &mut self,
        table: &AppliedTable,
        changes: &RowChanges,
        (before, after): (&RowImages, &RowImages),
    ) -> Result<()> {
        let number = changes.table;
        let is_whole = table.is_full(before) && table.is_full(after);
        if changes.rows > 1 && is_whole && !self.is_careful {
            let keys = self.keys(table, changes);
            return self.replace(table, number, (before, after), &keys).await;
        }
        let writer = self.writer(table);
        for (old, new) in row_texts(&before.text).zip(row_texts(&after.text)) {
            let image = |images: &RowImages, line: &[u8]| {
                let text = [line, b"\n"].concat().into();
                RowImages { columns: images.columns.clone(), text }
            };
            let (one, other) = (image(before, old), image(after, new));
            let change =
                RowChanges { rows: 1, before: Some(one.clone()), after: Some(other.clone()), ..changes.clone() };
            let keys = self.keys(table, &change);
            match writer.update((&one, old), (&other, new), self.checks_foreign_keys)? {
                Some(UpdateText { row, error_values: 0 }) => {
                    let rows = WrittenRows { kind: ChangeKind::Update, images: &one, texts: vec![row] };
                    self.add(&writer, number, rows, &keys).await?;
                }
                Some(UpdateText { row, error_values }) => {
                    let key = writer.key(&one, old);
                    let (kind, sql) = (ChangeKind::Update, row.text);
                    let statement = RowStatement { table: number, kind, sql, rows: 1, key };
                    self.update_leniently(table, &statement, error_values).await?;
                }
                None if self.checks_foreign_keys => {
                    let message = "other rows refer to a row whose key changes, and the target cannot change it where it is: \
                                   it is larger than max_allowed_packet, or has a negative zero";
                    return Err(table.error(message));
                }
                None if !is_whole => {
                    return Err(table.error("the source's log has only a part of a row: set binlog_row_image to FULL"));
                }
                None => self.replace(table, number, (&one, &other), &keys).await?,
            }
        }
        Ok(())
    }

    /// The keys that changes use. A careful transaction keeps the order of the log.
    fn keys(&self, table: &AppliedTable, changes: &RowChanges) -> Vec<ConflictKey> {
        let mut keys = Vec::new();
        if !self.is_careful {
            table.hasher.add_keys(changes, &mut keys);
        }
        keys
    }

    async fn apply_rows(&mut self, table: &AppliedTable, changes: &RowChanges) -> Result<()> {
        match (changes.kind, &changes.before, &changes.after) {
            (ChangeKind::Insert, _, Some(after)) => {
                let keys = self.keys(table, changes);
                self.insert(table, changes.table, after, &keys).await
            }
            (ChangeKind::Delete, Some(before), _) => {
                let keys = self.keys(table, changes);
                self.delete(table, changes.table, before, &keys).await
            }
            (ChangeKind::Update, Some(before), Some(after)) => self.update(table, changes, (before, after)).await,
            _ => Err(table.error("a change without its rows")),
        }
    }

    /// Lets foreign keys change further rows, or not.
    async fn check_foreign_keys(&mut self, checks: bool) -> Result<()> {
        self.conn.exec(&format!("SET SESSION foreign_key_checks = {}", u8::from(checks))).await?;
        self.checks_foreign_keys = checks;
        Ok(())
    }
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
        self.flush(None).await?;
        let was_careful = std::mem::replace(&mut self.is_careful, true);
        self.check_foreign_keys(true).await?;
        self.apply_rows(&table, changes).await?;
        self.check_foreign_keys(false).await?;
        self.is_careful = was_careful;
        Ok(())
    }

    async fn commit(mut self: Box<Self>, checkpoint: &Checkpoint) -> Result<()> {
        let mut commit = async || {
            let database = &self.state.target.address.database;
            let (job, owner) = (&self.access.job, &self.access.owner);
            let written = journal::checkpoint_statement(database, job, owner, self.applier, checkpoint);
            self.flush(Some(&written)).await?;
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
