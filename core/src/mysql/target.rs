//! The target database: the address, the sessions and the state that all steps of writing share.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::connect::{Conn, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::database_lock::DatabaseLock;
use super::ddl::{self, TableDdl, quote_name};
use super::definition_rewriter::DefinitionRewriter;
use super::durable_batches::{DurableBatches, ServerUptime};
use super::generated::GeneratedColumnState;
use super::negative_zero::LostZeroSigns;
use super::undo_log::UndoLog;
use super::{journal, session};
use crate::batch::BatchId;
use crate::catalog::{Flavor, Server};
use crate::codec::Digest;
use crate::error::{ErrorKind, Result};
use crate::options::{self, CloneOptions, IfExists};
use crate::plan::Plan;
use crate::report::Note;

/// The database that a sink writes into.
pub(super) struct TargetDatabase {
    pub(super) address: ServerAddress,
    pub(super) options: CloneOptions,
    pub(super) connections: Arc<ConnectionRegistry>,
    /// The items that this sink has created. An abort removes them.
    pub(super) undo_log: UndoLog,
    /// The number of undo records in the journal. Held while records are saved, so that each is saved before its CREATE.
    pub(super) saved_items: tokio::sync::Mutex<u32>,
    state: Mutex<SinkState>,
}

/// The access of this process to the journal.
#[derive(Debug, Clone)]
pub(super) struct JournalAccess {
    /// The random name of the job.
    pub(super) job: String,
    /// The token of this process, which the journal has while the process may write.
    pub(super) owner: String,
}

#[derive(Default)]
pub(super) struct SinkState {
    /// Excludes other clones from the database.
    pub(super) lock: Option<DatabaseLock>,
    /// The connection that asks an agent whose coordinator is lost for its lock.
    pub(super) takeover: Option<Conn>,
    /// Idle sessions that load rows.
    pub(super) load_sessions: Vec<Conn>,
    /// Idle sessions that run DDL.
    pub(super) ddl_sessions: Vec<Conn>,
    /// The parts of each table's definition, by table name.
    pub(super) table_ddl: BTreeMap<String, TableDdl>,
    /// The tables whose deferred keys are added or refused.
    pub(super) indexed_tables: BTreeSet<String>,
    /// Whether the server accepts `LOAD DATA LOCAL`.
    pub(super) can_load_data: bool,
    /// The server's `max_allowed_packet`.
    pub(super) max_allowed_packet: usize,
    pub(super) notes: Vec<Note>,
    /// The source's server.
    pub(super) source: Option<Server>,
    /// The definitions in the target's dialect, by table name.
    pub(super) definitions: BTreeMap<String, String>,
    /// Foreign keys that the source keeps although the target may refuse them, by table and name.
    pub(super) defective_keys: BTreeSet<(String, String)>,
    /// The state of the generated columns of each table, by table number.
    pub(super) generated_columns: BTreeMap<u32, GeneratedColumnState>,
    /// The batches that the sink reported as durable.
    pub(super) durable_batches: DurableBatches,
    /// The server's uptime when the clone began.
    pub(super) uptime: Option<ServerUptime>,
    /// The negative zeros that durable batches have lost, by the numbers of table and chunk.
    pub(super) lost_zero_signs: BTreeMap<(u32, u32), LostZeroSigns>,
    /// The same for each batch that is being written.
    pub(super) losing_zero_signs: BTreeMap<BatchId, LostZeroSigns>,
    /// The journal, once it has the job.
    pub(super) journal: Option<JournalAccess>,
    /// Whether the journal took the place of the one of an earlier clone, whose remains may still be there.
    pub(super) replaced_journal: bool,
    /// Whether the clean-up has begun to remove what this process, and no other, may remove.
    pub(super) has_undone: bool,
    /// The events that were made again after their time, and what has become of each.
    pub(super) passed_events: BTreeSet<String>,
}

impl SinkState {
    /// Notes the negative zeros of a batch, or of a part of it, that the target has not stored.
    pub(super) fn note_lost_signs(&mut self, batch: BatchId, lost: &LostZeroSigns) {
        if !lost.is_empty() {
            self.losing_zero_signs.entry(batch).or_default().add(lost);
        }
    }

    /// Counts the noted negative zeros of a batch that is durable now.
    pub(super) fn count_lost_signs(&mut self, batch: BatchId) {
        if let Some(lost) = self.losing_zero_signs.remove(&batch) {
            self.add_lost_signs(batch, &lost);
        }
    }

    pub(super) fn add_lost_signs(&mut self, batch: BatchId, lost: &LostZeroSigns) {
        if !lost.is_empty() {
            self.lost_zero_signs.entry((batch.table, batch.chunk)).or_default().add(lost);
        }
    }

