//! The lines of a clone that follows its source.

use std::collections::BTreeMap;

use super::contents::parse_row;
use super::line::{JobLine, Line, TableLine, TableState, literal};
use super::{UNKNOWN_TABLE, lost_ownership_error, quoted_table};
use crate::checkpoint::{Checkpoint, CutOver};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::Conn;

/// Makes `owner` the owner in the place of `previous`, in the current transaction. Waits for the transactions of the
/// previous owner.
///
/// # Errors
/// `Changed` if another process became the owner meanwhile.
pub(in crate::mysql) async fn replace_owner(
    conn: &mut Conn,
    database: &str,
    job: &str,
    previous: &str,
    owner: &str,
) -> Result<()> {
    let line = Line::owner(owner);
    let sql = format!(
        "UPDATE {} SET {} WHERE {} AND content = {}",
        quoted_table(database),
        line.assignments(job),
        line.place(""),
        literal(previous.as_bytes())
    );
    match conn.exec(&sql).await {
        Ok(done) if done.affected == 0 => Err(lost_ownership_error(database)),
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => Err(lost_ownership_error(database)),
        done => done.map(drop),
    }
}

/// Replaces the plan of a clone that is complete, in the current transaction.
pub(in crate::mysql) async fn replace_plan(
    conn: &mut Conn,
    database: &str,
    job: &str,
    content: &JobLine,
) -> Result<()> {
    let lines = Line::job(content)
        .map_err(|error| Error::new(ErrorKind::Internal, "the plan cannot be compressed").caused_by(error))?;
    // The numbers of tables are those of the plan.
    let sql = format!("DELETE FROM {} WHERE kind IN ('job', 'batch', 'table')", quoted_table(database));
    conn.exec(&sql).await?;
    let done = TableLine { state: TableState::Complete, parts: BTreeMap::new(), notes: Vec::new() };
    let tables = content.plan.tables.iter().map(|table| Line::table(table.number, &done));
    let lines: Vec<Line> = lines.into_iter().chain(tables).chain([Line::all_tables()]).collect();
    super::replace(conn, database, job, &lines).await
}

/// Joins the lines of all appliers into one, in the current transaction, and returns it. Without any, it is `first`.
pub(in crate::mysql) async fn take_up_appliers(
    conn: &mut Conn,
    database: &str,
    job: &str,
    first: Checkpoint,
) -> Result<Checkpoint> {
    let table = quoted_table(database);
    let sql = format!(
        "SELECT kind, table_number, chunk, batch, content, checksum FROM {table} WHERE kind = 'applier' FOR UPDATE"
    );
    let mut all = Vec::new();
    for row in conn.rows(&sql).await? {
        let parse = |line: Line| line.parse().ok_or_else(|| "a line of an applier cannot be parsed".to_owned());
        all.push(parse_row(&row, job).and_then(parse).map_err(damage)?);
    }
    let checkpoint = Checkpoint::join(all).unwrap_or(first).without_passed();
    conn.exec(&format!("DELETE FROM {table} WHERE kind = 'applier'")).await?;
    let line = Line::applier(None, &checkpoint);
    conn.exec(&format!("INSERT INTO {table} SELECT {}", line.values(job))).await?;
    Ok(checkpoint)
}

/// Writes the line of an applier in the current transaction, if `owner` is the owner of the journal, and keeps the owner
/// until the end of the transaction.
///
/// # Errors
/// `Changed` if another process is the owner.
pub(in crate::mysql) async fn write_checkpoint(
    conn: &mut Conn,
    database: &str,
    job: &str,
    owner: &str,
    applier: u32,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let (table, line) = (quoted_table(database), Line::applier(Some(applier), checkpoint));
    let sql = format!(
        "INSERT INTO {table} SELECT new.* FROM (SELECT {}) AS new, {table} AS owner WHERE {} AND owner.content = {} \
         LOCK IN SHARE MODE ON DUPLICATE KEY UPDATE {}",
        line.values(job),
        Line::owner(owner).place("owner."),
        literal(owner.as_bytes()),
        line.assignments(job)
    );
    match conn.exec(&sql).await {
        // Another owner, or the same content.
        Ok(done) if done.affected == 0 => check_owner(conn, database, owner).await,
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => Err(lost_ownership_error(database)),
        done => done.map(drop),
    }
}

