//! Checks for conflicts between the clone and the objects that the target's database holds.

use super::super::message_format::{display_name, display_object, join_list, join_names, plural};
use super::{PreflightContext, column_match, is_relation};
use crate::catalog::{Database, ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::fidelity::Severity;
use crate::mysql::connect::{Conn, Row};
use crate::mysql::ddl::quote_name;
use crate::mysql::introspect::{self, equals_name};
use crate::mysql::journal;
use crate::options::IfExists;
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if target.options.recreate_database {
        findings.extend(check_dropped_database(target));
        return Ok(findings);
    }
    if target.has_journal {
        let unfinished = check_unfinished_clone(conn, target).await?;
        if unfinished.severity == Severity::Error {
            // The other checks would suggest remedies for objects that an unfinished clone left.
            return Ok(vec![unfinished]);
        }
        findings.push(unfinished);
    }
    findings.extend(check_defaults(conn, target).await?);
    findings.extend(check_kind_clashes(target));
    if target.selection.schema {
        findings.extend(check_existing(target));
    } else {
        findings.extend(check_missing_tables(target));
    }
    let kept = kept_tables(target);
    if !kept.is_empty() {
        findings.extend(check_emptied_tables(target, &kept));
        findings.extend(column_match::check(conn, target, &kept).await?);
        if target.selection.rows {
            findings.extend(check_firing_triggers(conn, target, &kept).await?);
        }
    }
    if !target.selection.schema && target.options.if_exists == IfExists::Fail {
        findings.extend(check_empty_tables(conn, target, &kept).await?);
    }
    Ok(findings)
}

/// Warns that `--recreate-database` drops the database.
fn check_dropped_database(target: &PreflightContext<'_>) -> Option<Finding> {
    let count = target.objects.len();
    let name = display_name(target.stored_name.as_deref()?);
    Some(Finding::warning(format!(
        "--recreate-database drops database {name} of the target with all that it holds: {count} {}",
        plural(count, "object", "objects")
    )))
}

/// Reports a clone that has not finished: its tables exist, but may lack rows, indexes or foreign keys.
async fn check_unfinished_clone(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Finding> {
    if let Some(holder) = journal::lock_holder(conn, target.database).await? {
        return Ok(Finding::error(journal::lock_held_message(target.database(), &holder)));
    }
    let killed = format!(
        "a clone into database {} of the target was killed: its journal {} is there",
        display_name(target.database()),
        journal::TABLE_NAME
    );
    let incomplete = "its tables may lack rows, indexes, foreign keys and their AUTO_INCREMENT";
    if !target.selection.schema {
        return Ok(Finding::error(format!(
            "{killed}, and {incomplete}: go on with it by --resume, undo it by `dbgraft abandon`, or clone the definitions \
             too, by --if-exists drop; or, if that clone was --data-only as well, drop table {} and say --if-exists truncate",
            journal::TABLE_NAME
        )));
    }
    if target.options.if_exists != IfExists::Drop {
        return Ok(Finding::error(format!(
            "{killed}, and {incomplete}: go on with it by --resume, undo it by `dbgraft abandon`, or start again with \
             --if-exists drop, or --recreate-database"
        )));
    }
    let is_replaced =
        |existing: &ObjectRef| wanted_objects(target).any(|wanted| target.names_collide(existing, &wanted));
    let stay: Vec<String> =
        target.objects.iter().filter(|existing| !is_replaced(existing)).map(display_object).collect();
    Ok(match stay.is_empty() {
        true => Finding::note(format!("{killed}; all that it left is dropped and made anew")),
        false => Finding::warning(format!(
            "{killed}; what is not cloned now stays as it is, and may be what that clone left: {}",
            join_list(&stay)
        )),
    })
}

/// Warns if an existing database has other defaults than the source's, which a clone of the whole database would set.
async fn check_defaults(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Option<Finding>> {
    if !target.selection.whole || !target.selection.schema {
        return Ok(None);
    }
    let Some(existing) = introspect::read_database(conn, target.database()).await? else { return Ok(None) };
    let Database { charset, collation, .. } = &target.catalog.database;
    if existing.collation == *collation {
        return Ok(None);
    }
    Ok(Some(Finding::warning(format!(
        "database {} is there with the default {} {}, at the source it is {charset} {collation}: choose \
         --recreate-database, or ALTER DATABASE",
        display_name(target.database()),
        existing.charset,
        existing.collation
    ))))
}

/// The objects that the clone writes.
fn wanted_objects(target: &PreflightContext<'_>) -> impl Iterator<Item = ObjectRef> {
    let tables = target.tables.iter().map(|(table, _)| table.object());
    tables.chain(target.definitions.iter().map(|definition| definition.object.clone()))
}

/// Reports objects that have the name of a cloned object and another kind.
fn check_kind_clashes(target: &PreflightContext<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wanted in wanted_objects(target).filter(|wanted| is_relation(wanted.kind)) {
        let other = target
            .existing_objects()
            .iter()
            .find(|existing| existing.kind != wanted.kind && target.names_collide(existing, &wanted));
        let Some(other) = other else { continue };
        let (wanted, existing) = (display_object(&wanted), display_object(other));
        findings.push(match target.options.if_exists {
            IfExists::Drop => {
                Finding::warning(format!("{existing} on the target is dropped to make room for {wanted}"))
            }
            _ => Finding::error(format!(
                "{existing} on the target is where {wanted} is to be: drop it there, or leave {wanted} out by --exclude"
            )),
        });
    }
    findings
}

/// Reports objects that have the name and the kind of a cloned object.
fn check_existing(target: &PreflightContext<'_>) -> Option<Finding> {
    let exists = |wanted: &ObjectRef| {
        target
            .existing_objects()
            .iter()
            .any(|existing| existing.kind == wanted.kind && target.names_collide(existing, wanted))
    };
    let truncate = target.options.if_exists == IfExists::Truncate;
    let is_replaced = |wanted: &ObjectRef| exists(wanted) && !(truncate && wanted.kind == ObjectKind::Table);
    let found: Vec<ObjectRef> = wanted_objects(target).filter(is_replaced).collect();
    if found.is_empty() {
        return None;
    }
    let (count, listed) = (found.len(), join_list(found.iter().map(display_object)));
    let word = plural(count, "object is", "objects are");
    let database = display_name(target.database());
    match target.options.if_exists {
        IfExists::Fail => Some(Finding::error(format!(
            "{count} {word} in the target database {database} already: {listed}: choose --if-exists drop, truncate or \
             skip, or --recreate-database, or another database"
        ))),
        IfExists::Drop | IfExists::Truncate => Some(Finding::note(format!(
            "{count} {word} in the target database {database} already and will be dropped and made anew: {listed}"
        ))),
        IfExists::Skip => None,
    }
}

/// Notes the tables that are emptied first.
fn check_emptied_tables(target: &PreflightContext<'_>, kept: &[(&Table, &str)]) -> Option<Finding> {
    if target.options.if_exists != IfExists::Truncate {
        return None;
    }
    Some(Finding::note(format!(
        "{} {} of the target {} emptied first",
        plural(kept.len(), "table", "tables"),
        join_names(kept.iter().map(|(_, name)| name)),
        plural(kept.len(), "is", "are"),
    )))
}

/// Reports tables that `--data-only` needs and the target does not have.
fn check_missing_tables(target: &PreflightContext<'_>) -> Option<Finding> {
    let exists = |table: &Table| {
        target.existing_objects().iter().any(|existing| target.names_collide(existing, &table.object()))
    };
    let absent = target.tables.iter().filter(|(table, _)| !exists(table));
    let absent: Vec<&str> = absent.map(|(table, _)| table.name.as_str()).collect();
    if absent.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "--data-only needs the tables on the target, and {} {} not in database {}: clone {} definition too",
        join_names(&absent),
        plural(absent.len(), "is", "are"),
        display_name(target.database()),
        plural(absent.len(), "its", "their"),
    )))
}

