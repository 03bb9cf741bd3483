//! Whether the changes of all selected tables can be applied.

use super::PreflightContext;
use crate::catalog::{ObjectKind, Printable};
use crate::mysql::generated;
use crate::mysql::write::is_transactional;
use crate::report::Finding;

/// Finds the tables and objects that cannot be followed.
pub(super) fn check(target: &PreflightContext<'_>) -> Vec<Finding> {
    if !target.options.follow {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (table, _) in &target.tables {
        let name = Printable(&table.name);
        let remedy = format!("leave it out by --exclude {name}, or clone without --follow");
        if !is_transactional(table) {
            let engine = &table.engine;
            findings.push(Finding::error(format!(
                "--follow: table {name} has the engine {engine}, which has no transactions, so that a change could be applied \
                 twice: {remedy}"
            )));
        }
        if generated::depends_on_settings(table) {
            findings.push(Finding::error(format!(
                "--follow: stored generated columns of table {name} depend on the settings of the session that writes a row, \
                 which the source's log does not hold: {remedy}"
            )));
        }
        if table.history {
            findings.push(Finding::error(format!(
                "--follow: table {name} is system-versioned, and the times of its history would be the target's: {remedy}"
            )));
        }
    }
    for sequence in target.definitions.iter().filter(|d| d.object.kind == ObjectKind::Sequence) {
        let name = Printable(&sequence.object.name);
        findings.push(Finding::error(format!(
            "--follow: the values of sequence {name} are not followed: leave it out by --exclude {name}, or clone without \
             --follow"
        )));
    }
    findings
}
