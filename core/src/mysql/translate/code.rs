//! Views, routines, triggers and events: their texts pass as they are, but for what they name.

use super::super::ddl::{Cursor, Dialect, TokenKind, tokens};
use super::edit::Edit;
use super::{Log, Way, call, collation, expression};
use crate::catalog::{Definition, ObjectKind};

/// Modes that only one family has, or that the newest versions no longer have; those that are marked change what a body
/// does.
const OF_MARIADB: [(&str, bool); 15] = [
    ("EMPTY_STRING_IS_NULL", true),
    ("SIMULTANEOUS_ASSIGNMENT", true),
    ("TIME_ROUND_FRACTIONAL", false),
    ("IGNORE_BAD_TABLE_OPTIONS", false),
    ("NO_AUTO_CREATE_USER", false),
    ("NO_FIELD_OPTIONS", false),
    ("NO_KEY_OPTIONS", false),
    ("NO_TABLE_OPTIONS", false),
    ("DB2", false),
    ("MAXDB", false),
    ("MSSQL", false),
    ("MYSQL323", false),
    ("MYSQL40", false),
    ("POSTGRESQL", false),
    ("NOT_USED", false),
];
const OF_MYSQL: [(&str, bool); 1] = [("TIME_TRUNCATE_FRACTIONAL", false)];

/// The definition for the target.
pub(super) fn definition(definition: &Definition, way: &Way<'_>, log: &mut Log) -> Definition {
    if let Some(reason) = lacking(definition, way) {
        log.none("definition", reason);
        return definition.clone();
    }
    let dialect = Dialect::of(&definition.sql_mode);
    let written = call::rewrite(&tokens(&definition.create, dialect), way, log);
    let all = tokens(&written, dialect);
    if let Some(function) = expression::foreign_of(&all, way) {
        log.none("definition", format!("it uses {function}, which the target does not have"));
        return definition.clone();
    }
    call::shades(&all, way, log);
    let mut edit = Edit::new(&all);
    collation::rename(&mut edit, way, log, false);
    let client = definition.character_set_client == "utf8mb4";
    if client && collation::default_of("utf8mb4", way).is_some_and(|default| default == definition.collation_connection)
    {
        leave_to_session(&mut edit);
    }
    if definition.object.kind.is_routine() {
        state_collations(&mut edit, way, log);
    }
    Definition {
        create: edit.text(),
        sql_mode: mode(&definition.sql_mode, way, log),
        character_set_client: match definition.character_set_client.as_str() {
            "" => String::new(),
            "gb18030" if way.to_mariadb() => "utf8mb4".to_owned(),
            charset => collation::charset(charset, way),
        },
        collation_connection: setting(&definition.collation_connection, way, log),
        database_collation: setting(&definition.database_collation, way, log),
        ..definition.clone()
    }
}

/// Why the target can have nothing of the kind.
fn lacking(definition: &Definition, way: &Way<'_>) -> Option<&'static str> {
    match (definition.object.kind, way.to_mariadb()) {
        (ObjectKind::Sequence, false) => Some("MySQL has no sequences"),
        (ObjectKind::Package | ObjectKind::PackageBody, false) => Some("MySQL has no packages"),
        (ObjectKind::Library, true) => Some("MariaDB has no libraries"),
        (_, false) if definition.sql_mode.split(',').any(|mode| mode == "ORACLE") => {
            Some("it is written in sql_mode ORACLE, which MySQL does not have")
        }
        _ => None,
    }
}

/// A collation of the session that made the object.
fn setting(name: &str, way: &Way<'_>, log: &mut Log) -> String {
    if name.is_empty() {
        return String::new();
    }
    match collation::image(name, way) {
        Some(_) => collation::named(name, way, log).unwrap_or_default(),
        None => {
            let fallback = collation::fallback(way);
            log.warn("collation", name, &fallback);
            fallback
        }
    }
}

/// Takes away the `utf8mb4` of strings and casts, which the session that makes the object has anyway: named, it would
/// stand for the target's own default collation.
fn leave_to_session(edit: &mut Edit<'_, '_>) {
    let mut cursor = Cursor::new(edit.tokens);
    while let Some(token) = cursor.next() {
        let start = cursor.end() - 1;
        if token.is_word("_utf8mb4") && cursor.peek().is_some_and(|next| next.kind == TokenKind::Str) {
            edit.replace(start..cursor.start(), "");
        }
        if !token.is_word("AS") || !cursor.eat_word("CHAR") {
            continue;
        }
        cursor.eat_group();
        let mut ahead = cursor.clone();
        let named = ahead.eat_words(&["CHARSET", "utf8mb4"]);
        if named && ahead.peek().is_some_and(|next| next.is_punct(")")) {
            edit.remove(cursor.start()..ahead.end());
        }
    }
}

/// Adds the collation to parameters and results of a routine that name a character set alone: the target's default may
/// be another.
fn state_collations(edit: &mut Edit<'_, '_>, way: &Way<'_>, log: &mut Log) {
    let mut cursor = Cursor::new(edit.tokens);
    while cursor.peek().is_some_and(|token| !token.is_punct("(")) {
        cursor.next();
    }
    let Some(parameters) = cursor.eat_group() else { return };
    let mut end = parameters.end;
    if cursor.eat_word("RETURNS") {
        cursor.next();
        cursor.eat_group();
        let mut ahead = cursor.clone();
        if ahead.eat_word("CHARSET") || ahead.eat_words(&["CHARACTER", "SET"]) {
            ahead.next();
            end = ahead.end();
        }
    }
    let mut cursor = Cursor::new(edit.tokens);
    while cursor.start() < end {
        if !cursor.eat_word("CHARSET") && !cursor.eat_words(&["CHARACTER", "SET"]) {
            cursor.next();
            continue;
        }
        let Some(name) = cursor.eat_name() else { continue };
        if cursor.peek().is_some_and(|next| next.is_word("COLLATE")) {
            continue;
        }
        let default = collation::default_of(&name.to_ascii_lowercase(), way);
        if let Some(image) = default.and_then(|default| collation::named(&default, way, log)) {
            edit.insert_after(cursor.end() - 1, &format!(" COLLATE {image}"));
        }
    }
}

/// The modes that the target has.
fn mode(modes: &str, way: &Way<'_>, log: &mut Log) -> String {
    let gone: &[(&str, bool)] = if way.to_mariadb() { &OF_MYSQL } else { &OF_MARIADB };
    let mut kept = Vec::new();
    for mode in modes.split(',') {
        match gone.iter().find(|(name, _)| mode.eq_ignore_ascii_case(name)) {
            None => kept.push(mode),
            Some((name, true)) => log.warn("sql_mode", *name, "without, as the target does not have it"),
            Some((name, false)) => log.note("sql_mode", *name, "without, as the target does not have it"),
        }
    }
    kept.join(",")
}
