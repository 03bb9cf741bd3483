//! Renders the plan of a clone for a terminal.

use std::cmp::Reverse;
use std::fmt::Write;

use dbgraft::{Finding, ObjectKind, Plan, PlanReport, Printable, Severity, TablePlan};

use crate::{sections, text};

/// The maximum number of listed tables. The JSON report has all of them.
const MAX_TABLES: usize = 40;
/// The maximum number of names listed for each other kind.
const MAX_NAMES: usize = 10;

/// Renders the whole plan, problems first.
pub(crate) fn render(report: &PlanReport) -> String {
    let plan = &report.plan;
    let mut out = format!("Would clone {}\n", Printable(&report.source));
    let _ = writeln!(out, "         to {}\n", Printable(&report.target));
    out.push_str(&findings(&report.findings));
    let kinds = plan.tables.iter().map(|_| ObjectKind::Table);
    let kinds = kinds.chain(plan.definitions.iter().map(|definition| definition.object.kind));
    let facts = [
        ("source", format!("{}, {} {}", plan.server, plan.database.charset, plan.database.collation)),
        ("objects", sections::kinds(kinds)),
        ("rows", rows(plan)),
        ("moment", sections::snapshot(&plan.position)),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        let _ = writeln!(out, "  {name:<8} {fact}");
    }
    out.push_str(&tables(&plan.tables));
    out.push_str(&other_objects(plan));
    out.push_str(&sections::left_out(&plan.left_out));
    out.push_str(&sections::fidelity(&report.fidelity));
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {}", Printable(warning));
    }
    out
}

fn findings(findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| Reverse(finding.severity));
    let mut out = String::new();
    for finding in sorted {
        let severity = match finding.severity {
            Severity::Error => "PROBLEM",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let _ = writeln!(out, "{severity}: {}", Printable(&finding.message));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn rows(plan: &Plan) -> String {
    let chunks: usize = plan.tables.iter().map(|table| table.chunks.len()).sum();
    if chunks == 0 {
        return "none".to_owned();
    }
    let (rows, bytes) = (text::count(plan.rows_estimate()), text::size(plan.bytes_estimate() as f64));
    format!("about {rows}, {bytes}, read in {} chunks", text::count(chunks as u64))
}

fn tables(tables: &[TablePlan]) -> String {
    let mut sorted: Vec<&TablePlan> = tables.iter().collect();
    sorted.sort_by_key(|table| (Reverse(table.table.data_bytes), &table.table.name));
    let rows = sorted.iter().take(MAX_TABLES).map(|plan| {
        let table = &plan.table;
        let (rows, bytes) = match plan.chunks.is_empty() {
            true => ("none".to_owned(), "-".to_owned()),
            false => (text::count(table.rows_estimate), text::size(table.data_bytes as f64)),
        };
        let name = match plan.filter.is_some() {
            true => format!("{} (filtered)", Printable(&table.name)),
            false => Printable(&table.name).to_string(),
        };
        vec![name, rows, bytes, plan.chunks.len().to_string()]
    });
    let mut out = text::columns(&["table", "about rows", "size", "chunks"], rows.collect());
    if let Some(more) = tables.len().checked_sub(MAX_TABLES).filter(|more| *more > 0) {
        let _ = writeln!(out, "  and {} more; --report FILE has them all", text::count(more as u64));
    }
    out
}

fn other_objects(plan: &Plan) -> String {
    let mut out = String::new();
    for kind in ObjectKind::ALL {
        let objects = plan.definitions.iter().map(|definition| &definition.object);
        let names: Vec<&str> =
            objects.filter(|object| object.kind == kind).map(|object| object.name.as_str()).collect();
        if !names.is_empty() {
            let lead = if out.is_empty() { "\n" } else { "" };
            let _ = writeln!(
                out,
                "{lead}  {}: {}",
                text::count_objects(names.len(), kind),
                text::first_names(&names, MAX_NAMES)
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use dbgraft::{
        Chunk, Database, Flavor, JobDescription, ObjectRef, OmittedObject, Position, Server, SnapshotMethod, Table,
    };

    use super::*;

    fn table(name: &str, data_bytes: u64) -> TablePlan {
        let (columns, primary_key, create) = (Vec::new(), Vec::new(), String::new());
        let (name, engine, rows_estimate, index_bytes) = (name.to_owned(), "InnoDB".to_owned(), 1200, 0);
        let table = Table {
            name,
            engine,
            columns,
            history: false,
            late_timestamps: Vec::new(),
            primary_key,
            rows_estimate,
            data_bytes,
            index_bytes,
            create,
        };
        TablePlan {
            number: 0,
            table,
            filter: None,
            chunk_key: Vec::new(),
            chunks: vec![Chunk::whole()],
            position: None,
        }
    }

    #[test]
    fn problems_and_the_largest_tables_come_first() {
        let plan = Plan {
            server: Server::new(Flavor::MariaDb, "10.11.19-MariaDB"),
            database: Database {
                name: "a".into(),
                charset: "utf8mb4".into(),
                collation: "utf8mb4_bin".into(),
                comment: String::new(),
            },
            position: Position::unknown(SnapshotMethod::SingleTransaction),
            schema: true,
            tables: vec![table("small", 10), table("large", 1 << 20)],
            definitions: Vec::new(),
            left_out: vec![OmittedObject { object: ObjectRef::new(ObjectKind::View, "v"), reason: "broken".into() }],
            invalid: Vec::new(),
            fidelity: Vec::new(),
            warnings: vec!["careful".into()],
            job: JobDescription::default(),
        };
        let findings = vec![Finding::note("fine"), Finding::error("local_infile is off\u{7}")];
        let (source, target) = ("mysql://u@h:3306/a".into(), "mysql://u@h:3306/b".into());
        let text = render(&PlanReport { source, target, plan, fidelity: Vec::new(), findings });
        assert!(text.find("PROBLEM: local_infile is off\\u{7}").unwrap() < text.find("note: fine").unwrap(), "{text}");
        assert!(text.contains("about 2,400, 1.0 MiB, read in 2 chunks"), "{text}");
        assert!(text.find("large").unwrap() < text.find("small").unwrap(), "{text}");
        assert!(text.contains("left out: broken") && text.contains("warning: careful"), "{text}");
    }
}
