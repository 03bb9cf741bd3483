//! Opens sessions, each with the settings of its kind.
//!
//! A session sets every variable that matters, because `init_connect` or the server's configuration may change any.

use super::connect::{Conn, ServerAddress};
use super::ddl::quote_name;
use crate::catalog::Flavor;
use crate::dial::TrafficClass;
use crate::error::{Error, ErrorKind, Result};
use crate::options::CloneOptions;

const UNKNOWN_VARIABLE: u16 = 1193;

/// The settings of every session. The timeouts allow a reader to wait for a slow target, a loader for a slow source, and
/// both for the end of a pause of up to a week.
const COMMON_SETTINGS: &str = "autocommit = 1, time_zone = '+00:00', net_read_timeout = 604800, net_write_timeout = 604800, \
                      wait_timeout = 604800, sql_safe_updates = 0, sql_select_limit = 18446744073709551615, sql_quote_show_create = 1, sql_big_selects = 1";

/// Switches off limits that would end a statement or an idle session. They differ between the families and versions.
const MYSQL_LIMITS: [&str; 1] = ["max_execution_time = 0"];
const MARIADB_LIMITS: [&str; 4] = [
    "max_statement_time = 0",
    "idle_transaction_timeout = 0",
    "idle_readonly_transaction_timeout = 0",
    "idle_write_transaction_timeout = 0",
];

/// Opens a session with these settings and the common ones.
async fn open_with(address: &ServerAddress, traffic: TrafficClass, settings: &str) -> Result<Conn> {
    let settings = format!("SET {settings}, lock_wait_timeout = {}, {COMMON_SETTINGS}", address.lock_wait);
    let mut conn = Conn::open(address, traffic, &settings).await?;
    match conn.server.flavor {
        Flavor::MySql => conn.try_set_each(&MYSQL_LIMITS).await?,
        Flavor::MariaDb => conn.try_set_each(&MARIADB_LIMITS).await?,
    }
    Ok(conn)
}

/// Allows comparisons with every date that a column may hold: MySQL otherwise refuses literals of invalid dates.
const READ_MODES: &str = "ALLOW_INVALID_DATES";
/// Accepts what the source accepted, and fails instead of changing a value.
pub(super) const STRICT_MODES: &str = "NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,ALLOW_INVALID_DATES";
/// Accepts what the source accepted, and reports changed values by warnings.
pub(super) const LENIENT_MODES: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

