//! How a job ended, as JSON: JavaScript makes a report or a `CloneError` of it.

use dbgraft::{Error, Report, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// `{"done": …}` or `{"failed": …}`.
pub(crate) fn text(result: Result<impl Serialize>) -> String {
    let value = match result.map(|done| serde_json::to_value(done)) {
        Ok(Ok(done)) => json!({ "done": done }),
        Ok(Err(error)) => json!({ "failed": { "kind": "internal", "line": error.to_string() } }),
        Err(error) => json!({ "failed": failed(&error) }),
    };
    value.to_string()
}

/// The error as it travels, its one line, and the report that a difference comes with.
pub(crate) fn failed(error: &Error) -> Value {
    let mut told = serde_json::to_value(error).unwrap_or_default();
    if let Some(told) = told.as_object_mut() {
        told.insert("line".to_owned(), error.to_string().into());
        if let Some(report) = Report::of(error) {
            told.insert("report".to_owned(), serde_json::to_value(report).unwrap_or_default());
        }
    }
    told
}
