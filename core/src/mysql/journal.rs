//! The journal: a table in the target that lists the batches written, in the same transactions as their rows.
//!
//! After a connection is lost during COMMIT, the client cannot know whether the batch is stored. The next try inserts the
//! batch's row into the journal first, and a duplicate key proves that the rows are stored. If the first transaction is
//! still open on the server, the next try waits for it.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_128;

use super::connect::{Conn, Row};
use super::ddl::quote_name;
use super::introspect::equals_name;
use crate::batch::BatchId;
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};

/// The name of the journal's table. The preflight refuses a source that has a table of this name.
pub(super) const TABLE_NAME: &str = "_dbgraft_journal";
const DUPLICATE: u16 = 1062;

fn quoted_table(database: &str) -> String {
    format!("{}.{}", quote_name(database), quote_name(TABLE_NAME))
}

/// Excludes other clones from the database while the connection lives.
///
/// Two clones would mistake each other's journal rows for their own, and skip batches that were never written.
pub(super) async fn acquire_lock(conn: &mut Conn, database: &str) -> Result<()> {
    let name = lock_name(database);
    let row = conn.row(&format!("SELECT GET_LOCK('{name}', 0), IS_USED_LOCK('{name}')")).await?;
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
fn lock_name(database: &str) -> String {
    format!("dbgraft:{:032x}", xxh3_128(database.to_lowercase().as_bytes()))
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
    let sql = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE {} AND {}",
        equals_name("TABLE_SCHEMA", database),
        equals_name("TABLE_NAME", TABLE_NAME)
    );
    Ok(conn.row(&sql).await?.is_some())
}

/// Creates an empty journal.
pub(super) async fn create(conn: &mut Conn, database: &str) -> Result<()> {
    remove(conn, database).await?;
    let sql = format!(
        "CREATE TABLE {} (table_number INT UNSIGNED, chunk INT UNSIGNED, batch INT UNSIGNED, \
         PRIMARY KEY (table_number, chunk, batch)) ENGINE=InnoDB COMMENT 'dbgraft: a clone is under way'",
        quoted_table(database)
    );
    conn.exec(&sql).await.map(drop)
}

/// Records the batch in the current transaction. Returns false if the journal has the batch already.
pub(super) async fn record_batch(conn: &mut Conn, database: &str, id: BatchId) -> Result<bool> {
    let sql = format!("INSERT INTO {} VALUES ({}, {}, {})", quoted_table(database), id.table, id.chunk, id.batch);
    match conn.exec(&sql).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(DUPLICATE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Counts the recorded batches of each table and chunk.
pub(super) async fn count_batches(conn: &mut Conn, database: &str) -> Result<BTreeMap<(u32, u32), u64>> {
    let sql =
        format!("SELECT table_number, chunk, COUNT(*) FROM {} GROUP BY table_number, chunk", quoted_table(database));
    let number = |row: &Row, index| u32::try_from(row.number(index)).unwrap_or(u32::MAX);
    let count = |row: &Row| ((number(row, 0), number(row, 1)), row.number(2));
    Ok(conn.rows(&sql).await?.iter().map(count).collect())
}

/// Removes the journal.
pub(super) async fn remove(conn: &mut Conn, database: &str) -> Result<()> {
    conn.exec(&format!("DROP TABLE IF EXISTS {}", quoted_table(database))).await.map(drop)
}
