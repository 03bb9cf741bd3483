//! Checks that the source's binary log can be followed.

use super::account::Account;
use super::message_format::{display_name, join_list};
use super::system_variables::SystemVariables;
use crate::catalog::{Catalog, Flavor, Table};
use crate::error::Result;
use crate::mysql::capability::{self, Capability};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{Dialect, TableDdl, split_table};
use crate::mysql::foreign_key_defects::{self, DefectiveForeignKey, ForeignKeyDefect};
use crate::mysql::log_position::read_log_filters;
use crate::mysql::replica_lag::status_statement;
use crate::mysql::row_filter::RowFilter;
use crate::plan::{SelectedTable, Selection};
use crate::report::Finding;

const SECONDS_PER_DAY: u64 = 86_400;

/// Runs all checks of the log. `has_foreign_keys` says whether the target has them when changes are applied.
pub(super) async fn check(
    conn: &mut Conn,
    catalog: &Catalog,
    selection: &Selection,
    has_foreign_keys: bool,
) -> Result<Vec<Finding>> {
    let account = Account::read(conn).await?;
    let variables = &account.variables;
    if !variables.is_on("log_bin") {
        let message = "the source writes no binary log, so it cannot be followed: set log_bin and server_id in its \
                       configuration, and restart it";
        return Ok(vec![Finding::error(message)]);
    }
    let mut findings = check_format(variables);
    findings.extend(check_filters(variables, catalog, selection));
    findings.extend(check_retention(variables));
    findings.extend(check_log_filters(conn, catalog).await?);
    findings.extend(check_replicated_changes(conn, variables).await?);
    findings.extend(check_privileges(&account, catalog.server.flavor));
    let logs_cascades = capability::has(&catalog.server, Capability::LoggedCascades);
    if !logs_cascades || variables.is_on("innodb_native_foreign_keys") {
        findings.extend(check_cascades(catalog, selection, has_foreign_keys));
    }
    Ok(findings)
}

/// Refuses a log that leaves the database out.
async fn check_log_filters(conn: &mut Conn, catalog: &Catalog) -> Result<Option<Finding>> {
    let Some(filters) = read_log_filters(conn).await? else { return Ok(None) };
    let name = &catalog.database.name;
    let is_ours =
        |other: &String| other == name || catalog.server.folds_names && other.to_lowercase() == name.to_lowercase();
    let is_logged =
        (filters.only.is_empty() || filters.only.iter().any(is_ours)) && !filters.ignored.iter().any(is_ours);
    Ok((!is_logged).then(|| {
        Finding::error(format!(
            "the source's binary log does not hold the changes of database {}: remove binlog_do_db and binlog_ignore_db \
             from its configuration, and restart it",
            display_name(name)
        ))
    }))
}

/// Refuses a replica that does not log what it replicates.
async fn check_replicated_changes(conn: &mut Conn, variables: &SystemVariables) -> Result<Option<Finding>> {
    if variables.is_on("log_replica_updates") || variables.is_on("log_slave_updates") {
        return Ok(None);
    }
    let is_replica = match conn.rows(status_statement(&conn.server).0).await {
        Ok(connections) => !connections.is_empty(),
        Err(error) if error.code().is_none() => return Err(error),
        // The account may not see it. MariaDB shows to everybody what it has replicated.
        Err(_) => match conn.row("SELECT @@GLOBAL.gtid_slave_pos").await {
            Ok(position) => position.is_some_and(|row| !row.string(0).is_empty()),
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => false,
        },
    };
    let message = "the source is a replica whose binary log does not hold what it replicates: set log_replica_updates \
                   (log_slave_updates) in its configuration, and restart it, or follow the server that it replicates";
    Ok(is_replica.then(|| Finding::error(message)))
}

fn check_format(variables: &SystemVariables) -> Vec<Finding> {
    let mut findings = Vec::new();
    let format = variables.text("binlog_format");
    if !format.is_empty() && !format.eq_ignore_ascii_case("ROW") {
        findings.push(Finding::error(format!(
            "the source logs statements instead of rows (binlog_format = {format}), so it cannot be followed: SET GLOBAL \
             binlog_format = 'ROW', and let all clients connect anew"
        )));
    }
    let image = variables.text("binlog_row_image");
    if !variables.text("binlog_row_value_options").is_empty() && !image.eq_ignore_ascii_case("FULL") {
        findings.push(Finding::error(format!(
            "the source logs parts of JSON values (binlog_row_value_options) without the values before (binlog_row_image \
             = {image}): SET GLOBAL binlog_row_image = 'FULL', or SET GLOBAL binlog_row_value_options = '', and let all \
             clients connect anew"
        )));
    }
    if variables.number("server_id") == Some(0) {
        let message = "the source has no server_id, and sends its binary log to nobody: SET GLOBAL server_id = 1, or another \
                       number that no other server of the group has";
        findings.push(Finding::error(message));
    }
    findings
}

