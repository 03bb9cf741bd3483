//! Checks that the account has the privileges that this clone needs on the target.

use super::super::message_format::display_name;
use super::PreflightContext;
use crate::catalog::{Flavor, ObjectKind};
use crate::mysql::ddl::TableDdl;
use crate::options::IfExists;
use crate::report::Finding;

/// Reports all missing privileges in one finding.
pub(super) fn check(target: &PreflightContext<'_>) -> Option<Finding> {
    let database = target.database();
    let missing: Vec<&str> =
        needed_privileges(target).into_iter().filter(|privilege| !has_privilege(target, privilege)).collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(", ");
    Some(Finding::error(format!(
        "the account lacks {missing} on database {} of the target: {}",
        display_name(database),
        target.account.suggest_grant_on_database(&missing, database)
    )))
}

/// Whether the account has the privilege on the database, or on all cloned tables where that suffices.
fn has_privilege(target: &PreflightContext<'_>, privilege: &str) -> bool {
    let (grants, database) = (&target.account.grants, target.database());
    let on_rows = matches!(privilege, "SELECT" | "INSERT" | "DELETE") && !target.selection.schema;
    let tables = || target.tables.iter().all(|(table, _)| grants.has_on_table(privilege, database, &table.name));
    grants.has_on_database(privilege, database) || on_rows && tables()
}

/// The privileges that this clone needs in the database, tested on both families.
///
/// ALTER adds indexes and needs no INDEX. Only MySQL needs REFERENCES. DROP removes the journal, and after a failure
/// the created objects.
fn needed_privileges(target: &PreflightContext<'_>) -> Vec<&'static str> {
    let selection = target.selection;
    let rows = selection.rows && !target.tables.is_empty();
    let creates = |wanted: fn(ObjectKind) -> bool| target.definitions_of_kind(wanted).next().is_some();
    let alters = |ddl: &TableDdl| !ddl.deferred_keys.is_empty() || !ddl.foreign_keys.is_empty();
    let has_deferred_keys = target.tables.iter().filter_map(|(_, ddl)| ddl.as_ref()).any(alters);
    let references = target.foreign_keys().next().is_some() && target.flavor == Flavor::MySql;
    let replaces = target.options.if_exists == IfExists::Drop
        && target.existing_objects().iter().any(|existing| {
            existing.kind.is_routine() && target.definitions.iter().any(|d| target.names_collide(&d.object, existing))
        });
    let creates_views = creates(|kind| kind == ObjectKind::View);
    let creates_sequences = creates(|kind| kind == ObjectKind::Sequence);
    let wanted = [
        ("CREATE", true),
        ("DROP", true),
        ("ALTER", selection.schema && has_deferred_keys),
        ("REFERENCES", selection.schema && references),
        ("SELECT", rows || creates_views || creates_sequences),
        ("INSERT", rows || creates_sequences),
        ("DELETE", rows),
        ("UPDATE", target.options.follow),
        ("CREATE VIEW", creates_views),
        ("TRIGGER", creates(|kind| kind == ObjectKind::Trigger)),
        ("CREATE ROUTINE", creates(ObjectKind::is_routine)),
        ("ALTER ROUTINE", replaces),
        ("EVENT", creates(|kind| kind == ObjectKind::Event)),
    ];
    wanted.into_iter().filter(|(_, needed)| *needed).map(|(privilege, _)| privilege).collect()
}
