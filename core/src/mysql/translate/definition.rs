//! Translates the definitions of views, routines, triggers and events.

use super::super::capability::modes;
use super::super::ddl::{Dialect, tokenize};
use super::token_editor::TokenEditor;
use super::{FidelityLog, Translator, charset, collation, function_calls, group_by, unsupported_functions};
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
    let collated = charset::write_default_collations(&all, definition, translator, log);
    let all = tokenize(&collated, dialect);
    let mut editor = TokenEditor::new(&all);
    collation::rename_collations(&mut editor, translator, log, false);
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
