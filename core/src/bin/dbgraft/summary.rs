//! What a clone did, for a terminal.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use dbgraft::{Fidelity, LeftOut, ObjectKind, ObjectReport, Position, Printable, Report};

use crate::{comparison, text};

/// How many tables are listed; the JSON report has them all.
const LISTED: usize = 20;
/// How many names of what was left out are given.
const NAMED: usize = 5;

/// The whole summary.
pub(crate) fn render(report: &Report) -> String {
    let rate = if report.seconds > 0.0 { report.bytes as f64 / report.seconds } else { 0.0 };
    let mut out = format!("Cloned {}\n", Printable(&report.source));
    let _ = writeln!(out, "    to {}", Printable(&report.target));
    let facts = [
        (
            "rows",
            format!(
                "{}, {} in {}, {}/s",
                text::count(report.rows),
                text::size(report.bytes as f64),
                text::seconds(report.seconds),
                text::size(rate)
            ),
        ),
        ("objects", kinds(report.objects.iter().map(|object| object.object.kind))),
        ("source", format!("{}, {} {}", report.server, report.database.charset, report.database.collation)),
        ("verified", report.verified.as_ref().map(comparison::verified).unwrap_or_default()),
        ("moment", moment(&report.position)),
        ("kept", report.archive.as_deref().map(|url| Printable(url).to_string()).unwrap_or_default()),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        let _ = writeln!(out, "  {name:<8} {fact}");
    }
    out.push_str(&tables(&report.objects));
    out.push_str(&left_out(&report.left_out));
    out.push_str(&fidelity(&report.fidelity));
    out.push_str(&report.verified.as_ref().map(comparison::differences).unwrap_or_default());
    out.push_str(&warnings(report));
    out
}

/// What is not at the target as it is at the source.
pub(crate) fn fidelity(found: &[Fidelity]) -> String {
    let mut out = String::new();
    for Fidelity { object, what, severity: _, source, target } in found {
        let start = if out.is_empty() { "\nnot as at the source:\n" } else { "" };
        let becomes = if target.is_empty() { String::new() } else { format!(" -> {}", Printable(target)) };
        let _ = writeln!(out, "{start}  {object}, {}: {}{becomes}", Printable(what), Printable(source));
    }
    out
}

/// `9 tables, 2 views, 1 event`
pub(crate) fn kinds(objects: impl Iterator<Item = ObjectKind>) -> String {
    let mut counts: BTreeMap<ObjectKind, usize> = BTreeMap::new();
    objects.for_each(|kind| *counts.entry(kind).or_default() += 1);
    // Tables first: they are what a database is about.
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(kind, _)| *kind != ObjectKind::Table);
    let texts: Vec<String> = counts.into_iter().map(|(kind, number)| text::counted(number, kind)).collect();
    texts.join(", ")
}

