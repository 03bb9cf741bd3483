//! Finds functions and operators that only one of the families has.

use super::super::capability::functions;
use super::super::ddl::{Dialect, Token, TokenCursor, TokenKind, tokenize};
use super::Translator;

/// The keywords before names that are no functions, even if a bracket follows.
const BEFORE_NAMES: [&str; 12] =
    ["INTO", "TABLE", "INDEX", "KEY", "UPDATE", "FROM", "JOIN", "FUNCTION", "PROCEDURE", "CALL", "EXISTS", "TRIGGER"];

/// Finds a function or operator in an expression that the target does not have.
pub(super) fn find_unsupported(text: &str, translator: &Translator<'_>) -> Option<String> {
    find_unsupported_in(&tokenize(text, Dialect::default()), translator)
}

/// Finds a function or operator among tokens that the target does not have.
pub(super) fn find_unsupported_in(all: &[Token<'_>], translator: &Translator<'_>) -> Option<String> {
    let mut cursor = TokenCursor::new(all);
    let mut before: Option<&Token<'_>> = None;
    while let Some(token) = cursor.next() {
        let is_name = before.is_some_and(|before| before.is_punct(".") || before.is_any_word(&BEFORE_NAMES));
        let called = cursor.peek().is_some_and(|next| next.is_punct("("));
        if called
            && !is_name
            && token.kind == TokenKind::Word
            && functions::is_missing(token.text, translator.from, translator.to)
        {
            return Some(format!("{}()", token.text.to_ascii_lowercase()));
        }
        if translator.targets_mariadb()
            && token.is_word("MEMBER")
            && cursor.peek().is_some_and(|next| next.is_word("OF"))
        {
            return Some("MEMBER OF".to_owned());
        }
        // `CAST(… AS JSON)` and `CAST(… AS UNSIGNED ARRAY)`.
        let json = token.is_word("JSON") && before.is_some_and(|before| before.is_word("AS"));
        if translator.targets_mariadb()
            && (token.is_word("ARRAY") || json)
            && cursor.peek().is_some_and(|next| next.is_punct(")"))
        {
            return Some(format!("a cast to {}", token.text.to_ascii_uppercase()));
        }
        before = Some(token);
    }
    None
}
