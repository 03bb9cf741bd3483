//! Creates events: first all disabled, so that none fires during the clone, and then enables them. One whose time has passed
//! stays disabled: the server would run it at once, although it has run at the source.

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
            create_passed(conn, &disabled, &rewriter.rewrite(&disabled).0, Some(target)).await?;
        }
        enable.push((event, status));
    }
    for (event, status) in enable {
        if status == EventStatus::Enabled && has_passed(conn, &event.object).await? {
            notes.push(Note::Fidelity(FidelityIssue {
                object: event.object.clone(),
                what: "status".to_owned(),
                severity: Severity::Warning,
                source: "enabled".to_owned(),
                target: "disabled, as its time has passed: the target would run it at once".to_owned(),
            }));
            continue;
        }
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

/// Creates a disabled event whose time has passed. The server drops such an event at once, unless its time is in the future
/// by the session's clock.
pub(super) async fn create_passed(
    conn: &mut Conn,
    disabled: &Definition,
    text: &str,
    target: Option<&TargetDatabase>,
) -> Result<()> {
    conn.try_set_each(&["timestamp = 1"]).await?;
    let created = create_objects::run_with_settings(conn, disabled, text, target).await;
    conn.exec("SET SESSION timestamp = DEFAULT").await?;
    created
}

pub(super) async fn exists(conn: &mut Conn, event: &ObjectRef) -> Result<bool> {
    is_event(conn, event, "TRUE").await
}

/// Whether the event exists, and its only or last time has passed.
pub(super) async fn has_passed(conn: &mut Conn, event: &ObjectRef) -> Result<bool> {
    is_event(conn, event, "CONVERT_TZ(COALESCE(EXECUTE_AT, ENDS), TIME_ZONE, '+00:00') <= UTC_TIMESTAMP()").await
}

/// Whether the event exists, and the condition is true of it.
async fn is_event(conn: &mut Conn, event: &ObjectRef, condition: &str) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND EVENT_NAME = {} AND {condition} LIMIT 1",
        quote_text(&event.name)
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
