//! Routines, triggers, events and definers: what the target lets this account create.

use std::collections::BTreeSet;

use super::super::words::{self, list, named, plural};
use super::Target;
use crate::catalog::{Definition, Flavor, ObjectKind};
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{Dialect, EventStatus, Token, definer_of, disabled_event, quote_text, tokens};
use crate::options::Definer;
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &Target<'_>) -> Result<Vec<Finding>> {
    let mut findings = logged_code(target);
    findings.extend(definers(conn, target).await?);
    findings.extend(time_zones(conn, target).await?);
    findings.extend(sleeping_events(target));
    Ok(findings)
}

/// With a binary log the servers distrust functions and triggers (errors 1418 and 1419).
fn logged_code(target: &Target<'_>) -> Vec<Finding> {
    let settings = &target.party.settings;
    if !settings.is_on("log_bin") || settings.is_on("log_bin_trust_function_creators") {
        return Vec::new();
    }
    let remedy = "SET GLOBAL log_bin_trust_function_creators = 1 on the target";
    let mut findings = Vec::new();
    let code = target.of_kind(|kind| matches!(kind, ObjectKind::Function | ObjectKind::Trigger));
    let code: Vec<String> = code.map(|definition| words::object(&definition.object)).collect();
    if !code.is_empty() && !target.party.grants.global("SUPER") {
        findings.push(Finding::error(format!(
            "the target writes a binary log and lets only accounts with SUPER create functions and triggers (error \
             1419): {}: {remedy}, or --no-routines and --no-triggers",
            list(code)
        )));
    }
    let vague = target.of_kind(|kind| kind == ObjectKind::Function).filter(|definition| is_vague(definition));
    let vague: Vec<String> = vague.map(|definition| named(&definition.object.name)).collect();
    if !vague.is_empty() {
        findings.push(Finding::error(format!(
            "the target writes a binary log and refuses {} {}, declared neither DETERMINISTIC nor NO SQL nor READS SQL \
             DATA (error 1418): {remedy}, or leave {} out by --exclude",
            plural(vague.len(), "function", "functions"),
            list(&vague),
            plural(vague.len(), "it", "them"),
        )));
    }
    findings
}

/// What comes before the type of a function; the second one in Oracle's mode.
const RETURNS: [&str; 2] = ["RETURNS", "RETURN"];

/// Whether a function's header promises nothing of its body.
fn is_vague(definition: &Definition) -> bool {
    let all = tokens(&definition.create, Dialect::of(&definition.sql_mode));
    let meaning = all.iter().filter(|token| !token.is_noise()).skip_while(|token| !token.is_any_word(&RETURNS));
    let header = meaning.skip(1).take_while(|token| !token.is_any_word(&["BEGIN", "RETURN", "AS", "IS"]));
    let header: Vec<_> = header.collect();
    let promises = |pair: &[&Token<'_>]| match pair {
        [before, word] if word.is_word("DETERMINISTIC") => !before.is_word("NOT"),
        [before, word] => before.is_any_word(&["NO", "READS"]) && word.is_word("SQL"),
        _ => false,
    };
    !header.windows(2).any(promises)
}

/// Definers other than the account itself, which not everybody may name.
async fn definers(conn: &mut Conn, target: &Target<'_>) -> Result<Vec<Finding>> {
    let wanted = wanted_definers(target);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let late = conn.server.flavor == Flavor::MySql && conn.server.version_numbers() >= (8, 2, 0);
    let (rights, name): (&[&str], _) = match conn.server.flavor {
        Flavor::MariaDb => (&["SET USER", "SUPER"], "SET USER"),
        Flavor::MySql if late => (&["SET_ANY_DEFINER", "SUPER"], "SET_ANY_DEFINER"),
        Flavor::MySql => (&["SET_USER_ID", "SUPER"], "SET_USER_ID"),
    };
    let shown = list(wanted.iter().map(|account| words::account(account)));
    if !target.party.grants.any_global(rights) {
        return Ok(vec![Finding::error(format!(
            "the account may not make others the definer on the target ({shown}): --definer strip, or {}",
            target.party.remedy(name, "*.*")
        ))]);
    }
    let mut findings = Vec::new();
    let Some(accounts) = accounts(conn).await? else { return Ok(findings) };
    let absent: Vec<String> =
        wanted.iter().filter(|account| !accounts.contains(*account)).map(|account| words::account(account)).collect();
    if !absent.is_empty() {
        let (does, count) = (plural(absent.len(), "does", "do"), plural(absent.len(), "definer", "definers"));
        let shown = list(&absent);
        findings.push(match late && !target.party.grants.any_global(&["ALLOW_NONEXISTENT_DEFINER", "SUPER"]) {
            true => Finding::error(format!(
                "{count} {shown} {does} not exist on the target, which refuses what they define: create them, or {}",
                target.party.remedy("ALLOW_NONEXISTENT_DEFINER", "*.*")
            )),
            false => Finding::warning(format!(
                "{count} {shown} {does} not exist on the target: what they define fails when it is used, until they do"
            )),
        });
    }
    findings.extend(powerful_definers(conn, target, &wanted).await?);
    Ok(findings)
}

