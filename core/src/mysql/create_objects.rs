//! Creates sequences, routines, views and triggers.

use std::collections::BTreeSet;

use super::connect::Conn;
use super::ddl::quote_name;
use super::definition_rewriter::DefinitionRewriter;
use super::lock_wait::{is_lock_wait, shorten_lock_wait};
use super::session;
use super::target::TargetDatabase;
use super::undo_log::CreatedItem;
use crate::catalog::{Definition, ObjectKind, ObjectRef};
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::Note;

/// The error of a trigger on a column that its table lacks.
const UNKNOWN_COLUMN: u16 = 1054;
/// The errors of a view that refers to a missing table or function, or to an invalid view.
const MISSING_DEPENDENCY: [u16; 3] = [1146, 1305, 1356];

/// The statement that drops an object of this kind.
pub(super) fn drop_statement(object: &ObjectRef) -> String {
    let kind = match object.kind {
        ObjectKind::PackageBody => "PACKAGE BODY".to_owned(),
        kind => kind.name().to_uppercase(),
    };
    format!("DROP {kind} IF EXISTS {}", quote_name(&object.name))
}

/// Creates a sequence with the source's next value, unless an earlier process has. The target must be the session's
/// current database.
pub(super) async fn create_sequence(conn: &mut Conn, definition: &Definition, target: &TargetDatabase) -> Result<()> {
    let named = |error: Error| error.with("object", &definition.object);
    let made = CreatedItem::Object(definition.object.clone());
    let confirmed = target.undo_log.is_confirmed(&made);
    if confirmed == Some(false) {
        conn.exec(&drop_statement(&definition.object)).await.map_err(named)?;
    }
    if confirmed != Some(true) {
        target.record_creation(made, conn.exec(&definition.create)).await.map_err(named)?;
    }
    if let Some(state) = &definition.state {
        conn.row(&format!("SELECT SETVAL({}, {state})", quote_name(&definition.object.name))).await.map_err(named)?;
    }
    Ok(())
}

/// Creates routines, views and triggers, in this order: views and triggers call routines, and triggers fire in the order
/// of their creation. The notes list the objects that the target refuses; the others stay.
pub(super) async fn create_objects(
    conn: &mut Conn,
    target: &TargetDatabase,
    plan: &Plan,
    definitions: &[Definition],
    rewriter: &DefinitionRewriter,
) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    let of = |wanted: fn(ObjectKind) -> bool| definitions.iter().filter(move |d| wanted(d.object.kind));
    for definition in of(ObjectKind::is_routine) {
        notes.extend(create_or_report(conn, target, definition, rewriter).await?.1);
    }
    notes.extend(create_views(conn, target, plan, of(|kind| kind == ObjectKind::View).collect(), rewriter).await?);
    for definition in of(|kind| kind == ObjectKind::Trigger) {
        notes.extend(create_or_report(conn, target, definition, rewriter).await?.1);
    }
    Ok(notes)
}

/// Reports an object that is omitted because it is invalid at the source too, or uses the other family's dialect.
fn omission_note(definition: &Definition, error: &Error) -> Note {
    Note::Fidelity(FidelityIssue {
        severity: Severity::Error,
        object: definition.object.clone(),
        what: "definition".to_owned(),
        source: format!("not created, as the target does not take it: {error}"),
        target: String::new(),
    })
}

/// Creates views in rounds until a round creates none, because views refer to each other.
///
/// The views that are left are invalid at the source too, refer to objects that are not cloned, or are refused.
async fn create_views(
    conn: &mut Conn,
    target: &TargetDatabase,
    plan: &Plan,
    mut left: Vec<&Definition>,
    rewriter: &DefinitionRewriter,
) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    loop {
        let mut failed = Vec::new();
        for definition in &left {
            match create_once(conn, definition, rewriter, target).await {
                Ok(note) => notes.extend(note),
                Err(error) if error.code().is_none() && error.kind() != ErrorKind::Unsupported => return Err(error),
                Err(error) => {
                    if is_lock_wait(&error) {
                        shorten_lock_wait(conn).await?;
                    }
                    failed.push((*definition, error));
                }
            }
        }
        let names: BTreeSet<_> = failed.iter().map(|(definition, _)| &definition.object.name).collect();
        let stuck = failed.len() == left.len();
        left.retain(|definition| names.contains(&definition.object.name));
        if stuck || left.is_empty() {
            for (definition, error) in failed {
                let unfounded =
                    !plan.left_out.is_empty() && error.code().is_some_and(|code| MISSING_DEPENDENCY.contains(&code));
                let known =
                    unfounded || plan.invalid.contains(&definition.object) || target.is_dialect_refusal(conn, &error);
                notes.push(match known {
                    true => omission_note(definition, &error),
                    false => target.refusal_note(&definition.object, "definition", Severity::Error, error).await?,
                });
            }
            return Ok(notes);
        }
    }
}

