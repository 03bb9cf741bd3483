//! What is in the target's database already, and whether the clone has room beside it.

use super::super::words::{list, named, names, object, plural};
use super::{Target, columns, is_relation};
use crate::catalog::{Database, ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::fidelity::Severity;
use crate::mysql::connect::{Conn, Row};
use crate::mysql::ddl::quote_name;
use crate::mysql::introspect::{self, equals_name};
use crate::mysql::journal;
use crate::options::IfExists;
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &Target<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if target.options.recreate_database {
        findings.extend(dropped_database(target));
        return Ok(findings);
    }
    if target.journal {
        let unfinished = unfinished(conn, target).await?;
        if unfinished.severity == Severity::Error {
            // What is there is no ground for any other advice.
            return Ok(vec![unfinished]);
        }
        findings.push(unfinished);
    }
    findings.extend(defaults(conn, target).await?);
    findings.extend(clashes(target));
    if target.selection.schema {
        findings.extend(existing(target));
    } else {
        findings.extend(missing_tables(target));
    }
    let kept = kept_tables(target);
    if !kept.is_empty() {
        findings.extend(emptied(target, &kept));
        findings.extend(columns::check(conn, target, &kept).await?);
        if target.selection.rows {
            findings.extend(firing_triggers(conn, target, &kept).await?);
        }
    }
    if !target.selection.schema && target.options.if_exists == IfExists::Fail {
        findings.extend(not_empty(conn, target, &kept).await?);
    }
    Ok(findings)
}

fn dropped_database(target: &Target<'_>) -> Option<Finding> {
    let count = target.holds.len();
    let name = named(target.stored.as_deref()?);
    Some(Finding::warning(format!(
        "--recreate-database drops database {name} of the target with all that it holds: {count} {}",
        plural(count, "object", "objects")
    )))
}

/// A clone that has not come to its end: its tables are there, but may lack rows, indexes or foreign keys.
async fn unfinished(conn: &mut Conn, target: &Target<'_>) -> Result<Finding> {
    if let Some(holder) = journal::lock_holder(conn, target.database).await? {
        return Ok(Finding::error(journal::lock_held_message(target.database(), &holder)));
    }
    let killed = format!(
        "a clone into database {} of the target was killed: its journal {} is there",
        named(target.database()),
        journal::TABLE_NAME
    );
    let incomplete = "its tables may lack rows, indexes, foreign keys and their AUTO_INCREMENT";
    if !target.selection.schema {
        return Ok(Finding::error(format!(
            "{killed}, and {incomplete}: clone the definitions too, by --if-exists drop; or, if that clone was \
             --data-only as well, drop table {} and say --if-exists truncate",
            journal::TABLE_NAME
        )));
    }
    if target.options.if_exists != IfExists::Drop {
        return Ok(Finding::error(format!(
            "{killed}, and {incomplete}: start again with --if-exists drop, or --recreate-database"
        )));
    }
    let replaced = |there: &ObjectRef| wanted(target).any(|wanted| target.meet(there, &wanted));
    let stay: Vec<String> = target.holds.iter().filter(|there| !replaced(there)).map(object).collect();
    Ok(match stay.is_empty() {
        true => Finding::note(format!("{killed}; all that it left is dropped and made anew")),
        false => Finding::warning(format!(
            "{killed}; what is not cloned now stays as it is, and may be what that clone left: {}",
            list(&stay)
        )),
    })
}

/// Defaults of a database that is there, which a whole clone would have brought. What is cloned keeps its own.
async fn defaults(conn: &mut Conn, target: &Target<'_>) -> Result<Option<Finding>> {
    if !target.selection.whole || !target.selection.schema {
        return Ok(None);
    }
    let Some(there) = introspect::read_database(conn, target.database()).await? else { return Ok(None) };
    let Database { charset, collation, .. } = &target.catalog.database;
    if there.collation == *collation {
        return Ok(None);
    }
    Ok(Some(Finding::warning(format!(
        "database {} is there with the default {} {}, at the source it is {charset} {collation}: choose \
         --recreate-database, or ALTER DATABASE",
        named(target.database()),
        there.charset,
        there.collation
    ))))
}

/// All that will be written.
fn wanted(target: &Target<'_>) -> impl Iterator<Item = ObjectRef> {
    let tables = target.tables.iter().map(|(table, _)| table.object());
    tables.chain(target.definitions.iter().map(|definition| definition.object.clone()))
}

/// Objects of another kind under a wanted name.
fn clashes(target: &Target<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wanted in wanted(target).filter(|wanted| is_relation(wanted.kind)) {
        let other = target.there().iter().find(|there| there.kind != wanted.kind && target.meet(there, &wanted));
        let Some(other) = other else { continue };
        let (wanted, there) = (object(&wanted), object(other));
        findings.push(match target.options.if_exists {
            IfExists::Drop => Finding::warning(format!("{there} on the target is dropped to make room for {wanted}")),
            _ => Finding::error(format!(
                "{there} on the target is where {wanted} is to be: drop it there, or leave {wanted} out by --exclude"
            )),
        });
    }
    findings
}

