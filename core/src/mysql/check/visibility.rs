//! Checks for objects and definitions that the server hides from the account without an error.

use super::account::Account;
use super::message_format::{self, join_names, plural};
use super::read_access;
use crate::catalog::{Catalog, Definition, ObjectKind, ObjectRef};
use crate::error::Error;
use crate::mysql::capability::{self, Capability};
use crate::options::CloneOptions;
use crate::plan::Selection;
use crate::report::Finding;

/// Reports the selected objects whose definitions the account may not read, and the `broken` ones, which the server
/// cannot display.
pub(super) fn check(
    account: &Account,
    catalog: &Catalog,
    selection: &Selection,
    broken: &[(ObjectRef, Error)],
) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        broken.iter().map(|(object, error)| read_access::unreadable_finding(object, error)).collect();
    let is_broken = |object: &ObjectRef| broken.iter().any(|(other, _)| other == object);
    let without_text = |definition: &&Definition| {
        let object = &definition.object;
        definition.create.is_empty() && selection.objects.contains(object) && !is_broken(object)
    };
    for kind in ObjectKind::ALL {
        let without_text =
            catalog.definitions.iter().filter(without_text).filter(|definition| definition.object.kind == kind);
        let hidden: Vec<&str> = without_text.map(|definition| definition.object.name.as_str()).collect();
        if hidden.is_empty() {
            continue;
        }
        let kind_name = kind.name().replace('_', " ");
        findings.push(Finding::error(format!(
            "the account may not read the {} of {kind_name} {}: {}",
            plural(hidden.len(), "definition", "definitions"),
            join_names(hidden),
            suggest_grant_for_kind(account, catalog, kind),
        )));
    }
    findings
}

/// Suggests the `GRANT` that makes objects of a kind visible.
fn suggest_grant_for_kind(account: &Account, catalog: &Catalog, kind: ObjectKind) -> String {
    let database = &catalog.database.name;
    match kind {
        ObjectKind::Table | ObjectKind::Sequence => account.suggest_grant_on_database("SELECT", database),
        ObjectKind::View => account.suggest_grant_on_database("SELECT, SHOW VIEW", database),
        ObjectKind::Trigger => account.suggest_grant_on_database("TRIGGER", database),
        ObjectKind::Event => account.suggest_grant_on_database("EVENT", database),
        _ => suggest_grant_for_routines(account, catalog),
    }
}

/// Suggests the `GRANT` that makes the definitions of routines visible.
fn suggest_grant_for_routines(account: &Account, catalog: &Catalog) -> String {
    match capability::has(&catalog.server, Capability::ShowRoutinePrivilege) {
        true => account.suggest_grant("SHOW_ROUTINE", "*.*"),
        false => account.suggest_grant("SELECT", "mysql.proc"),
    }
}

/// Warns of kinds of objects that the clone should contain and the account cannot see.
pub(super) fn check_hidden_kinds(
    account: &Account,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Vec<Finding> {
    let full = options.include.is_empty();
    let database = &catalog.database.name;
    let grants = &account.grants;
    let tables = || selection.tables.iter().all(|table| grants.has_on_table("TRIGGER", database, &table.name));
    let sees_triggers = grants.has_on_database("TRIGGER", database) || !selection.tables.is_empty() && tables();
    let kinds = [
        ("triggers", options.triggers, sees_triggers, account.suggest_grant_on_database("TRIGGER", database)),
        (
            "functions or procedures",
            options.routines,
            sees_all_routines(account, catalog),
            suggest_grant_for_routines(account, catalog),
        ),
        (
            "events",
            options.events,
            grants.has_on_database("EVENT", database),
            account.suggest_grant_on_database("EVENT", database),
        ),
    ];
    let mut findings = Vec::new();
    if full && !grants.has_on_database("SELECT", database) {
        findings.push(Finding::warning(format!(
            "the account has no right to the whole database {}: tables and views without a right of their own are not \
             seen: {}",
            message_format::display_name(database),
            account.suggest_grant_on_database("SELECT, SHOW VIEW", database)
        )));
    }
    let hidden = kinds.into_iter().filter(|(_, wanted, sees, _)| wanted.unwrap_or(full) && !sees);
    findings.extend(hidden.map(|(what, _, _, remedy)| {
        Finding::warning(format!("the account cannot see whether there are {what}, and none are cloned: {remedy}"))
    }));
    findings
}

/// Whether the account sees the names of all routines.
fn sees_all_routines(account: &Account, catalog: &Catalog) -> bool {
    let (grants, database) = (&account.grants, &catalog.database.name);
    let by_database = ["CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE", "SHOW CREATE ROUTINE"];
    let by_catalog = match capability::has(&catalog.server, Capability::ShowRoutinePrivilege) {
        true => grants.has_any_globally(&["SHOW_ROUTINE", "SELECT"]),
        false => grants.has_on_table("SELECT", "mysql", "proc"),
    };
    by_catalog || by_database.iter().any(|privilege| grants.has_on_database(privilege, database))
}
