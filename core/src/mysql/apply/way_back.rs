//! Records a cut-over in the target's own binary log: the places and the tables from which its changes can be carried back.
//!
//! The log itself is the record. The journal, whose lines it holds, is removed when the cut-over ends; so nothing is left in
//! the target, and the record lasts exactly as long as the log that the way back needs.

use std::time::Duration;

use crate::catalog::{Catalog, ObjectKind, ObjectRef, Printable, Table};
use crate::change::LogPosition;
use crate::checkpoint::{CutOver, CutOverState, TargetLog};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::Conn;
use crate::mysql::journal::{self, JobLine};
use crate::mysql::target::TargetDatabase;
use crate::mysql::{check, introspect, log_position, prepared_transactions};
use crate::plan::{OmittedObject, Plan, Position, SelectedTable, Selection, SnapshotMethod};

/// How long the cut-over waits for XA transactions of the target.
const PREPARED_TIMEOUT: Duration = Duration::from_secs(3);
const UNKNOWN_VARIABLE: u16 = 1193;

/// Adds to a cut-over that begins the place in the target's log, or why there is no way back.
pub(super) async fn with_start(
    conn: &mut Conn,
    target: &TargetDatabase,
    plan: &Plan,
    begun: &CutOver,
) -> Result<CutOver> {
    let filtered = plan.tables.iter().find(|planned| planned.filter.is_some());
    let log_end = match filtered {
        Some(planned) => Err(format!(
            "table {} was cloned with a row filter: the source has rows that the target does not know of",
            Printable(&planned.table.name)
        )),
        None => read_log_start(conn, target).await?,
    };
    Ok(match log_end {
        Ok(applied) => {
            CutOver { target_log: Some(TargetLog { applied, completed: None }), no_way_back: None, ..begun.clone() }
        }
        Err(reason) => CutOver { target_log: None, no_way_back: Some(reason), ..begun.clone() },
    })
}

/// Records the end of a cut-over, unless it is recorded already.
pub(super) async fn record_end(
    conn: &mut Conn,
    target: &TargetDatabase,
    plan: &Plan,
    job: &str,
    end: &CutOver,
) -> Result<()> {
    let database = &target.address.database;
    let begun = journal::read_cut_over(conn, database, job).await?;
    if begun.as_ref().is_some_and(|begun| begun.state == CutOverState::Finished) {
        return Ok(());
    }
    let (start, no_way_back) = begun.map(|begun| (begun.target_log, begun.no_way_back)).unwrap_or_default();
    let mut end = CutOver { no_way_back, ..end.clone() };
    let mut content = None;
    if let Some(TargetLog { applied, .. }) = start {
        match describe(conn, target, plan, &applied).await {
            Ok((line, completed)) => {
                content = Some(line);
                end.target_log = Some(TargetLog { applied, completed: Some(completed) });
            }
            Err(error) if error.code().is_none() && error.is_retryable() => return Err(error),
            Err(error) => end.no_way_back = Some(error.to_string()),
        }
    }
    conn.exec("START TRANSACTION").await?;
    journal::record_end(conn, database, job, content.as_ref(), &end).await?;
    conn.exec("COMMIT").await.map(drop)
}

/// Why there is no way back, if a cut-over has found that out.
pub(super) async fn problem(conn: &mut Conn, database: &str, job: &str) -> Result<Option<String>> {
    Ok(journal::read_cut_over(conn, database, job).await?.and_then(|cut_over| cut_over.no_way_back))
}

/// Reads the place from which the target's log has all later changes, those of XA transactions too; or why there is none.
async fn read_log_start(conn: &mut Conn, target: &TargetDatabase) -> Result<Result<LogPosition, String>> {
    let since = match read_log_end(conn, target).await? {
        Ok(since) => since,
        Err(reason) => return Ok(Err(reason)),
    };
    if !prepared_transactions::wait_until_decided(conn, PREPARED_TIMEOUT).await?.is_empty() {
        let reason = "XA transactions were prepared at the target before the cut-over (XA RECOVER lists them), and the log \
                      from then on does not have their rows";
        return Ok(Err(reason.to_owned()));
    }
    let since = Some(Box::new(since));
    let end = read_log_end(conn, target).await?;
    Ok(end.map(|end| LogPosition { prepared_since: since.clone(), prepared_changes_since: since, ..end }))
}

