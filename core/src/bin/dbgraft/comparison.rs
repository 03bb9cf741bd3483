//! Renders the result of a comparison for a terminal.

use std::fmt::Write;

use dbgraft::{Comparison, Printable};

use crate::{sections, text};

/// Renders the whole result of `dbgraft verify`.
pub(crate) fn render(comparison: &Comparison) -> String {
    let mut out = format!("Compared {}\n", Printable(&comparison.source));
    let _ = writeln!(out, "    with {}", Printable(&comparison.target));
    let facts = [
        ("verified", sections::verified(&comparison.verification)),
        ("time", text::seconds(comparison.seconds)),
        ("moment", sections::snapshot(&comparison.position)),
    ];
    for (name, fact) in facts {
        let _ = writeln!(out, "  {name:<8} {fact}");
    }
    out.push_str(&sections::left_out(&comparison.left_out));
    for warning in &comparison.warnings {
        let _ = writeln!(out, "warning: {}", Printable(warning));
    }
    out.push_str(&sections::differences(&comparison.verification));
    if comparison.verification.differences.is_empty() {
        out.push_str("\nno difference\n");
    }
    out
}
