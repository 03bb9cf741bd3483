//! A server of the MySQL family as a sink.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::apply::MySqlApplier;
use super::connect::{Conn, ServerAddress};
use super::cut_over_requester::CutOverRequester;
use super::existing_objects::ExistingObjects;
use super::generated;
use super::journal;
use super::reader_pool::{ReaderLease, ReaderPool};
use super::replica_lag::ReplicaMonitor;
use super::server_load::LoadMonitor;
use super::target::TargetDatabase;
use super::trial_database::TrialScope;
use super::write::is_transactional;
use super::{check, chunk_query, introspect, session, translate};
use crate::batch::{Batch, BatchId, Receipt};
use crate::catalog::{Catalog, Flavor, ObjectKind, ObjectRef};
use crate::change::LogPosition;
use crate::change_applier::ChangeApplier;
use crate::checkpoint::{Checkpoint, CutOver};
use crate::clone_record::CloneRecord;
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::memory::MemoryBudget;
use crate::options::{CloneOptions, Verify};
use crate::plan::{Chunk, Plan, ResumeState, Selection, TablePlan};
use crate::report::{Finding, Note};
use crate::retry::RetryPolicy;
use crate::sink::{ReplicaLag, Sink, UndoRecorder};
use crate::source::{BatchStream, digest};

/// The memory for rows in flight while generated columns are read back.
const READ_BACK_MEMORY: u64 = 16 << 20;

/// Writes into one database of a server.
pub(crate) struct MySqlSink {
    target: Arc<TargetDatabase>,
    /// Connections that read rows of the target.
    readers: ReaderPool,
    load: LoadMonitor,
    replica: Option<ReplicaMonitor>,
    requester: CutOverRequester,
}

impl MySqlSink {
    /// Creates the sink. The first call connects.
    pub(crate) fn new(address: ServerAddress, options: &CloneOptions) -> Self {
        Self {
            replica: address.replica.as_deref().cloned().map(ReplicaMonitor::new),
            target: Arc::new(TargetDatabase::new(address, options)),
            readers: ReaderPool::with_limit(options.threads),
            load: LoadMonitor::default(),
            requester: CutOverRequester::default(),
        }
    }

