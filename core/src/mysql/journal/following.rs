//! The lines of a clone that follows its source.

use std::collections::BTreeMap;

use super::contents::{parse_row, select_lines};
use super::line::{JobLine, Line, TableLine, TableState, literal};
use super::{UNKNOWN_TABLE, lost_ownership_error, quoted_table};
use crate::checkpoint::{Checkpoint, CutOver, CutOverState};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::{Conn, OkPacket};
use crate::mysql::ddl::quote_text;
use crate::options::Verify;
use crate::plan::Plan;

/// The hash of each part of a table's definition, by the number of the table.
pub(in crate::mysql) type TablePartHashes = BTreeMap<u32, BTreeMap<String, u64>>;

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

/// Reads what the job is.
pub(in crate::mysql) async fn read_job(conn: &mut Conn, database: &str, job: &str) -> Result<JobLine> {
    let sql = select_lines(database, "WHERE kind = 'job' ORDER BY batch");
    let rows = match conn.rows(&sql).await {
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => return Err(lost_ownership_error(database)),
        rows => rows?,
    };
    let mut pieces = Vec::new();
    for row in rows {
        pieces.extend(parse_row(&row, job).map_err(damage)?.content);
    }
    Line::parse_job(&pieces).ok_or_else(|| damage("the plan in the journal is damaged".to_owned()))
}

/// Replaces the plan of a clone that is complete, in the current transaction. `parts` are the hashes of each table's
/// definition now, by its number.
pub(in crate::mysql) async fn replace_plan(
    conn: &mut Conn,
    database: &str,
    job: &str,
    content: &JobLine,
    parts: &TablePartHashes,
) -> Result<()> {
    let lines = Line::job(content)
        .map_err(|error| Error::new(ErrorKind::Internal, "the plan cannot be compressed").caused_by(error))?;
    // The numbers of tables are those of the plan.
    let sql = format!("DELETE FROM {} WHERE kind IN ('job', 'batch', 'table', 'definition')", quoted_table(database));
    conn.exec(&sql).await?;
    let lines: Vec<Line> = lines.into_iter().chain(complete_tables(&content.plan, parts)).collect();
    super::replace(conn, database, job, &lines).await
}

/// The lines of a plan whose tables are all complete.
fn complete_tables(plan: &Plan, parts: &TablePartHashes) -> Vec<Line> {
    let tables = plan.tables.iter().map(|table| {
        let parts = parts.get(&table.number).cloned().unwrap_or_default();
        Line::table(table.number, &TableLine { state: TableState::Complete, parts, notes: Vec::new() })
    });
    tables.chain([Line::all_tables()]).collect()
}

/// The lines of a job that begins to follow with tables that are complete.
pub(in crate::mysql) fn first_lines(plan: &Plan, checkpoint: &Checkpoint) -> Vec<Line> {
    let mut lines = complete_tables(plan, &TablePartHashes::new());
    lines.push(Line::applier(None, checkpoint));
    lines
}

/// Replaces the plan of a clone that was brought to one moment, and forgets what the appliers have applied, in the current
/// transaction, if `owner` is the owner of the journal.
///
/// # Errors
/// `Changed` if another process is the owner.
pub(in crate::mysql) async fn end_catch_up(
    conn: &mut Conn,
    database: &str,
    job: &str,
    owner: &str,
    content: &JobLine,
) -> Result<()> {
    check_owner(conn, database, owner).await?;
    let lines = Line::job(content)
        .map_err(|error| Error::new(ErrorKind::Internal, "the plan cannot be compressed").caused_by(error))?;
    conn.exec(&format!("DELETE FROM {} WHERE kind = 'job'", quoted_table(database))).await?;
    take_appliers(conn, database, job).await?;
    super::replace(conn, database, job, &lines).await
}

/// Joins the lines of all appliers into one, in the current transaction, and returns it. Without any, it is `first`.
pub(in crate::mysql) async fn take_up_appliers(
    conn: &mut Conn,
    database: &str,
    job: &str,
    first: Checkpoint,
) -> Result<Checkpoint> {
    let checkpoint = take_appliers(conn, database, job).await?.unwrap_or(first);
    let line = Line::applier(None, &checkpoint);
    conn.exec(&format!("INSERT INTO {} SELECT {}", quoted_table(database), line.values(job))).await?;
    Ok(checkpoint)
}