/// Creates one object. Returns whether it exists now, and a note on what happened.
pub(super) async fn create_or_report(
    conn: &mut Conn,
    target: &TargetDatabase,
    definition: &Definition,
    rewriter: &DefinitionRewriter,
) -> Result<(bool, Option<Note>)> {
    match create_once(conn, definition, rewriter, target).await {
        Ok(note) => Ok((true, note)),
        // A source may also keep triggers on columns that were dropped later.
        Err(error)
            if error.code() == Some(UNKNOWN_COLUMN) && definition.object.kind == ObjectKind::Trigger
                || target.is_dialect_refusal(conn, &error) =>
        {
            Ok((false, Some(omission_note(definition, &error))))
        }
        Err(error) => {
            if is_lock_wait(&error) {
                shorten_lock_wait(conn).await?;
            }
            Ok((false, Some(target.refusal_note(&definition.object, "definition", Severity::Error, error).await?)))
        }
    }
}

/// Creates one object, unless an earlier try with a lost connection has created it.
async fn create_once(
    conn: &mut Conn,
    definition: &Definition,
    rewriter: &DefinitionRewriter,
    target: &TargetDatabase,
) -> Result<Option<Note>> {
    match target.undo_log.is_confirmed(&CreatedItem::Object(definition.object.clone())) {
        Some(true) => return Ok(rewriter.rewrite(definition).1),
        // The answer to an earlier CREATE was lost.
        Some(false) => conn.exec(&drop_statement(&definition.object)).await.map(drop)?,
        None => {}
    }
    create_object(conn, definition, rewriter, target).await
}

/// Creates one object under the session settings of its creation at the source.
pub(super) async fn create_object(
    conn: &mut Conn,
    definition: &Definition,
    rewriter: &DefinitionRewriter,
    target: &TargetDatabase,
) -> Result<Option<Note>> {
    let (text, note) = rewriter.rewrite(definition);
    run_with_settings(conn, definition, &text, Some(target)).await?;
    Ok(note)
}

/// Runs a statement under the session settings of the object's creation at the source. With a target, the
/// statement is recorded as the object's creation.
pub(super) async fn run_with_settings(
    conn: &mut Conn,
    definition: &Definition,
    text: &str,
    target: Option<&TargetDatabase>,
) -> Result<()> {
    let named = |error: Error| error.with("object", &definition.object);
    let client = definition.character_set_client.as_str();
    let statement = encode_statement(conn, text, client).await.map_err(named)?;
    let mut settings = Vec::new();
    if !client.is_empty() {
        settings.push(format!("character_set_client = {client}"));
        settings.push(format!("collation_connection = {}", definition.collation_connection));
    }
    settings.push(match definition.object.kind {
        // SHOW CREATE VIEW prints no modes. The default strictness decides which of its columns may be NULL.
        ObjectKind::View => "sql_mode = 'STRICT_TRANS_TABLES,ALLOW_INVALID_DATES'".to_owned(),
        _ => format!("sql_mode = '{}'", definition.sql_mode),
    });
    if !definition.time_zone.is_empty() {
        settings.push(format!("time_zone = '{}'", definition.time_zone));
    }
    let restore = format!("SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '{}'", session::DDL_MODES);
    conn.exec(&format!("SET {}", settings.join(", "))).await.map_err(named)?;
    let previous = switch_collation(conn, &definition.database_collation).await.map_err(named)?;
    let created = match target {
        Some(target) => {
            target.record_creation(CreatedItem::Object(definition.object.clone()), conn.exec_bytes(&statement)).await
        }
        None => conn.exec_bytes(&statement).await,
    };
    if let Some(previous) = previous {
        conn.exec(&format!("ALTER DATABASE COLLATE {previous}")).await?;
    }
    conn.exec(&restore).await?;
    created.map(drop).map_err(named)
}

/// Switches the database to the collation that it had when an object was created, which is the default of the object's
/// parameters and variables. Returns the previous collation if it differs.
async fn switch_collation(conn: &mut Conn, collation: &str) -> Result<Option<String>> {
    if collation.is_empty() {
        return Ok(None);
    }
    let previous = conn.row("SELECT @@collation_database").await?.map(|row| row.string(0));
    let previous = previous.filter(|previous| previous != collation);
    if previous.is_some() {
        conn.exec(&format!("ALTER DATABASE COLLATE {collation}")).await?;
    }
    Ok(previous)
}

/// Encodes the statement in the character set of the client that created the object. The server does the conversion,
/// because it defines the character sets.
async fn encode_statement(conn: &mut Conn, text: &str, client: &str) -> Result<Vec<u8>> {
    if text.is_ascii() || client.is_empty() || client.starts_with("utf8") {
        return Ok(text.as_bytes().to_vec());
    }
    let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    let sql = format!(
        "SELECT HEX(t), CONVERT(t USING utf8mb4) = CONVERT(x'{hex}' USING utf8mb4) COLLATE utf8mb4_bin FROM \
         (SELECT CONVERT(CONVERT(x'{hex}' USING utf8mb4) USING {client}) AS t) AS converted"
    );
    let row = conn.row(&sql).await?;
    let lossless = row.as_ref().is_some_and(|row| row.number(1) == 1);
    let bytes = row.and_then(|row| row.text(0)).unwrap_or_default();
    if !lossless {
        let message = format!("its text cannot be written in {client}, the character set that it was made under");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let digits = bytes.as_bytes().chunks_exact(2);
    Ok(digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect())
}