/// Reads the cut-over; `None` without one, or without a journal.
pub(in crate::mysql) async fn read_cut_over(conn: &mut Conn, database: &str, job: &str) -> Result<Option<CutOver>> {
    let sql = format!(
        "SELECT kind, table_number, chunk, batch, content, checksum FROM {} WHERE kind = 'cutover'",
        quoted_table(database)
    );
    let row = match conn.row(&sql).await {
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => return Ok(None),
        row => row?,
    };
    let Some(row) = row else { return Ok(None) };
    let parse = |line: Line| line.parse().ok_or_else(|| "the line of the cut-over cannot be parsed".to_owned());
    parse_row(&row, job).and_then(parse).map(Some).map_err(damage)
}

/// Asks for the cut-over, unless one is recorded already.
pub(in crate::mysql) async fn request_cut_over(conn: &mut Conn, database: &str, job: &str) -> Result<()> {
    let line = Line::cut_over(&CutOver::requested());
    conn.exec(&format!("INSERT IGNORE INTO {} SELECT {}", quoted_table(database), line.values(job))).await.map(drop)
}

/// Records the cut-over, whoever is the owner. Replaces an earlier record.
pub(in crate::mysql) async fn cut_over(conn: &mut Conn, database: &str, job: &str, content: &CutOver) -> Result<()> {
    super::replace(conn, database, job, &[Line::cut_over(content)]).await
}

/// Withdraws the request of a cut-over that has not begun. Returns false if there is none.
pub(in crate::mysql) async fn withdraw_cut_over(conn: &mut Conn, database: &str) -> Result<bool> {
    let line = Line::cut_over(&CutOver::requested());
    let sql = format!(
        "DELETE FROM {} WHERE {} AND content = {}",
        quoted_table(database),
        line.place(""),
        literal(&line.content)
    );
    match conn.exec(&sql).await {
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => Ok(false),
        done => Ok(done?.affected > 0),
    }
}

/// Records that the requester has read the end of the cut-over. The record stays until the journal is removed: whoever
/// takes the journal up must not apply anything more.
pub(in crate::mysql) async fn acknowledge_cut_over(conn: &mut Conn, database: &str, job: &str) -> Result<()> {
    match read_cut_over(conn, database, job).await? {
        Some(ended) => match cut_over(conn, database, job, &CutOver { is_awaited: false, ..ended }).await {
            Err(error) if error.code() == Some(UNKNOWN_TABLE) => Ok(()),
            done => done,
        },
        None => Ok(()),
    }
}

/// Records that a cut-over has begun, in the current transaction, if `owner` is the owner of the journal. Returns false if
/// the request was withdrawn.
pub(in crate::mysql) async fn begin_cut_over(
    conn: &mut Conn,
    database: &str,
    job: &str,
    owner: &str,
    content: &CutOver,
) -> Result<bool> {
    check_owner(conn, database, owner).await?;
    if content.is_awaited && !withdraw_cut_over(conn, database).await? {
        return Ok(false);
    }
    cut_over(conn, database, job, content).await.map(|()| true)
}

/// Fails unless `owner` is the owner of the journal, and keeps it until the end of the transaction.
async fn check_owner(conn: &mut Conn, database: &str, owner: &str) -> Result<()> {
    let sql = format!(
        "SELECT 1 FROM {} WHERE {} AND content = {} LOCK IN SHARE MODE",
        quoted_table(database),
        Line::owner(owner).place(""),
        literal(owner.as_bytes())
    );
    match conn.row(&sql).await {
        Ok(Some(_)) => Ok(()),
        Err(error) if error.code() != Some(UNKNOWN_TABLE) => Err(error),
        _ => Err(lost_ownership_error(database)),
    }
}

fn damage(what: String) -> Error {
    Error::new(ErrorKind::Preflight, format!("following cannot go on, and nothing has been changed: {what}"))
}