/// Reads the end of the target's log; or why the log cannot hold the record.
async fn read_log_end(conn: &mut Conn, target: &TargetDatabase) -> Result<Result<LogPosition, String>> {
    if target.options.skip_binlog {
        return Ok(Err("--skip-binlog keeps the cut-over out of the target's binary log".to_owned()));
    }
    let log_bin = conn.row("SELECT @@GLOBAL.log_bin").await?;
    if log_bin.is_none_or(|row| row.number(0) == 0) {
        return Ok(Err("the target writes no binary log (log_bin)".to_owned()));
    }
    match conn.row("SELECT @@GLOBAL.binlog_format").await {
        // Later releases log rows only.
        Err(error) if error.code() == Some(UNKNOWN_VARIABLE) => {}
        format => {
            let format = format?.map(|row| row.string(0)).unwrap_or_default();
            if format != "ROW" {
                return Ok(Err(format!("the target logs statements instead of rows (binlog_format = {format})")));
            }
        }
    }
    let position = log_position::read_position(conn, SnapshotMethod::External).await?.log_position();
    Ok(position.ok_or_else(|| {
        "the account may not see the position in the target's binary log: GRANT REPLICATION CLIENT (MariaDB: BINLOG \
         MONITOR) ON *.* TO it"
            .to_owned()
    }))
}

/// Describes the target as the source of the way back, and returns the end of its log.
async fn describe(
    conn: &mut Conn,
    target: &TargetDatabase,
    plan: &Plan,
    applied: &LogPosition,
) -> Result<(JobLine, LogPosition)> {
    let refused = |why: String| Error::new(ErrorKind::Preflight, why);
    let contents = journal::read(conn, &target.address.database).await?.unwrap_or_default();
    let line = contents.description.filter(|_| contents.damage.is_none());
    let line = line.ok_or_else(|| refused("the journal is damaged".to_owned()))?;
    let database = introspect::require_database(conn, &target.address.database, "target").await?;
    let server = check::read_server(conn).await?;
    let tables = introspect::read_base_tables(conn, &database.name).await?;
    let tables: Vec<Table> = tables.into_iter().filter(|table| table.name != journal::TABLE_NAME).collect();
    let is_followed = |table: &Table| plan.tables.iter().any(|planned| is_same(&planned.table.name, &table.name));
    let named = |table: &Table| SelectedTable { name: table.name.clone(), filter: None };
    let omitted = |table: &Table| OmittedObject {
        object: ObjectRef::new(ObjectKind::Table, &table.name),
        reason: "is no table of the clone".to_owned(),
    };
    let selection = Selection {
        tables: tables.iter().filter(|table| is_followed(table)).map(named).collect(),
        left_out: tables.iter().filter(|table| !is_followed(table)).map(omitted).collect(),
        rows: true,
        schema: true,
        ..Selection::default()
    };
    if selection.tables.len() != plan.tables.len() {
        return Err(refused("a table of the clone is not there any more".to_owned()));
    }
    let catalog = Catalog { server, database, tables, definitions: Vec::new() };
    let position = Position::unknown(SnapshotMethod::External).at(applied);
    let plan = Plan { job: plan.job.clone(), ..Plan::from_selection(&catalog, &selection, position) };
    let end = read_log_end(conn, target).await?.map_err(refused)?;
    Ok((JobLine { plan, ..line }, end))
}

/// Whether a table of the clone has this name at the target, which may keep names in lower case.
fn is_same(planned: &str, name: &str) -> bool {
    planned == name || planned.to_lowercase() == name
}
