//! Decides what happens to an object that the target refuses after the rows are loaded.

use super::connect::Conn;
use super::lock_wait;
use super::target::TargetDatabase;
use crate::catalog::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

impl TargetDatabase {
    /// Reports a part of an object that the target refuses after the rows are loaded. The rows stay.
    ///
    /// # Errors
    /// The error itself with the option `all_or_nothing`, or if it is no refusal, such as a lost connection.
    pub(super) async fn refusal_note(
        &self,
        object: &ObjectRef,
        what: &str,
        severity: Severity,
        error: Error,
    ) -> Result<Note> {
        let error = self.explain_lock_wait(error).await;
        let refused = error.code().is_some() && error.kind() != ErrorKind::Connection;
        if self.options.all_or_nothing || !refused && error.kind() != ErrorKind::Unsupported {
            return Err(error);
        }
        Ok(Note::Refused(FidelityIssue {
            object: object.clone(),
            what: what.to_owned(),
            severity,
            source: format!("not created, as the target does not take it: {error}"),
            target: String::new(),
        }))
    }

    /// Whether the target refuses code of the other family. Code without a counterpart in the target's dialect is omitted.
    pub(super) fn is_dialect_refusal(&self, conn: &Conn, error: &Error) -> bool {
        let foreign = self.state().source.as_ref().is_some_and(|source| source.flavor != conn.server.flavor);
        foreign && error.code().is_some() && !error.is_retryable() && error.kind() != ErrorKind::Connection
    }

    /// Calls [`lock_wait::explain`] for an error of the target.
    pub(super) async fn explain_lock_wait(&self, error: Error) -> Error {
        lock_wait::explain_error(&self.address, &self.connections, error).await
    }
}
