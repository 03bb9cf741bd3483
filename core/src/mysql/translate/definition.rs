//! Translates the definitions of views, routines, triggers and events.

use super::super::capability::modes;
use super::super::ddl::{Dialect, TokenCursor, TokenKind, tokenize};
use super::token_editor::TokenEditor;
use super::{FidelityLog, Translator, collation, function_calls, group_by, unsupported_functions};
use crate::catalog::{Definition, ObjectKind};

/// Translates a definition. Returns it unchanged, and logs an error, if the target cannot have it.
pub(super) fn translate_definition(
    definition: &Definition,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) -> Definition {
    if let Some(reason) = missing_kind(definition, translator) {
        log.unsupported("definition", reason);
        return definition.clone();
    }
    let dialect = Dialect::from_sql_mode(&definition.sql_mode);
    let ordered = group_by::move_order(&tokenize(&definition.create, dialect), translator, log);
    let written = function_calls::rewrite_calls(&tokenize(&ordered, dialect), translator, log);
    let all = tokenize(&written, dialect);
    if let Some(function) = unsupported_functions::find_unsupported_in(&all, translator) {
        log.unsupported("definition", format!("it uses {function}, which the target does not have"));
        return definition.clone();
    }
    function_calls::log_result_differences(&all, translator, log);
    let mut editor = TokenEditor::new(&all);
    collation::rename_collations(&mut editor, translator, log, false);
    let client = definition.character_set_client == "utf8mb4";
    if client
        && collation::default_collation("utf8mb4", translator.from)
            .is_some_and(|default| default == definition.collation_connection)
    {
        remove_session_charset(&mut editor);
    }
    if definition.object.kind.is_routine() {
        add_default_collations(&mut editor, translator, log);
    }
    with_settings(definition, editor.text(), translator, log)
}

/// The definition with this statement, and the settings of its session in the target's terms.
pub(super) fn with_settings(
    definition: &Definition,
    create: String,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) -> Definition {
    Definition {
        create,
        sql_mode: translate_sql_mode(&definition.sql_mode, translator, log),
        character_set_client: match definition.character_set_client.as_str() {
            "" => String::new(),
            "gb18030" if translator.targets_mariadb() => "utf8mb4".to_owned(),
            charset => collation::charset_name(charset, translator),
        },
        collation_connection: translate_setting(&definition.collation_connection, translator, log),
        database_collation: translate_setting(&definition.database_collation, translator, log),
        ..definition.clone()
    }
}

/// The reason why the target has no objects of this kind.
fn missing_kind(definition: &Definition, translator: &Translator<'_>) -> Option<&'static str> {
    match (definition.object.kind, translator.targets_mariadb()) {
        (ObjectKind::Sequence, false) => Some("MySQL has no sequences"),
        (ObjectKind::Package | ObjectKind::PackageBody, false) => Some("MySQL has no packages"),
        (ObjectKind::Library, true) => Some("MariaDB has no libraries"),
        (_, false) if definition.sql_mode.split(',').any(|mode| mode == "ORACLE") => {
            Some("it is written in sql_mode ORACLE, which MySQL does not have")
        }
        _ => None,
    }
}

/// Translates a collation of the session that created the object.
fn translate_setting(name: &str, translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    if name.is_empty() {
        return String::new();
    }
    match collation::nearest_collation(name, translator) {
        Some(_) => collation::translate_collation(name, translator, log).unwrap_or_default(),
        None => {
            let fallback = collation::fallback_collation(translator);
            log.warn("collation", name, &fallback);
            fallback
        }
    }
}

/// Removes the explicit `utf8mb4` of strings and casts, which would stand for the target's default collation. Without
/// it they get the collation of the session that creates the object.
fn remove_session_charset(editor: &mut TokenEditor<'_, '_>) {
    let mut cursor = TokenCursor::new(editor.tokens);
    while let Some(token) = cursor.next() {
        let start = cursor.end() - 1;
        if token.is_word("_utf8mb4") && cursor.peek().is_some_and(|next| next.kind == TokenKind::Str) {
            editor.replace(start..cursor.start(), "");
        }
        if !token.is_word("AS") || !cursor.eat_word("CHAR") {
            continue;
        }
        cursor.eat_group();
        let mut ahead = cursor.clone();
        let named = ahead.eat_words(&["CHARSET", "utf8mb4"]);
        if named && ahead.peek().is_some_and(|next| next.is_punct(")")) {
            editor.remove(cursor.start()..ahead.end());
        }
    }
}

/// Adds the source's default collation to parameters and results of a routine that name only a character set, as the
/// target's default may be another one.
fn add_default_collations(editor: &mut TokenEditor<'_, '_>, translator: &Translator<'_>, log: &mut FidelityLog) {
    let mut cursor = TokenCursor::new(editor.tokens);
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
    let mut cursor = TokenCursor::new(editor.tokens);
    while cursor.start() < end {
        if !cursor.eat_word("CHARSET") && !cursor.eat_words(&["CHARACTER", "SET"]) {
            cursor.next();
            continue;
        }
        let Some(name) = cursor.eat_name() else { continue };
        if cursor.peek().is_some_and(|next| next.is_word("COLLATE")) {
            continue;
        }
        let default =
            collation::default_collation(&collation::canonical_name(&name.to_ascii_lowercase()), translator.from);
        if let Some(translated) = default.and_then(|default| collation::translate_collation(&default, translator, log))
        {
            editor.insert_after(cursor.end() - 1, &format!(" COLLATE {translated}"));
        }
    }
}

/// Removes the SQL modes that the target does not have.
fn translate_sql_mode(sql_mode: &str, translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let mut kept = Vec::new();
    for mode in sql_mode.split(',') {
        match modes::lost_mode(mode, translator.from, translator.to) {
            None => kept.push(mode),
            Some(true) => log.warn("sql_mode", mode, "without, as the target does not have it"),
            Some(false) => log.note("sql_mode", mode, "without, as the target does not have it"),
        }
    }
    kept.join(",")
}