/// Refuses row filters whose value for a changed row is not known from the log.
fn check_filters(variables: &SystemVariables, catalog: &Catalog, selection: &Selection) -> Vec<Finding> {
    let filters = selection.tables.iter().filter_map(|table| Some((table, table.filter.as_ref()?)));
    let refused = filters.filter_map(|(chosen, filter)| {
        let reason = RowFilter::parse(filter, catalog.table(&chosen.name)?).err()?;
        Some(Finding::error(format!(
            "the condition for table {} cannot be evaluated on the changes in the binary log: {reason}. What can are \
             comparisons of integer columns with integers (=, <>, <, <=, >, >=, BETWEEN, IN, and % or MOD before), IS NULL, AND, \
             OR and NOT: clone all rows of the table, or by such a condition",
            display_name(&chosen.name)
        )))
    });
    let mut findings: Vec<Finding> = refused.collect();
    let image = variables.text("binlog_row_image");
    let is_filtered = selection.tables.iter().any(|table| table.filter.is_some());
    if is_filtered && !image.is_empty() && !image.eq_ignore_ascii_case("FULL") {
        findings.push(Finding::error(format!(
            "with row filters the binary log must hold whole rows (binlog_row_image = {image}): SET GLOBAL \
             binlog_row_image = 'FULL', and let all clients connect anew"
        )));
    }
    findings
}

/// Warns if the server removes its log within a day.
fn check_retention(variables: &SystemVariables) -> Option<Finding> {
    let seconds = variables.number("binlog_expire_logs_seconds").filter(|seconds| *seconds > 0);
    let days = variables.text("expire_logs_days").parse::<f64>().ok().filter(|days| *days > 0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded number for a message")]
    let kept = seconds.or(days.map(|days| (days * 86_400.0) as u64))?;
    (kept < SECONDS_PER_DAY).then(|| {
        Finding::warning(format!(
            "the source keeps its binary log for {kept} s: if the copy takes longer, it cannot be followed: SET GLOBAL \
             binlog_expire_logs_seconds (or expire_logs_days) to more"
        ))
    })
}

fn check_privileges(account: &Account, flavor: Flavor) -> Vec<Finding> {
    let mut missing = Vec::new();
    if !account.grants.has_any_globally(&["REPLICATION SLAVE", "REPLICATION REPLICA"]) {
        missing.push("REPLICATION SLAVE");
    }
    if !account.grants.has_any_globally(&["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"]) {
        missing.push(match flavor {
            Flavor::MySql => "REPLICATION CLIENT",
            Flavor::MariaDb => "BINLOG MONITOR",
        });
    }
    if missing.is_empty() {
        return Vec::new();
    }
    let grant = account.suggest_grant(&missing.join(", "), "*.*");
    vec![Finding::error(format!("the account may not read the source's binary log: {grant}"))]
}

/// Refuses foreign keys that change rows of their own accord, where the target cannot do the same: the log of this server
/// does not hold these changes.
fn check_cascades(catalog: &Catalog, selection: &Selection, has_foreign_keys: bool) -> Option<Finding> {
    let chosen = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
    let split = chosen.filter_map(|table| Some((table, split_table(&table.create, Dialect::default()).ok()?)));
    let tables: Vec<(&Table, TableDdl)> = split.collect();
    let pairs: Vec<(&Table, &TableDdl)> = tables.iter().map(|(table, ddl)| (*table, ddl)).collect();
    let defective = foreign_key_defects::find_all(&pairs, catalog.server.folds_names);
    let is_same = |one: &str, other: &str| {
        one == other || catalog.server.folds_names && one.to_lowercase() == other.to_lowercase()
    };
    let is_filtered = |name: &str| {
        let is_this = |chosen: &&SelectedTable| is_same(&chosen.name, name);
        selection.tables.iter().find(is_this).is_some_and(|chosen| chosen.filter.is_some())
    };
    let mut refused = Vec::new();
    for (table, ddl) in &tables {
        for key in ddl.foreign_keys.iter().filter(|key| key.changes_rows()) {
            let is_followed = key.referenced_database.is_none()
                && tables.iter().any(|(parent, _)| is_same(&parent.name, &key.referenced_table));
            let is_lost = |other: &&DefectiveForeignKey<'_>| {
                std::ptr::eq(other.key, key) && other.defect != ForeignKeyDefect::NameTooLong
            };
            let why = match defective.iter().find(is_lost) {
                Some(other) => other.defect.describe(),
                None if !has_foreign_keys => "the target has no foreign keys before all tables are complete".to_owned(),
                None if is_filtered(&table.name) || is_filtered(&key.referenced_table) => {
                    "a row filter leaves out rows of one of its tables".to_owned()
                }
                None if !is_followed => format!("table {} is not cloned", display_name(&key.referenced_table)),
                None => continue,
            };
            let name = display_name(key.name.as_deref().unwrap_or_default());
            refused.push(format!("{name} of table {} ({why})", display_name(&table.name)));
        }
    }
    if refused.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "foreign keys change rows by CASCADE or SET NULL, {} does not log these changes, and the target cannot make them: {}: \
         clone both tables whole, change the keys to RESTRICT, or leave these tables out by --exclude",
        catalog.server,
        join_list(refused)
    )))
}
