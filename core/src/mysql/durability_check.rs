//! Compares the batches that the sink reported as durable with those that the target still holds.
//!
//! A server that does not write its log at each commit (`innodb_flush_log_at_trx_commit` 0 or 2) loses acknowledged
//! commits when it crashes. The journal's rows belong to the same transactions, so they are missing too.

use super::connect::Conn;
use super::durable_batches::ServerUptime;
use super::journal;
use super::target::TargetDatabase;
use super::write::is_transactional;
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Plan, TablePlan};

impl TargetDatabase {
    /// Compares the batches that the sink reported as durable with those that the server still holds.
    ///
    /// # Errors
    /// `Data` if the server has lost batches, or may have lost them: the journal does not cover tables without
    /// transactions, so a restart of the server counts as a possible loss.
    pub(super) async fn check_durable_batches(&self, conn: &mut Conn, plan: &Plan) -> Result<()> {
        let (transactional, others): (Vec<_>, Vec<_>) = {
            let state = self.state();
            let taken = plan.tables.iter().filter(|table| state.durable_batches.contains_table(table));
            taken.partition(|table| is_transactional(&table.table))
        };
        if !transactional.is_empty() {
            let counts = journal::count_batches(conn, &self.address.database).await?;
            let lost = self.state().durable_batches.count_missing(&counts);
            let named = |table: &&TablePlan| {
                let lost = lost.get(&table.number)?;
                Some(format!("{lost} of table {}", Printable(&table.table.name)))
            };
            let lost: Vec<String> = transactional.iter().filter_map(named).collect();
            if !lost.is_empty() {
                return Err(lost_commits_error(conn, &lost).await);
            }
        }
        if let Some(table) = others.first()
            && self.was_restarted(conn).await?
        {
            let (name, engine) = (Printable(&table.table.name), Printable(&table.table.engine));
            let message = format!(
                "table {name} of the target may have lost rows: its server was restarted in mid-clone, and the engine \
                 {engine} has no transactions: start the clone again"
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(())
    }

    /// Whether the server was restarted since the clone began: its uptime shows it, and the first connection is lost.
    async fn was_restarted(&self, conn: &mut Conn) -> Result<bool> {
        let now = ServerUptime::read(conn).await?;
        let (begun, lock) = {
            let mut state = self.state();
            (state.uptime, state.lock.take())
        };
        let Some(lock) = lock else { return Ok(false) };
        // A clock that was set back looks like a restart, but a restart always breaks the connection.
        let was_lost = lock.was_lost().await;
        self.state().lock = Some(lock);
        Ok(was_lost && begun.is_some_and(|begun| begun.shows_restart(&now)))
    }
}

async fn lost_commits_error(conn: &mut Conn, lost: &[String]) -> Error {
    let setting = conn.row("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").await.ok().flatten();
    let setting = setting.map_or_else(|| "unknown".to_owned(), |row| row.string(0));
    let message = format!(
        "the target's server has lost batches that it had committed, {}: it crashed in mid-clone, and \
         innodb_flush_log_at_trx_commit is {setting}: set it to 1, or start the clone again",
        lost.join(", ")
    );
    Error::new(ErrorKind::Data, message)
}
