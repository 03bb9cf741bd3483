//! What becomes of what the target refuses, and which session holds the lock that a statement waited for in vain.

use super::connect::{Conn, Row};
use super::ddl::quote_text;
use super::session;
use super::target::Target;
use crate::catalog::{Flavor, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

const LOCK_WAIT_TIMEOUT: u16 = 1205;
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

    /// A wait for a lock that took too long, with the sessions that hold it. It is not to be tried again: the next try
    /// would wait as long.
    pub(super) async fn explained(&self, error: Error) -> Error {
        if error.code() != Some(LOCK_WAIT_TIMEOUT) {
            return error;
        }
        let holders = self.holders().await.unwrap_or_default();
        let remedy = format!("end it there, or wait longer than {} s by --lock-wait", self.options.lock_wait);
        let error = error.final_word();
        match holders.as_slice() {
            [] => error.with("held by another session:", remedy),
            some => error.with("perhaps held by", format!("{}: {remedy}", some.join(", "))),
        }
    }

    /// The sessions of others that hold locks on what is in the database, as far as the account may see them.
    async fn holders(&self) -> Result<Vec<String>> {
        let mut conn = session::control(&self.address).await?;
        let database = quote_text(&self.address.database);
        let ours = self.running.ids(&mut conn).await?;
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
