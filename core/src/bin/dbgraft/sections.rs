//! Sections of the results that several commands print.

use std::collections::BTreeMap;
use std::fmt::Write;

use dbgraft::{FidelityIssue, ObjectKind, OmittedObject, Position, Printable, Verification, Verify};

use crate::text;

/// The maximum number of listed differences. The JSON report has all of them.
const MAX_DIFFERENCES: usize = 100;
/// The maximum number of names listed for each kind of omitted objects.
const MAX_NAMES: usize = 5;

/// Renders the counts of objects by kind: `9 tables, 2 views, 1 event`.
pub(crate) fn kinds(objects: impl Iterator<Item = ObjectKind>) -> String {
    let mut counts: BTreeMap<ObjectKind, usize> = BTreeMap::new();
    objects.for_each(|kind| *counts.entry(kind).or_default() += 1);
    // Tables come first.
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(kind, _)| *kind != ObjectKind::Table);
    let texts: Vec<String> = counts.into_iter().map(|(kind, number)| text::count_objects(number, kind)).collect();
    texts.join(", ")
}

/// Renders the snapshot method and the position.
pub(crate) fn snapshot(position: &Position) -> String {
    let mut text = position.rung.describe().to_owned();
    if let (Some(file), Some(offset)) = (&position.binlog_file, position.binlog_position) {
        let _ = write!(text, "; binlog {}:{offset}", Printable(file));
    }
    if let Some(gtid) = position.gtid.as_deref().filter(|gtid| !gtid.is_empty()) {
        // The server breaks a long set into several lines.
        let _ = write!(text, "\n           GTID {}", Printable(&gtid.replace('\n', "")));
    }
    if let Some(waited) = position.writers_waited_ms {
        let _ = write!(text, "\n           writers waited for at most {waited} ms");
    }
    for refused in &position.refused {
        let _ = write!(text, "\n           not better: {}", Printable(refused));
    }
    text
}

/// Renders the objects that were left out, by reason.
pub(crate) fn left_out(omitted: &[OmittedObject]) -> String {
    let mut reasons: BTreeMap<&str, BTreeMap<ObjectKind, Vec<&str>>> = BTreeMap::new();
    for OmittedObject { object, reason } in omitted {
        reasons.entry(reason).or_default().entry(object.kind).or_default().push(&object.name);
    }
    let mut out = String::new();
    for (reason, kinds) in reasons {
        let _ = writeln!(out, "{}left out: {}", if out.is_empty() { "\n" } else { "" }, Printable(reason));
        for (kind, names) in kinds {
            let _ =
                writeln!(out, "  {}: {}", text::count_objects(names.len(), kind), text::first_names(&names, MAX_NAMES));
        }
    }
    out
}

/// Renders the differences between source and target.
pub(crate) fn fidelity(issues: &[FidelityIssue]) -> String {
    let mut out = String::new();
    for FidelityIssue { object, what, severity: _, source, target } in issues {
        let start = if out.is_empty() { "\nnot as at the source:\n" } else { "" };
        let becomes = if target.is_empty() { String::new() } else { format!(" -> {}", Printable(target)) };
        let _ = writeln!(out, "{start}  {object}, {}: {}{becomes}", Printable(what), Printable(source));
    }
    out
}

/// Renders the extent of a comparison: `9 tables, 1,000,000 rows by checksum`.
pub(crate) fn verified(verification: &Verification) -> String {
    let how = match verification.how {
        Verify::Counts => "counts",
        _ => "checksum",
    };
    let tables = text::count_objects(usize::try_from(verification.tables).unwrap_or(usize::MAX), ObjectKind::Table);
    format!("{tables}, {} rows by {how}", text::count(verification.rows))
}

/// Renders the differences of a comparison with their rows, and the tables that could not be compared.
pub(crate) fn differences(verification: &Verification) -> String {
    let mut out = String::new();
    for difference in verification.differences.iter().take(MAX_DIFFERENCES) {
        let start = if out.is_empty() { "\ndifferent:\n" } else { "" };
        let _ = writeln!(out, "{start}  {difference}");
        for row in &difference.rows {
            let _ = writeln!(out, "      {row}");
        }
        if difference.more > 0 {
            let _ = writeln!(out, "      and at least {} more", text::count(difference.more));
        }
    }
    if let Some(more) = verification.differences.len().checked_sub(MAX_DIFFERENCES).filter(|more| *more > 0) {
        let _ = writeln!(out, "  and {} more; --report FILE has them all", text::count(more as u64));
    }
    for OmittedObject { object, reason } in &verification.skipped {
        let _ = writeln!(out, "\nnot compared: {object}: {}", Printable(reason));
    }
    out
}
