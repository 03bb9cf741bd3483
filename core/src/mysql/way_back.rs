//! Begins to carry changes back into a database that was the source: checks that it has the rows of the cut-over still, and
//! records the job.

use super::binlog::SearchedLog;
use super::column_comparison::{describe_column, holds_same};
use super::connect::Conn;
use super::database_lock::DatabaseLock;
use super::ddl::quote_text;
use super::target::TargetDatabase;
use super::{binlog, check, introspect, journal, log_position, removed_objects, session};
use crate::catalog::{Catalog, Column, Printable, Table};
use crate::change::LogPosition;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryBudget;
use crate::plan::{Plan, Position, SelectedTable, Selection, SnapshotMethod};

impl TargetDatabase {
    /// Takes the lock, checks everything, creates the journal and removes triggers and events. Returns the plan with these.
    pub(super) async fn begin_way_back(&self, plan: &Plan, unchanged_since: &LogPosition) -> Result<Plan> {
        let mut conn = self.connections.register(session::open_control(&self.address).await?).await?;
        let database = introspect::require_database(&mut conn, &self.address.database, "target").await?;
        let lock = DatabaseLock::acquire(conn, &self.address, &self.connections).await?;
        {
            let mut state = self.state();
            (state.lock, state.source) = (Some(lock), Some(plan.server.clone()));
        }
        let mut conn = session::open_control(&self.address).await?;
        if journal::exists(&mut conn, &database.name).await? {
            let message = "the target has the journal of a clone, or of an earlier way back: go on by `dbgraft follow` \
                           without --from-cutover, or undo it by `dbgraft abandon`";
            return Err(Error::new(ErrorKind::Preflight, message));
        }
        let server = check::read_server(&mut conn).await?;
        let catalog = Catalog { server, ..introspect::read_catalog(&mut conn, &database.name).await? };
        let mut problems = table_problems(plan, &catalog);
        problems.extend(key_problems(&mut conn, plan, &database.name).await?);
        if !problems.is_empty() {
            let message = format!("the target cannot take what the source has now: {}", problems.join("; "));
            return Err(Error::new(ErrorKind::Preflight, message));
        }
        let definitions = removed_objects::select(&catalog, plan);
        self.check_unchanged(&catalog, plan, unchanged_since).await?;
        removed_objects::check_restorable(&mut conn, self, &catalog, &definitions).await?;
        let plan = Plan { definitions, ..plan.clone() };
        let start = plan.position.log_position().unwrap_or_default();
        let mut ddl = self.ddl_session().await?;
        self.create_journal(&mut ddl, &plan, journal::first_lines(&plan, &Checkpoint::at_snapshot(start))).await?;
        self.state().ddl_sessions.push(ddl);
        removed_objects::undo_items(&plan).for_each(|item| self.undo_log.add(item));
        removed_objects::remove(self, &plan).await?;
        Ok(plan)
    }

    /// Checks by the target's log that the plan's tables have not changed since a place in it.
    ///
    /// # Errors
    /// `Preflight` if one has, or if the log does not tell.
    async fn check_unchanged(&self, catalog: &Catalog, plan: &Plan, since: &LogPosition) -> Result<()> {
        let unproven = |why: &str| {
            let message = format!(
                "whether the target has changed since the cut-over cannot be proved: {why}: clone the source into it anew"
            );
            Error::new(ErrorKind::Preflight, message)
        };
        let mut conn = session::open_control(&self.address).await?;
        let end = log_position::read_position(&mut conn, SnapshotMethod::External).await?.log_position();
        let end = end.ok_or_else(|| unproven("it has no binary log, or the account may not see the position in it"))?;
        if end.server != since.server {
            let why = format!(
                "it is server {}, and the changes came from {}",
                Printable(&end.server),
                Printable(&since.server)
            );
            return Err(unproven(&why));
        }
        let named = |name: &str| SelectedTable { name: name.to_owned(), filter: None };
        let tables = plan.tables.iter().filter_map(|planned| find_table(catalog, &planned.table.name));
        let selection = Selection { tables: tables.map(|table| named(&table.name)).collect(), ..Selection::default() };
        let own = Plan::from_selection(catalog, &selection, Position::unknown(SnapshotMethod::External));
        let memory = MemoryBudget::new(self.options.memory, 1);
        let searched = binlog::find_change((&self.address, &self.connections), &own, since, &end, &memory).await;
        match searched.map_err(|error| unproven("its binary log cannot be read from there on").caused_by(error))? {
            // The rows of a prepared transaction come with its XA COMMIT.
            SearchedLog::Unchanged(reached) if reached.prepared_changes_since.is_some() => {
                Err(unproven("XA transactions are prepared there: end those that XA RECOVER lists"))
            }
            SearchedLog::Unchanged(_) => Ok(()),
            SearchedLog::Changed(change) => {
                let message = format!(
                    "the target was changed after the cut-over, which the source does not know of: {change}: clone the source \
                     into it anew"
                );
                Err(Error::new(ErrorKind::Preflight, message))
            }
        }
    }
}

