//! Whether the account may do on the target what this clone needs, by its grants.

use super::super::words::named;
use super::Target;
use crate::catalog::{Flavor, ObjectKind};
use crate::mysql::ddl::TableDdl;
use crate::options::IfExists;
use crate::report::Finding;

/// One line with all rights that are missing.
pub(super) fn check(target: &Target<'_>) -> Option<Finding> {
    let database = target.database();
    let missing: Vec<&str> = needed(target).into_iter().filter(|privilege| !has(target, privilege)).collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(", ");
    Some(Finding::error(format!(
        "the account lacks {missing} on database {} of the target: {}",
        named(database),
        target.party.remedy_in(&missing, database)
    )))
}

fn has(target: &Target<'_>, privilege: &str) -> bool {
    let (grants, database) = (&target.party.grants, target.database());
    let on_rows = matches!(privilege, "SELECT" | "INSERT" | "DELETE") && !target.selection.schema;
    let tables = || target.tables.iter().all(|(table, _)| grants.table(privilege, database, &table.name));
    grants.database(privilege, database) || on_rows && tables()
}

/// The rights that this clone needs in the database, tried on both families: indexes are added by ALTER, which asks for
/// no INDEX; only MySQL asks for REFERENCES; DROP takes away the journal, and after a failure what was made.
fn needed(target: &Target<'_>) -> Vec<&'static str> {
    let selection = target.selection;
    let rows = selection.rows && !target.tables.is_empty();
    let makes = |wanted: fn(ObjectKind) -> bool| target.of_kind(wanted).next().is_some();
    let alters = |ddl: &TableDdl| !ddl.deferred_keys.is_empty() || !ddl.foreign_keys.is_empty();
    let later = target.tables.iter().filter_map(|(_, ddl)| ddl.as_ref()).any(alters);
    let references = target.foreign_keys().next().is_some() && target.flavor == Flavor::MySql;
    let replaces = target.options.if_exists == IfExists::Drop
        && target
            .there()
            .iter()
            .any(|there| there.kind.is_routine() && target.definitions.iter().any(|d| target.meet(&d.object, there)));
    let makes_views = makes(|kind| kind == ObjectKind::View);
    let makes_sequences = makes(|kind| kind == ObjectKind::Sequence);
    let wanted = [
        ("CREATE", true),
        ("DROP", true),
        ("ALTER", selection.schema && later),
        ("REFERENCES", selection.schema && references),
        ("SELECT", rows || makes_views || makes_sequences),
        ("INSERT", rows || makes_sequences),
        ("DELETE", rows),
        ("CREATE VIEW", makes_views),
        ("TRIGGER", makes(|kind| kind == ObjectKind::Trigger)),
        ("CREATE ROUTINE", makes(ObjectKind::is_routine)),
        ("ALTER ROUTINE", replaces),
        ("EVENT", makes(|kind| kind == ObjectKind::Event)),
    ];
    wanted.into_iter().filter(|(_, needed)| *needed).map(|(privilege, _)| privilege).collect()
}