/// Objects of the same kind and name, when definitions are cloned too.
fn existing(target: &Target<'_>) -> Option<Finding> {
    let there = |wanted: &ObjectRef| target.there().iter().any(|t| t.kind == wanted.kind && target.meet(t, wanted));
    let truncate = target.options.if_exists == IfExists::Truncate;
    let replaced = |wanted: &ObjectRef| there(wanted) && !(truncate && wanted.kind == ObjectKind::Table);
    let found: Vec<ObjectRef> = wanted(target).filter(replaced).collect();
    if found.is_empty() {
        return None;
    }
    let (count, listed) = (found.len(), list(found.iter().map(object)));
    let word = plural(count, "object is", "objects are");
    let database = named(target.database());
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

/// The tables that lose their rows.
fn emptied(target: &Target<'_>, kept: &[(&Table, &str)]) -> Option<Finding> {
    if target.options.if_exists != IfExists::Truncate {
        return None;
    }
    Some(Finding::note(format!(
        "{} {} of the target {} emptied first",
        plural(kept.len(), "table", "tables"),
        names(kept.iter().map(|(_, name)| name)),
        plural(kept.len(), "is", "are"),
    )))
}

fn missing_tables(target: &Target<'_>) -> Option<Finding> {
    let there = |table: &Table| target.there().iter().any(|there| target.meet(there, &table.object()));
    let absent = target.tables.iter().filter(|(table, _)| !there(table));
    let absent: Vec<&str> = absent.map(|(table, _)| table.name.as_str()).collect();
    if absent.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "--data-only needs the tables on the target, and {} {} not in database {}: clone {} definition too",
        names(&absent),
        plural(absent.len(), "is", "are"),
        named(target.database()),
        plural(absent.len(), "its", "their"),
    )))
}

/// The tables that keep their definitions and take rows; the target's name of each goes along.
fn kept_tables<'t>(target: &'t Target<'_>) -> Vec<(&'t Table, &'t str)> {
    let keeps = !target.selection.schema || target.options.if_exists == IfExists::Truncate;
    let pairs = target.tables.iter().filter_map(|(table, _)| {
        let object = table.object();
        let there = target.there().iter().find(|t| t.kind == ObjectKind::Table && target.meet(t, &object))?;
        Some((*table, there.name.as_str()))
    });
    pairs.filter(|_| keeps).collect()
}

async fn firing_triggers(conn: &mut Conn, target: &Target<'_>, kept: &[(&Table, &str)]) -> Result<Option<Finding>> {
    let sql = format!(
        "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE {} AND \
         EVENT_MANIPULATION = 'INSERT' ORDER BY 1, 2",
        equals_name("EVENT_OBJECT_SCHEMA", target.database())
    );
    let rows = conn.rows(&sql).await?;
    let fires = |row: &&Row| {
        // One that is cloned too is dropped before the rows come.
        let trigger = ObjectRef::new(ObjectKind::Trigger, row.string(1));
        let replaced = target.definitions.iter().any(|definition| target.meet(&definition.object, &trigger));
        !replaced && kept.iter().any(|(_, name)| *name == row.string(0))
    };
    let firing = rows.iter().filter(fires);
    let firing: Vec<String> =
        firing.map(|row| format!("{} on table {}", named(&row.string(1)), named(&row.string(0)))).collect();
    if firing.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::error(format!(
        "{} {} would fire for each row that is loaded: drop {} on the target first, or choose --if-exists drop",
        plural(firing.len(), "trigger", "triggers"),
        list(&firing),
        plural(firing.len(), "it", "them"),
    ))))
}

/// How many tables are looked into by one statement.
const AT_ONCE: usize = 32;

async fn not_empty(conn: &mut Conn, target: &Target<'_>, kept: &[(&Table, &str)]) -> Result<Option<Finding>> {
    let database = quote_name(target.database());
    let mut full = Vec::new();
    for some in kept.chunks(AT_ONCE) {
        let numbered = some.iter().enumerate();
        let looks = numbered.map(|(index, (_, name))| {
            format!("SELECT {index} FROM (SELECT 1 FROM {database}.{} LIMIT 1) AS look", quote_name(name))
        });
        match conn.rows(&looks.collect::<Vec<_>>().join(" UNION ALL ")).await {
            Ok(rows) => {
                let found = |index: usize| rows.iter().any(|row| row.string(0) == index.to_string());
                full.extend(some.iter().enumerate().filter(|(index, _)| found(*index)).map(|(_, (_, name))| *name));
            }
            Err(error) if error.code().is_none() => return Err(error),
            // What is missing is in another line.
            Err(_) => {}
        }
    }
    if full.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::error(format!(
        "{} {} on the target {} not empty: --if-exists truncate empties {} first",
        plural(full.len(), "table", "tables"),
        names(&full),
        plural(full.len(), "is", "are"),
        plural(full.len(), "it", "them"),
    ))))
}
