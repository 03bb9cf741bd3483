//! Applies the changes of a source to the target.

mod cascades;
mod catch_up;
mod condition;
mod conflict_keys;
mod cut_over;
mod definition;
mod passed_statement;
mod planned_change;
mod row_statement;
mod row_text;
mod statement_queue;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
mod way_back;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

pub(super) use self::cut_over::is_active;
use self::table::{AppliedTable, read_tables};
use self::transaction::{AppliedTransaction, FIRST_CHANGE_CHUNK};
use super::begin::new_token;
use super::connect::Conn;
use super::connection_registry::ConnectionRegistry;
use super::journal;
use super::target::{JournalAccess, TargetDatabase};
use super::undo_log::first_records;
use super::{removed_objects, session};
use crate::change::LogPosition;
use crate::change_applier::{ChangeApplier, DefinitionOutcome, LoggedDefinition, TargetTransaction};
use crate::checkpoint::{Checkpoint, CutOver};
use crate::conflict_hasher::ConflictHasher;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{CatchUp, Plan};
use crate::report::Note;

/// How long the end of a cut-over waits until the requester has read it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_INTERVAL: Duration = Duration::from_millis(100);

/// Applies changes to one database.
pub(super) struct MySqlApplier {
    state: Mutex<Arc<AppliedState>>,
    /// The connection that holds the lock of the database, and reads the cut-over.
    lock_connection: tokio::sync::Mutex<Option<Conn>>,
}

/// The state that the transactions of an applier share.
struct AppliedState {
    target: Arc<TargetDatabase>,
    connections: Arc<ConnectionRegistry>,
    plan: Plan,
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
    /// Creates the applier of a clone. The target itself knows the plan, by which `take_up` reads the tables.
    pub(super) async fn new(target: Arc<TargetDatabase>, plan: &Plan) -> Result<Self> {
        let mut conn = session::open_control(&target.address).await?;
        target.detect_load_data(&mut conn).await?;
        target.state().source.get_or_insert_with(|| plan.server.clone());
        // A clone that catches up goes on after it, and keeps its lock itself.
        let lock = target.state().lock.take_if(|_| plan.job.catch_up != CatchUp::Pending);
        let mut held = match lock {
            Some(lock) => lock.into_connection().await,
            None => None,
        };
        // From now on it writes the journal.
        if let Some(conn) = held.as_mut().filter(|_| target.options.skip_binlog) {
            conn.exec("SET SESSION sql_log_bin = 0").await?;
        }
        let lock_connection = tokio::sync::Mutex::new(held);
        let connections = Arc::new(ConnectionRegistry::new(target.address.clone()));
        let (plan, tables) = (plan.clone(), Vec::new());
        let state = Arc::new(AppliedState { target, connections, plan, tables, sessions: Mutex::default() });
        Ok(Self { state: Mutex::new(state), lock_connection })
    }

