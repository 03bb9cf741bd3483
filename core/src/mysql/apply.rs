//! Creates the objects that are not tables: sequences, routines, views, triggers, events.

use std::collections::BTreeSet;

use super::connect::Conn;
use super::ddl::{self, Dialect, quote_name};
use super::refusal::{is_lock_wait, wait_shorter};
use super::target::Target;
use super::undo::{CreatedItem, UndoLog};
use super::{schedule, session};
use crate::catalog::{Definition, ObjectKind, ObjectRef, Printable};
use crate::error::{Error, ErrorKind, Result};
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::Note;

/// A trigger on a column that the table does not have.
const UNKNOWN_COLUMN: u16 = 1054;
/// What a view stands on is not there: a table, a function, a view that is invalid for that reason.
const NOT_THERE: [u16; 3] = [1146, 1305, 1356];

/// How definitions are changed on their way.
pub(super) struct Rewriting {
    pub(super) definer: ddl::DefinerRewrite,
    /// The source's database becomes the target's.
    pub(super) rename: ddl::DatabaseRename,
}

impl Rewriting {
    /// The text to run, and what was changed in it that the user should know of.
    pub(super) fn apply(&self, definition: &Definition) -> (String, Option<Note>) {
        let dialect = Dialect::from_sql_mode(&definition.sql_mode);
        let text = ddl::rewrite_definer(&definition.create, dialect, &self.definer);
        self.renamed(&definition.object, text, dialect)
    }

    /// References to the source's database become references to the target's.
    pub(super) fn renamed(&self, object: &ObjectRef, text: String, dialect: Dialect) -> (String, Option<Note>) {
        let (text, count) = ddl::rename_database(&text, dialect, &self.rename);
        let ddl::DatabaseRename { from, to, .. } = &self.rename;
        let changed =
            || format!("{count} references to database {} were changed to {}", Printable(from), Printable(to));
        let note = (count > 0).then(|| Note::about(object, changed()));
        (text, note)
    }
}

/// The statement that drops an object of this kind.
pub(super) fn drop_statement(object: &ObjectRef) -> String {
    let kind = match object.kind {
        ObjectKind::PackageBody => "PACKAGE BODY".to_owned(),
        kind => kind.name().to_uppercase(),
    };
    format!("DROP {kind} IF EXISTS {}", quote_name(&object.name))
}

/// Creates a sequence where the source's stands. The current database must be the target's.
pub(super) async fn sequence(conn: &mut Conn, definition: &Definition, log: &UndoLog) -> Result<()> {
    let named = |error: Error| error.with("object", &definition.object);
    let made = CreatedItem::Object(definition.object.clone());
    log.making(made, conn.exec(&definition.create)).await.map_err(named)?;
    if let Some(state) = &definition.state {
        conn.row(&format!("SELECT SETVAL({}, {state})", quote_name(&definition.object.name))).await.map_err(named)?;
    }
    Ok(())
}

/// Creates everything else in an order that works: routines first, for views and triggers call them; views until no more
/// can be made, for they stand on each other; triggers in their order; events at last. What the target refuses is told,
/// and the rest stands.
pub(super) async fn objects(
    conn: &mut Conn,
    target: &Target,
    plan: &Plan,
    definitions: &[Definition],
    rewriting: &Rewriting,
) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    let of = |wanted: fn(ObjectKind) -> bool| definitions.iter().filter(move |d| wanted(d.object.kind));
    for definition in of(ObjectKind::is_routine) {
        notes.extend(create_or_tell(conn, target, definition, rewriting).await?.1);
    }
    notes.extend(views(conn, target, plan, of(|kind| kind == ObjectKind::View).collect(), rewriting).await?);
    for definition in of(|kind| kind == ObjectKind::Trigger) {
        notes.extend(create_or_tell(conn, target, definition, rewriting).await?.1);
    }
    notes.extend(schedule::events(conn, target, of(|kind| kind == ObjectKind::Event).collect(), rewriting).await?);
    Ok(notes)
}

/// Says that an object is not there, as it is invalid at the source too, or in words of the other family.
fn missing(definition: &Definition, error: &Error) -> Note {
    Note::Fidelity(FidelityIssue {
        severity: Severity::Error,
        object: definition.object.clone(),
        what: "definition".to_owned(),
        source: format!("not created, as the target does not take it: {error}"),
        target: String::new(),
    })
}

