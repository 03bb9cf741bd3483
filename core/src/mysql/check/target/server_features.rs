//! Checks that the target has the collations, character sets and storage engines of the selection.

use std::collections::{BTreeMap, BTreeSet};

use super::super::message_format::{display_name, display_object, join_list, plural};
use super::super::storage_engines;
use super::PreflightContext;
use crate::catalog::Definition;
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{Dialect, TokenKind, tokenize};
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &PreflightContext<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let known = known_collations(conn).await?;
    let of_database = database_collation(target).filter(|collation| !known.contains(&canonical_name(collation)));
    findings.extend(of_database.map(|collation| {
        Finding::error(format!(
            "the target does not have the collation {} of the database: create the database there first, with a collation that \
             it has",
            display_name(collation)
        ))
    }));
    findings.extend(check_known("collation", used_collations(target), &known));
    findings.extend(check_known("character set", used_charsets(target), &known_charsets(conn).await?));
    let engines = storage_engines::usable_engines(conn).await?;
    findings.extend(check_known("storage engine", used_engines(target), &usable_engines(target, &engines)));
    let enforced = target.account.variables.text("enforce_storage_engine");
    if !enforced.is_empty() && used_engines(target).keys().any(|engine| !engine.eq_ignore_ascii_case(enforced)) {
        findings.push(Finding::error(format!(
            "the target makes tables of engine {enforced} only (enforce_storage_engine), and the selection has others: \
             unset it there"
        )));
    }
    Ok(findings)
}

/// The used features, each with the first object that uses it.
type FeatureUsers = BTreeMap<String, String>;

/// Reports used features that the target does not know.
fn check_known(what: &str, used: FeatureUsers, known: &BTreeSet<String>) -> Option<Finding> {
    let missing: Vec<String> = used
        .into_iter()
        .filter(|(name, _)| !known.contains(&canonical_name(name)))
        .map(|(name, user)| format!("{} (of {user})", display_name(&name)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "the target does not have the {what}{} {}: change {} at the source, or leave what uses {} out by --exclude",
        plural(missing.len(), "", "s"),
        join_list(&missing),
        plural(missing.len(), "it", "them"),
        plural(missing.len(), "it", "them"),
    )))
}

/// The name in lower case, with `utf8mb3` for its old name `utf8`.
fn canonical_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("utf8") {
        Some("") => "utf8mb3".to_owned(),
        Some(rest) if rest.starts_with('_') => format!("utf8mb3{rest}"),
        _ => name,
    }
}

async fn known_collations(conn: &mut Conn) -> Result<BTreeSet<String>> {
    let mut names = Vec::new();
    // MariaDB lists the UCA 14.0.0 collations without a character set; the second table has their full names.
    for sql in [
        "SELECT COLLATION_NAME FROM information_schema.COLLATIONS",
        "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
    ] {
        match conn.rows(sql).await {
            Ok(rows) => names.extend(rows.iter().map(|row| canonical_name(&row.string(0)))),
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(names.into_iter().collect())
}

async fn known_charsets(conn: &mut Conn) -> Result<BTreeSet<String>> {
    let rows = conn.rows("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS").await?;
    Ok(rows.iter().map(|row| canonical_name(&row.string(0))).collect())
}

/// The collation of the database, if the clone creates it.
fn database_collation<'a>(target: &PreflightContext<'a>) -> Option<&'a str> {
    let creates = target.stored_name.is_none() || target.options.recreate_database;
    Some(target.catalog.database.collation.as_str()).filter(|name| creates && !name.is_empty())
}

