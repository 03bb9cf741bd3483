//! Progress as JSON.

use std::io::{self, Write};

use dbgraft::Event;

use super::ProgressView;

/// Prints each event as one line of JSON on standard output.
pub(super) struct JsonView;

impl ProgressView for JsonView {
    fn show_event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            // The job goes on after the reader has closed the pipe.
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}