    /// The negative zeros that the rows of the table in these chunks have lost.
    pub(super) fn lost_signs(&self, table: u32, chunks: RangeInclusive<u32>) -> LostZeroSigns {
        let mut all = LostZeroSigns::default();
        let range = (table, *chunks.start())..=(table, *chunks.end());
        self.lost_zero_signs.range(range).for_each(|(_, lost)| all.add(lost));
        all
    }

    /// Corrects the digest of a chunk's stored rows to that of the rows as they were read: lost signs are reported already.
    pub(super) fn correct_digest(&self, table: u32, chunk: u32, digest: &mut Digest) {
        if let Some(lost) = self.lost_zero_signs.get(&(table, chunk)) {
            lost.correct(digest);
        }
    }
}

impl TargetDatabase {
    pub(super) fn new(address: ServerAddress, options: &CloneOptions) -> Self {
        let address = ServerAddress { lock_wait: options.lock_wait, ..address };
        let connections = Arc::new(ConnectionRegistry::new(address.clone()));
        let options = options.clone();
        let (undo_log, saved_items, state) = Default::default();
        Self { connections, address, options, undo_log, saved_items, state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session that writes the journal of the job `job`. Like the sessions that load rows, it leaves no trace in the
    /// server's log if the clone was asked to: replicas of the server do not have the journal then.
    pub(super) async fn journal_session(&self, job: &str) -> Result<Conn> {
        let mut conn = session::open_control(&self.address).await?;
        // A process that asks for the cut-over does not know the options of the clone.
        let recorded = match journal::read_job(&mut conn, &self.address.database, job).await {
            // There is no journal any more.
            Err(error) if error.kind() == ErrorKind::Changed => Value::Null,
            job => job?.options,
        };
        if recorded.get("skip_binlog").and_then(Value::as_bool).unwrap_or(self.options.skip_binlog) {
            conn.exec("SET SESSION sql_log_bin = 0").await?;
        }
        Ok(conn)
    }

    /// Returns a session for DDL in the target database. The caller returns it to `ddl_sessions`.
    pub(super) async fn ddl_session(&self) -> Result<Conn> {
        loop {
            let Some(mut conn) = self.state().ddl_sessions.pop() else { break };
            // A session that was idle for long may be lost.
            if conn.exec("DO 1").await.is_ok() {
                return Ok(conn);
            }
        }
        let mut conn = self.connections.register(session::open_ddl(&self.address, &self.options).await?).await?;
        conn.exec(&format!("USE {}", quote_name(&self.address.database))).await?;
        Ok(conn)
    }

    /// Returns a session that loads rows. The caller returns it to `load_sessions`.
    pub(super) async fn load_session(&self) -> Result<Conn> {
        let idle = self.state().load_sessions.pop();
        match idle {
            Some(conn) => Ok(conn),
            None => {
                let mut conn =
                    self.connections.register(session::open_writer(&self.address, &self.options).await?).await?;
                // The source may hold rows that are older than a check, or that it checks differently: MariaDB's check of
                // JSON fails at a depth that the source accepts. Existing tables keep their checks.
                let keeps_definitions = self.options.data_only || self.options.if_exists == IfExists::Truncate;
                if conn.server.flavor == Flavor::MariaDb && !keeps_definitions {
                    conn.try_set_each(&["check_constraint_checks = 0"]).await?;
                }
                Ok(conn)
            }
        }
    }

    /// Ends a session that failed: its statement may still run. Idle sessions are closed too, because whatever broke this one
    /// may have broken them. If KILL fails too, the next try reports it.
    pub(super) async fn discard(&self, conn: Conn) {
        let idle = std::mem::take(&mut self.state().load_sessions);
        idle.into_iter().for_each(|conn| self.connections.close(conn));
        let _ = self.connections.kill(conn).await;
    }

    pub(super) fn definition_rewriter(&self, plan: &Plan) -> DefinitionRewriter {
        let definer = match &self.options.definer {
            options::Definer::Strip => ddl::DefinerRewrite::Strip,
            options::Definer::Keep => ddl::DefinerRewrite::Keep,
            options::Definer::Account { user, host } => {
                ddl::DefinerRewrite::Account { user: user.clone(), host: host.clone() }
            }
        };
        let (from, to) = (&plan.database.name, &self.address.database);
        let rename = ddl::DatabaseRename { from: from.clone(), to: to.clone(), ignores_case: plan.server.folds_names };
        DefinitionRewriter { definer, rename }
    }
}
