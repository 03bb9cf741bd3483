//! Runs the statements of the source's log that change definitions.
//!
//! Statements are not transactional. So the journal has the intent first, with the definitions before; then the statement
//! runs; then the journal gets the plan that follows from it, together with the place in the log. Whoever finds an intent
//! compares the definitions: if they have changed, the statement has run.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::MySqlApplier;
use super::planned_change::{PlannedChange, plan_change};
use crate::catalog::{ObjectKind, ObjectRef, Printable, Server, Table};
use crate::change_applier::{DefinitionOutcome, LoggedDefinition};
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{quote_name, table_parts};
use crate::mysql::journal::{self, DefinitionIntent, JobLine, TablePartHashes};
use crate::mysql::record::read_parts;
use crate::mysql::target::JournalAccess;
use crate::mysql::undo_log::{CreatedItem, UndoLog, proves_no_creation};
use crate::mysql::{introspect, session};
use crate::plan::Plan;

const UNKNOWN_VARIABLE: u16 = 1193;
const UNKNOWN_TABLE: u16 = 1146;

impl MySqlApplier {
    pub(super) async fn run_definition(
        &self,
        definition: &LoggedDefinition,
        chosen: &[String],
    ) -> Result<DefinitionOutcome> {
        let state = self.state();
        let (target, database) = (&state.target, &state.target.address.database);
        let mut conn = target.journal_session(&state.plan.job.id).await?;
        let change = match plan_change(&state.plan, definition, database, conn.server.flavor) {
            Ok(change) => change,
            Err(reason) => return Ok(DefinitionOutcome::Refused(reason)),
        };
        if change.new_names.iter().any(|name| !chosen.contains(name)) {
            return Ok(DefinitionOutcome::Names(change.new_names));
        }
        let found = introspect::require_database(&mut conn, database, "target").await?;
        if change.creates && found.collation != state.plan.database.collation {
            return Ok(DefinitionOutcome::Refused(
                "the default collation of the target's database is another".to_owned(),
            ));
        }
        let access = state.journal()?;
        let intent = journal::read_definition(&mut conn, database, &access.job).await?;
        let intent = intent.filter(|intent| intent.place == definition.start.place());
        let has_run = match &intent {
            None => false,
            Some(intent) => {
                if let Some(lock) = &intent.connection {
                    state.connections.end_connection(lock).await?;
                }
                hash_definitions(&mut conn, database, intent.before.keys()).await? != intent.before
            }
        };
        let items = created_tables(&mut conn, database, &state.plan, &change).await?;
        if let Some(sql) = change.sql.as_ref().filter(|_| !has_run || change.is_repeatable) {
            let runner = session::open_ddl(&target.address, &target.options).await?;
            let mut runner = state.connections.register(runner).await?;
            if let Some(reason) = set_up(&mut runner, database, &definition.settings, &state.plan.server).await? {
                return Ok(DefinitionOutcome::Refused(reason));
            }
            let connection = runner.lock.clone();
            if connection.is_none() {
                let reason = "the target has no user-level locks, so that after a crash nothing would tell whether it still runs";
                return Ok(DefinitionOutcome::Refused(reason.to_owned()));
            }
            if !has_run {
                let before = hash_definitions(&mut conn, database, &change.concerned).await?;
                if let Some(name) = change.new_names.iter().find(|name| matches!(before.get(*name), Some(Some(_)))) {
                    let reason = format!("the target has a table {} that is not of this clone", Printable(name));
                    return Ok(DefinitionOutcome::Refused(reason));
                }
                items.iter().for_each(|item| target.undo_log.intend(item.clone()));
                target.save_undo_records().await?;
                let intent = DefinitionIntent { place: definition.start.place(), before, connection };
                journal::intend_definition(&mut conn, database, &access.job, &access.owner, &intent).await?;
            }
            match runner.exec(sql).await {
                Ok(_) => state.connections.close(runner),
                Err(error) if proves_no_creation(&error) && !error.is_retryable() => {
                    items.iter().for_each(|item| target.undo_log.withdraw(item.clone()));
                    target.save_undo_records().await?;
                    journal::forget_definition(&mut conn, database, &access.owner).await?;
                    return Ok(DefinitionOutcome::Refused(format!("the target refuses it: {error}")));
                }
                // Whether it has run, the next try finds out.
                Err(error) => return Err(target.explain_lock_wait(error).await),
            }
        }
        items.into_iter().for_each(|item| target.undo_log.add(item));
        target.save_undo_records().await?;
        let folds = folds_names(&mut conn, &state.plan).await?;
        let found: Vec<Table> = introspect::read_base_tables(&mut conn, database).await?;
        let plan = change.new_plan(&state.plan, &found, folds)?;
        self.record_end(&mut conn, definition, plan, &access).await?;
        Ok(DefinitionOutcome::Applied)
    }