/// The rung, and the position as far as it is known.
pub(crate) fn moment(position: &Position) -> String {
    let mut text = position.rung.describe().to_owned();
    if let (Some(file), Some(offset)) = (&position.binlog_file, position.binlog_position) {
        let _ = write!(text, "; binlog {}:{offset}", Printable(file));
    }
    if let Some(gtid) = position.gtid.as_deref().filter(|gtid| !gtid.is_empty()) {
        // The server breaks a long set into lines.
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

fn tables(objects: &[ObjectReport]) -> String {
    let mut tables: Vec<_> = objects.iter().filter(|object| object.object.kind == ObjectKind::Table).collect();
    tables.sort_by_key(|table| (Reverse(table.bytes), &table.object.name));
    let rows = tables.iter().take(LISTED).map(|table| {
        let name = Printable(&table.object.name).to_string();
        vec![name, text::count(table.rows), text::size(table.bytes as f64), text::seconds(table.seconds)]
    });
    let mut out = text::columns(&["table", "rows", "size", "time"], rows.collect());
    if let Some(more) = tables.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(out, "  and {} more; --report FILE has them all", text::count(more as u64));
    }
    out
}

/// What was left out, by reason.
pub(crate) fn left_out(left_out: &[LeftOut]) -> String {
    let mut reasons: BTreeMap<&str, BTreeMap<ObjectKind, Vec<&str>>> = BTreeMap::new();
    for LeftOut { object, reason } in left_out {
        reasons.entry(reason).or_default().entry(object.kind).or_default().push(&object.name);
    }
    let mut out = String::new();
    for (reason, kinds) in reasons {
        let _ = writeln!(out, "{}left out: {}", if out.is_empty() { "\n" } else { "" }, Printable(reason));
        for (kind, names) in kinds {
            let _ = writeln!(out, "  {}: {}", text::counted(names.len(), kind), text::few(&names, NAMED));
        }
    }
    out
}

fn warnings(report: &Report) -> String {
    let of_objects = report.objects.iter().flat_map(|object| {
        object.warnings.iter().map(move |warning| format!("{}: {}", object.object, Printable(warning)))
    });
    let mut out = String::new();
    for warning in report.warnings.iter().map(|warning| Printable(warning).to_string()).chain(of_objects) {
        let _ = writeln!(out, "{}warning: {warning}", if out.is_empty() { "\n" } else { "" });
    }
    out
}

#[cfg(test)]
mod tests {
    use dbgraft::{Database, Flavor, ObjectRef, Rung, Server, Severity};

    use super::*;

    fn report(tables: usize) -> Report {
        let table = |number: usize| ObjectReport {
            object: ObjectRef::new(ObjectKind::Table, format!("t{number}\n")),
            rows: 1000,
            bytes: 2048 * number as u64,
            seconds: 0.5,
            warnings: if number == 3 { vec!["odd\tthing".into()] } else { Vec::new() },
        };
        let leave = |kind, name: &str| LeftOut { object: ObjectRef::new(kind, name), reason: "not selected".into() };
        Report {
            source: "mysql://u@h:3306/a".into(),
            target: "mysql://u@h:3306/b".into(),
            archive: None,
            server: Server::new(Flavor::MySql, "9.7.4"),
            database: Database {
                name: "a".into(),
                charset: "utf8mb4".into(),
                collation: "utf8mb4_bin".into(),
                comment: String::new(),
            },
            position: Position {
                binlog_file: Some("binlog.000002".into()),
                binlog_position: Some(157),
                ..Position::unknown(Rung::TableLocks)
            },
            objects: (1..=tables).map(table).collect(),
            left_out: vec![leave(ObjectKind::View, "v"), leave(ObjectKind::View, "w"), leave(ObjectKind::Event, "e")],
            fidelity: vec![Fidelity {
                object: ObjectRef::new(ObjectKind::Table, "t1"),
                what: "index by_x".into(),
                severity: Severity::Warning,
                source: "((a + 1))".into(),
                target: String::new(),
            }],
            verified: None,
            warnings: Vec::new(),
            rows: 23_000,
            bytes: 1 << 20,
            seconds: 2.0,
        }
    }

    #[test]
    fn a_summary_has_everything_on_lines_of_its_own() {
        let text = render(&report(23));
        assert!(text.contains("23,000, 1.0 MiB in 2.00 s, 512 KiB/s"), "{text}");
        assert!(text.contains("23 tables\n") && text.contains("binlog binlog.000002:157"), "{text}");
        assert!(text.contains("and 3 more;"), "{text}");
        assert!(text.find("t23\\n").unwrap() < text.find("t22\\n").unwrap(), "{text}");
        assert!(text.contains("left out: not selected\n  2 views: v, w\n  1 event: e\n"), "{text}");
        assert!(text.contains("not as at the source:\n  table t1, index by_x: ((a + 1))\n"), "{text}");
        assert!(text.contains("warning: table t3\\n: odd\\tthing\n"), "{text}");
    }

    #[test]
    fn an_empty_clone_has_a_summary_too() {
        let text = render(&Report { left_out: Vec::new(), fidelity: Vec::new(), ..report(0) });
        assert!(!text.contains("left out") && !text.contains("warning") && !text.contains("table "), "{text}");
    }
}
