//! Begins to write, in a new clone or in a resumed one, and ends it: the lock, the journal and the tables.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::connect::Conn;
use super::database_lock::DatabaseLock;
use super::durable_batches::ServerUptime;
use super::journal::{self, DatabaseOrigin, JobLine, Line};
use super::target::{JournalAccess, TargetDatabase};
use super::undo_log::CreatedItem;
use super::{session, translate};
use crate::error::{Error, ErrorKind, Result};
use crate::options::CloneOptions;
use crate::plan::{Plan, ResumeState};
use crate::report::Note;
use crate::retry::RetryPolicy;

/// The options that decide what is cloned, and how it looks at the target.
const DECIDING_OPTIONS: [&str; 15] = [
    "via",
    "include",
    "exclude",
    "where",
    "triggers",
    "routines",
    "events",
    "schema_only",
    "data_only",
    "if_exists",
    "recreate_database",
    "definer",
    "on_unsupported",
    "skip_binlog",
    "follow",
];

impl TargetDatabase {
    /// Creates the database and the tables, or continues what an earlier process of this clone has left.
    pub(super) async fn begin(&self, source_plan: &Plan) -> Result<ResumeState> {
        let mut conn = self.connections.register(session::open_control(&self.address).await?).await?;
        let server = conn.server.clone();
        let uptime = ServerUptime::read(&mut conn).await?;
        let lock = DatabaseLock::acquire(conn, &self.address, &self.connections).await?;
        let plan = &*translate::plan(source_plan, &server);
        let definitions = plan.tables.iter().map(|table| (table.table.name.clone(), table.table.create.clone()));
        {
            let mut state = self.state();
            (state.lock, state.uptime) = (Some(lock), Some(uptime));
            state.source = Some(source_plan.server.clone());
            state.definitions = definitions.collect();
        }
        let resumed = match self.options.resume {
            true => self.resume(source_plan, plan).await?,
            false => {
                self.begin_anew(source_plan, plan).await?;
                ResumeState::default()
            }
        };
        if self.undo_log.contains(&CreatedItem::Database) {
            let defaults = translate::database_notes(&source_plan.database, &plan.database, &server);
            self.state().notes.extend(defaults);
        }
        Ok(resumed)
    }

    /// Creates the database, the journal and the tables.
    async fn begin_anew(&self, source_plan: &Plan, plan: &Plan) -> Result<()> {
        self.create_database(&plan.database).await?;
        let mut conn = self.ddl_session().await?;
        self.detect_load_data(&mut conn).await?;
        if !plan.tables.is_empty() || !plan.definitions.is_empty() {
            // A clone without rows needs a journal too, because foreign keys are missing and events are disabled until
            // its end.
            self.create_journal(&mut conn, source_plan, Vec::new()).await?;
            self.create_tables(&mut conn, plan, &BTreeSet::new()).await?;
        }
        self.state().ddl_sessions.push(conn);
        Ok(())
    }

    /// Finds out whether the server accepts `LOAD DATA LOCAL`.
    pub(super) async fn detect_load_data(&self, conn: &mut Conn) -> Result<()> {
        let Some(row) = conn.row("SELECT @@GLOBAL.local_infile, @@SESSION.max_allowed_packet").await? else {
            return Ok(());
        };
        let mut state = self.state();
        state.max_allowed_packet = usize::try_from(row.number(1)).unwrap_or(usize::MAX);
        state.can_load_data = row.number(0) != 0;
        if !state.can_load_data {
            state
                .notes
                .push(Note::general("local_infile is off on the target: rows went in by INSERT, which is slower"));
        }
        Ok(())
    }

    /// Creates the journal, and records the job in it together with further lines.
    pub(super) async fn create_journal(&self, conn: &mut Conn, plan: &Plan, more: Vec<Line>) -> Result<()> {
        let database = &self.address.database;
        let job = match plan.job.id.as_str() {
            "" => new_token(),
            id => id.to_owned(),
        };
        // The journal of an earlier, killed clone stays when this clone is undone: its remains may be there.
        let replaces = journal::exists(conn, database).await?;
        self.state().replaced_journal = replaces;
        let origin = match self.undo_log.contains(&CreatedItem::Database) {
            true => DatabaseOrigin::Made,
            false => DatabaseOrigin::Found,
        };
        let create = journal::create(conn, database, &job, origin);
        match replaces {
            true => create.await?,
            false => self.record_creation(CreatedItem::Journal, create).await?,
        }
        let owner = new_token();
        let mut lines = self.job_lines(conn, plan, None).await?;
        lines.push(Line::owner(&owner));
        lines.extend(more);
        conn.exec("START TRANSACTION").await?;
        journal::replace(conn, database, &job, &lines).await?;
        conn.exec("COMMIT").await?;
        self.set_journal(JournalAccess { job, owner });
        self.save_undo_records().await
    }

    /// Sets the access of this process, which is the owner of the journal now.
    pub(super) fn set_journal(&self, access: JournalAccess) {
        self.undo_log.set_owner(&access.owner);
        let mut state = self.state();
        state.lock.iter().for_each(|lock| lock.add_owner(&access.owner));
        state.journal = Some(access);
    }

    /// The lines that describe the job. `started` is when an earlier process began it.
    pub(super) async fn job_lines(&self, conn: &mut Conn, plan: &Plan, started: Option<String>) -> Result<Vec<Line>> {
        let now = conn.row("SELECT UTC_TIMESTAMP()").await?.map(|row| row.string(0)).unwrap_or_default();
        let line = JobLine {
            dbgraft: env!("CARGO_PKG_VERSION").to_owned(),
            started: started.unwrap_or(now),
            server_started: ServerUptime::read_start_time(conn).await?,
            options: deciding_options(&self.options),
            plan: plan.clone(),
        };
        Line::job(&line)
            .map_err(|error| Error::new(ErrorKind::Internal, "the plan cannot be compressed").caused_by(error))
    }

    /// Removes the journal, and releases the database: the clone is complete.
    pub(super) async fn conclude(&self) -> Result<()> {
        let own = self.undo_log.owner();
        let is_tried = AtomicBool::new(false);
        let remove = async || {
            let mut conn = self.ddl_session().await?;
            let database = &self.address.database;
            match journal::owner(&mut conn, database).await? {
                // The answer was lost, or the clone made nothing.
                None if is_tried.load(Ordering::Relaxed) || own.is_none() => return Ok(()),
                owner if owner != own => return Err(journal::lost_ownership_error(database)),
                _ => is_tried.store(true, Ordering::Relaxed),
            }
            journal::remove(&mut conn, database).await
        };
        RetryPolicy::default().run(remove, |_| ()).await.map_err(|error| match error.kind() {
            ErrorKind::Changed => error,
            _ => {
                error.with("the clone is complete, but its journal could not be removed: run it again with", "--resume")
            }
        })?;
        self.state().lock = None;
        Ok(())
    }
}

/// The options that decide what is cloned, by name.
fn deciding_options(options: &CloneOptions) -> Value {
    let mut all = serde_json::to_value(options).unwrap_or_default();
    if let Some(all) = all.as_object_mut() {
        all.retain(|name, _| DECIDING_OPTIONS.contains(&name.as_str()));
    }
    all
}

/// A random name.
pub(super) fn new_token() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}