    /// Waits for a connection that reads the table back.
    async fn acquire_reader(&self, table: &TablePlan) -> Result<(Conn, ReaderLease)> {
        let (conn, lease) = self.readers.acquire().await?;
        let conn = match conn {
            Some(conn) => conn,
            None => self.target.connections.register(session::open_reader(&self.target.address).await?).await?,
        };
        if table.table.history && conn.server.flavor == Flavor::MySql {
            let message = "the rows include the table's history, which the target cannot store";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok((conn, lease))
    }

    /// Returns the number of a chunk, and the digest of its rows in the target.
    async fn chunk_digest(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<(u32, Digest)> {
        Ok((chunk.number, digest(self.read_back(table, chunk, memory).await?, &()).await?))
    }

    /// Compares the generated values of a complete table with the values that were read from the source.
    async fn check_generated(&self, table: &TablePlan) -> Result<()> {
        let expected = self.target.expected_digests(table.number);
        let Some(only) = generated::generated_columns_only(table).filter(|_| !expected.is_empty()) else {
            return Ok(());
        };
        let memory = &MemoryBudget::new(READ_BACK_MEMORY, self.target.options.threads);
        let mut digests = Vec::new();
        for chunk in &table.chunks {
            digests.push(self.chunk_digest(&only, chunk, memory).boxed());
        }
        let found: Vec<_> = stream::iter(digests).buffer_unordered(self.target.options.threads).try_collect().await?;
        let (mut wanted, mut actual) = (Digest::default(), Digest::default());
        expected.values().for_each(|digest| wanted.add(digest));
        found.iter().for_each(|(_, digest)| actual.add(digest));
        // The chunks alone may differ, if the target sorts texts in another way.
        if wanted != actual {
            let wrong = found.iter().filter(|(chunk, digest)| expected.get(chunk) != Some(digest)).count();
            let what = generated::mismatch_message(&table.table, wrong, found.len());
            self.target.state().notes.push(Note::different(table.table.object(), what));
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for MySqlSink {
    async fn check(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
        let mut conn = session::open_control(&self.target.address).await?;
        let (catalog, _) = translate::catalog(catalog, &conn.server);
        let checked = check::target(&mut conn, &self.target.address, &catalog, selection, &self.target.options).await;
        let mut findings = match checked {
            Err(error) => return Err(self.target.explain_lock_wait(error).await),
            Ok(findings) => findings,
        };
        if let Err(error) = self.replica_lag().await {
            findings.push(Finding::error(format!("the lag of the replica cannot be measured: {error}")));
        }
        Ok(findings)
    }

    async fn unsupported(&self, catalog: &Catalog, selection: &Selection) -> Result<Vec<FidelityIssue>> {
        if !selection.schema {
            return Ok(Vec::new());
        }
        let server = session::open_control(&self.target.address).await?.server;
        let (image, mut found) = translate::catalog(catalog, &server);
        let scope = match &image {
            Cow::Owned(_) => TrialScope::Everything,
            Cow::Borrowed(_) => TrialScope::Tables,
        };
        let mut image = match image {
            Cow::Owned(image) => image,
            Cow::Borrowed(same) => Catalog { tables: self.target.tables_to_try(same).await?, ..same.clone() },
        };
        let existing = self.existing().await?;
        image.definitions.retain(|definition| {
            selection.objects.contains(&definition.object) || existing.contains(&definition.object)
        });
        let tables: BTreeSet<&str> = selection.tables.iter().map(|table| table.name.as_str()).collect();
        found.retain(|found| match found.object.kind {
            ObjectKind::Table => tables.contains(found.object.name.as_str()),
            _ => selection.objects.contains(&found.object),
        });
        let hopeless = |object: &ObjectRef| found.iter().any(|f| f.severity == Severity::Error && f.object == *object);
        image.tables.retain(|table| tables.contains(table.name.as_str()) && !hopeless(&table.object()));
        image.definitions.retain(|definition| !hopeless(&definition.object));
        if !image.tables.is_empty() || scope == TrialScope::Everything && !image.definitions.is_empty() {
            found.extend(self.target.try_definitions(&image, scope).await?);
        }
        Ok(found)
    }

    async fn existing(&self) -> Result<Vec<ObjectRef>> {
        let mut conn = session::open_control(&self.target.address).await?;
        match check::existing_objects(&mut conn, &self.target.address.database).await {
            Err(error) => Err(self.target.explain_lock_wait(error).await),
            existing => existing,
        }
    }

    async fn clone_record(&self) -> Result<Option<CloneRecord>> {
        self.target.clone_record().await
    }

    async fn request_takeover(&self, is_withdrawn: bool) -> Result<()> {
        self.target.request_takeover(is_withdrawn).await
    }

    async fn is_takeover_requested(&self) -> Result<bool> {
        self.target.is_takeover_requested().await
    }

    async fn begin(&self, plan: &Plan) -> Result<ResumeState> {
        match self.target.begin(plan).await {
            Err(error) => Err(self.target.explain_lock_wait(error).await),
            ready => ready,
        }
    }

    async fn write(&self, table: &TablePlan, batch: Batch) -> Result<Receipt> {
        let mut conn = self.target.load_session().await?;
        if let Err(error) = self.target.write_batch(&mut conn, table, &batch).await {
            self.target.discard(conn).await;
            // Without transactions half of the batch may be stored, and the next try would duplicate it.
            return Err(match is_transactional(&table.table) {
                true => error,
                false => error.not_retryable().with("not tried again:", "the table's engine has no transactions"),
            });
        }
        let mut state = self.target.state();
        state.load_sessions.push(conn);
        state.durable_batches.add(batch.id);
        Ok(Receipt::for_batch(&batch))
    }

    async fn complete(&self, table: &TablePlan) -> Result<()> {
        let name = &table.table.name;
        let ddl = self.target.state().table_ddl.get(name).cloned();
        if let Some(ddl) = ddl.filter(|ddl| !ddl.deferred_keys.is_empty()) {
            let mut conn = self.target.ddl_session().await?;
            if let Err(error) = self.target.add_keys(&mut conn, table, &ddl).await {
                // If only the answer was lost, the statement may still run.
                self.target.discard(conn).await;
                let error = self.target.explain_lock_wait(error).await;
                if error.code().is_none() || error.is_retryable() {
                    return Err(error);
                }
                let note = self.target.refusal_note(&table.table.object(), "indexes", Severity::Warning, error).await?;
                self.target.state().notes.push(note);
            } else {
                self.target.state().ddl_sessions.push(conn);
            }
            self.target.state().indexed_tables.insert(name.clone());
        }
        self.check_generated(table).await?;
        self.target.record_complete(table).await
    }

    fn reads_back(&self) -> bool {
        true
    }

    async fn counterparts(&self, plan: &Plan) -> Result<Vec<Option<TablePlan>>> {
        let mut conn = session::open_control(&self.target.address).await?;
        let database = introspect::require_database(&mut conn, &self.target.address.database, "target").await?;
        let existing = ExistingObjects::read(&mut conn, &database.name).await?;
        let tables = introspect::read_base_tables(&mut conn, &database.name).await?;
        let counterpart = |planned: &TablePlan| {
            let table = tables.iter().find(|table| existing.is_same_name(&table.name, &planned.table.name))?.clone();
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
        let (conn, lease) = self.acquire_reader(table).await?;
        let first = BatchId { table: table.number, chunk: chunk.number, batch: 0 };
        let sql = chunk_query::unordered_select_statement(&self.target.address.database, table, chunk);
        lease.stream_batches(conn, &sql, first, memory, None).await
    }

    async fn count(&self, table: &TablePlan, chunk: &Chunk, _memory: &MemoryBudget) -> Result<u64> {
        let (conn, lease) = self.acquire_reader(table).await?;
        lease.query_number(conn, &chunk_query::count_statement(&self.target.address.database, table, chunk)).await
    }

    async fn digest(&self, table: &TablePlan, chunk: &Chunk, memory: &MemoryBudget) -> Result<Digest> {
        let mut stored = digest(self.read_back(table, chunk, memory).await?, &()).await?;
        self.target.state().correct_digest(table.number, chunk.number, &mut stored);
        Ok(stored)
    }

    async fn finish(&self, plan: &Plan) -> Result<Vec<Note>> {
        let again = |error: &Error| {
            let note = Note::general(format!("what comes after the rows was tried again: {error}"));
            self.target.state().notes.push(note);
        };
        let mut notes = RetryPolicy::default().run(|| self.target.finish(plan), again).await?;
        let mut state = self.target.state();
        notes.splice(..0, std::mem::take(&mut state.notes));
        self.target.undo_log.clear();
        Ok(notes)
    }

    async fn check_catch_up(&self, plan: &Plan) -> Result<Vec<Finding>> {
        let mut conn = session::open_control(&self.target.address).await?;
        let plan = translate::plan(plan, &conn.server).into_owned();
        check::catch_up(&mut conn, &self.target.address, &plan).await
    }

    fn applies_changes(&self) -> bool {
        true
    }

    async fn begin_way_back(&self, plan: &Plan, unchanged_since: &LogPosition) -> Result<Plan> {
        self.target.begin_way_back(plan, unchanged_since).await
    }

    async fn change_applier(&self, plan: &Plan) -> Result<Arc<dyn ChangeApplier>> {
        Ok(Arc::new(MySqlApplier::new(self.target.clone(), plan).await?))
    }

    async fn request_cut_over(&self, job: &str, verify: Option<Verify>) -> Result<bool> {
        match verify {
            None => {
                self.requester.withdraw(self.target.journal_session(job).await?, &self.target.address.database).await
            }
            Some(verify) => {
                let conn = self.target.journal_session(job).await?;
                self.requester.request(conn, &self.target.address.database, job, verify).await.map(|()| true)
            }
        }
    }

    async fn read_cut_over(&self, job: &str) -> Result<Option<CutOver>> {
        self.requester.read(&self.target.address, job).await
    }

    async fn read_checkpoint(&self, job: &str) -> Result<Option<Checkpoint>> {
        let mut conn = session::open_control(&self.target.address).await?;
        journal::read_checkpoint(&mut conn, &self.target.address.database, job).await
    }

    async fn acknowledge_cut_over(&self, job: &str) -> Result<()> {
        let mut conn = self.target.journal_session(job).await?;
        journal::acknowledge_cut_over(&mut conn, &self.target.address.database, job).await
    }

    async fn conclude(&self) -> Result<()> {
        self.target.conclude().await
    }

    async fn load(&self) -> Result<Option<u64>> {
        self.load.measure(&self.target.address, &self.target.connections).await.map(Some)
    }

    async fn replica_lag(&self) -> Result<Option<ReplicaLag>> {
        match &self.replica {
            Some(replica) => replica.measure().await.map(Some),
            None => Ok(None),
        }
    }

    fn set_undo_recorder(&self, recorder: UndoRecorder) {
        self.target.undo_log.set_recorder(recorder);
    }

    fn adopt_undo_records(&self, records: Vec<Value>) {
        self.target.undo_log.adopt(records);
    }

    async fn abort(&self) -> Result<()> {
        self.target.undo_all().await
    }

    async fn suspend(&self) -> Result<()> {
        self.target.suspend().await
    }
}