/// What the lines of all appliers say together; `None` without any.
pub(in crate::mysql) fn join_appliers(lines: Vec<Checkpoint>) -> Option<Checkpoint> {
    Checkpoint::join(lines).map(Checkpoint::without_passed)
}

/// Removes the lines of all appliers in the current transaction, and returns what they say together; `None` without any.
pub(in crate::mysql) async fn take_appliers(conn: &mut Conn, database: &str, job: &str) -> Result<Option<Checkpoint>> {
    let lines = read_appliers(conn, database, job, "FOR UPDATE").await?;
    conn.exec(&format!("DELETE FROM {} WHERE kind = 'applier'", quoted_table(database))).await?;
    Ok(join_appliers(lines))
}

/// Reads what all appliers have applied; `None` without one, or without a journal.
pub(in crate::mysql) async fn read_checkpoint(
    conn: &mut Conn,
    database: &str,
    job: &str,
) -> Result<Option<Checkpoint>> {
    match read_appliers(conn, database, job, "").await {
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => Ok(None),
        lines => lines.map(Checkpoint::join),
    }
}

pub(super) async fn read_appliers(conn: &mut Conn, database: &str, job: &str, lock: &str) -> Result<Vec<Checkpoint>> {
    let sql = select_lines(database, &format!("WHERE kind = 'applier' {lock}"));
    let mut all = Vec::new();
    for row in conn.rows(&sql).await? {
        let parse = |line: Line| line.parse_applier().ok_or_else(|| "a line of an applier cannot be parsed".to_owned());
        all.push(parse_row(&row, job).and_then(parse).map_err(damage)?);
    }
    Ok(all)
}

/// The statement that writes the line of an applier in the current transaction, if `owner` is the owner of the journal, and
/// keeps the owner until the end of the transaction. [`check_written`] judges its response.
pub(in crate::mysql) fn checkpoint_statement(
    database: &str,
    job: &str,
    owner: &str,
    applier: u32,
    checkpoint: &Checkpoint,
) -> String {
    let (table, line) = (quoted_table(database), Line::applier(Some(applier), checkpoint));
    format!(
        "INSERT INTO {table} SELECT new.* FROM (SELECT {}) AS new, {table} AS owner WHERE {} AND owner.content = {} \
         LOCK IN SHARE MODE ON DUPLICATE KEY UPDATE content = new.content, checksum = new.checksum",
        line.values(job),
        Line::owner(owner).place("owner."),
        literal(owner.as_bytes()),
    )
}

/// Fails unless the [statement](checkpoint_statement) has written the line.
///
/// # Errors
/// `Changed` if another process is the owner.
pub(in crate::mysql) async fn check_written(
    conn: &mut Conn,
    database: &str,
    owner: &str,
    written: Result<OkPacket>,
) -> Result<()> {
    match written {
        // Another owner, or the same content.
        Ok(done) if done.affected == 0 => check_owner(conn, database, owner).await,
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => Err(lost_ownership_error(database)),
        done => done.map(drop),
    }
}

/// Reads the cut-over; `None` without one, or without a journal.
pub(in crate::mysql) async fn read_cut_over(conn: &mut Conn, database: &str, job: &str) -> Result<Option<CutOver>> {
    let sql = select_lines(database, "WHERE kind = 'cutover'");
    let row = match conn.row(&sql).await {
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => return Ok(None),
        row => row?,
    };
    let Some(row) = row else { return Ok(None) };
    let parse = |line: Line| line.parse().ok_or_else(|| "the line of the cut-over cannot be parsed".to_owned());
    parse_row(&row, job).and_then(parse).map(Some).map_err(damage)
}

