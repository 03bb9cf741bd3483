//! Creates events: disabled, so that none fires into a half-made clone, and enabled when all are made.

use super::apply::{self, Rewriting};
use super::connect::Conn;
use super::ddl::{self, Dialect, EventStatus, quote_name, quote_text};
use super::target::Target;
use crate::catalog::{Definition, Flavor, ObjectRef};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

const UNKNOWN_EVENT: u16 = 1539;

/// Creates the events, and gives each its status.
pub(super) async fn events(
    conn: &mut Conn,
    target: &Target,
    events: Vec<&Definition>,
    rewriting: &Rewriting,
) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    let mut enable = Vec::new();
    for event in events {
        let (create, status) = ddl::disable_event(&event.create, Dialect::from_sql_mode(&event.sql_mode));
        let disabled = Definition { create, ..event.clone() };
        let (made, note) = apply::create_or_tell(conn, target, &disabled, rewriting).await?;
        notes.extend(note);
        if !made {
            continue;
        }
        if !exists(conn, &event.object).await? {
            // The server drops an event at once whose time has passed. So that must be in the future.
            conn.try_set_each(&["timestamp = 1"]).await?;
            apply::create(conn, &disabled, rewriting, &target.undo_log).await?;
            conn.exec("SET SESSION timestamp = DEFAULT").await?;
        }
        enable.push((event, status));
    }
    for (event, status) in enable {
        if let Err(error) = set_status(conn, event, status, rewriting).await {
            notes.push(target.late(&event.object, "status", Severity::Warning, error).await?);
        }
        if !exists(conn, &event.object).await? {
            notes.push(Note::Fidelity(FidelityIssue {
                object: event.object.clone(),
                what: "definition".to_owned(),
                severity: Severity::Error,
                source: "an event whose time has passed: the target drops it".to_owned(),
                target: String::new(),
            }));
        }
    }
    Ok(notes)
}

async fn exists(conn: &mut Conn, event: &ObjectRef) -> Result<bool> {
    let name = quote_text(&event.name);
    let sql = format!(
        "SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND EVENT_NAME = {name} LIMIT 1"
    );
    Ok(conn.row(&sql).await?.is_some())
}

/// Gives an event its status. Altering it would make us its definer, and our settings its own.
async fn set_status(conn: &mut Conn, event: &Definition, status: EventStatus, rewriting: &Rewriting) -> Result<()> {
    let clause = match (status, conn.server.flavor) {
        (EventStatus::Disabled, _) => return Ok(()),
        (EventStatus::Enabled, _) => "ENABLE",
        (EventStatus::DisabledOnReplica, Flavor::MySql) if conn.server.version_numbers() >= (8, 2, 0) => {
            "DISABLE ON REPLICA"
        }
        (EventStatus::DisabledOnReplica, _) => "DISABLE ON SLAVE",
    };
    let definer = ddl::definer_clause(&rewriting.apply(event).0, Dialect::from_sql_mode(&event.sql_mode));
    let sql = format!("ALTER {definer} EVENT {} {clause}", quote_name(&event.object.name));
    match apply::run(conn, event, &sql, None).await {
        // An event whose time has passed is dropped by the server at once, as it would be at the source.
        Err(error) if error.code() == Some(UNKNOWN_EVENT) => Ok(()),
        other => other,
    }
}
