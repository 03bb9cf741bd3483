//! Primary keys that the target asks for, and foreign keys that it may not take.

use std::collections::BTreeSet;

use super::super::words::{list, named, names, plural};
use super::{Target, settable};
use crate::catalog::{ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{ForeignKey, TableDdl, quote_text};
use crate::mysql::foreign_key_defects::{self, DefectiveForeignKey, ForeignKeyDefect};
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &Target<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    findings.extend(primary_keys(conn, target).await?);
    findings.extend(orphans(target));
    findings.extend(loose_keys(target));
    findings.extend(foreign_orphans(conn, target).await?);
    Ok(findings)
}

/// Tables without a primary key where the target wants one.
async fn primary_keys(conn: &mut Conn, target: &Target<'_>) -> Result<Option<Finding>> {
    let settings = &target.party.settings;
    let variables = ["sql_require_primary_key", "innodb_force_primary_key", "sql_generate_invisible_primary_key"];
    let Some(variable) = variables.into_iter().find(|name| settings.is_on(name)) else { return Ok(None) };
    // MariaDB's takes a unique key over NOT NULL columns for one.
    let lacks = |(table, ddl): &&(&Table, Option<TableDdl>)| {
        let identified = variable == "innodb_force_primary_key" && ddl.as_ref().is_some_and(|ddl| ddl.identified);
        table.primary_key.is_empty() && !identified
    };
    let without: Vec<&str> = target.tables.iter().filter(lacks).map(|(table, _)| table.name.as_str()).collect();
    if without.is_empty() {
        return Ok(None);
    }
    let tables = format!("{} {}", plural(without.len(), "table", "tables"), names(&without));
    let have = plural(without.len(), "has", "have");
    // MariaDB's setting is global.
    if variable == "sql_require_primary_key" && settable(conn, target, variable, "OFF").await? {
        return Ok(Some(Finding::note(format!(
            "{tables} {have} no primary key, which the target asks for ({variable}): it is switched off in the sessions of \
             the clone"
        ))));
    }
    if variable == "sql_generate_invisible_primary_key" {
        if settable(conn, target, variable, "OFF").await? {
            return Ok(None);
        }
        return Ok(Some(Finding::warning(format!(
            "{tables} {have} no primary key, and the target will add a hidden one ({variable}=ON): switch it off there, or {}",
            target.party.remedy("SESSION_VARIABLES_ADMIN", "*.*")
        ))));
    }
    Ok(Some(Finding::error(format!(
        "{tables} {have} no primary key, and the target takes no such tables ({variable}=ON): switch it off there, add \
         keys at the source, or leave {} out by --exclude",
        plural(without.len(), "it", "them")
    ))))
}

/// Foreign keys to tables of the same database that will not be there: the sink leaves them out.
fn orphans(target: &Target<'_>) -> Option<Finding> {
    let there = |name: &str| {
        let parent = ObjectRef::new(ObjectKind::Table, name);
        let here = target.there().iter().any(|there| there.kind == ObjectKind::Table && target.meet(there, &parent));
        here || target.tables.iter().any(|(table, _)| target.folded(&table.name) == target.folded(name))
    };
    let local = target.foreign_keys().filter(|(_, key)| key.referenced_database.is_none());
    let orphans: Vec<String> = local.filter(|(_, key)| !there(&key.referenced_table)).map(shown).collect();
    if orphans.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "{} left out, as the referenced tables are neither selected nor on the target: {}",
        plural(orphans.len(), "a foreign key is", "foreign keys are"),
        list(orphans)
    )))
}

fn shown((table, key): (&Table, &ForeignKey)) -> String {
    let (name, parent) = (key.name.as_deref().unwrap_or("without a name"), &key.referenced_table);
    format!("{} of table {} (to {})", named(name), named(&table.name), named(parent))
}

/// Foreign keys that the source keeps although no server would add them: left out where the target refuses them.
fn loose_keys(target: &Target<'_>) -> Option<Finding> {
    let tables: Vec<_> = target.tables.iter().filter_map(|(table, ddl)| Some((*table, ddl.as_ref()?))).collect();
    let loose = foreign_key_defects::find_all(&tables, target.catalog.server.folds_names);
    let is_made = |key: &&DefectiveForeignKey<'_>| {
        let here = target.there().iter().any(|there| target.meet(there, &key.parent.object()));
        matches!(key.defect, ForeignKeyDefect::NameTooLong | ForeignKeyDefect::MissingChildIndex)
            || foreign_key_defects::can_precede_parent(target.flavor, &key.defect) && !here
    };
    let refused = loose.iter().filter(|key| !is_made(key));
    let refused: Vec<String> =
        refused.map(|key| format!("{} ({})", shown((key.child, key.key)), key.defect.describe())).collect();
    if refused.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "{} left out, as the target refuses what the source keeps: {}",
        plural(refused.len(), "a foreign key is", "foreign keys are"),
        list(refused)
    )))
}

/// Foreign keys to tables of other databases that the target does not have: they are made, and refuse rows later.
async fn foreign_orphans(conn: &mut Conn, target: &Target<'_>) -> Result<Option<Finding>> {
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
            let parent = format!("{}.{}", named(database), named(&key.referenced_table));
            orphans.push(format!("table {} to {parent}", named(&table.name)));
        }
    }
    if orphans.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::warning(format!(
        "foreign keys lead to tables of other databases that the target does not have, and will refuse new rows until \
         they are there: {}",
        list(orphans)
    ))))
}