/// Reads the cut-over. Withdraws a request whose requester is gone.
pub(in crate::mysql) async fn read_live_cut_over(
    conn: &mut Conn,
    database: &str,
    job: &str,
) -> Result<Option<CutOver>> {
    let found = read_cut_over(conn, database, job).await?;
    let requested = found.as_ref().filter(|found| found.state == CutOverState::Requested);
    if let Some(lock) = requested.and_then(|requested| requested.requester.as_ref()) {
        let sql = format!("SELECT IS_USED_LOCK({}) IS NULL", quote_text(lock));
        if conn.row(&sql).await?.is_some_and(|row| row.number(0) == 1) {
            withdraw_cut_over(conn, database).await?;
            return Ok(None);
        }
    }
    Ok(found)
}

/// Asks for the cut-over, unless one is recorded already that has not ended in a difference.
pub(in crate::mysql) async fn request_cut_over(
    conn: &mut Conn,
    database: &str,
    job: &str,
    verify: Verify,
    requester: Option<String>,
) -> Result<()> {
    // The request of a process that is gone.
    read_live_cut_over(conn, database, job).await?;
    if let Some(last) = read_cut_over(conn, database, job).await?
        && last.state == CutOverState::Different
    {
        let (table, content) = (quoted_table(database), literal(&Line::cut_over(&last).content));
        conn.exec(&format!("DELETE FROM {table} WHERE kind = 'cutover' AND content = {content}")).await?;
    }
    let line = Line::cut_over(&CutOver { requester, ..CutOver::requested(verify) });
    conn.exec(&format!("INSERT IGNORE INTO {} SELECT {}", quoted_table(database), line.values(job))).await.map(drop)
}

/// Records the cut-over, whoever is the owner. Replaces an earlier record.
pub(in crate::mysql) async fn cut_over(conn: &mut Conn, database: &str, job: &str, content: &CutOver) -> Result<()> {
    super::replace(conn, database, job, &[Line::cut_over(content)]).await
}

/// Withdraws the request of a cut-over that has not begun. Returns false if there is none.
pub(in crate::mysql) async fn withdraw_cut_over(conn: &mut Conn, database: &str) -> Result<bool> {
    let requested = r#"%"state":"requested"%"#;
    let sql = format!("DELETE FROM {} WHERE kind = 'cutover' AND content LIKE '{requested}'", quoted_table(database));
    match conn.exec(&sql).await {
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => Ok(false),
        done => Ok(done?.affected > 0),
    }
}

/// Records the end of a cut-over in the current transaction. Where changes can be carried back, `content` describes the job
/// anew, so that the server's log holds both together.
pub(in crate::mysql) async fn record_end(
    conn: &mut Conn,
    database: &str,
    job: &str,
    content: Option<&JobLine>,
    end: &CutOver,
) -> Result<()> {
    // An image of an inserted row is whole, whatever the server logs of changed ones.
    conn.exec(&format!("DELETE FROM {} WHERE kind = 'cutover'", quoted_table(database))).await?;
    if let Some(content) = content {
        let lines = Line::job(content)
            .map_err(|error| Error::new(ErrorKind::Internal, "the plan cannot be compressed").caused_by(error))?;
        conn.exec(&format!("DELETE FROM {} WHERE kind = 'job'", quoted_table(database))).await?;
        super::replace(conn, database, job, &lines).await?;
    }
    cut_over(conn, database, job, end).await
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

/// Records that a cut-over has begun, or that it has ended in a difference, in the current transaction, if `owner` is the
/// owner of the journal. Returns false if the request was withdrawn.
pub(in crate::mysql) async fn begin_cut_over(
    conn: &mut Conn,
    database: &str,
    job: &str,
    owner: &str,
    content: &CutOver,
) -> Result<bool> {
    check_owner(conn, database, owner).await?;
    if content.is_awaited
        && (read_live_cut_over(conn, database, job).await?.is_none() || !withdraw_cut_over(conn, database).await?)
    {
        return Ok(false);
    }
    cut_over(conn, database, job, content).await.map(|()| true)
}

/// Fails unless `owner` is the owner of the journal, and keeps it until the end of the transaction.
pub(super) async fn check_owner(conn: &mut Conn, database: &str, owner: &str) -> Result<()> {
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

pub(super) fn damage(what: String) -> Error {
    Error::new(ErrorKind::Preflight, format!("following cannot go on, and nothing has been changed: {what}"))
}
