//! The connections that a source or a sink has opened, so that their statements can be killed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connect::{Address, Conn};
use super::session;
use crate::error::{Error, ErrorKind, Result};

/// A server that does not answer for so long cannot be asked to kill anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// The server's numbers of the open connections.
pub(super) struct Running {
    address: Address,
    ids: Mutex<BTreeSet<u32>>,
}

impl Running {
    pub(super) fn new(address: Address) -> Self {
        Self { address, ids: Mutex::default() }
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection that was opened.
    pub(super) fn watch(&self, conn: Conn) -> Conn {
        self.ids().insert(conn.id);
        conn
    }

    /// Closes a connection that does nothing.
    pub(super) fn close(&self, conn: Conn) {
        self.ids().remove(&conn.id);
    }

    /// Ends one connection whose answer was lost. The server may not have noticed yet, and its transaction would stand
    /// in the way of the next try.
    pub(super) async fn kill(&self, id: u32) -> Result<()> {
        self.ids().remove(&id);
        self.kill_each([id]).await
    }

    /// Ends them all, whatever they are doing. Closing the socket alone would let a statement run on.
    pub(super) async fn kill_all(&self) -> Result<()> {
        let ids = std::mem::take(&mut *self.ids());
        match ids.is_empty() {
            true => Ok(()),
            false => self.kill_each(ids).await,
        }
    }

    async fn kill_each(&self, ids: impl IntoIterator<Item = u32>) -> Result<()> {
        let kill = async {
            let mut conn = session::control(&self.address).await?;
            for id in ids {
                // It may be gone already, which is as good.
                conn.try_each(&[&format!("KILL {id}")]).await?;
            }
            Ok(())
        };
        let late =
            |_| Err(Error::new(ErrorKind::Connection, "the server does not answer").with("server", &self.address));
        tokio::time::timeout(PATIENCE, kill).await.unwrap_or_else(late)
    }
}
