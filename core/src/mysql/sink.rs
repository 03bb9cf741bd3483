//! A server of the MySQL family as a sink.

use std::borrow::Cow;
use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::audit::Audit;
use super::connect::{Conn, ServerAddress};
use super::ddl::quote_name;
use super::generated;
use super::receipts::Uptime;
use super::scan::{self, Loan, Readers};
use super::target::{Target, There};
use super::undo::CreatedItem;
use super::write::is_transactional;
use super::{apply, check, introspect, journal, session, translate, zero};
use crate::batch::{Batch, BatchId, Receipt};
use crate::catalog::{Catalog, Definition, Flavor, ObjectKind, ObjectRef, Table};
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::memory::MemoryBudget;
use crate::options::CloneOptions;
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::retry::RetryPolicy;
use crate::sink::{Sink, UndoRecorder};
use crate::source::{BatchStream, digest};

/// How much is in flight when generated columns are read back.
const READ_BACK: u64 = 16 << 20;

/// Writes into one database of a server.
pub(crate) struct MySqlSink {
    target: Target,
    /// Connections that look at what is there.
    readers: Readers,
}

impl MySqlSink {
    /// Nothing is connected before the first call.
    pub(crate) fn new(address: ServerAddress, options: &CloneOptions) -> Self {
        Self { target: Target::new(address, options), readers: Readers::at_most(options.threads) }
    }

    /// Finds out whether rows can go in by `LOAD DATA LOCAL`.
    async fn choose_way(&self, conn: &mut Conn) -> Result<()> {
        let Some(row) = conn.row("SELECT @@GLOBAL.local_infile, @@SESSION.max_allowed_packet").await? else {
            return Ok(());
        };
        let mut state = self.target.state();
        state.packet = usize::try_from(row.number(1)).unwrap_or(usize::MAX);
        state.files = row.number(0) != 0;
        if !state.files {
            state
                .notes
                .push(Note::general("local_infile is off on the target: rows went in by INSERT, which is slower"));
        }
        Ok(())
    }

    /// Makes the database and the tables.
    async fn make_ready(&self, plan: &Plan) -> Result<ResumeState> {
        let mut guard = self.target.running.watch(session::control(&self.target.address).await?).await?;
        journal::keep_others_out(&mut guard, &self.target.address.database).await?;
        let server = guard.server.clone();
        let uptime = Uptime::read(&mut guard).await?;
        {
            let mut state = self.target.state();
            (state.guard, state.uptime) = (Some(guard), Some(uptime));
        }
        self.target.state().source = Some(plan.server.clone());
        let source = &plan.database;
        let plan = &*translate::plan(plan, &server);
        let definition = |table: &TablePlan| (table.table.name.clone(), table.table.create.clone());
        self.target.state().definitions = plan.tables.iter().map(definition).collect();
        self.target.make_database(&plan.database).await?;
        if self.target.undo_log.contains(&CreatedItem::Database) {
            let defaults = translate::database_notes(source, &plan.database, &server);
            self.target.state().notes.extend(defaults);
        }
        let mut conn = self.target.definer().await?;
        self.choose_way(&mut conn).await?;
        if !plan.tables.is_empty() || !plan.definitions.is_empty() {
            // Without rows too: tables wait for their foreign keys, and events are disabled until the end. The journal
            // of a clone that was killed still says so when this one is undone.
            let is_there = journal::exists(&mut conn, &self.target.address.database).await?;
            let create = journal::create(&mut conn, &self.target.address.database);
            match is_there {
                true => create.await?,
                false => self.target.undo_log.making(CreatedItem::Journal, create).await?,
            }
        }
        self.target.make_tables(&mut conn, plan).await?;
        self.target.state().definers.push(conn);
        Ok(ResumeState::default())
    }

