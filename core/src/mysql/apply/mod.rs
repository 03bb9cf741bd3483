//! Applies the changes of a source to the target.

mod condition;
mod conflict_keys;
mod cut_over;
mod table;
mod transaction;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

pub(super) use self::cut_over::is_active;
use self::table::{AppliedTable, read_tables};
use self::transaction::AppliedTransaction;
use super::begin::new_token;
use super::connect::Conn;
use super::connection_registry::ConnectionRegistry;
use super::journal::{self, JobLine, Line};
use super::session;
use super::target::{JournalAccess, TargetDatabase};
use super::undo_log::first_records;
use crate::change::{LogPosition, RowChanges};
use crate::change_applier::{ChangeApplier, ConflictKey, TargetTransaction};
use crate::checkpoint::{Checkpoint, CutOver};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::report::Note;

/// How long the end of a cut-over waits until the requester has read it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_INTERVAL: Duration = Duration::from_millis(100);

/// Applies changes to one database.
pub(super) struct MySqlApplier {
    state: Arc<AppliedState>,
    plan: Plan,
    /// The connection that holds the lock of the database, and reads the cut-over.
    lock_connection: tokio::sync::Mutex<Option<Conn>>,
}

/// The state that the transactions of an applier share.
struct AppliedState {
    target: Arc<TargetDatabase>,
    connections: ConnectionRegistry,
    tables: Vec<Arc<AppliedTable>>,
    sessions: Mutex<Vec<Conn>>,
}

impl AppliedState {
    fn sessions(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, conn: Conn) {
        self.sessions().push(conn);
    }

    /// Returns a session that applies changes. It is within a transaction from its first statement on.
    async fn session(&self) -> Result<Conn> {
        let idle = self.sessions().pop();
        if let Some(conn) = idle {
            return Ok(conn);
        }
        let conn = session::open_applier(&self.target.address, &self.target.options).await?;
        self.connections.register(conn).await
    }

    fn journal(&self) -> Result<JournalAccess> {
        let access = self.target.state().journal.clone();
        access.ok_or_else(|| Error::new(ErrorKind::Internal, "changes are applied before the target is taken up"))
    }
}

impl MySqlApplier {
    /// Creates the applier of a plan.
    ///
    /// # Errors
    /// `Preflight` if the target has triggers, which would fire for each change.
    pub(super) async fn new(target: Arc<TargetDatabase>, plan: &Plan) -> Result<Self> {
        let mut conn = session::open_control(&target.address).await?;
        target.detect_load_data(&mut conn).await?;
        target.state().source.get_or_insert_with(|| plan.server.clone());
        let tables = read_tables(&mut conn, &target.address.database, plan).await?;
        let tables = tables.into_iter().map(Arc::new).collect();
        let lock = target.state().lock.take();
        let held = match lock {
            Some(lock) => lock.into_connection().await,
            None => None,
        };
        let lock_connection = tokio::sync::Mutex::new(held);
        let connections = ConnectionRegistry::new(target.address.clone());
        let state = Arc::new(AppliedState { target, connections, tables, sessions: Mutex::default() });
        Ok(Self { state, plan: plan.clone(), lock_connection })
    }

    /// Holds the lock of the database: another process may hold it now.
    async fn hold_lock(&self) -> Result<()> {
        let mut held = self.lock_connection.lock().await;
        let target = &self.state.target;
        if let Some(conn) = held.as_mut() {
            let own = journal::lock_holder(conn, &target.address.database).await;
            let id = conn.row("SELECT CONNECTION_ID()").await;
            if let (Ok(Some(holder)), Ok(Some(id))) = (own, id)
                && holder == id.string(0)
            {
                return Ok(());
            }
        }
        *held = None;
        let mut conn = session::open_control(&target.address).await?;
        // The server may not have noticed yet that this process has lost the connection that held the lock.
        let had_it = target.state().journal.is_some();
        let lock = journal::acquire_lock(&mut conn, &target.address.database).await;
        lock.map_err(|error| if had_it { error.retryable() } else { error })?;
        *held = Some(conn);
        Ok(())
    }