/// Creates views in rounds until a round makes none. What is left is invalid at the source too, or stands on what is not
/// cloned, or is refused.
async fn views(
    conn: &mut Conn,
    target: &Target,
    plan: &Plan,
    mut left: Vec<&Definition>,
    rewriting: &Rewriting,
) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    loop {
        let mut failed = Vec::new();
        for definition in &left {
            match create_once(conn, definition, rewriting, &target.undo_log).await {
                Ok(note) => notes.extend(note),
                Err(error) if error.code().is_none() && error.kind() != ErrorKind::Unsupported => return Err(error),
                Err(error) => {
                    if is_lock_wait(&error) {
                        wait_shorter(conn).await?;
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
                let unfounded = !plan.left_out.is_empty() && error.code().is_some_and(|code| NOT_THERE.contains(&code));
                let known =
                    unfounded || plan.invalid.contains(&definition.object) || target.is_foreign_to(conn, &error);
                notes.push(match known {
                    true => missing(definition, &error),
                    false => target.late(&definition.object, "definition", Severity::Error, error).await?,
                });
            }
            return Ok(notes);
        }
    }
}

/// Creates one object, and says whether it is there.
pub(super) async fn create_or_tell(
    conn: &mut Conn,
    target: &Target,
    definition: &Definition,
    rewriting: &Rewriting,
) -> Result<(bool, Option<Note>)> {
    match create_once(conn, definition, rewriting, &target.undo_log).await {
        Ok(note) => Ok((true, note)),
        // The source has triggers of columns too that were dropped later.
        Err(error)
            if error.code() == Some(UNKNOWN_COLUMN) && definition.object.kind == ObjectKind::Trigger
                || target.is_foreign_to(conn, &error) =>
        {
            Ok((false, Some(missing(definition, &error))))
        }
        Err(error) => {
            if is_lock_wait(&error) {
                wait_shorter(conn).await?;
            }
            Ok((false, Some(target.late(&definition.object, "definition", Severity::Error, error).await?)))
        }
    }
}

/// Creates one object, unless an earlier try did whose connection was lost later.
async fn create_once(
    conn: &mut Conn,
    definition: &Definition,
    rewriting: &Rewriting,
    log: &UndoLog,
) -> Result<Option<Note>> {
    match log.is_certain(&CreatedItem::Object(definition.object.clone())) {
        Some(true) => return Ok(rewriting.apply(definition).1),
        // Its answer was lost.
        Some(false) => conn.exec(&drop_statement(&definition.object)).await.map(drop)?,
        None => {}
    }
    create(conn, definition, rewriting, log).await
}

/// Creates one object under the settings that it was made under.
pub(super) async fn create(
    conn: &mut Conn,
    definition: &Definition,
    rewriting: &Rewriting,
    log: &UndoLog,
) -> Result<Option<Note>> {
    let (text, note) = rewriting.apply(definition);
    run(conn, definition, &text, Some(log)).await?;
    Ok(note)
}

/// Runs a statement under the settings that an object was made under. With a log it is the one that makes the object.
pub(super) async fn run(conn: &mut Conn, definition: &Definition, text: &str, log: Option<&UndoLog>) -> Result<()> {
    let named = |error: Error| error.with("object", &definition.object);
    let client = definition.character_set_client.as_str();
    let statement = encode(conn, text, client).await.map_err(named)?;
    let mut settings = Vec::new();
    if !client.is_empty() {
        settings.push(format!("character_set_client = {client}"));
        settings.push(format!("collation_connection = {}", definition.collation_connection));
    }
    settings.push(match definition.object.kind {
        // A view does not say. The usual strictness decides which of its columns may be NULL.
        ObjectKind::View => "sql_mode = 'STRICT_TRANS_TABLES,ALLOW_INVALID_DATES'".to_owned(),
        _ => format!("sql_mode = '{}'", definition.sql_mode),
    });
    if !definition.time_zone.is_empty() {
        settings.push(format!("time_zone = '{}'", definition.time_zone));
    }
    let restore = format!("SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '{}'", session::DEFINING);
    conn.exec(&format!("SET {}", settings.join(", "))).await.map_err(named)?;
    let home = away(conn, &definition.database_collation).await.map_err(named)?;
    let created = match log {
        Some(log) => log.making(CreatedItem::Object(definition.object.clone()), conn.exec_bytes(&statement)).await,
        None => conn.exec_bytes(&statement).await,
    };
    if let Some(home) = home {
        conn.exec(&format!("ALTER DATABASE COLLATE {home}")).await?;
    }
    conn.exec(&restore).await?;
    created.map(drop).map_err(named)
}

/// Gives the database the collation that it had when an object was made: parameters and variables without one of their
/// own take it from there. Says which one to return to, where that is another.
async fn away(conn: &mut Conn, collation: &str) -> Result<Option<String>> {
    if collation.is_empty() {
        return Ok(None);
    }
    let home = conn.row("SELECT @@collation_database").await?.map(|row| row.string(0));
    let home = home.filter(|home| home != collation);
    if home.is_some() {
        conn.exec(&format!("ALTER DATABASE COLLATE {collation}")).await?;
    }
    Ok(home)
}

/// The statement in the character set of the client that made the object. The server does the conversion: it knows its
/// own character sets best.
async fn encode(conn: &mut Conn, text: &str, client: &str) -> Result<Vec<u8>> {
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
