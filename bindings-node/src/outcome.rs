//! The outcome of a job as JSON, which JavaScript converts to a report or a `CloneError`.

use dbgraft::{Error, Report, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// Serializes an outcome as `{"done": …}` or `{"failed": …}`.
pub(crate) fn to_json(result: Result<impl Serialize>) -> String {
    let value = match result.map(|done| serde_json::to_value(done)) {
        Ok(Ok(done)) => json!({ "done": done }),
        Ok(Err(error)) => json!({ "failed": { "kind": "internal", "line": error.to_string() } }),
        Err(error) => json!({ "failed": error_json(&error) }),
    };
    value.to_string()
}

/// Serializes an error with its text and, for `Different` and `Incomplete`, its report.
pub(crate) fn error_json(error: &Error) -> Value {
    let mut json_error = serde_json::to_value(error).unwrap_or_default();
    if let Some(fields) = json_error.as_object_mut() {
        fields.insert("line".to_owned(), error.to_string().into());
        if let Some(report) = Report::from_error(error) {
            fields.insert("report".to_owned(), serde_json::to_value(report).unwrap_or_default());
        }
    }
    json_error
}
