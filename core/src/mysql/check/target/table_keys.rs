//! Checks for primary keys that the target requires, and foreign keys that it may refuse.

use std::collections::BTreeSet;

use super::super::message_format::{display_name, join_list, join_names, plural};
use super::{PreflightContext, can_set_variable};
use crate::catalog::{ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{ForeignKey, TableDdl, quote_text};
use crate::mysql::foreign_key_defects::{self, DefectiveForeignKey, ForeignKeyDefect};
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    findings.extend(check_primary_keys(conn, target).await?);
    findings.extend(check_missing_parents(target));
    findings.extend(check_loose_keys(target));
    findings.extend(check_parents_in_other_databases(conn, target).await?);
    Ok(findings)
}

/// Reports tables without a primary key if the target requires one.
async fn check_primary_keys(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Option<Finding>> {
    let variables = &target.account.variables;
    let names = ["sql_require_primary_key", "innodb_force_primary_key", "sql_generate_invisible_primary_key"];
    let Some(variable) = names.into_iter().find(|name| variables.is_on(name)) else { return Ok(None) };
    // MariaDB's variable accepts a unique key over NOT NULL columns as well.
    let lacks_key = |(table, ddl): &&(&Table, Option<TableDdl>)| {
        let has_identity =
            variable == "innodb_force_primary_key" && ddl.as_ref().is_some_and(|ddl| ddl.has_row_identity);
        table.primary_key.is_empty() && !has_identity
    };
    let without: Vec<&str> = target.tables.iter().filter(lacks_key).map(|(table, _)| table.name.as_str()).collect();
    if without.is_empty() {
        return Ok(None);
    }
    let tables = format!("{} {}", plural(without.len(), "table", "tables"), join_names(&without));
    let have = plural(without.len(), "has", "have");
    // MariaDB's variable is global.
    if variable == "sql_require_primary_key" && can_set_variable(conn, target, variable, "OFF").await? {
        return Ok(Some(Finding::note(format!(
            "{tables} {have} no primary key, which the target asks for ({variable}): it is switched off in the sessions of \
             the clone"
        ))));
    }
    if variable == "sql_generate_invisible_primary_key" {
        if can_set_variable(conn, target, variable, "OFF").await? {
            return Ok(None);
        }
        return Ok(Some(Finding::warning(format!(
            "{tables} {have} no primary key, and the target will add a hidden one ({variable}=ON): switch it off there, or {}",
            target.account.suggest_grant("SESSION_VARIABLES_ADMIN", "*.*")
        ))));
    }
    Ok(Some(Finding::error(format!(
        "{tables} {have} no primary key, and the target takes no such tables ({variable}=ON): switch it off there, add \
         keys at the source, or leave {} out by --exclude",
        plural(without.len(), "it", "them")
    ))))
}

/// Warns of foreign keys to tables of the same database that the target will not have. The sink omits them.
fn check_missing_parents(target: &PreflightContext<'_>) -> Option<Finding> {
    let exists = |name: &str| {
        let parent = ObjectRef::new(ObjectKind::Table, name);
        let is_existing = target
            .existing_objects()
            .iter()
            .any(|existing| existing.kind == ObjectKind::Table && target.names_collide(existing, &parent));
        is_existing || target.tables.iter().any(|(table, _)| target.fold_name(&table.name) == target.fold_name(name))
    };
    let local = target.foreign_keys().filter(|(_, key)| key.referenced_database.is_none());
    let orphans: Vec<String> =
        local.filter(|(_, key)| !exists(&key.referenced_table)).map(display_foreign_key).collect();
    if orphans.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "{} left out, as the referenced tables are neither selected nor on the target: {}",
        plural(orphans.len(), "a foreign key is", "foreign keys are"),
        join_list(orphans)
    )))
}

/// Formats a foreign key.
pub(super) fn display_foreign_key((table, key): (&Table, &ForeignKey)) -> String {
    let (name, parent) = (key.name.as_deref().unwrap_or("without a name"), &key.referenced_table);
    format!("{} of table {} (to {})", display_name(name), display_name(&table.name), display_name(parent))
}

/// Warns of foreign keys that the source keeps although no server would add them. The sink omits those that the target
/// refuses.
fn check_loose_keys(target: &PreflightContext<'_>) -> Option<Finding> {
    let tables: Vec<_> = target.tables.iter().filter_map(|(table, ddl)| Some((*table, ddl.as_ref()?))).collect();
    let loose = foreign_key_defects::find_all(&tables, target.catalog.server.folds_names);
    let is_created = |key: &&DefectiveForeignKey<'_>| {
        let is_existing =
            target.existing_objects().iter().any(|existing| target.names_collide(existing, &key.parent.object()));
        matches!(key.defect, ForeignKeyDefect::NameTooLong | ForeignKeyDefect::MissingChildIndex)
            || foreign_key_defects::can_precede_parent(target.flavor, &key.defect) && !is_existing
    };
    let refused = loose.iter().filter(|key| !is_created(key));
    let refused: Vec<String> = refused
        .map(|key| format!("{} ({})", display_foreign_key((key.child, key.key)), key.defect.describe()))
        .collect();
    if refused.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "{} left out, as the target refuses what the source keeps: {}",
        plural(refused.len(), "a foreign key is", "foreign keys are"),
        join_list(refused)
    )))
}

/// Warns of foreign keys to missing tables of other databases. The sink creates them, and they refuse rows later.
async fn check_parents_in_other_databases(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Option<Finding>> {
    let mut orphans = Vec::new();
    let mut asked: BTreeSet<(String, String)> = BTreeSet::new();
    for (table, key) in target.foreign_keys() {
        let Some(database) = &key.referenced_database else { continue };
        if !asked.insert((database.clone(), key.referenced_table.clone())) {
            continue;
        }
        let sql = format!(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            quote_text(database),
            quote_text(&key.referenced_table)
        );
        if conn.row(&sql).await?.is_none() {
            let parent = format!("{}.{}", display_name(database), display_name(&key.referenced_table));
            orphans.push(format!("table {} to {parent}", display_name(&table.name)));
        }
    }
    if orphans.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::warning(format!(
        "foreign keys lead to tables of other databases that the target does not have, and will refuse new rows until \
         they are there: {}",
        join_list(orphans)
    ))))
}
