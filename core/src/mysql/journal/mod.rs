//! The journal: a table in the target that records a clone from its first object on.
//!
//! Each batch has a line in the same transaction as its rows. After a connection is lost during COMMIT, the client cannot
//! know whether the batch is stored. The next try inserts the batch's line first, and a duplicate key proves that the rows
//! are stored. If the first transaction is still open on the server, the next try waits for it.
//!
//! The other lines record what a later process needs to resume or to abandon the clone. A process may write only while it
//! is the owner of the journal.

mod contents;
mod definition;
mod following;
mod line;
mod logged;

use std::collections::BTreeMap;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

pub(super) use self::contents::{JournalContents, read};
pub(super) use self::definition::{forget_definition, intend_definition, pass_definition, read_definition};
pub(super) use self::following::{
    TablePartHashes, acknowledge_cut_over, begin_cut_over, check_written, checkpoint_statement, end_catch_up,
    first_lines, join_appliers, read_checkpoint, read_cut_over, read_job, read_live_cut_over, record_end,
    replace_owner, request_cut_over, take_appliers, take_up_appliers, withdraw_cut_over,
};
pub(super) use self::line::{BatchLine, DefinitionIntent, JobLine, Line, TableLine, TableState};
pub(super) use self::logged::{LoggedJournal, table as logged_table};
use super::connect::{Conn, Row};
use super::ddl::quote_name;
use super::introspect::equals_name;
use crate::batch::BatchId;
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};

/// The name of the journal's table. The preflight refuses a source that has a table of this name.
pub(super) const TABLE_NAME: &str = "_dbgraft_journal";
/// The version of the layout, which the table's comment names.
const LAYOUT: u32 = 4;
const DUPLICATE: u16 = 1062;
const UNKNOWN_TABLE: u16 = 1146;
/// The length after which no further line is added to a statement.
const MAX_INSERT_BYTES: usize = 512 << 10;

fn quoted_table(database: &str) -> String {
    format!("{}.{}", quote_name(database), quote_name(TABLE_NAME))
}

/// Excludes other clones from the database while the connection lives.
///
/// Two clones would mistake each other's journal rows for their own, and skip batches that were never written.
///
/// # Errors
/// `Preflight` if another connection still holds the lock after this time, which is counted in whole seconds.
pub(super) async fn acquire_lock(conn: &mut Conn, database: &str, timeout: Duration) -> Result<()> {
    let (name, seconds) = (lock_name(database), timeout.as_secs());
    let row = conn.row(&format!("SELECT GET_LOCK('{name}', {seconds}), IS_USED_LOCK('{name}')")).await?;
    if row.as_ref().is_some_and(|row| row.number(0) == 1) {
        return Ok(());
    }
    let holder = row.map(|row| row.string(1)).unwrap_or_default();
    Err(Error::new(ErrorKind::Preflight, lock_held_message(database, &holder)))
}

/// The ID of the connection that holds the [lock](acquire_lock) of the database now, if there is one.
pub(super) async fn lock_holder(conn: &mut Conn, database: &str) -> Result<Option<String>> {
    let row = conn.row(&format!("SELECT IS_USED_LOCK('{}')", lock_name(database))).await?;
    Ok(row.and_then(|row| row.text(0)))
}

/// The name of the database's lock. It is a hash, to be short, of the lower-case name, because names that differ only by
/// case may be one database.
pub(super) fn lock_name(database: &str) -> String {
    format!("dbgraft:{:032x}", xxh3_128(database.to_lowercase().as_bytes()))
}

/// Takes the lock that asks for a [takeover](crate::sink::Sink::request_takeover). Another process may have it already.
pub(super) async fn request_takeover(conn: &mut Conn, database: &str) -> Result<()> {
    conn.row(&format!("SELECT GET_LOCK('{}', 0)", takeover_lock_name(database))).await.map(drop)
}

/// Whether a process holds the lock that asks for a takeover.
pub(super) async fn is_takeover_requested(conn: &mut Conn, database: &str) -> Result<bool> {
    let row = conn.row(&format!("SELECT IS_USED_LOCK('{}')", takeover_lock_name(database))).await?;
    Ok(row.is_some_and(|row| row.text(0).is_some()))
}

fn takeover_lock_name(database: &str) -> String {
    format!("{}:takeover", lock_name(database))
}

/// The message that another clone holds the lock.
pub(super) fn lock_held_message(database: &str, holder: &str) -> String {
    format!(
        "another clone is writing into database {} over connection {holder} of its server: wait for its end, or KILL {holder} there",
        Printable(database)
    )
}

