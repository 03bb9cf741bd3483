//! Measures the load of a server, over a connection of its own.

use tokio::sync::Mutex;

use super::connect::{Conn, ServerAddress};
use super::connection_registry::ConnectionRegistry;
use super::session;
use crate::error::Result;

/// Counts the threads of a server that run statements.
#[derive(Default)]
pub(super) struct LoadMonitor(Mutex<Option<Conn>>);

impl LoadMonitor {
    /// Returns the server's `Threads_running` without its own thread and those of the registered connections: a reader
    /// that waits in the middle of a result is a running thread too. Threads in between two statements make the number
    /// imprecise by a few.
    pub(super) async fn measure(&self, address: &ServerAddress, connections: &ConnectionRegistry) -> Result<u64> {
        let mut monitor = self.0.lock().await;
        // A connection with an error is not used again.
        let mut conn = match monitor.take() {
            Some(conn) => conn,
            None => session::open_control(address).await?,
        };
        let row = conn.row("SHOW GLOBAL STATUS LIKE 'Threads_running'").await?;
        let all = row.map_or(0, |row| row.number(1));
        let ids = connections.connection_ids(&mut conn).await?;
        let ids: String = ids.iter().map(|id| format!(", {id}")).collect();
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
             WHERE COMMAND <> 'Sleep' AND ID IN (CONNECTION_ID(){ids})"
        );
        let own = conn.row(&sql).await?.map_or(0, |row| row.number(0));
        *monitor = Some(conn);
        Ok(all.saturating_sub(own))
    }
}
