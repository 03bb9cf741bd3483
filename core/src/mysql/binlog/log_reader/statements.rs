//! Reads the statements of a log.

use super::super::event::Event;
use super::super::query_event::QueryEvent;
use super::super::statement::{DefinitionSubject, StatementKind, definition_subject, xa_name};
use super::{LogReader, PendingDefinition, Transaction};
use crate::catalog::Printable;
use crate::error::Result;
use crate::mysql::ddl::Dialect;

impl LogReader<'_> {
    pub(super) fn read_query(&mut self, event: Event<'_>, query: Option<QueryEvent<'_>>) -> Result<()> {
        let query = query.ok_or_else(|| self.malformed("query"))?;
        let text = query.text();
        let sql = text.clone().unwrap_or_else(|| String::from_utf8_lossy(query.sql).into_owned());
        let updated = query.session.updated_databases.as_deref();
        let statement = self.names.classify(&sql, query.session.dialect, &query.database, updated);
        // Before MySQL 5.7, transactions without GTIDs have no event of their own.
        let is_passed = self.passed_transactions.contain(None, &self.passed);
        let transaction = self.transaction.get_or_insert_with(|| Transaction { is_passed, ..Transaction::default() });
        match statement {
            StatementKind::Begin => transaction.has_end = true,
            StatementKind::XaPart => {
                transaction.has_end = true;
                transaction.xa.get_or_insert_default().name = xa_name(&sql);
            }
            StatementKind::Commit => self.commit(event)?,
            StatementKind::Rollback => self.roll_back(event)?,
            StatementKind::RollbackToSavepoint if transaction.has_rows() => {
                let message = "a transaction that changed tables without transactions was rolled back in part: clone anew, \
                               and keep such tables out of transactions";
                return Err(self.unsupported(message));
            }
            StatementKind::XaCommit | StatementKind::XaRollback => {
                self.decide_xa(&xa_name(&sql), statement == StatementKind::XaCommit)?;
                self.end_statement(event);
            }
            StatementKind::Definition | StatementKind::Rows if transaction.is_passed => self.end_statement(event),
            StatementKind::Definition if transaction.is_unfinished => self.end_statement(event),
            StatementKind::Definition if self.is_of_cut_over(&sql, query.session.dialect) => self.end_statement(event),
            StatementKind::Definition => {
                if text.is_none() {
                    let message =
                        format!("a statement is in a character set that cannot be read: {}", first_words(&sql));
                    return Err(self.unsupported(message));
                }
                self.define(event, sql, query)?;
            }
            StatementKind::Rows => {
                let message = format!(
                    "the binary log has a statement instead of the rows that it changes: set binlog_format = ROW at the \
                     source, for all sessions, and clone anew: {}",
                    first_words(&sql)
                );
                return Err(self.unsupported(message));
            }
            StatementKind::RollbackToSavepoint | StatementKind::Other => self.end_statement(event),
        }
        Ok(())
    }

    /// Whether the cut-over before the way back ran the statement: it made triggers and events, which the way back has at its
    /// other end.
    fn is_of_cut_over(&self, sql: &str, dialect: Dialect) -> bool {
        let Some(way_back) = &self.plan.job.way_back else { return false };
        self.place.is_after(&way_back.completed) == Some(false)
            && definition_subject(sql, dialect) == DefinitionSubject::ActiveObject
    }

    fn define(&mut self, event: Event<'_>, sql: String, query: QueryEvent<'_>) -> Result<()> {
        let obstacle = query.obstacle(&sql);
        let mut settings = query.session.settings;
        settings.push(format!("timestamp = {}.{:06}", event.timestamp, query.session.microseconds));
        let definition = PendingDefinition { sql, database: query.database, settings, obstacle };
        let Some(transaction) = &mut self.transaction else { return Err(self.malformed("query")) };
        if transaction.has_begun {
            let message = format!("a transaction changes rows and a definition: {}", first_words(&definition.sql));
            return Err(self.unsupported(message));
        }
        transaction.definition = Some(definition);
        self.end_statement(event);
        Ok(())
    }

    /// Ends the transaction if it is one statement.
    fn end_statement(&mut self, event: Event<'_>) {
        if self.transaction.as_ref().is_some_and(|transaction| !transaction.has_end) {
            self.end_transaction(event);
        }
    }
}

/// The beginning of a statement, for messages.
fn first_words(sql: &str) -> String {
    const LENGTH: usize = 80;
    let shown: String = sql.chars().take(LENGTH).collect();
    Printable(&shown).to_string()
}