    fn state(&self) -> Arc<AppliedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Applies changes by this plan from now on.
    ///
    /// # Errors
    /// `Preflight` if the foreign keys of the target would not do what those of the source do.
    async fn follow_plan(&self, conn: &mut Conn, plan: Plan) -> Result<()> {
        let (target, connections) = (self.state().target.clone(), self.state().connections.clone());
        let tables = read_tables(conn, &target.address.database, &plan).await?;
        let tables = tables.into_iter().map(Arc::new).collect();
        let state = Arc::new(AppliedState { target, connections, plan, tables, sessions: Mutex::default() });
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    /// Holds the lock of the database: another process may hold it now.
    async fn hold_lock(&self) -> Result<()> {
        let mut held = self.lock_connection.lock().await;
        let state = self.state();
        let target = &state.target;
        if let Some(lock) = &target.state().lock {
            return lock.check();
        }
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
        let mut conn = target.journal_session(&state.plan.job.id).await?;
        // The server may not have noticed yet that this process has lost the connection that held the lock.
        let had_it = target.state().journal.is_some();
        let lock = journal::acquire_lock(&mut conn, &target.address.database, Duration::ZERO).await;
        lock.map_err(|error| if had_it { error.retryable() } else { error })?;
        *held = Some(conn);
        Ok(())
    }

    /// Becomes the owner of the journal, and joins the lines of all appliers. Returns what they say, and the plan of the
    /// journal: statements that an earlier call or another process has run may have changed it.
    async fn take_ownership(&self, conn: &mut Conn, first: Checkpoint) -> Result<(Checkpoint, Plan)> {
        let state = self.state();
        let (target, plan) = (&state.target, &state.plan);
        let database = &target.address.database;
        let own = target.state().journal.clone();
        // The remains of a clone that catches up were adopted when it was resumed, and no statement changes its plan.
        let catches_up = plan.job.catch_up == CatchUp::Pending;
        let is_adopted = own.is_none() && !catches_up;
        let previous = match own {
            Some(access) => Some(access.owner),
            None => journal::owner(conn, database).await?,
        };
        let previous = previous.ok_or_else(|| journal::lost_ownership_error(database))?;
        let access = JournalAccess { job: plan.job.id.clone(), owner: new_token() };
        conn.exec("START TRANSACTION").await?;
        journal::replace_owner(conn, database, &access.job, &previous, &access.owner).await?;
        let checkpoint = journal::take_up_appliers(conn, database, &access.job, first).await?;
        let plan = match catches_up {
            true => plan.clone(),
            false => journal::read_job(conn, database, &access.job).await?.plan,
        };
        if is_adopted {
            let contents = journal::read(conn, database).await?.unwrap_or_default();
            *target.saved_items.lock().await = u32::try_from(contents.items.len()).unwrap_or(u32::MAX);
            target.undo_log.adopt(first_records(contents.origin == journal::DatabaseOrigin::Made));
            target.undo_log.adopt(contents.items);
        }
        // If the answer of COMMIT is lost, the next try must find either token.
        target.state().journal = None;
        target.state().lock.iter().for_each(|lock| lock.add_owner(&access.owner));
        conn.exec("COMMIT").await?;
        target.undo_log.set_owner(&access.owner);
        target.state().journal = Some(access);
        Ok((checkpoint, plan))
    }

    /// The position of the snapshot in the source's log; of the earliest one, if there were several.
    fn snapshot_position(&self) -> Result<LogPosition> {
        self.state().plan.earliest_position().ok_or_else(|| {
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
    async fn take_up(&self) -> Result<(Checkpoint, Option<Plan>)> {
        let state = self.state();
        state.sessions().clear();
        // The server may not have noticed that a connection is lost.
        state.connections.kill_all().await?;
        self.hold_lock().await?;
        let mut conn = state.target.journal_session(&state.plan.job.id).await?;
        let first = Checkpoint::at_snapshot(self.snapshot_position()?);
        let (checkpoint, plan) = self.take_ownership(&mut conn, first).await?;
        if plan.job.way_back.is_some() {
            let cut_over = journal::read_cut_over(&mut conn, &state.target.address.database, &plan.job.id).await?;
            // From then on they are made again.
            if !cut_over.is_some_and(|cut_over| cut_over.has_begun()) {
                removed_objects::remove(&state.target, &plan).await?;
            }
        }
        self.follow_plan(&mut conn, plan.clone()).await?;
        Ok((checkpoint, Some(plan)))
    }

    fn conflict_hashers(&self) -> Arc<[ConflictHasher]> {
        self.state().tables.iter().map(|table| table.hasher.clone()).collect()
    }

    async fn begin(&self, applier: u32, is_careful: bool) -> Result<Box<dyn TargetTransaction>> {
        let state = self.state();
        // A transaction that outlives the next `take_up` must not commit.
        let access = state.journal()?;
        let conn = state.session().await?;
        Ok(Box::new(AppliedTransaction::new(state, access, conn, applier, is_careful)))
    }

    async fn apply_definition(&self, definition: &LoggedDefinition, chosen: &[String]) -> Result<DefinitionOutcome> {
        self.run_definition(definition, chosen).await
    }

    async fn pass_definition(&self, definition: &LoggedDefinition, current: &Plan) -> Result<()> {
        self.pass_statement(definition, current).await
    }

    async fn read_cut_over(&self) -> Result<Option<CutOver>> {
        let state = self.state();
        let (database, job) = (&state.target.address.database, &state.plan.job.id);
        self.on_lock_connection(async |conn| journal::read_live_cut_over(conn, database, job).await).await
    }

    async fn begin_cut_over(&self, cut_over: &CutOver) -> Result<bool> {
        let state = self.state();
        let JournalAccess { job, owner } = state.journal()?;
        let database = &state.target.address.database;
        self.on_lock_connection(async |conn| {
            // Everything is applied, and nothing else has happened yet.
            let cut_over = match cut_over.has_begun() {
                true => way_back::with_start(conn, &state.target, &state.plan, cut_over).await?,
                false => cut_over.clone(),
            };
            conn.exec("START TRANSACTION").await?;
            let is_begun = journal::begin_cut_over(conn, database, &job, &owner, &cut_over).await?;
            conn.exec("COMMIT").await?;
            Ok(is_begun)
        })
        .await
    }

    async fn finish(&self) -> Result<Vec<Note>> {
        self.hold_lock().await?;
        let state = self.state();
        let mut notes = Vec::new();
        for table in &state.plan.tables {
            let lost = state.target.state().lost_signs(table.number, FIRST_CHANGE_CHUNK..=u32::MAX);
            notes.extend(lost.notes(&table.table.name));
        }
        let created = cut_over::create_active_objects(&state.target, &state.plan).await;
        notes.extend(match created {
            Err(error) => return Err(state.target.explain_lock_wait(error).await),
            Ok(notes) => notes,
        });
        let (database, job) = (&state.target.address.database, &state.plan.job.id);
        let problem = self.on_lock_connection(async |conn| way_back::problem(conn, database, job).await).await?;
        let problem =
            problem.map(|why| Note::general(format!("later changes of the target cannot be carried back: {why}")));
        notes.extend(problem);
        Ok(notes)
    }

    async fn end_cut_over(&self, cut_over: &CutOver) -> Result<()> {
        self.hold_lock().await?;
        let state = self.state();
        let JournalAccess { job, .. } = state.journal()?;
        let database = &state.target.address.database;
        self.on_lock_connection(async |conn| {
            way_back::record_end(conn, &state.target, &state.plan, &job, cut_over).await?;
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
        state.target.conclude().await?;
        *self.lock_connection.lock().await = None;
        Ok(())
    }

    async fn end_catch_up(&self, plan: &Plan) -> Result<()> {
        self.hold_lock().await?;
        let state = self.state();
        catch_up::record_end(&state.target, &state.journal()?, plan).await
    }

    async fn close(&self) {
        let state = self.state();
        state.sessions().clear();
        // The server ends the sessions of a client that is gone, if KILL fails.
        let _ = state.connections.kill_all().await;
    }
}