    /// Becomes the owner of the journal, and joins the lines of all appliers.
    async fn take_ownership(&self, conn: &mut Conn, first: Checkpoint) -> Result<Checkpoint> {
        let target = &self.state.target;
        let database = &target.address.database;
        let own = target.state().journal.clone();
        let is_adopted = own.is_none();
        let previous = match own {
            Some(access) => Some(access.owner),
            None => journal::owner(conn, database).await?,
        };
        let previous = previous.ok_or_else(|| journal::lost_ownership_error(database))?;
        let access = JournalAccess { job: self.plan.job.id.clone(), owner: new_token() };
        conn.exec("START TRANSACTION").await?;
        journal::replace_owner(conn, database, &access.job, &previous, &access.owner).await?;
        let checkpoint = journal::take_up_appliers(conn, database, &access.job, first).await?;
        if is_adopted {
            let mut contents = journal::read(conn, database).await?.unwrap_or_default();
            if let Some(job) = contents.description.take().filter(|job| job.plan != self.plan) {
                let job = JobLine { plan: self.plan.clone(), ..job };
                journal::replace_plan(conn, database, &access.job, &job).await?;
            }
            *target.saved_items.lock().await = u32::try_from(contents.items.len()).unwrap_or(u32::MAX);
            target.undo_log.adopt(first_records(contents.origin == journal::DatabaseOrigin::Made));
            target.undo_log.adopt(contents.items);
        }
        // If the answer of COMMIT is lost, the next try must find either token.
        target.state().journal = None;
        conn.exec("COMMIT").await?;
        target.state().journal = Some(access);
        Ok(checkpoint)
    }

    /// The position of the snapshot in the source's log.
    fn snapshot_position(&self) -> Result<LogPosition> {
        self.plan.position.log_position().ok_or_else(|| {
            Error::new(ErrorKind::Preflight, "the position of the snapshot in the source's binary log is not known")
        })
    }

    /// Runs work on the connection that holds the lock. An error loses the lock, until the target is taken up again.
    async fn on_lock_connection<T>(&self, work: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let mut held = self.lock_connection.lock().await;
        let lost =
            || Error::new(ErrorKind::Connection, "the connection that holds the target's lock is lost").retryable();
        let mut conn = held.take().ok_or_else(lost)?;
        let done = work(&mut conn).await?;
        *held = Some(conn);
        Ok(done)
    }
}

#[async_trait]
impl ChangeApplier for MySqlApplier {
    async fn take_up(&self) -> Result<Checkpoint> {
        self.state.sessions().clear();
        // The server may not have noticed that a connection is lost.
        self.state.connections.kill_all().await?;
        self.hold_lock().await?;
        let mut conn = session::open_control(&self.state.target.address).await?;
        self.take_ownership(&mut conn, Checkpoint::at_snapshot(self.snapshot_position()?)).await
    }

    fn add_conflict_keys(&self, changes: &RowChanges, keys: &mut Vec<ConflictKey>) {
        if let Some(table) = self.state.tables.get(changes.table as usize) {
            table.hasher.add_keys(changes, keys);
        }
    }

    async fn begin(&self, applier: u32, is_careful: bool) -> Result<Box<dyn TargetTransaction>> {
        let conn = self.state.session().await?;
        Ok(Box::new(AppliedTransaction::new(self.state.clone(), conn, applier, is_careful)))
    }

    async fn read_cut_over(&self) -> Result<Option<CutOver>> {
        let database = &self.state.target.address.database;
        self.on_lock_connection(async |conn| journal::read_cut_over(conn, database, &self.plan.job.id).await).await
    }

    async fn begin_cut_over(&self, cut_over: &CutOver) -> Result<bool> {
        let JournalAccess { job, owner } = self.state.journal()?;
        let database = &self.state.target.address.database;
        self.on_lock_connection(async |conn| {
            conn.exec("START TRANSACTION").await?;
            let is_begun = journal::begin_cut_over(conn, database, &job, &owner, cut_over).await?;
            conn.exec("COMMIT").await?;
            Ok(is_begun)
        })
        .await
    }

    async fn finish(&self) -> Result<Vec<Note>> {
        self.hold_lock().await?;
        let created = cut_over::create_active_objects(&self.state.target, &self.plan).await;
        match created {
            Err(error) => Err(self.state.target.explain_lock_wait(error).await),
            created => created,
        }
    }

    async fn end_cut_over(&self, cut_over: &CutOver) -> Result<()> {
        self.hold_lock().await?;
        let JournalAccess { job, .. } = self.state.journal()?;
        let database = &self.state.target.address.database;
        self.on_lock_connection(async |conn| {
            journal::replace(conn, database, &job, &[Line::cut_over(cut_over)]).await?;
            for _ in 0..ANSWER_TIMEOUT.as_millis() / ANSWER_INTERVAL.as_millis() {
                let left = journal::read_cut_over(conn, database, &job).await?;
                if !left.is_some_and(|left| left.is_awaited) {
                    break;
                }
                tokio::time::sleep(ANSWER_INTERVAL).await;
            }
            Ok(())
        })
        .await?;
        self.state.target.conclude().await?;
        *self.lock_connection.lock().await = None;
        Ok(())
    }

    async fn close(&self) {
        self.state.sessions().clear();
        // The server ends the sessions of a client that is gone, if KILL fails.
        let _ = self.state.connections.kill_all().await;
    }
}
