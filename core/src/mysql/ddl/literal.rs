//! Reads and replaces literals in the columns of a table: members of an ENUM or a SET, and defaults.

use super::cursor::{Cursor, split_at_commas, within};
use super::lex::{Token, TokenKind, text_of, tokens};
use super::table::header;
use super::{Dialect, quote_text};

/// The literal that is the default of a column, without its quotes; `None` where it is none or another expression.
pub(crate) fn literal_default(create: &str, column: &str) -> Option<String> {
    let all = tokens(create, Dialect::default());
    let at = default_of(&all, column)?;
    Some(unquoted(all.get(at)?.text))
}

/// The definition with another text as the default of a column.
pub(crate) fn with_default(create: &str, column: &str, text: &str) -> Option<String> {
    let all = tokens(create, Dialect::default());
    let at = default_of(&all, column)?;
    Some(replaced(&all, at, text))
}

/// The definition with another text for the member of this number, from 1, of a column.
pub(crate) fn with_member(create: &str, column: &str, number: usize, text: &str) -> Option<String> {
    let all = tokens(create, Dialect::default());
    let (start, _) = item_of(&all, column)?;
    let literals = (start..all.len()).filter(|at| all.get(*at).is_some_and(|token| token.kind == TokenKind::Str));
    let at = literals.take(number).nth(number.checked_sub(1)?)?;
    Some(replaced(&all, at, text))
}

/// A type such as `enum('a','b')` with another text for the member of this number, from 1.
pub(crate) fn type_with_member(kind: &str, number: usize, text: &str) -> Option<String> {
    let all = tokens(kind, Dialect::default());
    let mut literals = (0..all.len()).filter(|at| all.get(*at).is_some_and(|token| token.kind == TokenKind::Str));
    Some(replaced(&all, literals.nth(number.checked_sub(1)?)?, text))
}

/// Where the tokens of a column begin and end.
fn item_of(all: &[Token<'_>], column: &str) -> Option<(usize, usize)> {
    let mut cursor = Cursor::new(all);
    header(&mut cursor).ok()?;
    let body = cursor.eat_group()?;
    let mut start = body.start;
    for item in split_at_commas(within(all, body)) {
        let mut inside = Cursor::new(item);
        let is_column = inside.peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
        if is_column && inside.eat_name().as_deref() == Some(column) {
            return Some((start, start + item.len()));
        }
        // The comma between.
        start += item.len() + 1;
    }
    None
}

/// Where the literal after `DEFAULT` is.
fn default_of(all: &[Token<'_>], column: &str) -> Option<usize> {
    let (start, end) = item_of(all, column)?;
    let item = within(all, start..end);
    let mut cursor = Cursor::new(item);
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

fn replaced(all: &[Token<'_>], at: usize, text: &str) -> String {
    // A clause takes a plain string only; a backslash in one would be an escape.
    let literal = if text.contains('\\') {
        format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
    } else {
        quote_text(text)
    };
    format!("{}{literal}{}", text_of(within(all, 0..at)), text_of(within(all, at + 1..all.len())))
}

fn unquoted(literal: &str) -> String {
    let inner = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(literal);
    inner.replace("''", "'").replace(r"\\", r"\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "CREATE TABLE `t` (\n  `a` enum('x,','?') DEFAULT '?',\n  `b?` set('?','y') NOT NULL,\n  \
        `c` varchar(9) DEFAULT concat('?'),\n  KEY `a` (`a`)\n)";

    #[test]
    fn members_and_defaults_are_replaced_where_they_stand() {
        let text = with_member(CREATE, "a", 2, "😀").unwrap();
        assert!(text.contains("`a` enum('x,','😀') DEFAULT '?'"), "{text}");
        assert!(with_member(CREATE, "b?", 1, "it's").unwrap().contains("`b?` set('it''s','y')"));
        assert_eq!(type_with_member("enum('a','?')", 2, "😀").unwrap(), "enum('a','😀')");
        assert_eq!(literal_default(CREATE, "a").as_deref(), Some("?"));
        assert!(with_default(CREATE, "a", "😀").unwrap().contains("enum('x,','?') DEFAULT '😀'"));
        assert_eq!(literal_default(CREATE, "c"), None);
        assert_eq!(with_member(CREATE, "none", 1, "x"), None);
    }
}
