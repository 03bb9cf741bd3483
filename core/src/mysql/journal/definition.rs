//! The line of a statement of the source that is about to run at the target.

use super::contents::{parse_row, select_lines};
use super::following::{TablePartHashes, check_owner, damage, read_appliers, replace_plan};
use super::line::{DefinitionIntent, JobLine, Line};
use super::{UNKNOWN_TABLE, quoted_table, replace};
use crate::change::LogPosition;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::mysql::connect::Conn;

/// Reads the statement that was about to run; `None` without one, or without a journal.
pub(in crate::mysql) async fn read_definition(
    conn: &mut Conn,
    database: &str,
    job: &str,
) -> Result<Option<DefinitionIntent>> {
    let sql = select_lines(database, "WHERE kind = 'definition'");
    let row = match conn.row(&sql).await {
        Err(error) if error.code() == Some(UNKNOWN_TABLE) => return Ok(None),
        row => row?,
    };
    let Some(row) = row else { return Ok(None) };
    let parse = |line: Line| line.parse().ok_or_else(|| "the line of a statement cannot be parsed".to_owned());
    parse_row(&row, job).and_then(parse).map(Some).map_err(damage)
}

/// Records that a statement is about to run, if `owner` is the owner of the journal.
pub(in crate::mysql) async fn intend_definition(
    conn: &mut Conn,
    database: &str,
    job: &str,
    owner: &str,
    intent: &DefinitionIntent,
) -> Result<()> {
    conn.exec("START TRANSACTION").await?;
    check_owner(conn, database, owner).await?;
    replace(conn, database, job, &[Line::definition(intent)]).await?;
    conn.exec("COMMIT").await.map(drop)
}

/// Records that the statement has not run, and will not, if `owner` is the owner of the journal.
pub(in crate::mysql) async fn forget_definition(conn: &mut Conn, database: &str, owner: &str) -> Result<()> {
    conn.exec("START TRANSACTION").await?;
    check_owner(conn, database, owner).await?;
    conn.exec(&format!("DELETE FROM {} WHERE kind = 'definition'", quoted_table(database))).await?;
    conn.exec("COMMIT").await.map(drop)
}

/// Records that the statement has run, that everything up to `end` is applied, and the plan that holds from there on, with
/// the hashes of its tables' definitions, if `owner` is the owner of the journal.
pub(in crate::mysql) async fn pass_definition(
    conn: &mut Conn,
    database: &str,
    job: &str,
    owner: &str,
    end: &LogPosition,
    content: &JobLine,
    parts: &TablePartHashes,
) -> Result<()> {
    conn.exec("START TRANSACTION").await?;
    check_owner(conn, database, owner).await?;
    let lines = read_appliers(conn, database, job, "FOR UPDATE").await?;
    let recorded = Checkpoint::join(lines).unwrap_or_default();
    let checkpoint = Checkpoint { applied: end.clone(), ahead: Default::default(), ..recorded };
    conn.exec(&format!("DELETE FROM {} WHERE kind = 'applier'", quoted_table(database))).await?;
    replace(conn, database, job, &[Line::applier(None, &checkpoint)]).await?;
    replace_plan(conn, database, job, content, parts).await?;
    conn.exec("COMMIT").await.map(drop)
}
