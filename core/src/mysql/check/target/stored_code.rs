//! Checks that the account may create the routines, triggers and events with their definers on the target.

use std::collections::BTreeSet;

use super::super::message_format::{self, display_name, join_list, plural};
use super::PreflightContext;
use crate::catalog::{Definition, Flavor, ObjectKind};
use crate::error::Result;
use crate::mysql::capability::{self, Capability};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{Dialect, EventStatus, Token, definer_account, disable_event, quote_text, tokenize};
use crate::options::Definer;
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Vec<Finding>> {
    let mut findings = check_binary_log_rules(target);
    findings.extend(check_definers(conn, target).await?);
    findings.extend(check_time_zones(conn, target).await?);
    findings.extend(check_event_scheduler(target));
    Ok(findings)
}

/// Reports functions and triggers that a server with a binary log refuses (errors 1418 and 1419).
fn check_binary_log_rules(target: &PreflightContext<'_>) -> Vec<Finding> {
    let variables = &target.account.variables;
    if !variables.is_on("log_bin") || variables.is_on("log_bin_trust_function_creators") {
        return Vec::new();
    }
    let remedy = "SET GLOBAL log_bin_trust_function_creators = 1 on the target";
    let mut findings = Vec::new();
    let code = target.definitions_of_kind(|kind| matches!(kind, ObjectKind::Function | ObjectKind::Trigger));
    let code: Vec<String> = code.map(|definition| message_format::display_object(&definition.object)).collect();
    if !code.is_empty() && !target.account.grants.has_globally("SUPER") {
        findings.push(Finding::error(format!(
            "the target writes a binary log and lets only accounts with SUPER create functions and triggers (error \
             1419): {}: {remedy}, or --no-routines and --no-triggers",
            join_list(code)
        )));
    }
    let undeclared = target
        .definitions_of_kind(|kind| kind == ObjectKind::Function)
        .filter(|definition| is_undeclared_function(definition));
    let undeclared: Vec<String> = undeclared.map(|definition| display_name(&definition.object.name)).collect();
    if !undeclared.is_empty() {
        findings.push(Finding::error(format!(
            "the target writes a binary log and refuses {} {}, declared neither DETERMINISTIC nor NO SQL nor READS SQL \
             DATA (error 1418): {remedy}, or leave {} out by --exclude",
            plural(undeclared.len(), "function", "functions"),
            join_list(&undeclared),
            plural(undeclared.len(), "it", "them"),
        )));
    }
    findings
}

/// The keywords before a function's type; the second one is of `sql_mode=ORACLE`.
const RETURNS: [&str; 2] = ["RETURNS", "RETURN"];

/// Whether a function is declared neither DETERMINISTIC nor NO SQL nor READS SQL DATA.
fn is_undeclared_function(definition: &Definition) -> bool {
    let all = tokenize(&definition.create, Dialect::from_sql_mode(&definition.sql_mode));
    let significant = all.iter().filter(|token| !token.is_trivia()).skip_while(|token| !token.is_any_word(&RETURNS));
    let header = significant.skip(1).take_while(|token| !token.is_any_word(&["BEGIN", "RETURN", "AS", "IS"]));
    let header: Vec<_> = header.collect();
    let declares = |pair: &[&Token<'_>]| match pair {
        [before, word] if word.is_word("DETERMINISTIC") => !before.is_word("NOT"),
        [before, word] => before.is_any_word(&["NO", "READS"]) && word.is_word("SQL"),
        _ => false,
    };
    !header.windows(2).any(declares)
}