fn find_table<'c>(catalog: &'c Catalog, name: &str) -> Option<&'c Table> {
    catalog.table(name).or_else(|| {
        let is_same = |table: &&Table| table.name.to_lowercase() == name.to_lowercase();
        catalog.tables.iter().find(is_same).filter(|_| catalog.server.folds_names)
    })
}

/// Finds the foreign keys between a table of the plan and another one, which the source does not have: it allows changes that
/// these keys forbid, or that would change rows of the other table.
async fn key_problems(conn: &mut Conn, plan: &Plan, database: &str) -> Result<Vec<String>> {
    let name = quote_text(database);
    let sql = format!(
        "SELECT DISTINCT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME FROM \
         information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND (TABLE_SCHEMA = {name} OR \
         REFERENCED_TABLE_SCHEMA = {name})"
    );
    let is_same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let is_followed = |schema: &str, table: &str| {
        is_same(schema, database) && plan.tables.iter().any(|planned| is_same(&planned.table.name, table))
    };
    let mut problems = Vec::new();
    for row in conn.rows(&sql).await? {
        let (table, referenced) = (row.string(2), row.string(4));
        let (own, other) = (is_followed(&row.string(1), &table), is_followed(&row.string(3), &referenced));
        if own != other {
            let key = row.string(0);
            problems.push(format!(
                "its foreign key {} from table {} to table {} does not hold for changes of the source, which has only one \
                 of these tables: drop it",
                Printable(&key),
                Printable(&table),
                Printable(&referenced)
            ));
        }
    }
    Ok(problems)
}

/// What prevents the target's tables from holding exactly what the plan's tables hold.
fn table_problems(plan: &Plan, target: &Catalog) -> Vec<String> {
    let mut problems = Vec::new();
    for table in plan.tables.iter().map(|planned| &planned.table) {
        let name = Printable(&table.name);
        let Some(own) = find_table(target, &table.name) else {
            problems.push(format!("table {name} is not there"));
            continue;
        };
        if own.name != table.name {
            problems.push(format!("table {name} is {} there", Printable(&own.name)));
        }
        problems.extend(check::table_problems([table, own].into_iter()));
        for column in &table.columns {
            let other = own.columns.iter().find(|other| other.name.eq_ignore_ascii_case(&column.name));
            let why = match other {
                None => "is not there".to_owned(),
                Some(other) if !holds_same(column, other) => {
                    format!("is {} at the source, and {} there", describe_column(column), describe_column(other))
                }
                Some(_) => continue,
            };
            problems.push(format!("column {} of table {name} {why}", Printable(&column.name)));
        }
        let is_planned = |own: &&Column| table.columns.iter().any(|column| own.name.eq_ignore_ascii_case(&column.name));
        for other in own.columns.iter().filter(|own| !is_planned(own)) {
            problems.push(format!("column {} of table {name} is there only", Printable(&other.name)));
        }
    }
    problems.dedup();
    problems
}
