//! Removes the triggers and events of a target to which changes are carried back, and makes them again: a trigger would fire
//! for each change that is applied, although the source's log has what it did there; an event would change rows by itself.
//!
//! The definitions are in the plan, which the journal has before anything is removed.

use std::collections::BTreeSet;

use super::connect::Conn;
use super::ddl::{self, Dialect, EventStatus, quote_name};
use super::definition_rewriter::DefinitionRewriter;
use super::introspect::equals_name;
use super::target::TargetDatabase;
use super::undo_log::CreatedItem;
use super::{check, create_events, create_objects};
use crate::catalog::{Catalog, Definition, ObjectKind, ObjectRef, Printable, Server};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{CloneOptions, Definer, IfExists};
use crate::plan::{Plan, Selection};
use crate::report::{Note, preflight_error};

/// The errors of a trigger and of an event that exist already.
const EXISTS: [u16; 2] = [1359, 1537];

/// The triggers of the plan's tables, and the events that run.
pub(super) fn select(catalog: &Catalog, plan: &Plan) -> Vec<Definition> {
    let is_followed = |table: &str| plan.tables.iter().any(|planned| planned.table.name == table);
    let acts = |definition: &&Definition| match definition.object.kind {
        ObjectKind::Trigger => definition.object.table.as_deref().is_some_and(is_followed),
        ObjectKind::Event => {
            let dialect = Dialect::from_sql_mode(&definition.sql_mode);
            ddl::disable_event(&definition.create, dialect).1 == EventStatus::Enabled
        }
        _ => false,
    };
    catalog.definitions.iter().filter(acts).cloned().collect()
}

/// Checks that the account may make these objects again, each with its definer.
///
/// # Errors
/// `Preflight`, with everything that prevents it.
pub(super) async fn check_restorable(
    conn: &mut Conn,
    target: &TargetDatabase,
    catalog: &Catalog,
    objects: &[Definition],
) -> Result<()> {
    if objects.is_empty() {
        return Ok(());
    }
    // As if they came from another server: no other check compares both ends.
    let server = Server { identity: String::new(), ..catalog.server.clone() };
    let catalog = Catalog { server, tables: Vec::new(), definitions: objects.to_vec(), ..catalog.clone() };
    let objects = objects.iter().map(|definition| definition.object.clone()).collect();
    let selection = Selection { objects, schema: true, ..Selection::default() };
    let options = CloneOptions { definer: Definer::Keep, if_exists: IfExists::Drop, ..CloneOptions::default() };
    let findings = check::target(conn, &target.address, &catalog, &selection, &options).await?;
    match preflight_error(&findings) {
        Some(error) => {
            Err(error.with("needed", "triggers and events are removed while changes are carried back, and made again"))
        }
        None => Ok(()),
    }
}

/// Removes the plan's triggers and events. May be called again.
///
/// # Errors
/// `Preflight` if there are others.
pub(super) async fn remove(target: &TargetDatabase, plan: &Plan) -> Result<()> {
    let mut conn = target.ddl_session().await?;
    for definition in &plan.definitions {
        conn.exec(&create_objects::drop_statement(&definition.object))
            .await
            .map_err(|error| named(error, definition))?;
    }
    let others = read_active_objects(&mut conn, target, plan).await?;
    target.state().ddl_sessions.push(conn);
    match others.first() {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "{other} of the target would change rows beside those that are applied, and was not there when this began: \
                 drop it, or abandon this and begin again"
            );
            Err(Error::new(ErrorKind::Preflight, message))
        }
    }
}

/// Reads the triggers of the plan's tables and the events that run.
async fn read_active_objects(conn: &mut Conn, target: &TargetDatabase, plan: &Plan) -> Result<Vec<ObjectRef>> {
    let database = &target.address.database;
    let triggers = format!(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE {}",
        equals_name("EVENT_OBJECT_SCHEMA", database)
    );
    let events = format!(
        "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE {} AND STATUS = 'ENABLED'",
        equals_name("EVENT_SCHEMA", database)
    );
    let mut found = Vec::new();
    for row in conn.rows(&triggers).await? {
        if plan.tables.iter().any(|planned| planned.table.name == row.string(1)) {
            found.push(ObjectRef { table: row.text(1), ..ObjectRef::new(ObjectKind::Trigger, row.string(0)) });
        }
    }
    let events = conn.rows(&events).await?;
    found.extend(events.iter().map(|row| ObjectRef::new(ObjectKind::Event, row.string(0))));
    Ok(found)
}

/// Makes the plan's triggers and events again, at the end. A second call after a lost connection skips what exists.
pub(super) async fn restore_all(conn: &mut Conn, target: &TargetDatabase, plan: &Plan) -> Result<Vec<Note>> {
    let plan = Plan { server: conn.server.clone(), ..plan.clone() };
    let rewriter = rewriter(target);
    let mut notes = create_objects::create_objects(conn, target, &plan, &plan.definitions, &rewriter).await?;
    notes.extend(create_events::create_events(conn, target, &plan.definitions, &rewriter).await?);
    Ok(notes)
}

/// Makes one of them again, unless it is there. An event whose time has passed meanwhile is made disabled, and noted in the
/// state of the target.
pub(super) async fn restore(conn: &mut Conn, target: &TargetDatabase, definition: &Definition) -> Result<()> {
    let object = &definition.object;
    conn.exec(&format!("USE {}", quote_name(&target.address.database))).await?;
    match create_objects::run_with_settings(conn, definition, &definition.create, None).await {
        Err(error) if error.code().is_some_and(|code| EXISTS.contains(&code)) => {}
        made => made?,
    }
    if object.kind != ObjectKind::Event {
        return Ok(());
    }
    if !create_events::exists(conn, object).await? {
        let text = ddl::disable_event(&definition.create, Dialect::from_sql_mode(&definition.sql_mode)).0;
        create_events::create_passed(conn, definition, &text, None).await?;
    }
    let exists = create_events::exists(conn, object).await?;
    if !exists || create_events::has_passed(conn, object).await? {
        let state = if exists { "is disabled" } else { "is gone, as the target takes no other clock" };
        target.state().passed_events.insert(format!("{object} {state}"));
    }
    Ok(())
}

/// The error of events whose time has passed while they were removed.
pub(super) fn passed_error(events: &BTreeSet<String>) -> Option<Error> {
    let message = format!(
        "{}: the time has passed while changes were carried back, so that it has not run: run what is still needed by hand; \
         everything else is undone",
        events.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    );
    (!events.is_empty()).then(|| Error::new(ErrorKind::Incomplete, message))
}

/// What an abandoned job must make again, so that the first trigger of a table is made first: they are undone from the last
/// one on.
pub(super) fn undo_items(plan: &Plan) -> impl Iterator<Item = CreatedItem> {
    let removed = plan.definitions.iter().filter(|_| plan.job.way_back.is_some());
    removed.rev().map(|definition| CreatedItem::Removed(Box::new(definition.clone())))
}

/// Definitions of the target itself stay as they are.
fn rewriter(target: &TargetDatabase) -> DefinitionRewriter {
    let name = &target.address.database;
    let rename = ddl::DatabaseRename { from: name.clone(), to: name.clone(), ignores_case: false };
    DefinitionRewriter { definer: ddl::DefinerRewrite::Keep, rename }
}

fn named(error: Error, definition: &Definition) -> Error {
    error.with("object", Printable(&definition.object.name))
}