/// Whether the database has a journal: a clone into it is running, or was killed.
pub(super) async fn exists(conn: &mut Conn, database: &str) -> Result<bool> {
    Ok(read_comment(conn, database).await?.is_some())
}

/// The comment of the journal's table; `None` if there is no journal.
async fn read_comment(conn: &mut Conn, database: &str) -> Result<Option<String>> {
    let sql = format!(
        "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE {} AND {}",
        equals_name("TABLE_SCHEMA", database),
        equals_name("TABLE_NAME", TABLE_NAME)
    );
    Ok(conn.row(&sql).await?.map(|row| row.string(0)))
}

/// What the comment of a journal says of its clone and the database, from the first moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum DatabaseOrigin {
    /// The clone created the database.
    Made,
    /// The database was there.
    #[default]
    Found,
    /// The journal stands for the remains of an earlier clone, which are not recorded.
    Remains,
}

impl DatabaseOrigin {
    const ALL: [Self; 3] = [Self::Made, Self::Found, Self::Remains];

    fn describe(self) -> &'static str {
        match self {
            Self::Made => "database made",
            Self::Found => "database found",
            Self::Remains => "remains of an earlier clone",
        }
    }
}

/// Creates an empty journal of a job. One of this layout that is there is emptied: without any journal, nobody would find
/// the remains of its clone.
pub(super) async fn create(conn: &mut Conn, database: &str, job: &str, origin: DatabaseOrigin) -> Result<()> {
    let table = quoted_table(database);
    let comment = format!("dbgraft: a clone is under way; layout {LAYOUT}, job {job}, {}", origin.describe());
    if read_comment(conn, database).await?.is_some_and(|old| old.contains(&format!("; layout {LAYOUT}, "))) {
        conn.exec(&format!("ALTER TABLE {table} COMMENT '{comment}'")).await?;
        return conn.exec(&format!("TRUNCATE TABLE {table}")).await.map(drop);
    }
    remove(conn, database).await?;
    let sql = format!(
        "CREATE TABLE {table} (kind ENUM('job', 'owner', 'item', 'table', 'batch', 'applier', 'cutover', 'definition') CHARACTER SET ascii NOT NULL, \
         table_number INT UNSIGNED NOT NULL, chunk INT UNSIGNED NOT NULL, batch INT UNSIGNED NOT NULL, \
         content LONGBLOB NOT NULL, checksum BIGINT UNSIGNED NOT NULL, \
         PRIMARY KEY (kind, table_number, chunk, batch)) ENGINE=InnoDB \
         COMMENT '{comment}'"
    );
    conn.exec(&sql).await.map(drop)
}

/// Inserts lines, or replaces them, whoever is the owner: only for a process that becomes the owner.
pub(super) async fn replace(conn: &mut Conn, database: &str, job: &str, lines: &[Line]) -> Result<()> {
    for line in lines {
        conn.exec(&format!("REPLACE INTO {} SELECT {}", quoted_table(database), line.values(job))).await?;
    }
    Ok(())
}

/// Inserts lines in the current transaction, if `owner` is the owner of the journal, and keeps the owner until the end of
/// the transaction. Returns false if the journal has a line already.
///
/// # Errors
/// `Changed` if another process is the owner.
pub(super) async fn insert(conn: &mut Conn, database: &str, job: &str, owner: &str, lines: &[Line]) -> Result<bool> {
    let table = quoted_table(database);
    let (mut rest, mut is_new) = (lines.iter().peekable(), true);
    while rest.peek().is_some() {
        let mut values = String::new();
        while let Some(line) = rest.next_if(|_| values.len() < MAX_INSERT_BYTES) {
            let union = if values.is_empty() { "SELECT" } else { " UNION ALL SELECT" };
            values.push_str(&format!("{union} {}", line.values(job)));
        }
        let sql = format!(
            "INSERT INTO {table} SELECT new.* FROM ({values}) AS new, {table} AS owner WHERE {} AND owner.content = {} \
             LOCK IN SHARE MODE",
            Line::owner(owner).place("owner."),
            line::literal(owner.as_bytes())
        );
        match conn.exec(&sql).await {
            Ok(done) if done.affected == 0 => return Err(lost_ownership_error(database)),
            Ok(_) => {}
            Err(error) if error.code() == Some(DUPLICATE) => is_new = false,
            // Another process has finished the clone, or abandoned it.
            Err(error) if error.code() == Some(UNKNOWN_TABLE) => return Err(lost_ownership_error(database)),
            Err(error) => return Err(error),
        }
    }
    Ok(is_new)
}

