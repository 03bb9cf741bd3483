//! The system variables of a server that the checks read.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::mysql::connect::Conn;

/// The session's values of the system variables that the checks read. A variable that the server does not have is off.
#[derive(Debug, Default)]
pub(super) struct SystemVariables(BTreeMap<String, String>);

impl SystemVariables {
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        const NAMES: [&str; 35] = [
            "binlog_expire_logs_seconds",
            "binlog_format",
            "binlog_row_image",
            "binlog_row_value_options",
            "datadir",
            "disabled_storage_engines",
            "enforce_storage_engine",
            "event_scheduler",
            "expire_logs_days",
            "gtid_mode",
            "hostname",
            "innodb_force_primary_key",
            "innodb_native_foreign_keys",
            "innodb_read_only",
            "local_infile",
            "log_bin",
            "log_bin_trust_function_creators",
            "log_replica_updates",
            "log_slave_updates",
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

    /// Whether the server ignores the case of the names of databases, tables and views.
    pub(super) fn folds_names(&self) -> bool {
        !matches!(self.text("lower_case_table_names"), "" | "0")
    }
}

/// Reads the global values of the variables that the value of an expression may depend on.
pub(super) async fn expression_settings(conn: &mut Conn) -> Result<BTreeMap<String, String>> {
    const SQL: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
                       ('time_zone', 'lc_time_names', 'default_week_format', 'div_precision_increment', 'sql_mode', \
                       'block_encryption_mode', 'system_time_zone')";
    let rows = conn.rows(SQL).await?;
    Ok(rows.iter().map(|row| (row.string(0).to_ascii_lowercase(), row.string(1))).collect())
}

/// Computes a text that identifies a running server.
pub(super) fn server_identity(variables: &SystemVariables) -> String {
    // The server_uuid alone is not enough: a copied data directory has the same one.
    let parts = ["server_uuid", "server_uid", "hostname", "port", "socket", "datadir", "server_id"];
    let parts: Vec<&str> = parts.iter().map(|name| variables.text(name)).collect();
    // The plan is stored, so it holds a hash: the parts stay private.
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(parts.join("\n").as_bytes()))
}
