//! Creates events: first all disabled, so that none fires during the clone, and then enables them.

use super::capability::{self, Capability};
use super::connect::Conn;
use super::create_objects;
use super::ddl::{self, Dialect, EventStatus, quote_name, quote_text};
use super::definition_rewriter::DefinitionRewriter;
use super::target::TargetDatabase;
use crate::catalog::{Definition, ObjectKind, ObjectRef};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::report::Note;

const UNKNOWN_EVENT: u16 = 1539;

/// Creates the events among the definitions, and sets the status of each.
pub(super) async fn create_events(
    conn: &mut Conn,
    target: &TargetDatabase,
    definitions: &[Definition],
    rewriter: &DefinitionRewriter,
) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    let mut enable = Vec::new();
    for event in definitions.iter().filter(|definition| definition.object.kind == ObjectKind::Event) {
        let (create, status) = ddl::disable_event(&event.create, Dialect::from_sql_mode(&event.sql_mode));
        let disabled = Definition { create, ..event.clone() };
        let (made, note) = create_objects::create_or_report(conn, target, &disabled, rewriter).await?;
        notes.extend(note);
        if !made {
            continue;
        }
        if !exists(conn, &event.object).await? {
            // The server immediately drops an event whose time has passed. With this clock, the time is in the future.
            conn.try_set_each(&["timestamp = 1"]).await?;
            create_objects::create_object(conn, &disabled, rewriter, target).await?;
            conn.exec("SET SESSION timestamp = DEFAULT").await?;
        }
        enable.push((event, status));
    }
    for (event, status) in enable {
        if let Err(error) = set_status(conn, event, status, rewriter).await {
            notes.push(target.refusal_note(&event.object, "status", Severity::Warning, error).await?);
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

/// Sets the status of an event. ALTER EVENT names the definer and runs under the event's settings, because it replaces
/// both.
async fn set_status(
    conn: &mut Conn,
    event: &Definition,
    status: EventStatus,
    rewriter: &DefinitionRewriter,
) -> Result<()> {
    let clause = match status {
        EventStatus::Disabled => return Ok(()),
        EventStatus::Enabled => "ENABLE",
        EventStatus::DisabledOnReplica if capability::has(&conn.server, Capability::DisableOnReplica) => {
            "DISABLE ON REPLICA"
        }
        EventStatus::DisabledOnReplica => "DISABLE ON SLAVE",
    };
    let definer = ddl::definer_clause(&rewriter.rewrite(event).0, Dialect::from_sql_mode(&event.sql_mode));
    let sql = format!("ALTER {definer} EVENT {} {clause}", quote_name(&event.object.name));
    match create_objects::run_with_settings(conn, event, &sql, None).await {
        // The server has dropped an event whose time has passed, as the source would.
        Err(error) if error.code() == Some(UNKNOWN_EVENT) => Ok(()),
        other => other,
    }
}