/// The error of a process that is not the owner any more.
pub(super) fn lost_ownership_error(database: &str) -> Error {
    let message = format!(
        "another dbgraft has resumed or abandoned the clone into database {} of the target: this one ends, and leaves all \
         as it is there",
        Printable(database)
    );
    Error::new(ErrorKind::Changed, message)
}

/// The process that may write: the content of the journal's owner line; `None` without a journal or without this line.
pub(super) async fn owner(conn: &mut Conn, database: &str) -> Result<Option<String>> {
    if !exists(conn, database).await? {
        return Ok(None);
    }
    let place = Line::owner("").place("");
    let row = conn.row(&format!("SELECT content FROM {} WHERE {place}", quoted_table(database))).await?;
    Ok(row.and_then(|row| row.text(0)))
}

/// Makes `owner` the owner in the place of `previous`, in the current transaction. Waits for the transactions of the
/// previous owner, and removes the lines of the job.
///
/// # Errors
/// `Changed` if another process became the owner meanwhile.
pub(super) async fn take_ownership(
    conn: &mut Conn,
    database: &str,
    job: &str,
    previous: &str,
    owner: &str,
) -> Result<()> {
    replace_owner(conn, database, job, previous, owner).await?;
    conn.exec(&format!("DELETE FROM {} WHERE kind = 'job'", quoted_table(database))).await.map(drop)
}

/// Removes the lines of tables and of their batches.
pub(super) async fn remove_table_lines(conn: &mut Conn, database: &str, tables: &[u32]) -> Result<()> {
    let table = quoted_table(database);
    for number in tables {
        let sql = format!("DELETE FROM {table} WHERE kind IN ('table', 'batch') AND table_number = {number}");
        conn.exec(&sql).await?;
    }
    Ok(())
}

/// Replaces the line of a table's state in the current transaction, if `owner` is the owner of the journal.
pub(super) async fn update_table(
    conn: &mut Conn,
    database: &str,
    job: &str,
    owner: &str,
    number: u32,
    content: &TableLine,
) -> Result<()> {
    let line = Line::table(number, content);
    // By the whole primary key: a range would lock the gaps beside it, in which others insert.
    conn.exec(&format!("DELETE FROM {} WHERE {}", quoted_table(database), line.place(""))).await?;
    insert(conn, database, job, owner, &[line]).await.map(drop)
}

/// Counts the recorded batches of each table and chunk.
pub(super) async fn count_batches(conn: &mut Conn, database: &str) -> Result<BTreeMap<(u32, u32), u64>> {
    let sql = format!(
        "SELECT table_number, chunk, COUNT(*) FROM {} WHERE kind = 'batch' GROUP BY table_number, chunk",
        quoted_table(database)
    );
    let number = |row: &Row, index| u32::try_from(row.number(index)).unwrap_or(u32::MAX);
    let count = |row: &Row| ((number(row, 0), number(row, 1)), row.number(2));
    Ok(conn.rows(&sql).await?.iter().map(count).collect())
}

/// Adds to a batch's line, in the transaction of the batch, what its content says now.
pub(super) async fn update_batch(
    conn: &mut Conn,
    database: &str,
    job: &str,
    id: BatchId,
    content: &BatchLine,
) -> Result<()> {
    let line = Line::batch(id, content);
    let sql = format!("UPDATE {} SET {} WHERE {}", quoted_table(database), line.assignments(job), line.place(""));
    conn.exec(&sql).await.map(drop)
}

/// Reads the line of a recorded batch.
pub(super) async fn read_batch(conn: &mut Conn, database: &str, job: &str, id: BatchId) -> Result<BatchLine> {
    let place = Line::batch(id, &BatchLine::default()).place("");
    let sql = contents::select_lines(database, &format!("WHERE {place}"));
    let row = conn.row(&sql).await?;
    let line = row.and_then(|row| contents::parse_row(&row, job).ok()?.parse());
    line.ok_or_else(|| Error::new(ErrorKind::Changed, "the line of a batch in the target's journal was edited"))
}

/// Removes the journal.
pub(super) async fn remove(conn: &mut Conn, database: &str) -> Result<()> {
    conn.exec(&format!("DROP TABLE IF EXISTS {}", quoted_table(database))).await.map(drop)
}