/// The tables that keep their definitions and receive rows, each with the target's name of it.
fn kept_tables<'t>(target: &'t PreflightContext<'_>) -> Vec<(&'t Table, &'t str)> {
    let keeps = !target.selection.schema || target.options.if_exists == IfExists::Truncate;
    let pairs = target.tables.iter().filter_map(|(table, _)| {
        let object = table.object();
        let existing = target
            .existing_objects()
            .iter()
            .find(|existing| existing.kind == ObjectKind::Table && target.names_collide(existing, &object))?;
        Some((*table, existing.name.as_str()))
    });
    pairs.filter(|_| keeps).collect()
}

/// Reports triggers of the target that would run for each loaded row.
async fn check_firing_triggers(
    conn: &mut Conn,
    target: &PreflightContext<'_>,
    kept: &[(&Table, &str)],
) -> Result<Option<Finding>> {
    let sql = format!(
        "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE {} AND \
         EVENT_MANIPULATION = 'INSERT' ORDER BY 1, 2",
        equals_name("EVENT_OBJECT_SCHEMA", target.database())
    );
    let rows = conn.rows(&sql).await?;
    let is_firing = |row: &&Row| {
        // A trigger that is cloned too is dropped before the rows are loaded.
        let trigger = ObjectRef::new(ObjectKind::Trigger, row.string(1));
        let replaced = target.definitions.iter().any(|definition| target.names_collide(&definition.object, &trigger));
        !replaced && kept.iter().any(|(_, name)| *name == row.string(0))
    };
    let firing = rows.iter().filter(is_firing);
    let firing: Vec<String> = firing
        .map(|row| format!("{} on table {}", display_name(&row.string(1)), display_name(&row.string(0))))
        .collect();
    if firing.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::error(format!(
        "{} {} would fire for each row that is loaded: drop {} on the target first, or choose --if-exists drop",
        plural(firing.len(), "trigger", "triggers"),
        join_list(&firing),
        plural(firing.len(), "it", "them"),
    ))))
}

/// The number of tables that one statement reads.
const TABLES_PER_STATEMENT: usize = 32;

/// Reports tables that are not empty.
async fn check_empty_tables(
    conn: &mut Conn,
    target: &PreflightContext<'_>,
    kept: &[(&Table, &str)],
) -> Result<Option<Finding>> {
    let database = quote_name(target.database());
    let mut non_empty = Vec::new();
    for batch in kept.chunks(TABLES_PER_STATEMENT) {
        let numbered = batch.iter().enumerate();
        let probes = numbered.map(|(index, (_, name))| {
            format!("SELECT {index} FROM (SELECT 1 FROM {database}.{} LIMIT 1) AS look", quote_name(name))
        });
        match conn.rows(&probes.collect::<Vec<_>>().join(" UNION ALL ")).await {
            Ok(rows) => {
                let found = |index: usize| rows.iter().any(|row| row.string(0) == index.to_string());
                non_empty
                    .extend(batch.iter().enumerate().filter(|(index, _)| found(*index)).map(|(_, (_, name))| *name));
            }
            Err(error) if error.code().is_none() => return Err(error),
            // Another check reports missing tables.
            Err(_) => {}
        }
    }
    if non_empty.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::error(format!(
        "{} {} on the target {} not empty: --if-exists truncate empties {} first",
        plural(non_empty.len(), "table", "tables"),
        join_names(&non_empty),
        plural(non_empty.len(), "is", "are"),
        plural(non_empty.len(), "it", "them"),
    ))))
}
