//! What a statement does with tables, and what it must not hold to be taken over.

use super::lexer::{Token, TokenKind};
use super::token_cursor::TokenCursor;

/// What a statement does with tables. All names are those of the followed database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableChange {
    Create {
        table: String,
    },
    Alter {
        table: String,
        renamed: Option<String>,
    },
    Drop {
        tables: Vec<String>,
    },
    /// One after the other.
    Rename {
        pairs: Vec<(String, String)>,
    },
    Truncate {
        table: String,
    },
}

/// Words of statements that read other rows, or that depend on the server or on what the log does not hold.
const UNCERTAIN: [&str; 11] = [
    "SELECT",
    "STORED",
    "PERSISTENT",
    "VERSIONING",
    "PERIOD",
    "DIRECTORY",
    "TABLESPACE",
    "ENCRYPTION",
    "ENCRYPTED",
    "SEQUENCE",
    "CONNECTION",
];
/// Functions that may have another value at another server.
const SERVER_FUNCTIONS: [&str; 18] = [
    "RAND",
    "UUID",
    "UUID_SHORT",
    "UUID_V4",
    "UUID_V7",
    "SYS_GUID",
    "RANDOM_BYTES",
    "SYSDATE",
    "CONNECTION_ID",
    "LAST_INSERT_ID",
    "USER",
    "CURRENT_USER",
    "SESSION_USER",
    "SYSTEM_USER",
    "CURRENT_ROLE",
    "DATABASE",
    "SCHEMA",
    "VERSION",
];
/// Engines other than InnoDB, which may be named without a sign before.
const OTHER_ENGINES: [&str; 14] = [
    "MYISAM",
    "MEMORY",
    "HEAP",
    "ARIA",
    "CSV",
    "ARCHIVE",
    "BLACKHOLE",
    "MERGE",
    "MRG_MYISAM",
    "FEDERATED",
    "CONNECT",
    "SPIDER",
    "S3",
    "COLUMNSTORE",
];

pub(super) fn unknown() -> String {
    "its form is not known".to_owned()
}

/// Refuses what a statement may hold beside the names that were read.
pub(super) fn check_tokens(tokens: &[Token<'_>], qualifiers: &[usize], change: &TableChange) -> Result<(), String> {
    let is_alter = matches!(change, TableChange::Alter { .. });
    let mut cursor = TokenCursor::new(tokens);
    let tables = cursor.clone().filter(|token| token.is_word("TABLE")).count();
    if tables > 1 && matches!(change, TableChange::Create { .. }) {
        return Err(unknown());
    }
    let mut is_first = true;
    loop {
        let index = cursor.start();
        let Some(token) = cursor.next() else { return Ok(()) };
        let is_start = std::mem::take(&mut is_first);
        if token.is_punct(".") && !qualifiers.iter().any(|at| follows(tokens, *at, index)) {
            return Err("it has a qualified name in a place that is not known".to_owned());
        }
        if token.kind == TokenKind::Punct && token.text.starts_with('@') {
            return Err("it depends on a variable".to_owned());
        }
        if token.is_punct(";") && cursor.peek().is_some() {
            return Err(unknown());
        }
        if !is_start && token.is_any_word(&UNCERTAIN) {
            return Err(format!("{} may mean something else at the target", token.text.to_uppercase()));
        }
        if token.is_word("UNION")
            && cursor.peek().is_some_and(|next| next.is_any_word(&["SELECT"]) || next.is_punct("="))
        {
            return Err(unknown());
        }
        if is_alter && token.is_any_word(&SERVER_FUNCTIONS) {
            let called = cursor.peek().is_some_and(|next| next.is_punct("("));
            if called || token.is_any_word(&["CURRENT_USER", "CURRENT_ROLE"]) {
                return Err(format!("{} may have another value at the target", token.text.to_uppercase()));
            }
        }
        if token.is_word("ENGINE") {
            let mut ahead = cursor.clone();
            let has_sign = ahead.eat_punct("=");
            let is_other = ahead.next().is_some_and(|name| match has_sign {
                true => !name.name_or_string().is_some_and(|name| name.eq_ignore_ascii_case("InnoDB")),
                false => name.is_any_word(&OTHER_ENGINES),
            });
            if is_other {
                return Err("its engine has no transactions".to_owned());
            }
        }
    }
}

/// Whether the token at `index` is the next one after that at `at`.
fn follows(tokens: &[Token<'_>], at: usize, index: usize) -> bool {
    TokenCursor::at(tokens, at + 1).start() == index
}

/// Whether a statement numbers the rows that are there.
pub(super) fn numbers_rows(tokens: &[Token<'_>], change: &TableChange) -> bool {
    let mut cursor = TokenCursor::new(tokens);
    let mut found = false;
    while let Some(token) = cursor.next() {
        let is_option = |next: &Token<'_>| next.is_punct("=") || next.kind == TokenKind::Number;
        found |= token.is_word("AUTO_INCREMENT") && !cursor.peek().is_some_and(is_option);
    }
    found && matches!(change, TableChange::Alter { .. })
}

/// Whether a statement adds a foreign key that changes rows of its own accord.
pub(super) fn cascades(tokens: &[Token<'_>]) -> bool {
    let mut cursor = TokenCursor::new(tokens);
    while let Some(token) = cursor.next() {
        let mut ahead = cursor.clone();
        let is_action = token.is_word("ON")
            && ahead.next().is_some_and(|on| on.is_any_word(&["DELETE", "UPDATE"]))
            && ahead.next().is_some_and(|action| action.is_any_word(&["CASCADE", "SET"]));
        if is_action {
            return true;
        }
    }
    false
}

/// Whether a statement has a TIMESTAMP column whose NULL or DEFAULT the session's `explicit_defaults_for_timestamp` decides:
/// all but those with NULL, and those with NOT NULL and DEFAULT.
pub(super) fn has_implicit_timestamp(tokens: &[Token<'_>]) -> bool {
    /// Words before a column's name.
    const BEFORE_NAMES: [&str; 6] = ["ADD", "COLUMN", "MODIFY", "CHANGE", "EXISTS", "AFTER"];
    let mut cursor = TokenCursor::new(tokens);
    let mut is_after_name = false;
    while let Some(token) = cursor.next() {
        if is_after_name && token.is_word("TIMESTAMP") && !has_explicit_null(cursor.clone()) {
            return true;
        }
        is_after_name = token.ident().is_some() && !token.is_any_word(&BEFORE_NAMES);
    }
    false
}

/// Whether a column says after its type that it is NULL, or NOT NULL with a DEFAULT.
fn has_explicit_null(rest: TokenCursor<'_, '_>) -> bool {
    let (mut depth, mut is_not_null, mut is_null, mut has_default, mut before) = (0_u32, false, false, false, "");
    for token in rest {
        if token.is_punct("(") {
            depth += 1;
        } else if depth == 0 && (token.is_punct(")") || token.is_punct(",")) {
            break;
        } else if token.is_punct(")") {
            depth -= 1;
        } else if depth == 0 && token.is_word("NULL") {
            let is_negated = before.eq_ignore_ascii_case("NOT");
            is_not_null |= is_negated;
            is_null |= !is_negated && !before.eq_ignore_ascii_case("DEFAULT");
        } else if depth == 0 {
            has_default |= token.is_word("DEFAULT");
        }
        before = token.text;
    }
    is_null || is_not_null && has_default
}
