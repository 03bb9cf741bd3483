//! What becomes of what the target refuses, and which session holds the lock that a statement waited for in vain.

use super::connect::{Conn, Row, ServerAddress};
use super::ddl::quote_text;
use super::running::Running;
use super::session;
use super::target::Target;
use crate::catalog::{Flavor, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// Seconds to wait for a lock after one that was waited for in vain, and when cleaning up.
const SHORT_WAIT: u64 = 5;
/// More are not named.
const NAMED: usize = 5;

impl Target {
    /// Something of an object is refused after the rows are in: they stay, and the report tells it, unless all or nothing
    /// is wanted. A lost connection is no refusal.
    pub(super) async fn late(&self, object: &ObjectRef, what: &str, severity: Severity, error: Error) -> Result<Note> {
        let error = self.explained(error).await;
        let refused = error.code().is_some() && error.kind() != ErrorKind::Connection;
        if self.options.all_or_nothing || !refused && error.kind() != ErrorKind::Unsupported {
            return Err(error);
        }
        Ok(Note::Refused(FidelityIssue {
            object: object.clone(),
            what: what.to_owned(),
            severity,
            source: format!("not created, as the target does not take it: {error}"),
            target: String::new(),
        }))
    }

    /// Whether it is the refusal of code that comes from the other family: what has no image there is left out.
    pub(super) fn is_foreign_to(&self, conn: &Conn, error: &Error) -> bool {
        let foreign = self.state().source.as_ref().is_some_and(|source| source.flavor != conn.server.flavor);
        foreign && error.code().is_some() && !error.is_retryable() && error.kind() != ErrorKind::Connection
    }

    /// As [`explained`], at the target.
    pub(super) async fn explained(&self, error: Error) -> Error {
        explained(&self.address, &self.running, error).await
    }
}

/// A wait for a lock that took too long, with the sessions that hold it. It is not to be tried again: the next try would
/// wait as long.
pub(super) async fn explained(address: &ServerAddress, running: &Running, error: Error) -> Error {
    // One that is final has been explained.
    if !is_lock_wait(&error) || !error.is_retryable() {
        return error;
    }
    match holders(address, running).await.unwrap_or_default().as_slice() {
        [] => unexplained(address, error),
        some => {
            let holders = format!("{}: {}", some.join(", "), remedy(address));
            error.final_word().with("perhaps held by", holders)
        }
    }
}

/// The same where nobody can be asked who holds it.
pub(super) fn unexplained(address: &ServerAddress, error: Error) -> Error {
    error.final_word().with("held by another session:", remedy(address))
}

fn remedy(address: &ServerAddress) -> String {
    format!("end it at the {}, or wait longer than {} s by --lock-wait", address.role.name(), address.lock_wait)
}

/// The sessions of others that hold locks on what is in the database, as far as the account may see them.
async fn holders(address: &ServerAddress, running: &Running) -> Result<Vec<String>> {
    let mut conn = session::control(address).await?;
    let database = quote_text(&address.database);
    let ours = running.ids(&mut conn).await?;
    let rows = match conn.server.flavor {
        Flavor::MySql => {
            let sql = format!(
                "SELECT PROCESSLIST_ID, PROCESSLIST_USER, PROCESSLIST_HOST, PROCESSLIST_COMMAND, PROCESSLIST_TIME \
                 FROM performance_schema.threads WHERE PROCESSLIST_ID <> CONNECTION_ID() AND THREAD_ID IN ( \
                 SELECT OWNER_THREAD_ID FROM performance_schema.metadata_locks WHERE LOCK_STATUS = 'GRANTED' AND ( \
                 OBJECT_SCHEMA = {database} AND (OBJECT_TYPE <> 'SCHEMA' OR LOCK_TYPE = 'EXCLUSIVE') \
                 OR OBJECT_TYPE IN ('GLOBAL', 'COMMIT', 'BACKUP LOCK') AND LOCK_TYPE = 'SHARED'))"
            );
            conn.rows(&sql).await?
        }
        // Without the plugin metadata_lock_info nobody knows; open transactions are the likely ones.
        Flavor::MariaDb => {
            let select = "SELECT ID, USER, HOST, COMMAND, TIME FROM information_schema.PROCESSLIST \
                          WHERE ID <> CONNECTION_ID() AND ID IN (SELECT";
            let locks = format!(
                "{select} THREAD_ID FROM information_schema.METADATA_LOCK_INFO WHERE TABLE_SCHEMA = {database} \
                 OR LOCK_TYPE = 'Global read lock')"
            );
            let transactions = format!("{select} trx_mysql_thread_id FROM information_schema.INNODB_TRX)");
            let users = format!(
                "SELECT ID, USER, HOST, COMMAND, TIME FROM information_schema.PROCESSLIST \
                 WHERE ID <> CONNECTION_ID() AND DB = {database}"
            );
            first_with_rows(&mut conn, &[&locks, &transactions, &users], &ours).await?
        }
    };
    let named = rows.iter().filter(|row| !ours.contains(&row.number(0))).map(|row| {
        let (id, command, time) = (row.string(0), row.string(3), row.string(4));
        let account = format!("{}@{}", row.string(1), row.string(2));
        format!("connection {id} of {} ({} since {time} s)", Printable(&account), Printable(&command))
    });
    Ok(named.take(NAMED).collect())
}

/// Whether a statement waited for a lock for too long.
pub(super) fn is_lock_wait(error: &Error) -> bool {
    error.code() == Some(LOCK_WAIT_TIMEOUT)
}

/// Lets the next statements wait for locks for a few seconds only. Whoever holds one for too long holds others too, and
/// the waits for all of them would add up.
pub(super) async fn wait_shorter(conn: &mut Conn) -> Result<()> {
    let row = conn.row("SELECT @@SESSION.lock_wait_timeout").await?;
    let seconds = row.map_or(SHORT_WAIT, |row| row.number(0).min(SHORT_WAIT));
    conn.exec(&format!("SET SESSION lock_wait_timeout = {seconds}")).await.map(drop)
}

/// The rows of the first statement that gives any but ours.
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
