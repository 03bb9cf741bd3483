//! The table options and the partition clause.

use super::super::ddl::{Cursor, Token, TokenKind, text_of, within};
use super::edit::Edit;
use super::{Log, Way, collation};

/// Options that concern storage, and that the other family does not have.
const OF_MYSQL: [&str; 7] = [
    "AUTOEXTEND_SIZE",
    "COMPRESSION",
    "ENGINE_ATTRIBUTE",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SECONDARY_LOAD",
    "STORAGE",
];
const OF_MARIADB: [&str; 4] = ["PAGE_CHECKSUM", "TRANSACTIONAL", "TABLE_CHECKSUM", "IETF_QUOTES"];

/// What follows the columns of the table, for the target.
pub(super) fn translate(rest: &[Token<'_>], way: &Way<'_>, log: &mut Log) -> String {
    let mut edit = Edit::new(rest);
    collation::rename(&mut edit, way, log, true);
    let mut cursor = Cursor::new(rest);
    while let Some(token) = cursor.peek() {
        let start = cursor.start();
        if token.is_word("PARTITION") {
            partitions(&mut edit, cursor, way, log);
            break;
        }
        if cursor.eat_word("COMMENT") || cursor.eat_word("CONNECTION") {
            cursor.eat_punct("=");
            cursor.next();
        } else if cursor.eat_words(&["WITH", "SYSTEM", "VERSIONING"]) {
            if !way.to_mariadb() {
                log.warn("history", "WITH SYSTEM VERSIONING", "the rows as they are now");
                edit.remove(start..cursor.end());
            }
        } else if cursor.eat_word("ENGINE") {
            cursor.eat_punct("=");
            rename_engine(&mut edit, &mut cursor, way, log);
        } else if foreign(&mut cursor, way) {
            log.note("option", text_of(within(rest, start..cursor.end())), "without, as it concerns storage only");
            edit.remove(start..cursor.end());
        } else {
            cursor.next();
        }
    }
    edit.text()
}

/// Takes an option that the target does not have.
fn foreign(cursor: &mut Cursor<'_, '_>, way: &Way<'_>) -> bool {
    let Some(token) = cursor.peek() else { return false };
    let names: &[&str] = if way.to_mariadb() { &OF_MYSQL } else { &OF_MARIADB };
    let mut ahead = cursor.clone();
    ahead.next();
    let equals = ahead.eat_punct("=");
    let page = token.is_word("ROW_FORMAT") && ahead.peek().is_some_and(|format| format.is_word("PAGE"));
    // MariaDB prints what an engine adds as quoted names; encryption is taken out, and told, within a family too, unless
    // it says that there is none.
    let none = ahead.peek().and_then(Token::name_or_string).is_some_and(|value| value.eq_ignore_ascii_case("NO"));
    let encryption: &[&str] = if none { &[] } else { &["ENCRYPTED", "ENCRYPTION_KEY_ID"] };
    let quoted = token.kind == TokenKind::QuotedIdent
        && token.ident().is_some_and(|name| !encryption.iter().any(|other| name.eq_ignore_ascii_case(other)));
    let found = token.is_any_word(names) || !way.to_mariadb() && equals && (page || quoted);
    if found {
        ahead.next();
        *cursor = ahead;
    }
    found
}

/// The engine that takes the place of one that the target cannot have.
pub(super) fn engine(name: &str, partitioned: bool, way: &Way<'_>) -> Option<&'static str> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let gone = is("Aria") || is("MyISAM") && partitioned && way.reaches(8, 0, 0);
    (gone && !way.to_mariadb()).then_some("InnoDB")
}

fn rename_engine(edit: &mut Edit<'_, '_>, cursor: &mut Cursor<'_, '_>, way: &Way<'_>, log: &mut Log) {
    let Some(name) = cursor.eat_name() else { return };
    let partitioned = edit.tokens.iter().any(|token| token.is_word("PARTITION"));
    if let Some(other) = engine(&name, partitioned, way) {
        log.note("engine", name, other);
        edit.replace(cursor.end() - 1..cursor.end(), other);
    }
}

/// The engine that the options name, in lower case.
pub(super) fn engine_of(rest: &[Token<'_>]) -> String {
    let mut cursor = Cursor::new(rest);
    while cursor.peek().is_some_and(|token| !token.is_word("PARTITION")) {
        if cursor.eat_word("ENGINE") {
            cursor.eat_punct("=");
            return cursor.eat_name().unwrap_or_default().to_ascii_lowercase();
        }
        cursor.next();
    }
    String::new()
}

fn partitions(edit: &mut Edit<'_, '_>, mut cursor: Cursor<'_, '_>, way: &Way<'_>, log: &mut Log) {
    let start = cursor.start();
    if !way.to_mariadb() && cursor.clone().any(|token| token.is_word("SYSTEM_TIME")) {
        log.warn("partitions", "PARTITION BY SYSTEM_TIME", "none, as there is no history");
        edit.remove(start..edit.tokens.len());
        return;
    }
    while cursor.peek().is_some() {
        if cursor.eat_word("ENGINE") {
            cursor.eat_punct("=");
            rename_engine(edit, &mut cursor, way, log);
        } else {
            cursor.next();
        }
    }
}
