//! Which batches are in the target: a small table beside the rows, written in the same transactions.
//!
//! When a connection breaks while it commits, nobody knows whether the batch is in. The journal's primary key does: the
//! next try writes its line first, and a duplicate says that the rows are there. A transaction that is still under way on
//! the server makes the next try wait for it.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_128;

use super::connect::{Conn, Row};
use super::ddl::quote_name;
use super::introspect::is;
use crate::batch::BatchId;
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};

/// The table's name. A source that holds a table of this name is refused by the preflight.
pub(super) const NAME: &str = "_dbgraft_journal";
const DUPLICATE: u16 = 1062;

fn table(database: &str) -> String {
    format!("{}.{}", quote_name(database), quote_name(NAME))
}

/// Keeps other clones out of the database as long as the connection lives: two would take each other's lines for their
/// own, and leave out batches that were never written.
pub(super) async fn keep_others_out(conn: &mut Conn, database: &str) -> Result<()> {
    let name = lock(database);
    let row = conn.row(&format!("SELECT GET_LOCK('{name}', 0), IS_USED_LOCK('{name}')")).await?;
    if row.as_ref().is_some_and(|row| row.number(0) == 1) {
        return Ok(());
    }
    let holder = row.map(|row| row.string(1)).unwrap_or_default();
    Err(Error::new(ErrorKind::Preflight, occupied(database, &holder)))
}

/// The connection of the clone that [keeps others out](keep_others_out) of the database now, if there is one.
pub(super) async fn holder(conn: &mut Conn, database: &str) -> Result<Option<String>> {
    let row = conn.row(&format!("SELECT IS_USED_LOCK('{}')", lock(database))).await?;
    Ok(row.and_then(|row| row.text(0)))
}

/// The name of the database's lock. It is short; names that differ by case only may be one database.
fn lock(database: &str) -> String {
    format!("dbgraft:{:032x}", xxh3_128(database.to_lowercase().as_bytes()))
}

/// What there is to say of another clone.
pub(super) fn occupied(database: &str, holder: &str) -> String {
    format!(
        "another clone is writing into database {} over connection {holder} of its server: wait for its end, or KILL {holder} there",
        Printable(database)
    )
}

/// Whether there is a journal: a clone into the database is under way, or was killed.
pub(super) async fn exists(conn: &mut Conn, database: &str) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE {} AND {}",
        is("TABLE_SCHEMA", database),
        is("TABLE_NAME", NAME)
    );
    Ok(conn.row(&sql).await?.is_some())
}

/// Makes an empty journal.
pub(super) async fn create(conn: &mut Conn, database: &str) -> Result<()> {
    remove(conn, database).await?;
    let sql = format!(
        "CREATE TABLE {} (table_number INT UNSIGNED, chunk INT UNSIGNED, batch INT UNSIGNED, \
         PRIMARY KEY (table_number, chunk, batch)) ENGINE=InnoDB COMMENT 'dbgraft: a clone is under way'",
        table(database)
    );
    conn.exec(&sql).await.map(drop)
}

/// Notes the batch in the current transaction; false when it is noted already.
pub(super) async fn note(conn: &mut Conn, database: &str, id: BatchId) -> Result<bool> {
    let sql = format!("INSERT INTO {} VALUES ({}, {}, {})", table(database), id.table, id.chunk, id.batch);
    match conn.exec(&sql).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(DUPLICATE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many batches of each table and chunk are noted.
pub(super) async fn counts(conn: &mut Conn, database: &str) -> Result<BTreeMap<(u32, u32), u64>> {
    let sql = format!("SELECT table_number, chunk, COUNT(*) FROM {} GROUP BY table_number, chunk", table(database));
    let number = |row: &Row, index| u32::try_from(row.number(index)).unwrap_or(u32::MAX);
    let count = |row: &Row| ((number(row, 0), number(row, 1)), row.number(2));
    Ok(conn.rows(&sql).await?.iter().map(count).collect())
}

/// Removes the journal.
pub(super) async fn remove(conn: &mut Conn, database: &str) -> Result<()> {
    conn.exec(&format!("DROP TABLE IF EXISTS {}", table(database))).await.map(drop)
}
