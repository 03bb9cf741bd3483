use std::io::{self, Write};

use dbgraft::Event;

use super::View;

/// Events as JSON, one a line.
pub(super) struct Json;

impl View for Json {
    fn event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            // The work goes on when nobody reads any more.
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}
