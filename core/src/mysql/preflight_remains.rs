//! Marks what the preflight creates for a moment, and finds what a killed one has left: trial databases and probe tables.

use super::connect::Conn;
use super::ddl::{quote_name, quote_text};
use super::introspect::equals_name;
use super::journal;
use super::undo_log::CreatedItem;
use crate::catalog::{ObjectKind, ObjectRef};
use crate::error::Result;

/// The beginning of the name of each trial database.
pub(super) const TRIAL_PREFIX: &str = "_dbgraft_trial_";
/// The beginning of the name of each probe table.
pub(super) const PROBE_PREFIX: &str = "_dbgraft_probe_";
/// The comment of each probe table.
pub(super) const PROBE_COMMENT: &str = "dbgraft: a probe that is dropped at once";

/// Creates the table that marks a trial database: it names the clone's database, and the lock that the connection of the
/// trial holds. No source has a table of this name.
pub(super) async fn mark_trial(conn: &mut Conn, trial: &str, database: &str) -> Result<()> {
    let Some(lock) = &conn.lock else { return Ok(()) };
    let comment = quote_text(&trial_comment(database, lock));
    let table = format!("{}.{}", quote_name(trial), quote_name(journal::TABLE_NAME));
    conn.try_exec_each(&[&format!("CREATE TABLE {table} (a INT NOT NULL PRIMARY KEY) COMMENT {comment}")]).await
}

fn trial_comment(database: &str, lock: &str) -> String {
    format!("dbgraft: definitions for {} are tried while {lock} is held", journal::lock_name(database))
}

/// The trial databases and probe tables that killed clones into this database have left.
///
/// A trial database is one of them if its mark names the database, and a lock that nobody holds. A probe table is known by
/// its name and its comment; that of a running preflight is not missed.
pub(super) async fn find(conn: &mut Conn, database: &str) -> Result<Vec<CreatedItem>> {
    let mut found = Vec::new();
    let length = TRIAL_PREFIX.len();
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_COMMENT FROM information_schema.TABLES \
         WHERE {} AND LEFT(TABLE_SCHEMA, {length}) = '{TRIAL_PREFIX}'",
        equals_name("TABLE_NAME", journal::TABLE_NAME)
    );
    for row in conn.rows(&sql).await? {
        let (trial, comment) = (row.string(0), row.string(1));
        let lock = comment.split(' ').find(|word| is_lock(word) && comment == trial_comment(database, word));
        let Some(lock) = lock else { continue };
        let holder = conn.row(&format!("SELECT IS_USED_LOCK('{lock}')")).await?;
        if holder.is_some_and(|row| row.text(0).is_none()) {
            found.push(CreatedItem::TrialDatabase(trial));
        }
    }
    let length = PROBE_PREFIX.len();
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES \
         WHERE {} AND LEFT(TABLE_NAME, {length}) = '{PROBE_PREFIX}' AND TABLE_COMMENT = '{PROBE_COMMENT}'",
        equals_name("TABLE_SCHEMA", database)
    );
    for row in conn.rows(&sql).await? {
        found.push(CreatedItem::Object(ObjectRef::new(ObjectKind::Table, row.string(0))));
    }
    Ok(found)
}

/// Whether a word can stand in a literal as it is: the name of a connection's lock.
fn is_lock(word: &str) -> bool {
    word.strip_prefix("dbgraft:").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
