//! The settings of each kind of session. Every variable that matters is set: `init_connect` or the server's
//! configuration may have changed any.

use super::connect::{Conn, ServerAddress};
use super::ddl::quote_name;
use crate::catalog::Flavor;
use crate::dial::TrafficClass;
use crate::error::Result;
use crate::options::CloneOptions;

/// Long enough for a reader that waits for a slow target, or a loader that waits for a slow source.
const COMMON: &str = "autocommit = 1, time_zone = '+00:00', net_read_timeout = 3600, net_write_timeout = 3600, \
                      wait_timeout = 86400, sql_safe_updates = 0, sql_select_limit = 18446744073709551615, sql_quote_show_create = 1, sql_big_selects = 1";

/// Limits of the server that would end a statement, or a session that waits. They are of one family or another version.
const MYSQL_LIMITS: [&str; 1] = ["max_execution_time = 0"];
const MARIADB_LIMITS: [&str; 4] = [
    "max_statement_time = 0",
    "idle_transaction_timeout = 0",
    "idle_readonly_transaction_timeout = 0",
    "idle_write_transaction_timeout = 0",
];

/// A session with what all have in common.
async fn open(address: &ServerAddress, traffic: TrafficClass, settings: &str) -> Result<Conn> {
    let settings = format!("SET {settings}, lock_wait_timeout = {}, {COMMON}", address.lock_wait);
    let mut conn = Conn::open(address, traffic, &settings).await?;
    match conn.server.flavor {
        Flavor::MySql => conn.try_set_each(&MYSQL_LIMITS).await?,
        Flavor::MariaDb => conn.try_set_each(&MARIADB_LIMITS).await?,
    }
    Ok(conn)
}

/// Compares with every date that a column may hold: MySQL refuses a literal that is none in the calendar.
const READING: &str = "ALLOW_INVALID_DATES";
/// Takes what the source took, and changes no value without an error.
pub(super) const STRICT: &str = "NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,ALLOW_INVALID_DATES";
/// The same, but says what it changes by warnings.
pub(super) const LENIENT: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

/// Takes what the source took, even where the target would be stricter.
pub(super) const DEFINING: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION";

/// A session for catalogs, settings and locks: everything is UTF-8.
pub(super) async fn control(address: &ServerAddress) -> Result<Conn> {
    let mut conn = open(address, TrafficClass::Control, &format!("NAMES utf8mb4, sql_mode = '{READING}'")).await?;
    // Also an account without any right may set these; they are of one family or a late version only.
    if conn.server.flavor == Flavor::MySql {
        conn.try_set_each(&[
            "information_schema_stats_expiry = 0",
            "show_gipk_in_create_table_and_information_schema = 1",
            "show_create_table_skip_secondary_engine = 0",
        ])
        .await?;
    }
    Ok(conn)
}

/// A session that reads rows: text comes in each column's own character set.
pub(super) async fn reader(address: &ServerAddress) -> Result<Conn> {
    let settings = format!("NAMES utf8mb4, character_set_results = NULL, sql_mode = '{READING}'");
    let mut conn = open(address, TrafficClass::Bulk, &settings).await?;
    conn.exec("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    // A row filter may name other tables.
    conn.exec(&format!("USE {}", quote_name(&address.database))).await?;
    if conn.server.flavor == Flavor::MySql {
        conn.try_set_each(&["show_gipk_in_create_table_and_information_schema = 1"]).await?;
    }
    Ok(conn)
}

/// A session that loads rows or changes definitions.
pub(super) async fn writer(address: &ServerAddress, options: &CloneOptions) -> Result<Conn> {
    // MariaDB's unique_checks=0 with foreign_key_checks=0 takes a path that locks the whole table, and is slower.
    let settings = format!("NAMES utf8mb4, sql_mode = '{STRICT}', foreign_key_checks = 0, unique_checks = 1");
    let mut conn = open(address, TrafficClass::Bulk, &settings).await?;
    // MySQL asks for a right to the first; older servers of MariaDB do not have the second.
    conn.try_set_each(match conn.server.flavor {
        Flavor::MySql => &["max_error_count = 65535"],
        Flavor::MariaDb => &["max_error_count = 65535", "system_versioning_insert_history = 1"],
    })
    .await?;
    if options.skip_binlog {
        conn.exec("SET SESSION sql_log_bin = 0").await?;
    }
    Ok(conn)
}

/// A session that changes definitions: takes what the source took, even where the target would be stricter.
pub(super) async fn definer(address: &ServerAddress, options: &CloneOptions) -> Result<Conn> {
    let mut conn = writer(address, options).await?;
    conn.exec(&format!("SET SESSION sql_mode = '{DEFINING}'")).await?;
    // Each of these needs a right, or does not exist everywhere; where it matters the preflight has said so.
    conn.try_set_each(match conn.server.flavor {
        Flavor::MySql => &[
            "innodb_strict_mode = 0",
            "max_heap_table_size = 18446744073709551615",
            "sql_require_primary_key = 0",
            "sql_generate_invisible_primary_key = 0",
            "restrict_fk_on_non_standard_key = 0",
            "explicit_defaults_for_timestamp = 1",
            "default_table_encryption = 0",
            // Its threads are as many as the server is set to use.
            "innodb_ddl_buffer_size = CAST(GREATEST(67108864, @@GLOBAL.innodb_ddl_buffer_size) AS SIGNED)",
        ],
        Flavor::MariaDb => &[
            "innodb_strict_mode = 0",
            "max_heap_table_size = 18446744073709551615",
            "explicit_defaults_for_timestamp = 1",
            "system_versioning_alter_history = KEEP",
        ],
    })
    .await?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use dbgraft_testkit::{Flavor as Family, ServerOptions};

    use super::*;
    use crate::mysql::connect::ServerRole;

    #[tokio::test]
    async fn no_session_has_a_limit_of_the_server() {
        for family in [Family::MySql, Family::MariaDb] {
            let server = ServerOptions::new(family).start().unwrap();
            let limits: &[&str] = if family == Family::MySql { &MYSQL_LIMITS } else { &MARIADB_LIMITS };
            let limits: Vec<&str> = limits.iter().map(|limit| limit.split(' ').next().unwrap()).collect();
            server.sql("CREATE DATABASE d").unwrap();
            for limit in &limits {
                server.sql(&format!("SET GLOBAL {limit} = 3600")).unwrap();
            }
            let account = (server.user.clone(), server.password.clone().into());
            let address = ServerAddress::new(ServerRole::Target, (&server.host, server.port), account, "d".to_owned());
            let sessions = [
                control(&address).await,
                reader(&address).await,
                writer(&address, &CloneOptions::default()).await,
                definer(&address, &CloneOptions::default()).await,
            ];
            for session in sessions {
                let row = session.unwrap().row(&format!("SELECT @@{}", limits.join(" + @@"))).await.unwrap();
                assert_eq!(row.unwrap().text(0).unwrap().parse(), Ok(0.0), "{family}");
            }
        }
    }
}
