//! What a clone would do, for a terminal.

use std::cmp::Reverse;
use std::fmt::Write;

use dbgraft::{Finding, ObjectKind, Overview, Plan, Printable, Severity, TablePlan};

use crate::{summary, text};

/// How many tables are listed; the JSON report has them all.
const LISTED: usize = 40;
/// How many names of each other kind are given.
const NAMED: usize = 10;

/// The whole overview: problems first, for they are what must be seen.
pub(crate) fn render(overview: &Overview) -> String {
    let plan = &overview.plan;
    let mut out = format!("Would clone {}\n", Printable(&overview.source));
    let _ = writeln!(out, "         to {}\n", Printable(&overview.target));
    out.push_str(&findings(&overview.findings));
    let kinds = plan.tables.iter().map(|_| ObjectKind::Table);
    let kinds = kinds.chain(plan.definitions.iter().map(|definition| definition.object.kind));
    let facts = [
        ("source", format!("{}, {} {}", plan.server, plan.database.charset, plan.database.collation)),
        ("objects", summary::kinds(kinds)),
        ("rows", rows(plan)),
        ("moment", summary::moment(&plan.position)),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        let _ = writeln!(out, "  {name:<8} {fact}");
    }
    out.push_str(&tables(&plan.tables));
    out.push_str(&others(plan));
    out.push_str(&summary::left_out(&plan.left_out));
    out.push_str(&summary::fidelity(&overview.fidelity));
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
    let rows = sorted.iter().take(LISTED).map(|plan| {
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
    if let Some(more) = tables.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(out, "  and {} more; --report FILE has them all", text::count(more as u64));
    }
    out
}

fn others(plan: &Plan) -> String {
    let mut out = String::new();
    for kind in ObjectKind::ALL {
        let objects = plan.definitions.iter().map(|definition| &definition.object);
        let names: Vec<&str> =
            objects.filter(|object| object.kind == kind).map(|object| object.name.as_str()).collect();
        if !names.is_empty() {
            let lead = if out.is_empty() { "\n" } else { "" };
            let _ = writeln!(out, "{lead}  {}: {}", text::counted(names.len(), kind), text::few(&names, NAMED));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use dbgraft::{Chunk, Database, Flavor, LeftOut, ObjectRef, Position, Rung, Server, Table};

    use super::*;

    fn table(name: &str, data_bytes: u64) -> TablePlan {
        let (columns, primary_key, create) = (Vec::new(), Vec::new(), String::new());
        let (name, engine, rows_estimate, index_bytes) = (name.to_owned(), "InnoDB".to_owned(), 1200, 0);
        let table = Table {
            name,
            engine,
            columns,
            history: false,
            primary_key,
            rows_estimate,
            data_bytes,
            index_bytes,
            create,
        };
        TablePlan { number: 0, table, filter: None, chunk_key: Vec::new(), chunks: vec![Chunk::whole()] }
    }

    #[test]
    fn an_overview_has_its_problems_first_and_its_largest_table_on_top() {
        let plan = Plan {
            server: Server::new(Flavor::MariaDb, "10.11.19-MariaDB"),
            database: Database {
                name: "a".into(),
                charset: "utf8mb4".into(),
                collation: "utf8mb4_bin".into(),
                comment: String::new(),
            },
            position: Position::unknown(Rung::SingleTransaction),
            schema: true,
            tables: vec![table("small", 10), table("large", 1 << 20)],
            definitions: Vec::new(),
            left_out: vec![LeftOut { object: ObjectRef::new(ObjectKind::View, "v"), reason: "broken".into() }],
            invalid: Vec::new(),
            fidelity: Vec::new(),
            warnings: vec!["careful".into()],
        };
        let findings = vec![Finding::note("fine"), Finding::error("local_infile is off\u{7}")];
        let (source, target) = ("mysql://u@h:3306/a".into(), "mysql://u@h:3306/b".into());
        let text = render(&Overview { source, target, plan, fidelity: Vec::new(), findings });
        assert!(text.find("PROBLEM: local_infile is off\\u{7}").unwrap() < text.find("note: fine").unwrap(), "{text}");
        assert!(text.contains("about 2,400, 1.0 MiB, read in 2 chunks"), "{text}");
        assert!(text.find("large").unwrap() < text.find("small").unwrap(), "{text}");
        assert!(text.contains("left out: broken") && text.contains("warning: careful"), "{text}");
    }
}
