//! The objects that a database holds.

use super::system_variables::SystemVariables;
use crate::catalog::{ObjectKind, ObjectRef};
use crate::error::Result;
use crate::mysql::capability::{self, Capability};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_text;
use crate::mysql::introspect::equals_name;

/// Looks up the database's name as the server stores it; `None` if there is no such database.
pub(super) async fn stored_name(conn: &mut Conn, variables: &SystemVariables, name: &str) -> Result<Option<String>> {
    let sql = format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE LOWER(SCHEMA_NAME) = LOWER({})",
        quote_text(name)
    );
    let found = conn.rows(&sql).await?.iter().map(|row| row.string(0)).collect::<Vec<_>>();
    // The server's comparison may ignore accents as well.
    let folded = |stored: &str| variables.folds_names() && stored.to_lowercase() == name.to_lowercase();
    let same = |stored: &&String| *stored == name || folded(stored);
    Ok(found.iter().find(same).cloned())
}

/// Lists the objects that are in the database now.
pub(super) async fn list_objects(conn: &mut Conn, database: &str) -> Result<Vec<ObjectRef>> {
    let variables = SystemVariables::read(conn).await?;
    let Some(stored) = stored_name(conn, &variables, database).await? else { return Ok(Vec::new()) };
    let mut objects = Vec::new();
    let tables = format!(
        "SELECT TABLE_TYPE, TABLE_NAME FROM information_schema.TABLES WHERE {}",
        equals_name("TABLE_SCHEMA", &stored)
    );
    let routines = format!(
        "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE {}",
        equals_name("ROUTINE_SCHEMA", &stored)
    );
    let events = format!(
        "SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE {}",
        equals_name("EVENT_SCHEMA", &stored)
    );
    let triggers = format!(
        "SELECT 'TRIGGER', TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS \
         WHERE {}",
        equals_name("TRIGGER_SCHEMA", &stored)
    );
    let libraries = format!(
        "SELECT 'LIBRARY', LIBRARY_NAME FROM information_schema.LIBRARIES WHERE {}",
        equals_name("LIBRARY_SCHEMA", &stored)
    );
    let libraries = capability::has(&conn.server, Capability::Libraries).then_some(libraries);
    for sql in [tables, routines, triggers, events].into_iter().chain(libraries) {
        for row in conn.rows(&sql).await? {
            if let Some(kind) = parse_kind(&row.string(0)) {
                objects.push(ObjectRef { kind, name: row.string(1), table: row.text(2) });
            }
        }
    }
    objects.sort();
    objects.dedup();
    Ok(objects)
}

/// Parses a type of `information_schema`; `None` for temporary tables and for types that this version does not know.
fn parse_kind(word: &str) -> Option<ObjectKind> {
    Some(match word {
        "BASE TABLE" | "SYSTEM VERSIONED" => ObjectKind::Table,
        "VIEW" => ObjectKind::View,
        "SEQUENCE" => ObjectKind::Sequence,
        "LIBRARY" => ObjectKind::Library,
        "FUNCTION" => ObjectKind::Function,
        "PROCEDURE" => ObjectKind::Procedure,
        "PACKAGE" => ObjectKind::Package,
        "PACKAGE BODY" => ObjectKind::PackageBody,
        "TRIGGER" => ObjectKind::Trigger,
        "EVENT" => ObjectKind::Event,
        _ => return None,
    })
}
