//! Reads and replaces literals in column definitions: members of an ENUM or a SET, and defaults.

use super::create_table::eat_table_header;
use super::lexer::{Token, TokenKind, join_tokens, tokenize};
use super::token_cursor::{TokenCursor, slice_tokens, split_at_commas};
use super::{Dialect, quote_text};

/// Reads the default of a column, without its quotes; `None` if it is no string literal.
pub(crate) fn literal_default(create: &str, column: &str) -> Option<String> {
    let all = tokenize(create, Dialect::default());
    let at = default_index(&all, column)?;
    Some(unquote(all.get(at)?.text))
}

/// Replaces the default of a column in a table's definition.
pub(crate) fn replace_default(create: &str, column: &str, text: &str) -> Option<String> {
    let all = tokenize(create, Dialect::default());
    let at = default_index(&all, column)?;
    Some(replace_token(&all, at, text))
}

/// Replaces the member `number`, from 1, of a column's type in a table's definition.
pub(crate) fn replace_member(create: &str, column: &str, number: usize, text: &str) -> Option<String> {
    let all = tokenize(create, Dialect::default());
    let (start, _) = column_range(&all, column)?;
    let literals = (start..all.len()).filter(|at| all.get(*at).is_some_and(|token| token.kind == TokenKind::Str));
    let at = literals.take(number).nth(number.checked_sub(1)?)?;
    Some(replace_token(&all, at, text))
}

/// Replaces the member `number`, from 1, of a type such as `enum('a','b')`.
pub(crate) fn replace_member_in_type(kind: &str, number: usize, text: &str) -> Option<String> {
    let all = tokenize(kind, Dialect::default());
    let mut literals = (0..all.len()).filter(|at| all.get(*at).is_some_and(|token| token.kind == TokenKind::Str));
    Some(replace_token(&all, literals.nth(number.checked_sub(1)?)?, text))
}

/// The start and end of a column's tokens.
fn column_range(all: &[Token<'_>], column: &str) -> Option<(usize, usize)> {
    let mut cursor = TokenCursor::new(all);
    eat_table_header(&mut cursor).ok()?;
    let body = cursor.eat_group()?;
    let mut start = body.start;
    for item in split_at_commas(slice_tokens(all, body)) {
        let mut inside = TokenCursor::new(item);
        let is_column = inside.peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
        if is_column && inside.eat_name().as_deref() == Some(column) {
            return Some((start, start + item.len()));
        }
        // Skips the comma.
        start += item.len() + 1;
    }
    None
}

/// The index of the literal after `DEFAULT`.
fn default_index(all: &[Token<'_>], column: &str) -> Option<usize> {
    let (start, end) = column_range(all, column)?;
    let item = slice_tokens(all, start..end);
    let mut cursor = TokenCursor::new(item);
    while cursor.peek().is_some() {
        if cursor.eat_word("DEFAULT") {
            let at = cursor.start();
            return item.get(at).filter(|token| token.kind == TokenKind::Str).map(|_| start + at);
        }
        if cursor.eat_group().is_none() {
            cursor.next();
        }
    }
    None
}

/// Replaces the token at an index by a string literal.
fn replace_token(all: &[Token<'_>], at: usize, text: &str) -> String {
    // A clause accepts a plain string only, in which a backslash is escaped.
    let literal = if text.contains('\\') {
        format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
    } else {
        quote_text(text)
    };
    format!("{}{literal}{}", join_tokens(slice_tokens(all, 0..at)), join_tokens(slice_tokens(all, at + 1..all.len())))
}

fn unquote(literal: &str) -> String {
    let inner = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(literal);
    inner.replace("''", "'").replace(r"\\", r"\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "CREATE TABLE `t` (\n  `a` enum('x,','?') DEFAULT '?',\n  `b?` set('?','y') NOT NULL,\n  \
        `c` varchar(9) DEFAULT concat('?'),\n  KEY `a` (`a`)\n)";

    #[test]
    fn members_and_defaults_are_replaced_in_place() {
        let text = replace_member(CREATE, "a", 2, "😀").unwrap();
        assert!(text.contains("`a` enum('x,','😀') DEFAULT '?'"), "{text}");
        assert!(replace_member(CREATE, "b?", 1, "it's").unwrap().contains("`b?` set('it''s','y')"));
        assert_eq!(replace_member_in_type("enum('a','?')", 2, "😀").unwrap(), "enum('a','😀')");
        assert_eq!(literal_default(CREATE, "a").as_deref(), Some("?"));
        assert!(replace_default(CREATE, "a", "😀").unwrap().contains("enum('x,','?') DEFAULT '😀'"));
        assert_eq!(literal_default(CREATE, "c"), None);
        assert_eq!(replace_member(CREATE, "none", 1, "x"), None);
    }
}
