//! Collations, character sets and engines that the target must know.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts;
use super::super::words::{list, named, object, plural};
use super::Target;
use crate::catalog::Definition;
use crate::error::Result;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{Dialect, TokenKind, tokens};
use crate::report::Finding;

pub(super) async fn check(conn: &mut Conn, target: &Target<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let known = known_collations(conn).await?;
    findings.extend(unknown("collation", used_collations(target), &known));
    findings.extend(unknown("character set", used_charsets(target), &known_charsets(conn).await?));
    let engines = facts::engines(conn).await?;
    findings.extend(unknown("storage engine", used_engines(target), &usable_engines(target, &engines)));
    let enforced = target.party.settings.text("enforce_storage_engine");
    if !enforced.is_empty() && used_engines(target).keys().any(|engine| !engine.eq_ignore_ascii_case(enforced)) {
        findings.push(Finding::error(format!(
            "the target makes tables of engine {enforced} only (enforce_storage_engine), and the selection has others: \
             unset it there"
        )));
    }
    Ok(findings)
}

/// What is used, and by whom first.
type Used = BTreeMap<String, String>;

fn unknown(what: &str, used: Used, known: &BTreeSet<String>) -> Option<Finding> {
    let missing: Vec<String> = used
        .into_iter()
        .filter(|(name, _)| !known.contains(&plain(name)))
        .map(|(name, user)| format!("{} (of {user})", named(&name)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some(Finding::error(format!(
        "the target does not have the {what}{} {}: change {} at the source, or leave what uses {} out by --exclude",
        plural(missing.len(), "", "s"),
        list(&missing),
        plural(missing.len(), "it", "them"),
        plural(missing.len(), "it", "them"),
    )))
}

/// `utf8` was the name of `utf8mb3` before it had one; names are compared without case.
fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("utf8") {
        Some("") => "utf8mb3".to_owned(),
        Some(rest) if rest.starts_with('_') => format!("utf8mb3{rest}"),
        _ => name,
    }
}

async fn known_collations(conn: &mut Conn) -> Result<BTreeSet<String>> {
    let mut names = Vec::new();
    // MariaDB lists the collations of Unicode 14 without a character set, and their full names elsewhere.
    for sql in [
        "SELECT COLLATION_NAME FROM information_schema.COLLATIONS",
        "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
    ] {
        match conn.rows(sql).await {
            Ok(rows) => names.extend(rows.iter().map(|row| plain(&row.string(0)))),
            Err(error) if error.code().is_none() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(names.into_iter().collect())
}

async fn known_charsets(conn: &mut Conn) -> Result<BTreeSet<String>> {
    let rows = conn.rows("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS").await?;
    Ok(rows.iter().map(|row| plain(&row.string(0))).collect())
}

fn used_collations(target: &Target<'_>) -> Used {
    let mut used = Used::new();
    let mut add = |name: &str, user: &dyn Fn() -> String| {
        if !name.is_empty() && !used.contains_key(name) {
            used.insert(name.to_owned(), user());
        }
    };
    if target.stored.is_none() || target.options.recreate_database {
        add(&target.catalog.database.collation, &|| "the database".to_owned());
    }
    for (table, _) in &target.tables {
        let user = || object(&table.object());
        table.columns.iter().filter_map(|column| column.collation.as_deref()).for_each(|name| add(name, &user));
        after_words(&table.create, "", &["COLLATE"]).iter().for_each(|name| add(name, &user));
    }
    for definition in &target.definitions {
        let user = || object(&definition.object);
        add(&definition.collation_connection, &user);
        add(&definition.database_collation, &user);
        after_words(&definition.create, &definition.sql_mode, &["COLLATE"]).iter().for_each(|name| add(name, &user));
    }
    used
}

fn used_charsets(target: &Target<'_>) -> Used {
    let clients = |definition: &&&Definition| !definition.character_set_client.is_empty();
    let of = |definition: &&Definition| (definition.character_set_client.clone(), object(&definition.object));
    let mut used: Used = target.definitions.iter().filter(clients).map(of).collect();
    for (table, _) in &target.tables {
        for name in after_words(&table.create, "", &["CHARSET", "SET"]) {
            used.entry(name).or_insert_with(|| object(&table.object()));
        }
    }
    used
}

/// The names that follow one of the words in a definition: `COLLATE=utf8mb4_bin`, `CHARACTER SET latin1`.
fn after_words(create: &str, sql_mode: &str, words: &[&str]) -> BTreeSet<String> {
    let all = tokens(create, Dialect::of(sql_mode));
    let meaning: Vec<_> = all.iter().filter(|token| !token.is_noise()).collect();
    let mut found = BTreeSet::new();
    for (index, token) in meaning.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| meaning.get(before));
        // `SET` alone is a type.
        let clause = token.is_any_word(words)
            && (!token.is_word("SET") || before.is_some_and(|before| before.is_word("CHARACTER")));
        let next = match meaning.get(index + 1) {
            Some(equals) if equals.is_punct("=") => meaning.get(index + 2),
            next => next,
        };
        if let Some(name) = next.filter(|next| clause && next.kind == TokenKind::Word) {
            found.insert(name.text.to_owned());
        }
    }
    found
}

fn used_engines(target: &Target<'_>) -> Used {
    let mut used = Used::new();
    for (table, ddl) in &target.tables {
        let engine = ddl.as_ref().and_then(|ddl| ddl.engine.clone()).unwrap_or_else(|| table.engine.clone());
        if !engine.is_empty() {
            used.entry(engine).or_insert_with(|| object(&table.object()));
        }
    }
    used
}

/// In lower case, as [`plain`] gives them.
fn usable_engines(target: &Target<'_>, engines: &BTreeMap<String, bool>) -> BTreeSet<String> {
    let disabled = target.party.settings.text("disabled_storage_engines");
    let is_disabled = |engine: &str| disabled.split(',').any(|other| other.trim().eq_ignore_ascii_case(engine));
    engines.keys().filter(|engine| !is_disabled(engine)).map(|engine| plain(engine)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_definitions_are_found_in_their_clauses_only() {
        let create = "CREATE TABLE `t` (`COLLATE x` char(3) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'COLLATE y', \
                      `s` set('a') NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
        let found = |words: &[&str]| after_words(create, "", words).into_iter().collect::<Vec<_>>();
        assert_eq!(found(&["COLLATE"]), ["latin1_bin", "utf8mb4_bin"]);
        assert_eq!(found(&["CHARSET", "SET"]), ["latin1", "utf8mb4"]);
    }

    #[test]
    fn old_names_of_utf8mb3_are_the_same() {
        assert_eq!(plain("UTF8_general_ci"), "utf8mb3_general_ci");
        assert_eq!((plain("utf8").as_str(), plain("utf8mb4_bin").as_str()), ("utf8mb3", "utf8mb4_bin"));
    }
}
