//! What a comparison found, for a terminal.

use std::fmt::Write;

use dbgraft::{Comparison, LeftOut, ObjectKind, Printable, Verification, Verify};

use crate::{summary, text};

/// How many differences are listed; the JSON report has them all.
const LISTED: usize = 100;

/// The whole result of `dbgraft verify`.
pub(crate) fn render(comparison: &Comparison) -> String {
    let mut out = format!("Compared {}\n", Printable(&comparison.source));
    let _ = writeln!(out, "    with {}", Printable(&comparison.target));
    let facts = [
        ("verified", verified(&comparison.verification)),
        ("time", text::seconds(comparison.seconds)),
        ("moment", summary::moment(&comparison.position)),
    ];
    for (name, fact) in facts {
        let _ = writeln!(out, "  {name:<8} {fact}");
    }
    out.push_str(&summary::left_out(&comparison.left_out));
    for warning in &comparison.warnings {
        let _ = writeln!(out, "warning: {}", Printable(warning));
    }
    out.push_str(&differences(&comparison.verification));
    if comparison.verification.differences.is_empty() {
        out.push_str("\nno difference\n");
    }
    out
}

/// `9 tables, 1,000,000 rows by checksum`
pub(crate) fn verified(verification: &Verification) -> String {
    let how = match verification.how {
        Verify::Counts => "counts",
        _ => "checksum",
    };
    let tables = text::counted(usize::try_from(verification.tables).unwrap_or(usize::MAX), ObjectKind::Table);
    format!("{tables}, {} rows by {how}", text::count(verification.rows))
}

/// What is different, with the rows where they were asked for, and what could not be compared.
pub(crate) fn differences(verification: &Verification) -> String {
    let mut out = String::new();
    for difference in verification.differences.iter().take(LISTED) {
        let start = if out.is_empty() { "\ndifferent:\n" } else { "" };
        let _ = writeln!(out, "{start}  {difference}");
        for row in &difference.rows {
            let _ = writeln!(out, "      {row}");
        }
        if difference.more > 0 {
            let _ = writeln!(out, "      and at least {} more", text::count(difference.more));
        }
    }
    if let Some(more) = verification.differences.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(out, "  and {} more; --report FILE has them all", text::count(more as u64));
    }
    for LeftOut { object, reason } in &verification.skipped {
        let _ = writeln!(out, "\nnot compared: {object}: {}", Printable(reason));
    }
    out
}
