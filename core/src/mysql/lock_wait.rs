//! Explains waits for locks that ended without the lock: which sessions hold it, and what to do.

use super::capability::{self, Capability};
use super::connect::{Conn, Row, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::ddl::quote_text;
use super::session;
use crate::catalog::{Flavor, Printable};
use crate::error::{Error, Result};

const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// The seconds that a session waits for a lock after one wait has failed, and during clean-up.
const SHORT_WAIT_SECONDS: u64 = 5;
/// The error names at most this many sessions.
const MAX_NAMED_SESSIONS: usize = 5;

/// Adds to the error of a failed wait for a lock the sessions that hold it.
///
/// The new error is not retryable, because the next try would wait as long. Other errors stay as they are.
pub(super) async fn explain_error(address: &ServerAddress, connections: &ConnectionRegistry, error: Error) -> Error {
    // An error that is not retryable has been explained before.
    if !is_lock_wait(&error) || !error.is_retryable() {
        return error;
    }
    match find_holders(address, connections).await.unwrap_or_default().as_slice() {
        [] => explain_without_holders(address, error),
        some => {
            let holders = format!("{}: {}", some.join(", "), remedy(address));
            error.not_retryable().with("perhaps held by", holders)
        }
    }
}

/// Explains the error without the holders of the lock, for callers without a second connection.
pub(super) fn explain_without_holders(address: &ServerAddress, error: Error) -> Error {
    error.not_retryable().with("held by another session:", remedy(address))
}

fn remedy(address: &ServerAddress) -> String {
    format!("end it at the {}, or wait longer than {} s by --lock-wait", address.role.name(), address.lock_wait)
}

/// Lists the sessions of other clients that hold locks in the database, as far as the account may see them.
async fn find_holders(address: &ServerAddress, connections: &ConnectionRegistry) -> Result<Vec<String>> {
    let mut conn = session::open_control(address).await?;
    let database = quote_text(&address.database);
    let ours = connections.connection_ids(&mut conn).await?;
    let rows = match conn.server.flavor {
        Flavor::MySql if capability::has(&conn.server, Capability::MetadataLocksTable) => {
            let sql = format!(
                "SELECT PROCESSLIST_ID, PROCESSLIST_USER, PROCESSLIST_HOST, PROCESSLIST_COMMAND, PROCESSLIST_TIME \
                 FROM performance_schema.threads WHERE PROCESSLIST_ID <> CONNECTION_ID() AND THREAD_ID IN ( \
                 SELECT OWNER_THREAD_ID FROM performance_schema.metadata_locks WHERE LOCK_STATUS = 'GRANTED' AND ( \
                 OBJECT_SCHEMA = {database} AND (OBJECT_TYPE <> 'SCHEMA' OR LOCK_TYPE = 'EXCLUSIVE') \
                 OR OBJECT_TYPE IN ('GLOBAL', 'COMMIT', 'BACKUP LOCK') AND LOCK_TYPE = 'SHARED'))"
            );
            conn.rows(&sql).await?
        }
        // Without a table of locks (in MariaDB a plugin's), sessions in the database and open transactions are the most likely
        // holders.
        _ => {
            let select = "SELECT ID, USER, HOST, COMMAND, TIME FROM information_schema.PROCESSLIST \
                          WHERE ID <> CONNECTION_ID() AND";
            let locks = format!(
                "{select} ID IN (SELECT THREAD_ID FROM information_schema.METADATA_LOCK_INFO \
                 WHERE TABLE_SCHEMA = {database} OR LOCK_TYPE = 'Global read lock')"
            );
            let transactions = format!(
                "{select} (DB = {database} OR ID IN (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX)) \
                 ORDER BY DB <=> {database} DESC, TIME DESC"
            );
            let users = format!("{select} DB = {database}");
            first_with_rows(&mut conn, &[&locks, &transactions, &users], &ours).await?
        }
    };
    let named = rows.iter().filter(|row| !ours.contains(&row.number(0))).map(|row| {
        let (id, command, time) = (row.string(0), row.string(3), row.string(4));
        let account = format!("{}@{}", row.string(1), row.string(2));
        format!("connection {id} of {} ({} since {time} s)", Printable(&account), Printable(&command))
    });
    Ok(named.take(MAX_NAMED_SESSIONS).collect())
}

/// Whether the error is a failed wait for a lock.
pub(super) fn is_lock_wait(error: &Error) -> bool {
    error.code() == Some(LOCK_WAIT_TIMEOUT)
}

/// Limits the next waits for locks to a few seconds. A session that holds one lock for long often holds others, and the
/// waits for all of them would add up.
pub(super) async fn shorten_lock_wait(conn: &mut Conn) -> Result<()> {
    let row = conn.row("SELECT @@SESSION.lock_wait_timeout").await?;
    let seconds = row.map_or(SHORT_WAIT_SECONDS, |row| row.number(0).min(SHORT_WAIT_SECONDS));
    conn.exec(&format!("SET SESSION lock_wait_timeout = {seconds}")).await.map(drop)
}

/// Returns the rows of the first statement that returns sessions other than these.
async fn first_with_rows(conn: &mut Conn, statements: &[&str], ours: &[u64]) -> Result<Vec<Row>> {
    for sql in statements {
        match conn.rows(sql).await {
            Err(error) if error.code().is_none() => return Err(error),
            Ok(rows) if rows.iter().any(|row| !ours.contains(&row.number(0))) => return Ok(rows),
            _ => {}
        }
    }
    Ok(Vec::new())
}
