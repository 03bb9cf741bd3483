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
    /// imprecise by a few. Threads that wait for a metadata lock do not count either: they are no load, and may wait for
    /// the clone itself, whose pause would then last for ever.
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
        let list = conn.process_list().await?;
        let sql = format!(
            "SELECT COUNT(*) FROM {list} \
             WHERE COMMAND <> 'Sleep' AND (ID IN (CONNECTION_ID(){ids}) OR STATE LIKE 'Waiting for%metadata lock')"
        );
        let own = conn.row(&sql).await?.map_or(0, |row| row.number(0));
        *monitor = Some(conn);
        Ok(all.saturating_sub(own))
    }
}

#[cfg(test)]
mod tests {
    use dbgraft_testkit::{Flavor, ServerOptions, no_hang, wait_until};

    use super::*;
    use crate::mysql::connect::ServerRole;

    /// Waits for this load: a session counts until a moment after its statement.
    async fn settles_at(load: u64, monitor: &LoadMonitor, address: &ServerAddress, connections: &ConnectionRegistry) {
        let settled = async { while monitor.measure(address, connections).await.unwrap() != load {} };
        no_hang(settled).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn threads_of_the_clone_do_not_count() {
        for flavor in [Flavor::MySql, Flavor::MariaDb] {
            let server = ServerOptions::new(flavor).start().unwrap();
            let account = (server.user.clone(), server.password.clone().into());
            let address = ServerAddress::new(ServerRole::Target, (&server.host, server.port), account, String::new());
            let (connections, monitor) = (ConnectionRegistry::new(address.clone()), LoadMonitor::default());
            let idle = monitor.measure(&address, &connections).await.unwrap();
            let mut own = connections.register(session::open_control(&address).await.unwrap()).await.unwrap();
            let running = tokio::spawn(async move { own.exec("DO SLEEP(3600)").await });
            let sleepers = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP%'";
            assert!(wait_until(|| server.sql(sleepers).unwrap().trim() == "1"));
            settles_at(idle, &monitor, &address, &connections).await;
            let _others: Vec<_> = (0..3).map(|_| server.session("DO SLEEP(3600)").unwrap()).collect();
            assert!(wait_until(|| server.sql(sleepers).unwrap().trim() == "4"));
            settles_at(idle + 3, &monitor, &address, &connections).await;
            server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT)").unwrap();
            let _locker = server.session("LOCK TABLES d.t WRITE; DO SLEEP(3600)").unwrap();
            assert!(wait_until(|| server.sql(sleepers).unwrap().trim() == "5"));
            let _waiter = server.session("SELECT * FROM d.t").unwrap();
            let waiters =
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for%metadata lock'";
            assert!(wait_until(|| server.sql(waiters).unwrap().trim() == "1"));
            settles_at(idle + 4, &monitor, &address, &connections).await;
            running.abort();
        }
    }
}
