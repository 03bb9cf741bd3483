//! Begins and ends the transactions of a log.

use super::super::event::{Event, kind};
use super::super::gtid_event::GtidEvent;
use super::prepared::OpenXa;
use super::{IDLE_INTERVAL, LogReader, PendingDefinition, Transaction};
use crate::catalog::Printable;
use crate::change::LogEvent;
use crate::error::{Error, ErrorKind, Result};

impl LogReader<'_> {
    pub(super) fn begin(&mut self, event: Event<'_>) -> Result<()> {
        let parsed = match event.kind {
            kind::GTID => GtidEvent::parse_mysql(event.body, false),
            kind::ANONYMOUS_GTID => GtidEvent::parse_mysql(event.body, true),
            kind::TAGGED_GTID => GtidEvent::parse_tagged(event.body),
            _ => GtidEvent::parse_mariadb(event.body, event.server_id),
        };
        let GtidEvent { gtid, committed_at_ms, is_standalone, is_xa, is_unfinished } =
            parsed.ok_or_else(|| self.malformed("GTID"))?;
        if self.transaction.is_some() {
            return Err(self.malformed("GTID"));
        }
        // In MySQL a statement follows that begins the transaction, or is all of it.
        let has_end = event.kind == kind::MARIADB_GTID && !is_standalone;
        let is_passed = self.passed_transactions.contain(gtid.as_ref(), &self.passed);
        let xa = is_xa.then(OpenXa::default);
        let transaction = Transaction { gtid, committed_at_ms, has_end, xa, is_passed, ..Transaction::default() };
        self.transaction = Some(Transaction { is_unfinished, ..transaction });
        Ok(())
    }

    pub(super) fn commit(&mut self, event: Event<'_>) -> Result<()> {
        let Some(transaction) = &mut self.transaction else { return Err(self.malformed("commit")) };
        if transaction.is_applied
            && transaction.has_rows()
            && !transaction.is_passed
            && self.plan.job.way_back.is_some()
        {
            let message = "dbgraft applies changes to the source from which changes are carried back: they could go round \
                           for ever: end one of both ways by `dbgraft cutover` or `dbgraft abandon`";
            return Err(self.locate(Error::new(ErrorKind::Changed, message)));
        }
        if let Some(xa) = transaction.xa.take() {
            self.send_held(xa.changes);
        }
        self.end_transaction(event);
        Ok(())
    }

    /// Passes a transaction that is committed, and sends its end.
    pub(super) fn end_transaction(&mut self, event: Event<'_>) {
        let Some(transaction) = self.transaction.take() else { return };
        let start = std::mem::take(&mut self.passed);
        self.place.add_transaction(transaction.gtid.as_ref());
        self.pass();
        self.tables.clear();
        if transaction.is_passed {
            return;
        }
        let end = self.passed.clone();
        let logged_at_ms = u64::from(event.timestamp) * 1000;
        let committed_at_ms = transaction.committed_at_ms.unwrap_or(logged_at_ms);
        if let Some(PendingDefinition { sql, database, settings, obstacle }) = transaction.definition {
            let with_rows = transaction.has_end;
            self.send(LogEvent::Definition { sql, database, settings, start, end, with_rows, obstacle });
        } else if transaction.has_begun {
            self.send(LogEvent::Commit { end, committed_at_ms });
        } else if self.last_event.elapsed() >= IDLE_INTERVAL {
            self.tell_idle(Some(committed_at_ms));
        }
    }

    /// Passes a transaction that was rolled back.
    pub(super) fn roll_back(&mut self, event: Event<'_>) -> Result<()> {
        let Some(transaction) = &mut self.transaction else { return Err(self.malformed("rollback")) };
        if let Some(table) = transaction.untransactional_table {
            return Err(self.rolled_back(table));
        }
        let had_begun = std::mem::take(&mut transaction.has_begun);
        transaction.definition = None;
        if had_begun {
            self.send(LogEvent::Rollback);
        }
        self.end_transaction(event);
        Ok(())
    }

    /// Forgets a transaction that has no end in the log.
    pub(super) fn abandon_transaction(&mut self) {
        if self.transaction.take().is_some_and(|transaction| transaction.has_begun) {
            self.send(LogEvent::Rollback);
        }
    }

    /// The error of a rollback that undoes only a part.
    pub(super) fn rolled_back(&self, table: u32) -> Error {
        let name = self.plan.tables.iter().find(|planned| planned.number == table).map(|planned| &planned.table.name);
        self.unsupported(format!(
            "a transaction was rolled back that changed table {}, whose engine has no transactions and keeps the change: \
             clone anew",
            Printable(name.map_or("", String::as_str))
        ))
    }
}
