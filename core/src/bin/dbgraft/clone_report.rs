//! Renders the report of a clone for a terminal.

use std::cmp::Reverse;
use std::fmt::Write;

use dbgraft::{CaughtUp, Followed, LogPosition, ObjectKind, ObjectReport, Printable, Report, ResumeCase, Resumption};

use crate::{sections, text};

/// The maximum number of listed tables. The JSON report has all of them.
const MAX_TABLES: usize = 20;

/// Renders the whole report.
pub(crate) fn render(report: &Report) -> String {
    if report.resumed.as_ref().is_some_and(|resumed| resumed.case == ResumeCase::Finished) {
        return format!("{}: {}\n", Printable(&report.target), ResumeCase::Finished.describe());
    }
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
        ("paused", if report.paused_seconds > 0.0 { text::seconds(report.paused_seconds) } else { String::new() }),
        ("objects", sections::kinds(report.objects.iter().map(|object| object.object.kind))),
        ("source", format!("{}, {} {}", report.server, report.database.charset, report.database.collation)),
        ("verified", report.verified.as_ref().map(sections::verified).unwrap_or_default()),
        ("moment", sections::snapshot(&report.position)),
        ("resumed", report.resumed.as_ref().map(resumed).unwrap_or_default()),
        ("followed", report.followed.as_ref().map(followed).unwrap_or_default()),
        ("kept", report.archive.as_deref().map(|url| Printable(url).to_string()).unwrap_or_default()),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        let _ = writeln!(out, "  {name:<8} {fact}");
    }
    out.push_str(&tables(&report.objects));
    out.push_str(&sections::left_out(&report.left_out));
    out.push_str(&sections::fidelity(&report.fidelity));
    out.push_str(&report.verified.as_ref().map(sections::differences).unwrap_or_default());
    out.push_str(&warnings(report));
    out
}

/// Renders what was applied until the cut-over.
pub(crate) fn render_followed(followed: &Followed) -> String {
    let mut out = format!("{} takes the place of {}\n", Printable(&followed.target), Printable(&followed.source));
    let _ = writeln!(out, "  {}", self::followed(followed));
    out.push_str(&sections::fidelity(&followed.fidelity));
    for warning in &followed.warnings {
        let _ = writeln!(out, "  warning: {}", Printable(warning));
    }
    out
}

/// Says what was applied after the copy.
fn followed(followed: &Followed) -> String {
    let (transactions, position) = (text::count(followed.transactions), &followed.position);
    format!("{transactions} transactions applied, up to {}:{}", Printable(&position.file), position.offset)
}

/// Says what a resumed clone took over.
fn resumed(resumed: &Resumption) -> String {
    let Resumption { case, taken_over, continued, read_again, caught_up, .. } = resumed;
    let count = |tables: &Vec<String>| text::count(tables.len() as u64);
    let (over, part, again) = (count(taken_over), count(continued), count(read_again));
    let how = case.describe().trim_start_matches("resumed: ");
    let changes = caught_up.as_ref().map_or_else(String::new, |CaughtUp { start, end, transactions, .. }| {
        let place = |place: &LogPosition| format!("{}:{}", Printable(&place.file), place.offset);
        format!("; {} transactions applied, from {} to {}", text::count(*transactions), place(start), place(end))
    });
    format!("{how}; tables: {over} taken over, {part} in part, {again} made in this run{changes}")
}

fn tables(objects: &[ObjectReport]) -> String {
    let mut tables: Vec<_> = objects.iter().filter(|object| object.object.kind == ObjectKind::Table).collect();
    tables.sort_by_key(|table| (Reverse(table.bytes), &table.object.name));
    let rows = tables.iter().take(MAX_TABLES).map(|table| {
        let name = Printable(&table.object.name).to_string();
        vec![name, text::count(table.rows), text::size(table.bytes as f64), text::seconds(table.seconds)]
    });
    let mut out = text::columns(&["table", "rows", "size", "time"], rows.collect());
    if let Some(more) = tables.len().checked_sub(MAX_TABLES).filter(|more| *more > 0) {
        let _ = writeln!(out, "  and {} more; --report FILE has them all", text::count(more as u64));
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
    use dbgraft::{
        Database, FidelityIssue, Flavor, ObjectRef, OmittedObject, Position, Server, Severity, SnapshotMethod,
    };

    use super::*;

    fn report(tables: usize) -> Report {
        let table = |number: usize| ObjectReport {
            object: ObjectRef::new(ObjectKind::Table, format!("t{number}\n")),
            rows: 1000,
            bytes: 2048 * number as u64,
            seconds: 0.5,
            warnings: if number == 3 { vec!["odd\tthing".into()] } else { Vec::new() },
            position: None,
        };
        let omitted =
            |kind, name: &str| OmittedObject { object: ObjectRef::new(kind, name), reason: "not selected".into() };
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
                ..Position::unknown(SnapshotMethod::TableLocks)
            },
            objects: (1..=tables).map(table).collect(),
            left_out: vec![
                omitted(ObjectKind::View, "v"),
                omitted(ObjectKind::View, "w"),
                omitted(ObjectKind::Event, "e"),
            ],
            fidelity: vec![FidelityIssue {
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
            resumed: None,
            followed: None,
            paused_seconds: 1.5,
        }
    }

    #[test]
    fn a_report_has_one_line_for_each_item() {
        let text = render(&report(23));
        assert!(text.contains("23,000, 1.0 MiB in 2.00 s, 512 KiB/s"), "{text}");
        assert!(text.contains("23 tables\n") && text.contains("binlog binlog.000002:157"), "{text}");
        assert!(text.contains("paused   1.50 s\n"), "{text}");
        assert!(text.contains("and 3 more;"), "{text}");
        assert!(text.find("t23\\n").unwrap() < text.find("t22\\n").unwrap(), "{text}");
        assert!(text.contains("left out: not selected\n  2 views: v, w\n  1 event: e\n"), "{text}");
        assert!(text.contains("not as at the source:\n  table t1, index by_x: ((a + 1))\n"), "{text}");
        assert!(text.contains("warning: table t3\\n: odd\\tthing\n"), "{text}");
    }

    #[test]
    fn the_report_of_an_empty_clone_is_rendered() {
        let text = render(&Report { left_out: Vec::new(), fidelity: Vec::new(), ..report(0) });
        assert!(!text.contains("left out") && !text.contains("warning") && !text.contains("table "), "{text}");
    }
}