fn wanted_definers(target: &Target<'_>) -> BTreeSet<String> {
    let own = |definition: &&Definition| definer_of(&definition.create, Dialect::of(&definition.sql_mode));
    let defined = target.definitions.iter().filter_map(own);
    let mut wanted: BTreeSet<String> = match &target.options.definer {
        Definer::Strip => BTreeSet::new(),
        Definer::Keep => defined.collect(),
        Definer::Account { user, host } => defined.map(|_| format!("{user}@{host}")).collect(),
    };
    wanted.retain(|account| *account != target.party.account && account != "CURRENT_USER");
    wanted
}

/// All accounts and roles of the server, where the account may see them.
async fn accounts(conn: &mut Conn) -> Result<Option<BTreeSet<String>>> {
    match conn.rows("SELECT User, Host FROM mysql.user").await {
        Ok(rows) => Ok(Some(
            // A role of MariaDB has no host.
            rows.iter()
                .map(|row| format!("{}@{}", row.string(0), row.string(1)).trim_end_matches('@').to_owned())
                .collect(),
        )),
        Err(error) if error.code().is_none() => Err(error),
        Err(_) => Ok(None),
    }
}

/// On MySQL only an account with SYSTEM_USER may name another one that has it.
async fn powerful_definers(conn: &mut Conn, target: &Target<'_>, wanted: &BTreeSet<String>) -> Result<Option<Finding>> {
    if conn.server.flavor != Flavor::MySql || target.party.grants.global("SYSTEM_USER") {
        return Ok(None);
    }
    let sql = "SELECT GRANTEE FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'SYSTEM_USER'";
    let powerful: BTreeSet<String> = conn.rows(sql).await?.iter().map(|row| row.string(0)).collect();
    let named: Vec<String> =
        wanted.iter().map(|account| words::account(account)).filter(|account| powerful.contains(account)).collect();
    if named.is_empty() {
        return Ok(None);
    }
    Ok(Some(Finding::error(format!(
        "only an account with SYSTEM_USER may make {} the definer on the target: --definer strip, or {}",
        list(named),
        target.party.remedy("SYSTEM_USER", "*.*")
    ))))
}

/// The time zones of events, of which a server knows as many as somebody loaded.
async fn time_zones(conn: &mut Conn, target: &Target<'_>) -> Result<Option<Finding>> {
    let mut unknown = Vec::new();
    for event in target.of_kind(|kind| kind == ObjectKind::Event).filter(|event| !event.create.is_empty()) {
        let sql = format!("SELECT CONVERT_TZ('2000-01-01', '+00:00', {}) IS NULL", quote_text(&event.time_zone));
        if conn.row(&sql).await?.is_some_and(|row| row.number(0) == 1) {
            unknown.push(format!("{} of event {}", event.time_zone, named(&event.object.name)));
        }
    }
    Ok((!unknown.is_empty()).then(|| {
        Finding::error(format!(
            "the target does not know {} {}: load its time zone tables (mysql_tzinfo_to_sql), or leave {} out by --exclude",
            plural(unknown.len(), "time zone", "time zones"),
            list(&unknown),
            plural(unknown.len(), "the event", "the events"),
        ))
    }))
}

fn sleeping_events(target: &Target<'_>) -> Option<Finding> {
    if target.party.settings.is_on("event_scheduler") {
        return None;
    }
    let status = |d: &&Definition| disabled_event(&d.create, Dialect::of(&d.sql_mode)).1;
    let events = target.of_kind(|kind| kind == ObjectKind::Event);
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
    fn a_function_promises_something_in_its_header_only() {
        let vague = |header: &str| {
            is_vague(&Definition {
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
        assert!(!vague("RETURNS int(11)\n    DETERMINISTIC\nRETURN 1"));
        assert!(!vague("RETURNS int\n    READS SQL DATA\nBEGIN RETURN 1; END"));
        assert!(!vague("RETURNS int NO SQL RETURN 1"));
        assert!(!vague("RETURN int(11) DETERMINISTIC AS BEGIN RETURN 1; END"));
        assert!(vague("RETURN int(11) IS BEGIN RETURN deterministic; END"));
        assert!(vague("RETURNS int(11)\nRETURN deterministic"));
        assert!(vague("RETURNS int NOT DETERMINISTIC RETURN 1"));
        assert!(vague("RETURNS varchar(9) CHARSET utf8mb4\nBEGIN -- DETERMINISTIC\n RETURN 'NO SQL'; END"));
        assert!(vague("RETURNS int MODIFIES SQL DATA COMMENT 'DETERMINISTIC' BEGIN RETURN 1; END"));
    }
}
