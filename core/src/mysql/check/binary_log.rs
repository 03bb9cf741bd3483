//! Checks that the source's binary log can be followed.

use super::account::Account;
use super::message_format::{display_name, join_list};
use super::system_variables::SystemVariables;
use crate::catalog::{Catalog, Flavor};
use crate::error::Result;
use crate::mysql::capability::{self, Capability};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{Dialect, TokenCursor, split_table, tokenize};
use crate::plan::Selection;
use crate::report::Finding;

const SECONDS_PER_DAY: u64 = 86_400;

/// Runs all checks of the log.
pub(super) async fn check(conn: &mut Conn, catalog: &Catalog, selection: &Selection) -> Result<Vec<Finding>> {
    let account = Account::read(conn).await?;
    let variables = &account.variables;
    if !variables.is_on("log_bin") {
        let message = "the source writes no binary log, so it cannot be followed: set log_bin and server_id in its \
                       configuration, and restart it";
        return Ok(vec![Finding::error(message)]);
    }
    let mut findings = check_format(variables);
    findings.extend(check_retention(variables));
    findings.extend(check_privileges(&account, catalog.server.flavor));
    if !capability::has(&catalog.server, Capability::LoggedCascades) {
        findings.extend(check_cascades(catalog, selection));
    }
    Ok(findings)
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

/// Refuses foreign keys that change rows of their own accord: the log of this release does not hold these changes.
fn check_cascades(catalog: &Catalog, selection: &Selection) -> Option<Finding> {
    let mut cascading = Vec::new();
    for table in selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name)) {
        let Ok(ddl) = split_table(&table.create, Dialect::default()) else { continue };
        for key in ddl.foreign_keys.iter().filter(|key| changes_rows(&key.definition)) {
            let name = key.name.as_deref().unwrap_or_default();
            cascading.push(format!("{} of table {}", display_name(name), display_name(&table.name)));
        }
    }
    if cascading.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "foreign keys change rows by CASCADE or SET NULL, and {} does not log these changes, so they would be missing: {}: \
         change them to RESTRICT, or leave these tables out by --exclude",
        catalog.server,
        join_list(cascading)
    )))
}

/// Whether a foreign key changes rows when those that they refer to change.
fn changes_rows(definition: &str) -> bool {
    let tokens = tokenize(definition, Dialect::default());
    let mut cursor = TokenCursor::new(&tokens);
    while let Some(token) = cursor.next() {
        let is_action = token.is_word("ON") && cursor.next().is_some_and(|on| on.is_any_word(&["DELETE", "UPDATE"]));
        if is_action && cursor.next().is_some_and(|action| action.is_any_word(&["CASCADE", "SET"])) {
            return true;
        }
    }
    false
}
