//! Translates the table options and the partition clause.

use super::super::capability::Capability;
use super::super::ddl::{Token, TokenCursor, TokenKind, join_tokens, slice_tokens};
use super::token_editor::TokenEditor;
use super::{FidelityLog, Translator, collation};

/// The storage options that only MySQL has.
const MYSQL_OPTIONS: [&str; 7] = [
    "AUTOEXTEND_SIZE",
    "COMPRESSION",
    "ENGINE_ATTRIBUTE",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SECONDARY_LOAD",
    "STORAGE",
];
/// The storage options that only MariaDB has.
const MARIADB_OPTIONS: [&str; 4] = ["PAGE_CHECKSUM", "TRANSACTIONAL", "TABLE_CHECKSUM", "IETF_QUOTES"];

/// Translates the text after the columns of a table.
pub(super) fn translate(rest: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let mut editor = TokenEditor::new(rest);
    collation::rename_collations(&mut editor, translator, log, true);
    let mut cursor = TokenCursor::new(rest);
    while let Some(token) = cursor.peek() {
        let start = cursor.start();
        if token.is_word("PARTITION") {
            translate_partitions(&mut editor, cursor, translator, log);
            break;
        }
        if cursor.eat_word("COMMENT") || cursor.eat_word("CONNECTION") {
            cursor.eat_punct("=");
            cursor.next();
        } else if cursor.eat_words(&["WITH", "SYSTEM", "VERSIONING"]) {
            if !translator.targets_mariadb() {
                log.warn("history", "WITH SYSTEM VERSIONING", "the rows as they are now");
                editor.remove(start..cursor.end());
            }
        } else if cursor.eat_word("ENGINE") {
            cursor.eat_punct("=");
            rename_engine(&mut editor, &mut cursor, translator, log);
        } else if eat_unsupported_option(&mut cursor, translator) {
            log.note(
                "option",
                join_tokens(slice_tokens(rest, start..cursor.end())),
                "without, as it concerns storage only",
            );
            editor.remove(start..cursor.end());
        } else {
            cursor.next();
        }
    }
    editor.text()
}

/// Takes an option that the target does not have.
fn eat_unsupported_option(cursor: &mut TokenCursor<'_, '_>, translator: &Translator<'_>) -> bool {
    let Some(token) = cursor.peek() else { return false };
    let names: &[&str] = if translator.targets_mariadb() { &MYSQL_OPTIONS } else { &MARIADB_OPTIONS };
    let mut ahead = cursor.clone();
    ahead.next();
    let equals = ahead.eat_punct("=");
    let page = token.is_word("ROW_FORMAT") && ahead.peek().is_some_and(|format| format.is_word("PAGE"));
    // MariaDB prints an engine's options with quoted names. `ddl` removes the encryption options, unless their value is
    // NO.
    let none = ahead.peek().and_then(Token::name_or_string).is_some_and(|value| value.eq_ignore_ascii_case("NO"));
    let encryption: &[&str] = if none { &[] } else { &["ENCRYPTED", "ENCRYPTION_KEY_ID"] };
    let quoted = token.kind == TokenKind::QuotedIdent
        && token.ident().is_some_and(|name| !encryption.iter().any(|other| name.eq_ignore_ascii_case(other)));
    let found = token.is_any_word(names) || !translator.targets_mariadb() && equals && (page || quoted);
    if found {
        ahead.next();
        *cursor = ahead;
    }
    found
}

/// The engine that replaces one that the target cannot have.
pub(super) fn replacement_engine(name: &str, partitioned: bool, translator: &Translator<'_>) -> Option<&'static str> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let unsupported =
        is("Aria") || is("MyISAM") && partitioned && !translator.target_has(Capability::PartitionedMyIsam);
    (unsupported && !translator.targets_mariadb()).then_some("InnoDB")
}

/// Takes the name of an engine, and replaces one that the target cannot have.
fn rename_engine(
    editor: &mut TokenEditor<'_, '_>,
    cursor: &mut TokenCursor<'_, '_>,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) {
    let Some(name) = cursor.eat_name() else { return };
    let partitioned = editor.tokens.iter().any(|token| token.is_word("PARTITION"));
    if let Some(other) = replacement_engine(&name, partitioned, translator) {
        log.note("engine", name, other);
        editor.replace(cursor.end() - 1..cursor.end(), other);
    }
}

/// Reads the engine in the options, in lower case.
pub(super) fn engine_name(rest: &[Token<'_>]) -> String {
    let mut cursor = TokenCursor::new(rest);
    while cursor.peek().is_some_and(|token| !token.is_word("PARTITION")) {
        if cursor.eat_word("ENGINE") {
            cursor.eat_punct("=");
            return cursor.eat_name().unwrap_or_default().to_ascii_lowercase();
        }
        cursor.next();
    }
    String::new()
}

/// Translates the partition clause.
fn translate_partitions(
    editor: &mut TokenEditor<'_, '_>,
    mut cursor: TokenCursor<'_, '_>,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) {
    let start = cursor.start();
    if !translator.targets_mariadb() && cursor.clone().any(|token| token.is_word("SYSTEM_TIME")) {
        log.warn("partitions", "PARTITION BY SYSTEM_TIME", "none, as there is no history");
        editor.remove(start..editor.tokens.len());
        return;
    }
    while cursor.peek().is_some() {
        if cursor.eat_word("ENGINE") {
            cursor.eat_punct("=");
            rename_engine(editor, &mut cursor, translator, log);
        } else {
            cursor.next();
        }
    }
}
