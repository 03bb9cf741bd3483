//! Whether the changes of all selected tables can be applied.

use super::super::account::Account;
use super::super::message_format::{display_name, join_list};
use super::PreflightContext;
use super::table_keys::display_foreign_key;
use crate::catalog::{Definition, ObjectKind, Printable, Table};
use crate::error::Result;
use crate::mysql::capability::{self, Capability};
use crate::mysql::connect::{Conn, ServerAddress};
use crate::mysql::ddl::ForeignKey;
use crate::mysql::write::is_transactional;
use crate::mysql::{cascade_chains, generated};
use crate::options::OnDdl;
use crate::plan::Plan;
use crate::report::Finding;

/// Finds the tables and objects that cannot be followed.
pub(super) async fn check(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Vec<Finding>> {
    if !target.options.follow {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    if target.options.on_ddl == OnDdl::Apply && target.catalog.server.flavor != target.flavor {
        let message = "--on-ddl apply: a statement may mean something else in the other family: use --on-ddl stop";
        findings.push(Finding::error(message));
    }
    let logs_cascades = capability::has(&target.catalog.server, Capability::LoggedCascades);
    if !logs_cascades && cascade_chains::is_incomplete(conn).await? {
        findings.extend(check_cascade_chains(target));
    }
    let tables = target.tables.iter().map(|(table, _)| *table);
    findings.extend(problems(tables, target.definitions.iter().copied()).iter().map(|(name, problem)| {
        let name = Printable(name);
        Finding::error(format!("--follow: {problem}: leave it out by --exclude {name}, or clone without --follow"))
    }));
    Ok(findings)
}

/// Finds what prevents the changes of a clone that was killed from being applied.
pub(in crate::mysql::check) async fn check_catch_up(
    conn: &mut Conn,
    address: &ServerAddress,
    plan: &Plan,
) -> Result<Vec<Finding>> {
    let problems = problems(plan.tables.iter().map(|planned| &planned.table), plan.definitions.iter());
    let mut findings: Vec<Finding> = problems.into_iter().map(|(_, problem)| Finding::error(problem)).collect();
    let account = Account::read(conn).await?;
    if !account.grants.has_on_database("UPDATE", &address.database) {
        findings.push(Finding::error(format!(
            "the account lacks UPDATE on database {} of the target: {}",
            display_name(&address.database),
            account.suggest_grant_on_database("UPDATE", &address.database)
        )));
    }
    Ok(findings)
}

/// What prevents the changes of these tables from being applied.
pub(in crate::mysql::check) fn table_problems<'a>(tables: impl Iterator<Item = &'a Table>) -> Vec<String> {
    problems(tables, std::iter::empty()).into_iter().map(|(_, problem)| problem).collect()
}

/// What prevents the changes of tables and objects from being applied, with the names of these.
fn problems<'a>(
    tables: impl Iterator<Item = &'a Table>,
    definitions: impl Iterator<Item = &'a Definition>,
) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for table in tables {
        let name = Printable(&table.name);
        let mut add = |problem: String| problems.push((table.name.clone(), problem));
        if !is_transactional(table) {
            let engine = &table.engine;
            add(format!(
                "table {name} has the engine {engine}, which has no transactions, so that a change could be applied twice"
            ));
        }
        if generated::depends_on_settings(table) {
            add(format!(
                "stored generated columns of table {name} depend on the settings of the session that writes a row, which the \
                 source's log does not hold"
            ));
        }
        if table.history {
            add(format!("table {name} is system-versioned, and the times of its history would be the target's"));
        }
    }
    for sequence in definitions.filter(|definition| definition.object.kind == ObjectKind::Sequence) {
        let name = sequence.object.name.clone();
        let problem = format!("the values of sequence {} are not followed", Printable(&name));
        problems.push((name, problem));
    }
    problems
}

/// Refuses foreign keys that change rows over several tables.
fn check_cascade_chains(target: &PreflightContext<'_>) -> Option<Finding> {
    let goes_on = |key: &(&Table, &ForeignKey)| {
        key.1.changes_rows() && cascade_chains::find_next(*key, target.foreign_keys()).is_some()
    };
    let chains: Vec<String> = target.foreign_keys().filter(goes_on).map(display_foreign_key).collect();
    (!chains.is_empty()).then(|| {
        let (chains, remedy) = (join_list(chains), cascade_chains::REMEDY);
        Finding::error(format!(
            "--follow: foreign keys change rows by CASCADE or SET NULL that other such keys refer to: {chains}: {remedy}"
        ))
    })
}
