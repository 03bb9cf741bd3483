//! The connections that a source or a sink has opened, so that their statements can be killed.
//!
//! Each holds a user-level lock of a random name. At a KILL the server itself says which connection holds it: after a
//! restart the lock is gone, behind a proxy it is on the right server or on none, and the number is never one that was
//! noted earlier, under which somebody else may work by now. A connection without the lock is never killed.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connect::{Conn, ServerAddress};
use super::session;
use crate::error::{Error, ErrorKind, Result};

/// A server that does not answer for so long cannot be asked to kill anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// The locks that the open connections hold.
pub(super) struct Running {
    address: ServerAddress,
    locks: Mutex<BTreeSet<String>>,
}

impl Running {
    pub(super) fn new(address: ServerAddress) -> Self {
        Self { address, locks: Mutex::default() }
    }

    fn locks(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection that was opened its lock. A server may refuse it (Percona XtraDB Cluster does).
    pub(super) async fn watch(&self, mut conn: Conn) -> Result<Conn> {
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

    /// The server's numbers of the connections that are still open.
    pub(super) async fn ids(&self, conn: &mut Conn) -> Result<Vec<u64>> {
        let locks = self.locks().clone();
        if locks.is_empty() {
            return Ok(Vec::new());
        }
        let each: Vec<String> = locks.iter().map(|lock| format!("SELECT IS_USED_LOCK('{lock}')")).collect();
        let rows = conn.rows(&each.join(" UNION ALL ")).await?;
        Ok(rows.iter().map(|row| row.number(0)).filter(|id| *id > 0).collect())
    }

    /// Closes a connection that does nothing.
    pub(super) fn close(&self, conn: Conn) {
        conn.lock.as_ref().map(|lock| self.locks().remove(lock));
    }

    /// Ends one connection whose answer was lost. The server may not have noticed yet, and its transaction would stand
    /// in the way of the next try.
    pub(super) async fn kill(&self, conn: Conn) -> Result<()> {
        self.kill_each(conn.lock.clone()).await
    }

    /// Ends them all, whatever they are doing. Closing the socket alone would let a statement run on.
    pub(super) async fn kill_all(&self) -> Result<()> {
        let locks = self.locks().clone();
        self.kill_each(locks).await
    }

    async fn kill_each(&self, locks: impl IntoIterator<Item = String>) -> Result<()> {
        let mut locks = locks.into_iter().peekable();
        if locks.peek().is_none() {
            return Ok(());
        }
        let kill = async {
            let mut conn = session::control(&self.address).await?;
            for lock in locks {
                let holder = conn.row(&format!("SELECT IS_USED_LOCK('{lock}')")).await?;
                if let Some(id) = holder.map(|row| row.number(0)).filter(|id| *id > 0) {
                    // It may be gone already, which is as good.
                    conn.try_exec_each(&[&format!("KILL {id}")]).await?;
                }
                self.locks().remove(&lock);
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, kill).await.unwrap_or_else(|_| {
            let message = "the server does not answer, and statements of this clone may still run";
            Err(Error::new(ErrorKind::Connection, message).retryable().with(self.address.role.name(), &self.address))
        })
    }
}
