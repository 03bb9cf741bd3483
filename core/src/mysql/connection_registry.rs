//! Registers the open connections of a source or sink, so that their statements can be killed.
//!
//! Each connection holds a user-level lock with a random name. Before a KILL, the server reports which connection holds the
//! lock. After a restart the lock is gone, and behind a proxy only the right server knows it, so a KILL never hits a
//! connection of another client that has the same ID. A connection without a lock is never killed.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connect::{Conn, ServerAddress};
use super::session;
use crate::error::{Error, ErrorKind, Result};

/// The time within which the server must answer the KILL statements.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a killed statement may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(120);
const END_INTERVAL: Duration = Duration::from_millis(100);

/// The locks that the open connections hold.
pub(super) struct ConnectionRegistry {
    address: ServerAddress,
    locks: Mutex<BTreeSet<String>>,
}

impl ConnectionRegistry {
    pub(super) fn new(address: ServerAddress) -> Self {
        Self { address, locks: Mutex::default() }
    }

    fn locks(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a new connection by taking its lock. Some servers refuse the lock, such as Percona XtraDB Cluster.
    pub(super) async fn register(&self, mut conn: Conn) -> Result<Conn> {
        let random = || RandomState::new().build_hasher().finish();
        let lock = format!("dbgraft:{:016x}{:016x}", random(), random());
        match conn.row(&format!("SELECT GET_LOCK('{lock}', 0)")).await {
            Ok(Some(row)) if row.number(0) == 1 => {
                self.locks().insert(lock.clone());
                conn.lock = Some(lock);
            }
            Err(error) if error.code().is_none() => return Err(error),
            _ => {}
        }
        Ok(conn)
    }

    /// The server's IDs of the registered connections that are still open.
    pub(super) async fn connection_ids(&self, conn: &mut Conn) -> Result<Vec<u64>> {
        let locks = self.locks().clone();
        if locks.is_empty() {
            return Ok(Vec::new());
        }
        let each: Vec<String> = locks.iter().map(|lock| format!("SELECT IS_USED_LOCK('{lock}')")).collect();
        let rows = conn.rows(&each.join(" UNION ALL ")).await?;
        Ok(rows.iter().map(|row| row.number(0)).filter(|id| *id > 0).collect())
    }

    /// Closes an idle connection.
    pub(super) fn close(&self, conn: Conn) {
        conn.lock.as_ref().map(|lock| self.locks().remove(lock));
    }

    /// Kills a connection whose answer was lost. Until the server notices the loss, its transaction would block the next
    /// try.
    pub(super) async fn kill(&self, conn: Conn) -> Result<()> {
        self.kill_each(conn.lock.clone()).await
    }

    /// Does the same for a connection that stays with the caller.
    pub(super) async fn kill_lock(&self, conn: &Conn) -> Result<()> {
        self.kill_each(conn.lock.clone()).await
    }

    /// Kills all registered connections. Closing the sockets alone would let their statements run on.
    pub(super) async fn kill_all(&self) -> Result<()> {
        let locks = self.locks().clone();
        self.kill_each(locks).await
    }

    /// Kills the connection that holds this lock, which may be one of an earlier process, and waits for its end.
    pub(super) async fn end_connection(&self, lock: &str) -> Result<()> {
        self.kill_each([lock.to_owned()]).await?;
        let mut conn = session::open_control(&self.address).await?;
        for _ in 0..END_TIMEOUT.as_millis() / END_INTERVAL.as_millis() {
            let holder = conn.row(&format!("SELECT IS_USED_LOCK('{lock}')")).await?;
            if holder.is_none_or(|row| row.number(0) == 0) {
                return Ok(());
            }
            tokio::time::sleep(END_INTERVAL).await;
        }
        let message = "a statement of an earlier process does not end at the server";
        Err(Error::new(ErrorKind::Connection, message).retryable().with(self.address.role.name(), &self.address))
    }

    async fn kill_each(&self, locks: impl IntoIterator<Item = String>) -> Result<()> {
        let mut locks = locks.into_iter().peekable();
        if locks.peek().is_none() {
            return Ok(());
        }
        let kill = async {
            let mut conn = session::open_control(&self.address).await?;
            for lock in locks {
                let holder = conn.row(&format!("SELECT IS_USED_LOCK('{lock}')")).await?;
                if let Some(id) = holder.map(|row| row.number(0)).filter(|id| *id > 0) {
                    // KILL fails if the connection has ended meanwhile.
                    conn.try_exec_each(&[&format!("KILL {id}")]).await?;
                }
                self.locks().remove(&lock);
            }
            Ok(())
        };
        tokio::time::timeout(KILL_TIMEOUT, kill).await.unwrap_or_else(|_| {
            let message = "the server does not answer, and statements of this clone may still run";
            Err(Error::new(ErrorKind::Connection, message).retryable().with(self.address.role.name(), &self.address))
        })
    }
}