fn used_collations(target: &PreflightContext<'_>) -> FeatureUsers {
    let mut used = FeatureUsers::new();
    let mut add = |name: &str, user: &dyn Fn() -> String| {
        if !name.is_empty() && !used.contains_key(name) {
            used.insert(name.to_owned(), user());
        }
    };
    for (table, _) in &target.tables {
        let user = || display_object(&table.object());
        table.columns.iter().filter_map(|column| column.collation.as_deref()).for_each(|name| add(name, &user));
        names_after(&table.create, "", &["COLLATE"]).iter().for_each(|name| add(name, &user));
    }
    for definition in &target.definitions {
        let user = || display_object(&definition.object);
        add(&definition.collation_connection, &user);
        add(&definition.database_collation, &user);
        names_after(&definition.create, &definition.sql_mode, &["COLLATE"]).iter().for_each(|name| add(name, &user));
    }
    used
}

fn used_charsets(target: &PreflightContext<'_>) -> FeatureUsers {
    let clients = |definition: &&&Definition| !definition.character_set_client.is_empty();
    let with_user =
        |definition: &&Definition| (definition.character_set_client.clone(), display_object(&definition.object));
    let mut used: FeatureUsers = target.definitions.iter().filter(clients).map(with_user).collect();
    for (table, _) in &target.tables {
        for name in names_after(&table.create, "", &["CHARSET", "SET"]) {
            used.entry(name).or_insert_with(|| display_object(&table.object()));
        }
    }
    used
}

/// Finds the names that follow one of the words in a definition: `COLLATE=utf8mb4_bin`, `CHARACTER SET latin1`.
fn names_after(create: &str, sql_mode: &str, words: &[&str]) -> BTreeSet<String> {
    let all = tokenize(create, Dialect::from_sql_mode(sql_mode));
    let significant: Vec<_> = all.iter().filter(|token| !token.is_trivia()).collect();
    let mut found = BTreeSet::new();
    for (index, token) in significant.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| significant.get(before));
        // `SET` without `CHARACTER` is a column type.
        let clause = token.is_any_word(words)
            && (!token.is_word("SET") || before.is_some_and(|before| before.is_word("CHARACTER")));
        let next = match significant.get(index + 1) {
            Some(equals) if equals.is_punct("=") => significant.get(index + 2),
            next => next,
        };
        if let Some(name) = next.filter(|next| clause && next.kind == TokenKind::Word) {
            found.insert(name.text.to_owned());
        }
    }
    found
}

fn used_engines(target: &PreflightContext<'_>) -> FeatureUsers {
    let mut used = FeatureUsers::new();
    for (table, ddl) in &target.tables {
        let engine = ddl.as_ref().and_then(|ddl| ddl.engine.clone()).unwrap_or_else(|| table.engine.clone());
        if !engine.is_empty() {
            used.entry(engine).or_insert_with(|| display_object(&table.object()));
        }
    }
    used
}

/// The engines that are not disabled, each as [`canonical_name`] writes it.
fn usable_engines(target: &PreflightContext<'_>, engines: &BTreeMap<String, bool>) -> BTreeSet<String> {
    let disabled = target.account.variables.text("disabled_storage_engines");
    let is_disabled = |engine: &str| disabled.split(',').any(|other| other.trim().eq_ignore_ascii_case(engine));
    engines.keys().filter(|engine| !is_disabled(engine)).map(|engine| canonical_name(engine)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_definitions_are_found_in_their_clauses_only() {
        let create = "CREATE TABLE `t` (`COLLATE x` char(3) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'COLLATE y', \
                      `s` set('a') NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
        let found = |words: &[&str]| names_after(create, "", words).into_iter().collect::<Vec<_>>();
        assert_eq!(found(&["COLLATE"]), ["latin1_bin", "utf8mb4_bin"]);
        assert_eq!(found(&["CHARSET", "SET"]), ["latin1", "utf8mb4"]);
    }

    #[test]
    fn old_names_of_utf8mb3_are_canonicalized() {
        assert_eq!(canonical_name("UTF8_general_ci"), "utf8mb3_general_ci");
        assert_eq!(
            (canonical_name("utf8").as_str(), canonical_name("utf8mb4_bin").as_str()),
            ("utf8mb3", "utf8mb4_bin")
        );
    }
}