    /// Records that a statement has run, and the plan that follows from it, which `take_up` reads.
    pub(super) async fn record_end(
        &self,
        conn: &mut Conn,
        definition: &LoggedDefinition,
        plan: Plan,
        access: &JournalAccess,
    ) -> Result<()> {
        let state = self.state();
        let database = &state.target.address.database;
        let job = JobLine { plan, ..journal::read_job(conn, database, &access.job).await? };
        let mut parts = TablePartHashes::new();
        for table in &job.plan.tables {
            parts.insert(table.number, read_parts(conn, database, &table.table.name).await?);
        }
        journal::pass_definition(conn, database, &access.job, &access.owner, &definition.end, &job, &parts).await
    }
}

/// Whether the source or the target ignores the case of the names of tables.
pub(super) async fn folds_names(conn: &mut Conn, plan: &Plan) -> Result<bool> {
    let row = conn.row("SELECT @@lower_case_table_names").await?;
    Ok(plan.server.folds_names || row.is_some_and(|row| row.number(0) > 0))
}

/// The tables that the job has made under the names that a statement gives. A table that was in the target before the job
/// stays one of the target's own under a new name; so do all tables of a way back.
async fn created_tables(
    conn: &mut Conn,
    database: &str,
    plan: &Plan,
    change: &PlannedChange,
) -> Result<Vec<CreatedItem>> {
    if plan.job.way_back.is_some() || change.new_names.is_empty() {
        return Ok(Vec::new());
    }
    let recorded = UndoLog::default();
    recorded.adopt(journal::read(conn, database).await?.unwrap_or_default().items);
    let own = change
        .newly_named(plan)
        .filter(|(_, before)| before.is_none_or(|before| recorded.contains(&created_table(before))));
    Ok(own.map(|(name, _)| created_table(name)).collect())
}

fn created_table(name: &str) -> CreatedItem {
    CreatedItem::Object(ObjectRef::new(ObjectKind::Table, name))
}

/// Hashes the definition of each table; `None` where there is no table.
async fn hash_definitions(
    conn: &mut Conn,
    database: &str,
    tables: impl IntoIterator<Item = &String>,
) -> Result<BTreeMap<String, Option<u64>>> {
    let mut hashes = BTreeMap::new();
    for table in tables {
        let sql = format!("SHOW CREATE TABLE {}.{}", quote_name(database), quote_name(table));
        let create = match conn.row(&sql).await {
            Err(error) if error.code() == Some(UNKNOWN_TABLE) => None,
            row => row?.map(|row| row.string(1)),
        };
        // The counter of AUTO_INCREMENT may change without a statement.
        let parts = create.map(|create| table_parts(&create).unwrap_or_default());
        hashes.insert(table.clone(), parts.map(|parts| xxh3_64(format!("{parts:?}").as_bytes())));
    }
    Ok(hashes)
}

/// Gives a session the settings under which a statement ran. Returns the reason why that is not possible.
async fn set_up(conn: &mut Conn, database: &str, settings: &[String], source: &Server) -> Result<Option<String>> {
    if settings.iter().any(|setting| setting == "time_zone = 'SYSTEM'") {
        let own = conn.row("SELECT @@system_time_zone").await?.map(|row| row.string(0));
        let zones = [source.settings.get("system_time_zone"), own.as_ref()];
        // The name of another zone does not tell its rules.
        if zones.iter().any(|zone| zone.is_none_or(|zone| zone != "UTC")) {
            let shown = zones.map(|zone| zone.map_or("unknown", String::as_str)).join(" at the source and ");
            let reason =
                format!("it uses the time zone of the system, which is {shown} at the target, and not UTC at both");
            return Ok(Some(reason));
        }
    }
    conn.exec(&format!("USE {}", quote_name(database))).await?;
    conn.exec("SET SESSION default_storage_engine = InnoDB").await?;
    // A MariaDB that logs no other default collations of character sets has those of old.
    conn.try_set_each(&["character_set_collations = ''"]).await?;
    for setting in settings {
        let error = match conn.exec(&format!("SET SESSION {setting}")).await {
            Ok(_) => continue,
            Err(error) if error.code().is_none() => return Err(error),
            // A setting of another release, which does not change what a definition means there.
            Err(error)
                if error.code() == Some(UNKNOWN_VARIABLE) && !setting.starts_with("character_set_collations = (") =>
            {
                continue;
            }
            Err(error) => error,
        };
        let (name, value) = setting.split_once(" = ").unwrap_or_default();
        let current = conn.row(&format!("SELECT @@SESSION.{name}")).await.ok().flatten();
        if current.is_none_or(|current| current.string(0) != value) {
            return Ok(Some(format!("the target does not accept its setting {setting}: {error}")));
        }
    }
    Ok(None)
}
