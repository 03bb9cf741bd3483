//! Which batches are in the target: a small table beside the rows, written in the same transactions.
//!
//! When a connection breaks while it commits, nobody knows whether the batch is in. The journal's primary key does: the
//! next try writes its line first, and a duplicate says that the rows are there. A transaction that is still under way on
//! the server makes the next try wait for it.

use super::connect::Conn;
use super::ddl::quote_name;
use crate::batch::BatchId;
use crate::error::Result;

/// The table's name. A source that holds a table of this name is refused by the preflight.
pub(super) const NAME: &str = "_dbgraft_journal";
const DUPLICATE: u16 = 1062;

fn table(database: &str) -> String {
    format!("{}.{}", quote_name(database), quote_name(NAME))
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

/// Removes the journal.
pub(super) async fn remove(conn: &mut Conn, database: &str) -> Result<()> {
    conn.exec(&format!("DROP TABLE IF EXISTS {}", table(database))).await.map(drop)
}
