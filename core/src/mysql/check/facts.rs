//! What the checks ask of a server: its settings, who it is, and what a database on it holds.

use std::collections::BTreeMap;

use crate::catalog::{ObjectKind, ObjectRef};
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::quote_text;
use crate::mysql::introspect::{equals_name, has_libraries};

/// The settings that the checks look at, as the session sees them. A setting that the server does not have is off.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        const NAMES: [&str; 26] = [
            "datadir",
            "disabled_storage_engines",
            "enforce_storage_engine",
            "event_scheduler",
            "hostname",
            "innodb_force_primary_key",
            "innodb_read_only",
            "local_infile",
            "log_bin",
            "log_bin_trust_function_creators",
            "lower_case_table_names",
            "max_allowed_packet",
            "max_binlog_cache_size",
            "max_connections",
            "max_user_connections",
            "partial_revokes",
            "port",
            "read_only",
            "server_id",
            "server_uid",
            "server_uuid",
            "socket",
            "sql_generate_invisible_primary_key",
            "sql_log_bin",
            "sql_require_primary_key",
            "super_read_only",
        ];
        let sql = format!("SHOW VARIABLES WHERE Variable_name IN ('{}')", NAMES.join("','"));
        let rows = conn.rows(&sql).await?;
        Ok(Self(rows.iter().map(|row| (row.string(0).to_ascii_lowercase(), row.string(1))).collect()))
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        ["ON", "1", "YES"].iter().any(|on| self.text(name).eq_ignore_ascii_case(on))
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    /// Whether the names of databases, tables and views are the same in upper and in lower case.
    pub(super) fn folds_names(&self) -> bool {
        !matches!(self.text("lower_case_table_names"), "" | "0")
    }
}

/// The server's global values of the settings that an expression may depend on.
pub(super) async fn computing_settings(conn: &mut Conn) -> Result<BTreeMap<String, String>> {
    const SQL: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
                       ('time_zone', 'lc_time_names', 'default_week_format', 'div_precision_increment', 'sql_mode', \
                       'block_encryption_mode')";
    let rows = conn.rows(SQL).await?;
    Ok(rows.iter().map(|row| (row.string(0).to_ascii_lowercase(), row.string(1))).collect())
}

/// Identifies a running server.
pub(super) fn identity(settings: &Settings) -> String {
    // A copied data directory has the same server_uuid, so that alone is not enough.
    let parts = ["server_uuid", "server_uid", "hostname", "port", "socket", "datadir", "server_id"];
    let parts: Vec<&str> = parts.iter().map(|name| settings.text(name)).collect();
    // The parts are nobody's business where the plan is stored.
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(parts.join("\n").as_bytes()))
}

/// The name under which the server has the database; `None` when there is none.
pub(super) async fn stored_database(conn: &mut Conn, settings: &Settings, name: &str) -> Result<Option<String>> {
    let sql = format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE LOWER(SCHEMA_NAME) = LOWER({})",
        quote_text(name)
    );
    let found = conn.rows(&sql).await?.iter().map(|row| row.string(0)).collect::<Vec<_>>();
    // The server's comparison may disregard accents as well.
    let folded = |stored: &str| settings.folds_names() && stored.to_lowercase() == name.to_lowercase();
    let same = |stored: &&String| *stored == name || folded(stored);
    Ok(found.iter().find(same).cloned())
}

/// The objects that are in the database now.
pub(super) async fn existing(conn: &mut Conn, database: &str) -> Result<Vec<ObjectRef>> {
    let settings = Settings::read(conn).await?;
    let Some(stored) = stored_database(conn, &settings, database).await? else { return Ok(Vec::new()) };
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
    let libraries = has_libraries(&conn.server).then_some(libraries);
    for sql in [tables, routines, triggers, events].into_iter().chain(libraries) {
        for row in conn.rows(&sql).await? {
            if let Some(kind) = kind(&row.string(0)) {
                objects.push(ObjectRef { kind, name: row.string(1), table: row.text(2) });
            }
        }
    }
    objects.sort();
    objects.dedup();
    Ok(objects)
}

/// The kind that `information_schema` means; `None` for temporary tables and what is still to be invented.
fn kind(word: &str) -> Option<ObjectKind> {
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

/// The engines that the server can use now, in upper case, and whether each has transactions.
pub(super) async fn engines(conn: &mut Conn) -> Result<BTreeMap<String, bool>> {
    let rows = conn.rows("SELECT ENGINE, SUPPORT, TRANSACTIONS FROM information_schema.ENGINES").await?;
    let usable = rows.iter().filter(|row| matches!(row.string(1).as_str(), "YES" | "DEFAULT"));
    Ok(usable.map(|row| (row.string(0).to_ascii_uppercase(), row.string(2) == "YES")).collect())
}