/// Accepts definitions that the source accepted, even if the target is stricter.
pub(super) const DDL_MODES: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION";
/// Begins the transaction in which a session sees one state of all tables.
pub(super) const BEGIN_SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// Opens a session for catalogs, settings and locks. All its text is UTF-8.
pub(super) async fn open_control(address: &ServerAddress) -> Result<Conn> {
    let mut conn =
        open_with(address, TrafficClass::Control, &format!("NAMES utf8mb4, sql_mode = '{READ_MODES}'")).await?;
    check_announced_version(&mut conn, address).await?;
    // These variables need no privilege. They exist in one family or in late versions only.
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

/// Fails if the server has another version than it announced at login: a proxy announces one of its own configuration, and
/// what a release has would be judged by it.
async fn check_announced_version(conn: &mut Conn, address: &ServerAddress) -> Result<()> {
    let row = conn.row("SELECT VERSION()").await?;
    let actual = Conn::server_of_version(&row.map(|row| row.string(0)).unwrap_or_default());
    if actual.is_same_release(&conn.server) {
        return Ok(());
    }
    let message = format!(
        "a proxy is between: it announces {}, and the server behind it is {actual}: set the version that it announces \
         (mysql-server_version in ProxySQL, version_string in MaxScale), or connect to the server itself",
        conn.server
    );
    Err(Error::new(ErrorKind::Unsupported, message).with(address.role.name(), address))
}

/// Opens a session that reads rows. Text arrives in the character set of its column.
pub(super) async fn open_reader(address: &ServerAddress) -> Result<Conn> {
    let settings = format!("NAMES utf8mb4, character_set_results = NULL, sql_mode = '{READ_MODES}'");
    let mut conn = open_with(address, TrafficClass::Bulk, &settings).await?;
    conn.exec("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    // A row filter may refer to other tables without a database.
    conn.exec(&format!("USE {}", quote_name(&address.database))).await?;
    if conn.server.flavor == Flavor::MySql {
        conn.try_set_each(&["show_gipk_in_create_table_and_information_schema = 1"]).await?;
    }
    Ok(conn)
}

/// Opens a session that reads the binary log.
pub(super) async fn open_log_reader(address: &ServerAddress) -> Result<Conn> {
    open_with(address, TrafficClass::Bulk, &format!("NAMES utf8mb4, sql_mode = '{READ_MODES}'")).await
}

/// Opens a session that loads rows.
pub(super) async fn open_writer(address: &ServerAddress, options: &CloneOptions) -> Result<Conn> {
    // In MariaDB, unique_checks=0 with foreign_key_checks=0 locks the whole table, and is slower.
    let settings = format!("NAMES utf8mb4, sql_mode = '{STRICT_MODES}', foreign_key_checks = 0, unique_checks = 1");
    let mut conn = open_with(address, TrafficClass::Bulk, &settings).await?;
    // In MySQL the first variable needs a privilege; older MariaDB servers lack the second.
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

/// Opens a session that applies changes. Each of its statements is part of a transaction.
pub(super) async fn open_applier(address: &ServerAddress, options: &CloneOptions) -> Result<Conn> {
    let mut conn = open_writer(address, options).await?;
    if conn.server.flavor == Flavor::MariaDb {
        // The source may hold rows that are older than a check.
        conn.try_set_each(&["check_constraint_checks = 0"]).await?;
    }
    // Without locks on gaps, appliers of different rows do not wait for each other. A log of statements does not allow it.
    let format = conn.row("SELECT @@GLOBAL.log_bin = 0 OR @@SESSION.binlog_format = 'ROW'").await;
    let has_rows = match format {
        // Later releases log rows only.
        Err(error) if error.code() == Some(UNKNOWN_VARIABLE) => true,
        format => format?.is_some_and(|row| row.number(0) == 1),
    };
    if has_rows {
        conn.exec("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
    }
    conn.exec("SET SESSION autocommit = 0").await?;
    conn.set_multi_statements(true).await?;
    Ok(conn)
}

/// Opens a session that runs DDL. It accepts definitions that the source accepted, even if the target is stricter.
pub(super) async fn open_ddl(address: &ServerAddress, options: &CloneOptions) -> Result<Conn> {
    let mut conn = open_writer(address, options).await?;
    conn.exec(&format!("SET SESSION sql_mode = '{DDL_MODES}'")).await?;
    // Each variable needs a privilege or exists in some versions only. The preflight reports the cases that matter.
    conn.try_set_each(match conn.server.flavor {
        Flavor::MySql => &[
            "innodb_strict_mode = 0",
            "max_heap_table_size = 18446744073709551615",
            "sql_require_primary_key = 0",
            "sql_generate_invisible_primary_key = 0",
            "restrict_fk_on_non_standard_key = 0",
            "explicit_defaults_for_timestamp = 1",
            "default_table_encryption = 0",
            // The server's own settings decide the number of threads.
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
                open_control(&address).await,
                open_reader(&address).await,
                open_writer(&address, &CloneOptions::default()).await,
                open_ddl(&address, &CloneOptions::default()).await,
            ];
            for session in sessions {
                let row = session.unwrap().row(&format!("SELECT @@{}", limits.join(" + @@"))).await.unwrap();
                assert_eq!(row.unwrap().text(0).unwrap().parse(), Ok(0.0), "{family}");
            }
        }
    }
}
