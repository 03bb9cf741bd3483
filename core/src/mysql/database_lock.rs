//! Holds the lock that excludes other clones from the target database. A task keeps its connection alive, and takes the lock
//! again over another one when it is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connect::{Conn, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::{journal, session};
use crate::error::{Error, ErrorKind, Result};

/// How often the connection is used.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// How often the lock is tried while another connection holds it: that of this clone may take a moment to end.
const MAX_TRIES: usize = 5;

/// The lock of a database. Dropping it releases the lock.
pub(super) struct DatabaseLock {
    shared: Arc<LockState>,
    task: JoinSet<()>,
}

struct LockState {
    address: ServerAddress,
    connections: Arc<ConnectionRegistry>,
    conn: Mutex<Conn>,
    /// The tokens that this process has had in the journal, once it is there.
    owners: std::sync::Mutex<Vec<String>>,
    /// Whether the connection was ever lost.
    was_lost: AtomicBool,
    /// Why the lock cannot be taken again.
    failure: OnceLock<String>,
}

impl DatabaseLock {
    /// Takes the lock over a registered connection.
    ///
    /// # Errors
    /// `Preflight` if another clone holds it.
    pub(super) async fn acquire(
        mut conn: Conn,
        address: &ServerAddress,
        connections: &Arc<ConnectionRegistry>,
    ) -> Result<Self> {
        journal::acquire_lock(&mut conn, &address.database, Duration::ZERO).await?;
        let shared = Arc::new(LockState {
            address: address.clone(),
            connections: connections.clone(),
            conn: Mutex::new(conn),
            owners: std::sync::Mutex::default(),
            was_lost: AtomicBool::new(false),
            failure: OnceLock::new(),
        });
        let mut task = JoinSet::new();
        task.spawn(shared.clone().keep());
        Ok(Self { shared, task })
    }

    /// Adds a token of this process. The journal must have one of them when the lock is taken again.
    pub(super) fn add_owner(&self, owner: &str) {
        self.shared.owners.lock().unwrap_or_else(PoisonError::into_inner).push(owner.to_owned());
    }

    /// Whether the connection was ever lost.
    pub(super) async fn was_lost(&self) -> bool {
        let mut conn = self.shared.conn.lock().await;
        self.shared.was_lost.load(Ordering::Relaxed) || conn.exec("DO 1").await.is_err()
    }

    /// Returns the connection that holds the lock, which nobody keeps any more.
    pub(super) async fn into_connection(mut self) -> Option<Conn> {
        self.task.shutdown().await;
        Arc::into_inner(self.shared).map(|state| state.conn.into_inner())
    }

    /// # Errors
    /// `Changed` if another process took the lock when its connection was lost.
    pub(super) fn check(&self) -> Result<()> {
        self.shared.failure.get().map_or(Ok(()), |failure| Err(Error::new(ErrorKind::Changed, failure)))
    }
}

impl LockState {
    /// Uses the connection regularly, and replaces it when it is lost. Ends if another process has the lock.
    async fn keep(self: Arc<Self>) {
        let mut tries = 0;
        loop {
            sleep(CHECK_INTERVAL).await;
            let mut conn = self.conn.lock().await;
            if conn.exec("DO 1").await.is_ok() {
                continue;
            }
            self.was_lost.store(true, Ordering::Relaxed);
            match self.take_again(&conn).await {
                Ok(taken) => {
                    *conn = taken;
                    tries = 0;
                }
                Err(error) if error.kind() == ErrorKind::Changed || tries >= MAX_TRIES => {
                    let message = "the connection that holds the lock of the target's database was lost";
                    let _ = self.failure.set(format!("{message}: {error}"));
                    return;
                }
                // Held by another connection. Other errors pass, or end the clone elsewhere.
                Err(error) => tries += usize::from(error.kind() == ErrorKind::Preflight),
            }
        }
    }

    /// Takes the lock over a new connection.
    async fn take_again(&self, lost: &Conn) -> Result<Conn> {
        // After a cut the server may still keep the old connection, which holds the lock.
        self.connections.kill_lock(lost).await?;
        let mut conn = self.connections.register(session::open_control(&self.address).await?).await?;
        let database = &self.address.database;
        journal::acquire_lock(&mut conn, database, Duration::ZERO).await?;
        let owner = journal::owner(&mut conn, database).await?;
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        match owners.is_empty() || owner.is_some_and(|owner| owners.contains(&owner)) {
            true => Ok(conn),
            false => Err(journal::lost_ownership_error(database)),
        }
    }
}