/// Checks the definers other than the account itself, which need further privileges.
async fn check_definers(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Vec<Finding>> {
    let wanted = wanted_definers(target);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let has_new_privileges = capability::has(&conn.server, Capability::NonexistentDefinerPrivilege);
    let (rights, name): (&[&str], _) = match conn.server.flavor {
        Flavor::MariaDb => (&["SET USER", "SUPER"], "SET USER"),
        Flavor::MySql if has_new_privileges => (&["SET_ANY_DEFINER", "SUPER"], "SET_ANY_DEFINER"),
        Flavor::MySql => (&["SET_USER_ID", "SUPER"], "SET_USER_ID"),
    };
    let shown = join_list(wanted.iter().map(|account| message_format::quote_account(account)));
    if !target.account.grants.has_any_globally(rights) {
        return Ok(vec![Finding::error(format!(
            "the account may not make others the definer on the target ({shown}): --definer strip, or {}",
            target.account.suggest_grant(name, "*.*")
        ))]);
    }
    let mut findings = Vec::new();
    let Some(accounts) = read_accounts(conn).await? else { return Ok(findings) };
    let absent: Vec<String> = wanted
        .iter()
        .filter(|account| !accounts.contains(*account))
        .map(|account| message_format::quote_account(account))
        .collect();
    if !absent.is_empty() {
        let (does, count) = (plural(absent.len(), "does", "do"), plural(absent.len(), "definer", "definers"));
        let shown = join_list(&absent);
        findings.push(match has_new_privileges && !target.account.grants.has_any_globally(&["ALLOW_NONEXISTENT_DEFINER", "SUPER"]) {
            true => Finding::error(format!(
                "{count} {shown} {does} not exist on the target, which refuses what they define: create them, or {}",
                target.account.suggest_grant("ALLOW_NONEXISTENT_DEFINER", "*.*")
            )),
            false => Finding::warning(format!(
                "{count} {shown} {does} not exist on the target: what they define fails when it is used, until they do"
            )),
        });
    }
    findings.extend(check_system_users(conn, target, &wanted).await?);
    Ok(findings)
}

/// The definers of the created objects, the account itself aside.
fn wanted_definers(target: &PreflightContext<'_>) -> BTreeSet<String> {
    let own =
        |definition: &&Definition| definer_account(&definition.create, Dialect::from_sql_mode(&definition.sql_mode));
    let defined = target.definitions.iter().filter_map(own);
    let mut wanted: BTreeSet<String> = match &target.options.definer {
        Definer::Strip => BTreeSet::new(),
        Definer::Keep => defined.collect(),
        Definer::Account { user, host } => defined.map(|_| format!("{user}@{host}")).collect(),
    };
    wanted.retain(|account| *account != target.account.name && account != "CURRENT_USER");
    wanted
}

/// Reads all accounts and roles of the server; `None` if the account may not read them.
async fn read_accounts(conn: &mut Conn) -> Result<Option<BTreeSet<String>>> {
    match conn.rows("SELECT User, Host FROM mysql.user").await {
        Ok(rows) => Ok(Some(
            // MariaDB's roles have no host.
            rows.iter()
                .map(|row| format!("{}@{}", row.string(0), row.string(1)).trim_end_matches('@').to_owned())
                .collect(),
        )),
        Err(error) if error.code().is_none() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Reports definers with SYSTEM_USER on MySQL, which only an account with SYSTEM_USER may name.
async fn check_system_users(
    conn: &mut Conn,
    target: &PreflightContext<'_>,
    wanted: &BTreeSet<String>,
) -> Result<Option<Finding>> {
    if conn.server.flavor != Flavor::MySql || target.account.grants.has_globally("SYSTEM_USER") {
        return Ok(None);
    }
    let sql = "SELECT GRANTEE FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'SYSTEM_USER'";
    let powerful: BTreeSet<String> = conn.rows(sql).await?.iter().map(|row| row.string(0)).collect();
    let named: Vec<String> = wanted
        .iter()
        .map(|account| message_format::quote_account(account))
        .filter(|account| powerful.contains(account))
        .collect();
    if named.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::error(format!(
        "only an account with SYSTEM_USER may make {} the definer on the target: --definer strip, or {}",
        join_list(named),
        target.account.suggest_grant("SYSTEM_USER", "*.*")
    ))))
}

/// Reports time zones of events that are missing from the server's time zone tables.
async fn check_time_zones(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Option<Finding>> {
    let mut unknown = Vec::new();
    for event in target.definitions_of_kind(|kind| kind == ObjectKind::Event).filter(|event| !event.create.is_empty()) {
        let sql = format!("SELECT CONVERT_TZ('2000-01-01', '+00:00', {}) IS NULL", quote_text(&event.time_zone));
        if conn.row(&sql).await?.is_some_and(|row| row.number(0) == 1) {
            unknown.push(format!("{} of event {}", event.time_zone, display_name(&event.object.name)));
        }
    }
    Ok((!unknown.is_empty()).then(|| {
        Finding::error(format!(
            "the target does not know {} {}: load its time zone tables (mysql_tzinfo_to_sql), or leave {} out by --exclude",
            plural(unknown.len(), "time zone", "time zones"),
            join_list(&unknown),
            plural(unknown.len(), "the event", "the events"),
        ))
    }))
}

/// Notes enabled events that will not run, as the event scheduler is off.
fn check_event_scheduler(target: &PreflightContext<'_>) -> Option<Finding> {
    if target.account.variables.is_on("event_scheduler") {
        return None;
    }
    let status = |d: &&Definition| disable_event(&d.create, Dialect::from_sql_mode(&d.sql_mode)).1;
    let events = target.definitions_of_kind(|kind| kind == ObjectKind::Event);
    let count = events.filter(|definition| status(definition) == EventStatus::Enabled).count();
    if count == 0 {
        return None;
    }
    Some(Finding::note(format!(
        "event_scheduler is not on at the target: {count} enabled {} will not fire there",
        plural(count, "event", "events")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ObjectRef;

    #[test]
    fn only_a_functions_header_declares_it() {
        let undeclared = |header: &str| {
            is_undeclared_function(&Definition {
                object: ObjectRef::new(ObjectKind::Function, "f"),
                create: format!("CREATE DEFINER=`u`@`h` FUNCTION `f`(`NO` int) {header}"),
                sql_mode: String::new(),
                character_set_client: String::new(),
                collation_connection: String::new(),
                database_collation: String::new(),
                time_zone: String::new(),
                columns: Vec::new(),
                state: None,
            })
        };
        assert!(!undeclared("RETURNS int(11)\n    DETERMINISTIC\nRETURN 1"));
        assert!(!undeclared("RETURNS int\n    READS SQL DATA\nBEGIN RETURN 1; END"));
        assert!(!undeclared("RETURNS int NO SQL RETURN 1"));
        assert!(!undeclared("RETURN int(11) DETERMINISTIC AS BEGIN RETURN 1; END"));
        assert!(undeclared("RETURN int(11) IS BEGIN RETURN deterministic; END"));
        assert!(undeclared("RETURNS int(11)\nRETURN deterministic"));
        assert!(undeclared("RETURNS int NOT DETERMINISTIC RETURN 1"));
        assert!(undeclared("RETURNS varchar(9) CHARSET utf8mb4\nBEGIN -- DETERMINISTIC\n RETURN 'NO SQL'; END"));
        assert!(undeclared("RETURNS int MODIFIES SQL DATA COMMENT 'DETERMINISTIC' BEGIN RETURN 1; END"));
    }
}