    /// Makes what comes after the rows. May be called again when a connection was lost: what is there is not made again.
    async fn make_objects(&self, plan: &Plan) -> Result<Vec<Note>> {
        let mut conn = self.target.definer().await?;
        // Over the connection that does the rest: a crash from here on breaks it, and then this is asked again. By the
        // source's engines, as the batches were written.
        let made = match self.target.check_receipts(&mut conn, plan).await {
            Ok(()) => {
                let plan = &*translate::plan(plan, &conn.server);
                self.make_objects_over(&mut conn, plan).await
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(notes) => {
                self.target.running.close(conn);
                Ok(notes)
            }
            Err(error) => {
                // Its last statement may run on. Where even that fails, the next try says so.
                let _ = self.target.running.kill(conn).await;
                Err(self.target.explained(error).await)
            }
        }
    }

    async fn make_objects_over(&self, conn: &mut Conn, plan: &Plan) -> Result<Vec<Note>> {
        let mut notes: Vec<Note> = self.target.state().signs.iter().map(zero::told).collect();
        for (number, generated) in &self.target.state().generated {
            let table = plan.tables.get(*number as usize);
            notes.extend(table.map(|table| generated.notes(&table.table)).unwrap_or_default());
        }
        let made = self.target.state().tables.clone();
        let made = plan.tables.iter().filter(|table| made.contains_key(&table.table.name));
        notes.extend(made.flat_map(|table| generated::index_notes(&table.table)));
        notes.extend(self.target.add_foreign_keys(conn).await?);
        let later: Vec<Definition> =
            plan.definitions.iter().filter(|d| d.object.kind != ObjectKind::Sequence).cloned().collect();
        let database = &self.target.address.database;
        if let Some(home) = self.target.undo_log.collation() {
            conn.exec(&format!("ALTER DATABASE {} COLLATE {home}", quote_name(database))).await?;
        } else if let Some(database) = introspect::database(conn, database).await? {
            self.target.undo_log.add(CreatedItem::Collation(database.collation));
        }
        let rewriting = self.target.rewriting(plan);
        notes.extend(apply::objects(conn, &self.target, plan, &later, &rewriting).await?);
        journal::remove(conn, database).await?;
        let tables: BTreeSet<String> = self.target.state().tables.keys().cloned().collect();
        let told: Vec<Note> = self.target.state().notes.iter().chain(&notes).cloned().collect();
        let audit = Audit { plan, rewriting: &rewriting, tables: &tables, told: &told };
        notes.extend(audit.run(&self.target).await?);
        Ok(notes)
    }

    /// A connection that reads the table back.
    async fn reader(&self, table: &TablePlan) -> Result<(Conn, Loan)> {
        let (conn, loan) = self.readers.borrow().await?;
        let conn = match conn {
            Some(conn) => conn,
            None => self.target.running.watch(session::reader(&self.target.address).await?).await?,
        };
        if table.table.history && conn.server.flavor == Flavor::MySql {
            let message = "its history was read too, which the target cannot keep";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok((conn, loan))
    }

    /// The number of a chunk, and the digest of its rows as they are there.
    async fn digest_of(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<(u32, Digest)> {
        Ok((chunk.number, digest(self.read_back(table, chunk, memory).await?, &()).await?))
    }

    /// Compares what the target computed with what was read, when all rows of a table are there.
    async fn check_generated(&self, table: &TablePlan) -> Result<()> {
        let expected = self.target.expected(table.number);
        let Some(only) = generated::only_generated(table).filter(|_| !expected.is_empty()) else { return Ok(()) };
        let memory = &MemoryBudget::new(READ_BACK, self.target.options.threads);
        let mut digests = Vec::new();
        for chunk in &table.chunks {
            digests.push(self.digest_of(&only, chunk, memory).boxed());
        }
        let found: Vec<_> = stream::iter(digests).buffer_unordered(self.target.options.threads).try_collect().await?;
        let (mut here, mut there) = (Digest::default(), Digest::default());
        expected.values().for_each(|digest| here.add(digest));
        found.iter().for_each(|(_, digest)| there.add(digest));
        // Chunk by chunk they may differ where texts sort in another way.
        if here != there {
            let wrong = found.iter().filter(|(chunk, digest)| expected.get(chunk) != Some(digest)).count();
            let what = generated::unexpected(&table.table, wrong, found.len());
            self.target.state().notes.push(Note::different(table.table.object(), what));
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for MySqlSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        let mut conn = session::control(&self.target.address).await?;
        let (catalog, _) = translate::catalog(catalog, &conn.server);
        let checked = check::target(&mut conn, &self.target.address, &catalog, selection, &self.target.options).await;
        match checked {
            Err(error) => Err(self.target.explained(error).await),
            checked => checked,
        }
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<FidelityIssue>> {
        if !selection.schema {
            return Ok(Vec::new());
        }
        let server = session::control(&self.target.address).await?.server;
        let (image, mut found) = translate::catalog(catalog, &server);
        let mut image = match image {
            Cow::Owned(image) => image,
            Cow::Borrowed(same) => Catalog { tables: self.target.doubtful_tables(same).await?, ..same.clone() },
        };
        if image.tables.is_empty() {
            return Ok(found);
        }
        let existing = self.existing().await?;
        image.definitions.retain(|definition| {
            selection.objects.contains(&definition.object) || existing.contains(&definition.object)
        });
        let tables: BTreeSet<&str> = selection.tables.iter().map(|table| table.name.as_str()).collect();
        found.retain(|found| match found.object.kind {
            ObjectKind::Table => tables.contains(found.object.name.as_str()),
            _ => selection.objects.contains(&found.object),
        });
        let hopeless =
            |table: &Table| found.iter().any(|f| f.severity == Severity::Error && f.object == table.object());
        image.tables.retain(|table| tables.contains(table.name.as_str()) && !hopeless(table));
        found.extend(self.target.try_tables(&image).await?);
        Ok(found)
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        let mut conn = session::control(&self.target.address).await?;
        match check::existing_objects(&mut conn, &self.target.address.database).await {
            Err(error) => Err(self.target.explained(error).await),
            existing => existing,
        }
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        match self.make_ready(plan).await {
            Err(error) => Err(self.target.explained(error).await),
            ready => ready,
        }
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let mut conn = self.target.loader().await?;
        if let Err(error) = self.target.write_batch(&mut conn, table, &batch).await {
            // Where even that fails, the next try says so.
            let _ = self.target.running.kill(conn).await;
            // Without transactions half a batch may be in, and the next try would double it.
            return Err(match is_transactional(&table.table) {
                true => error,
                false => error.final_word().with("not tried again:", "the table's engine has no transactions"),
            });
        }
        let mut state = self.target.state();
        state.loaders.push(conn);
        state.receipts.add(batch.id);
        Ok(Receipt::for_batch(&batch))
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        let name = &table.table.name;
        let ddl = self.target.state().tables.get(name).cloned();
        if let Some(ddl) = ddl.filter(|ddl| !ddl.deferred_keys.is_empty()) {
            let mut conn = self.target.definer().await?;
            if let Err(error) = self.target.add_keys(&mut conn, table, &ddl).await {
                // The statement may run on where only its answer was lost. Where even that fails, the next try says so.
                let _ = self.target.running.kill(conn).await;
                let error = self.target.explained(error).await;
                if error.code().is_none() || error.is_retryable() {
                    return Err(error);
                }
                let note = self.target.late(&table.table.object(), "indexes", Severity::Warning, error).await?;
                self.target.state().notes.push(note);
            } else {
                self.target.state().definers.push(conn);
            }
            self.target.state().indexed.insert(name.clone());
        }
        self.check_generated(table).await
    }

    fn reads_back(&self) -> bool {
        true
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        let mut conn = session::control(&self.target.address).await?;
        let database = introspect::existing_database(&mut conn, &self.target.address.database, "target").await?;
        let there = There::look(&mut conn, &database.name).await?;
        let tables = introspect::base_tables(&mut conn, &database.name).await?;
        let counterpart = |planned: &TablePlan| {
            let table = tables.iter().find(|table| there.same(&table.name, &planned.table.name))?.clone();
            Some(TablePlan { table, ..planned.clone() })
        };
        Ok(plan.tables.iter().map(counterpart).collect())
    }

    async fn read_back<'a>(
        &'a self,
        table: &'a TablePlan,
        chunk: &'a Chunk,
        memory: &'a MemoryBudget,
    ) -> Result<BatchStream<'a>> {
        let (conn, loan) = self.reader(table).await?;
        let first = BatchId { table: table.number, chunk: chunk.number, batch: 0 };
        let sql = scan::in_any_order(&self.target.address.database, table, chunk);
        loan.read(conn, &sql, first, memory, None).await
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (conn, loan) = self.reader(table).await?;
        loan.number(conn, &scan::counting(&self.target.address.database, table, chunk)).await
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        let again = |error: &Error| {
            let note = Note::general(format!("what comes after the rows was tried again: {error}"));
            self.target.state().notes.push(note);
        };
        let mut notes = RetryPolicy::default().run(|| self.make_objects(plan), again).await?;
        let mut state = self.target.state();
        notes.splice(..0, std::mem::take(&mut state.notes));
        self.target.undo_log.clear();
        state.guard = None;
        Ok(notes)
    }

    fn set_undo_recorder(&self, recorder: UndoRecorder) {
        self.target.undo_log.set_recorder(recorder);
    }

    fn adopt_undo_records(&self, records: Vec<Value>) {
        self.target.undo_log.adopt(records);
    }

    async fn abort(&self) -> Result<()> {
        self.target.undo().await
    }
}
