//! Measures the lag of a replica, over a connection of its own.

use tokio::sync::Mutex;

use super::capability::{self, Capability};
use super::connect::{Conn, ServerAddress};
use super::session;
use crate::catalog::Server;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::ReplicaLag;

/// Measures the lag of one replica.
pub(super) struct ReplicaMonitor {
    address: ServerAddress,
    conn: Mutex<Option<Conn>>,
}

impl ReplicaMonitor {
    pub(super) fn new(address: ServerAddress) -> Self {
        Self { address, conn: Mutex::default() }
    }

    /// Returns the lag; of several replication connections the largest one.
    ///
    /// # Errors
    /// `Unsupported` if the server is no replica, and errors of the connection.
    pub(super) async fn measure(&self) -> Result<ReplicaLag> {
        self.read_status().await.map_err(|error| error.with("replica", &self.address))
    }

    async fn read_status(&self) -> Result<ReplicaLag> {
        let mut monitor = self.conn.lock().await;
        // A connection with an error is not used again.
        let mut conn = match monitor.take() {
            Some(conn) => conn,
            None => session::open_control(&self.address).await?,
        };
        let (statement, column) = status_statement(&conn.server);
        let lags = conn.column(statement, column).await?;
        *monitor = Some(conn);
        let lag = |seconds: Option<String>| match seconds.and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) => ReplicaLag::Seconds(seconds),
            // NULL: a thread of the replica does not run.
            None => ReplicaLag::Stopped,
        };
        lags.into_iter().map(lag).max().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the server is no replica: --replica names a replica of the target")
        })
    }
}

/// The statement that lists the replication connections of a server, and its column of the lag.
pub(super) fn status_statement(server: &Server) -> (&'static str, &'static str) {
    if capability::has(server, Capability::ReplicaStatus) {
        ("SHOW REPLICA STATUS", "Seconds_Behind_Source")
    } else if capability::has(server, Capability::AllSlavesStatus) {
        ("SHOW ALL SLAVES STATUS", "Seconds_Behind_Master")
    } else {
        ("SHOW SLAVE STATUS", "Seconds_Behind_Master")
    }
}
