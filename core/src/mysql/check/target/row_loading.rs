//! Checks that the target accepts writes, and how it loads rows.

use super::super::connections;
use super::super::message_format::{display_name, format_bytes, join_list, join_names, plural};
use super::{PreflightContext, can_set_variable};
use crate::catalog::{Flavor, Table};
use crate::error::Result;
use crate::mysql::capability::{self, Capability};
use crate::mysql::connect::Conn;
use crate::report::Finding;

/// The upper limit of a batch, which is one transaction.
const TRANSACTION_BYTES: u64 = 64 << 20;

/// Reports a read-only server.
pub(super) fn check_writable(conn: &Conn, target: &PreflightContext<'_>) -> Option<Finding> {
    let (variables, grants) = (&target.account.variables, &target.account.grants);
    let above: &[&str] = match conn.server.flavor {
        Flavor::MySql => &["CONNECTION_ADMIN", "SUPER"],
        Flavor::MariaDb => &["READ_ONLY ADMIN", "READ ONLY ADMIN"],
    };
    let is_set = |name| !matches!(variables.text(name), "" | "OFF" | "0");
    let variable = ["super_read_only", "innodb_read_only", "read_only"].into_iter().find(|name| is_set(name))?;
    if variable == "read_only" && grants.has_any_globally(above) {
        return Some(Finding::warning(
            "read_only is on at the target; this account may write all the same: is it a replica?",
        ));
    }
    Some(Finding::error(format!(
        "the target takes no writes: {variable} is on: switch it off, or choose the primary server"
    )))
}

pub(super) async fn check(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Vec<Finding>> {
    let variables = &target.account.variables;
    let mut findings = Vec::new();
    if target.options.skip_binlog && !can_set_variable(conn, target, "sql_log_bin", "OFF").await? {
        let right = match conn.server.flavor {
            Flavor::MySql => "SESSION_VARIABLES_ADMIN",
            Flavor::MariaDb => "BINLOG ADMIN",
        };
        findings.push(Finding::error(format!(
            "the account may not keep its changes out of the target's binary log: leave --skip-binlog out, or {}",
            target.account.suggest_grant(right, "*.*")
        )));
    }
    if !target.selection.rows || target.tables.is_empty() {
        return Ok(findings);
    }
    findings.extend(check_late_timestamps(conn, target));
    findings.extend(connections::check("target", 3, &target.account, target.options));
    if !variables.is_on("local_infile") {
        findings.push(Finding::note(
            "local_infile is off on the target, so rows go in by INSERT, which is slower: SET GLOBAL local_infile = 1 \
             there to avoid it",
        ));
    }
    findings.extend(check_packet_size(target));
    let cache = variables.number("max_binlog_cache_size").unwrap_or(u64::MAX);
    if variables.is_on("log_bin") && !target.options.skip_binlog && cache < TRANSACTION_BYTES {
        findings.push(Finding::warning(format!(
            "max_binlog_cache_size of the target is {}, and a transaction of the clone may be larger: set it to at least {}",
            format_bytes(cache),
            format_bytes(TRANSACTION_BYTES)
        )));
    }
    Ok(findings)
}

/// Reports columns with times that the target's TIMESTAMP cannot store.
fn check_late_timestamps(conn: &Conn, target: &PreflightContext<'_>) -> Option<Finding> {
    if capability::has(&conn.server, Capability::LongTimestamps) {
        return None;
    }
    let of_table = |table: &Table| {
        let column = |name: &String| format!("{} of table {}", display_name(name), display_name(&table.name));
        table.late_timestamps.iter().map(column).collect::<Vec<_>>()
    };
    let columns: Vec<String> = target.tables.iter().flat_map(|(table, _)| of_table(table)).collect();
    (!columns.is_empty()).then(|| {
        Finding::error(format!(
            "{} {} {} times after 2038-01-19 03:14:07 UTC, which the target's TIMESTAMP cannot store: change {} to DATETIME at \
             the source, or leave such rows out by --where",
            plural(columns.len(), "column", "columns"),
            join_list(&columns),
            plural(columns.len(), "holds", "hold"),
            plural(columns.len(), "it", "them"),
        ))
    })
}

/// Warns if values that a statement contains or converts may be larger than a packet.
fn check_packet_size(target: &PreflightContext<'_>) -> Option<Finding> {
    let variables = &target.account.variables;
    let (from, to) = (target.catalog.server.max_allowed_packet, variables.number("max_allowed_packet")?);
    if from <= to {
        return None;
    }
    let bound: &[&str] = match variables.is_on("local_infile") {
        true => &["json"],
        false => &["json", "mediumtext", "longtext", "mediumblob", "longblob", "geometry", "vector"],
    };
    let tables = target
        .tables
        .iter()
        .filter(|(table, _)| table.stored_columns().any(|column| bound.contains(&column.data_type.as_str())));
    let tables: Vec<&str> = tables.map(|(table, _)| table.name.as_str()).collect();
    if tables.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "max_allowed_packet is {} on the target and {} at the source: larger values of {} {} cannot be loaded: raise it \
         on the target",
        format_bytes(to),
        format_bytes(from),
        plural(tables.len(), "table", "tables"),
        join_names(tables)
    )))
}
