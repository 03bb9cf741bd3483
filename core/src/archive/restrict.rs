//! Restricts the plan of an archive to a selection.

use std::collections::HashMap;

use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::fidelity::FidelityIssue;
use crate::plan::{Plan, Selection, TablePlan};

/// The catalog of an archive.
pub(super) fn catalog(archived: &Plan) -> Catalog {
    Catalog {
        server: archived.server.clone(),
        database: archived.database.clone(),
        tables: archived.tables.iter().map(|table| table.table.clone()).collect(),
        definitions: archived.definitions.clone(),
    }
}

/// Returns the plan for a selection, with new table numbers and the archive's chunks.
///
/// # Errors
/// `Usage` for a row filter: the rows of an archive are text, which no server filters.
pub(super) fn restrict(archived: &Plan, selection: &Selection) -> Result<Plan> {
    if let Some(filtered) = selection.tables.iter().find(|table| table.filter.is_some()) {
        return Err(Error::usage("the rows of an archive cannot be filtered").with("table", &filtered.name));
    }
    let mut plan = Plan::from_selection(&catalog(archived), selection, archived.position.clone());
    let tables: HashMap<&str, &TablePlan> =
        archived.tables.iter().map(|table| (table.table.name.as_str(), table)).collect();
    for table in &mut plan.tables {
        let Some(&archived) = tables.get(table.table.name.as_str()) else { continue };
        let chunks = if selection.rows { archived.chunks.clone() } else { Vec::new() };
        *table = TablePlan { number: table.number, chunks, ..archived.clone() };
    }
    // Whoever reads only a part of the rows now must know later whether the rest is of the same export.
    plan.job.id.clone_from(&archived.job.id);
    plan.schema = selection.schema && archived.schema;
    plan.left_out = archived.left_out.clone();
    plan.left_out.extend(selection.left_out.iter().filter(|left| !archived.left_out.contains(left)).cloned());
    plan.warnings.clone_from(&archived.warnings);
    plan.invalid.clone_from(&archived.invalid);
    let chosen = |lost: &&FidelityIssue| plan.tables.iter().any(|table| table.table.object() == lost.object);
    plan.fidelity = archived.fidelity.iter().filter(chosen).cloned().collect();
    if selection.schema && !archived.schema {
        plan.warnings.push("the archive holds no definitions: it was made with --data-only".to_owned());
    }
    let rows = archived.tables.iter().any(|table| !table.chunks.is_empty());
    if selection.rows && !rows && !archived.tables.is_empty() {
        plan.warnings.push("the archive holds no rows: it was made with --schema-only".to_owned());
    }
    Ok(plan)
}
