//! What the account cannot see. Servers hide what an account has no right to, without a word.

use super::party::Party;
use super::readable;
use super::words::{self, names, plural};
use crate::catalog::{Catalog, Definition, Flavor, ObjectKind, ObjectRef};
use crate::error::Error;
use crate::options::CloneOptions;
use crate::plan::Selection;
use crate::report::Finding;

/// The selected objects whose definitions the account may not read, or the server cannot show: the `broken` ones.
pub(super) fn check(
    party: &Party,
    catalog: &Catalog,
    selection: &Selection,
    broken: &[(ObjectRef, Error)],
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = broken.iter().map(|(object, error)| readable::unreadable(object, error)).collect();
    let is_broken = |object: &ObjectRef| broken.iter().any(|(other, _)| other == object);
    let blank = |definition: &&Definition| {
        let object = &definition.object;
        definition.create.is_empty() && selection.objects.contains(object) && !is_broken(object)
    };
    for kind in ObjectKind::ALL {
        let blank = catalog.definitions.iter().filter(blank).filter(|definition| definition.object.kind == kind);
        let hidden: Vec<&str> = blank.map(|definition| definition.object.name.as_str()).collect();
        if hidden.is_empty() {
            continue;
        }
        let kind_name = kind.name().replace('_', " ");
        findings.push(Finding::error(format!(
            "the account may not read the {} of {kind_name} {}: {}",
            plural(hidden.len(), "definition", "definitions"),
            names(hidden),
            remedy(party, catalog, kind),
        )));
    }
    findings
}

fn remedy(party: &Party, catalog: &Catalog, kind: ObjectKind) -> String {
    let database = &catalog.database.name;
    match kind {
        ObjectKind::Table | ObjectKind::Sequence => party.remedy_in("SELECT", database),
        ObjectKind::View => party.remedy_in("SELECT, SHOW VIEW", database),
        ObjectKind::Trigger => party.remedy_in("TRIGGER", database),
        ObjectKind::Event => party.remedy_in("EVENT", database),
        _ => routine_remedy(party, catalog),
    }
}

fn routine_remedy(party: &Party, catalog: &Catalog) -> String {
    match catalog.server.flavor {
        Flavor::MySql => party.remedy("SHOW_ROUTINE", "*.*"),
        Flavor::MariaDb => party.remedy("SELECT", "mysql.proc"),
    }
}

/// The kinds of object that the clone should have, and of which the account would not see any.
pub(super) fn unseen(party: &Party, catalog: &Catalog, selection: &Selection, options: &CloneOptions) -> Vec<Finding> {
    let full = options.include.is_empty();
    let database = &catalog.database.name;
    let grants = &party.grants;
    let tables = || selection.tables.iter().all(|table| grants.table("TRIGGER", database, &table.name));
    let sees_triggers = grants.database("TRIGGER", database) || !selection.tables.is_empty() && tables();
    let kinds = [
        ("triggers", options.triggers, sees_triggers, party.remedy_in("TRIGGER", database)),
        ("functions or procedures", options.routines, sees_routines(party, catalog), routine_remedy(party, catalog)),
        ("events", options.events, grants.database("EVENT", database), party.remedy_in("EVENT", database)),
    ];
    let mut findings = Vec::new();
    if full && !grants.database("SELECT", database) {
        findings.push(Finding::warning(format!(
            "the account has no right to the whole database {}: tables and views without a right of their own are not \
             seen: {}",
            words::named(database),
            party.remedy_in("SELECT, SHOW VIEW", database)
        )));
    }
    let unseen = kinds.into_iter().filter(|(_, wanted, sees, _)| wanted.unwrap_or(full) && !sees);
    findings.extend(unseen.map(|(what, _, _, remedy)| {
        Finding::warning(format!("the account cannot see whether there are {what}, and none are cloned: {remedy}"))
    }));
    findings
}

/// Whether the account is told of every routine, if not of its text.
fn sees_routines(party: &Party, catalog: &Catalog) -> bool {
    let (grants, database) = (&party.grants, &catalog.database.name);
    let by_database = ["CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE", "SHOW CREATE ROUTINE"];
    let of_its_own = match catalog.server.flavor {
        Flavor::MySql => grants.any_global(&["SHOW_ROUTINE", "SELECT"]),
        Flavor::MariaDb => grants.table("SELECT", "mysql", "proc"),
    };
    of_its_own || by_database.iter().any(|privilege| grants.database(privilege, database))
}
