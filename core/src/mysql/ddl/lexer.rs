//! Splits a text into tokens as the servers' own lexers do. The joined tokens are always the same text.

use std::borrow::Cow;

use super::Dialect;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or an unquoted name. After a single `@` it may contain dots, as in `@a.b` and `u@h.example`.
    Word,
    /// A name in backticks, or in double quotes under `ANSI_QUOTES`.
    QuotedIdent,
    /// A string, with its `x`, `b` or `N` prefix if it has one; or the `$$ … $$` body of a MySQL 9 routine.
    Str,
    /// A number.
    Number,
    /// One character of punctuation, or `@@`.
    Punct,
    /// A comment that is never code. A line comment ends before its line break.
    Comment,
    /// The opener of a comment whose inside is code: `/*!`, `/*!50100` or `/*M!100100`.
    ConditionalOpen,
    /// The `*/` of a [`ConditionalOpen`](Self::ConditionalOpen).
    ConditionalClose,
    /// White space.
    Space,
}

/// A token of an SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// The token's kind.
    pub(crate) kind: TokenKind,
    /// The token's text, with quotes.
    pub(crate) text: &'a str,
}

impl Token<'_> {
    /// The name of a word or a quoted identifier, without its quotes.
    pub(crate) fn ident(&self) -> Option<Cow<'_, str>> {
        match self.kind {
            TokenKind::Word => Some(Cow::Borrowed(self.text)),
            TokenKind::QuotedIdent => Some(unquote(self.text)),
            _ => None,
        }
    }

    /// The name of this token in a position where the grammar accepts a string as a name, as in `'user'@'host'`.
    pub(crate) fn name_or_string(&self) -> Option<Cow<'_, str>> {
        match self.kind {
            TokenKind::Str => Some(unquote(self.text)),
            _ => self.ident(),
        }
    }

    /// Whether this is the unquoted word `keyword`, in any case.
    pub(crate) fn is_word(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether this is an unquoted word that is one of `keywords`.
    pub(crate) fn is_any_word(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is_word(keyword))
    }

    /// Whether this is the punctuation `text`.
    pub(crate) fn is_punct(&self, text: &str) -> bool {
        self.kind == TokenKind::Punct && self.text == text
    }

    /// Whether the grammar ignores this token: spaces, comments, and the brackets of a conditional comment.
    pub(crate) fn is_trivia(&self) -> bool {
        use TokenKind::{Comment, ConditionalClose, ConditionalOpen, Space};
        matches!(self.kind, Comment | ConditionalClose | ConditionalOpen | Space)
    }
}

/// Splits `sql` into tokens. Never fails: a quote or comment without an end becomes one token up to the end of the
/// text.
pub(crate) fn tokenize(sql: &str, dialect: Dialect) -> Vec<Token<'_>> {
    let mut lexer =
        Lexer { rest: sql, dialect, open_conditionals: 0, preceding: PrecedingToken::Other, after_as: false };
    std::iter::from_fn(|| lexer.next()).collect()
}

/// Joins tokens back into text.
pub(crate) fn join_tokens(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

/// Removes the quotes, and unescapes doubled ones.
fn unquote(text: &str) -> Cow<'_, str> {
    let mut chars = text.chars();
    let Some(quote) = chars.next() else { return Cow::Borrowed(text) };
    let inner = chars.as_str();
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    if !inner.contains(quote) {
        return Cow::Borrowed(inner);
    }
    let one = quote.to_string();
    Cow::Owned(inner.replace(&one.repeat(2), &one))
}

/// The token directly before the next character. It decides whether `.1b` is a name or a number, and whether a host
/// name follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PrecedingToken {
    Other,
    Name,
    NameDot,
    At,
}

/// Splits a text into tokens, one by one.
struct Lexer<'a> {
    rest: &'a str,
    dialect: Dialect,
    /// The number of open conditional comments. Servers do not count them, but an inner one that a server skips leaves
    /// the outer one open.
    open_conditionals: usize,
    preceding: PrecedingToken,
    /// Whether the last word was `AS`. Only after it `$` opens a quoted body instead of a name.
    after_as: bool,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let first = self.rest.chars().next()?;
        let (kind, length) = self.scan_token(first);
        let length = length.max(first.len_utf8());
        let (text, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        let token = Token { kind, text };
        self.update_state(&token);
        Some(token)
    }

    /// Updates the state that the next token depends on.
    fn update_state(&mut self, token: &Token<'_>) {
        match token.kind {
            TokenKind::ConditionalOpen => self.open_conditionals += 1,
            TokenKind::ConditionalClose => self.open_conditionals = self.open_conditionals.saturating_sub(1),
            _ => {}
        }
        self.preceding = match token.kind {
            TokenKind::Word | TokenKind::QuotedIdent => PrecedingToken::Name,
            TokenKind::Punct if token.text == "." && self.preceding == PrecedingToken::Name => PrecedingToken::NameDot,
            TokenKind::Punct if token.text == "@" => PrecedingToken::At,
            _ => PrecedingToken::Other,
        };
        if !token.is_trivia() {
            self.after_as = token.is_word("AS");
        }
    }

    /// The kind and length of the next token.
    fn scan_token(&self, first: char) -> (TokenKind, usize) {
        let rest = self.rest;
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        let second = after.chars().next();
        let escapes = !self.dialect.no_backslash_escapes;
        match first {
            _ if self.preceding == PrecedingToken::At && is_host_char(first) => {
                (TokenKind::Word, prefix_length(rest, is_host_char))
            }
            _ if is_space_char(first) => (TokenKind::Space, prefix_length(rest, is_space_char)),
            '`' => (TokenKind::QuotedIdent, quoted_length(rest, false)),
            '"' if self.dialect.ansi_quotes => (TokenKind::QuotedIdent, quoted_length(rest, false)),
            '"' | '\'' => (TokenKind::Str, quoted_length(rest, escapes)),
            'x' | 'X' | 'b' | 'B' | 'n' | 'N' if second == Some('\'') => {
                (TokenKind::Str, first.len_utf8() + quoted_length(after, escapes))
            }
            '#' => (TokenKind::Comment, line_length(rest)),
            '-' if opens_dash_comment(rest) => (TokenKind::Comment, line_length(rest)),
            '/' if second == Some('*') => scan_comment(rest),
            '*' if self.open_conditionals > 0 && second == Some('/') => (TokenKind::ConditionalClose, 2),
            '@' if second == Some('@') => (TokenKind::Punct, 2),
            '$' if self.after_as => match dollar_quoted_length(rest) {
                Some(length) => (TokenKind::Str, length),
                None => (TokenKind::Word, prefix_length(rest, is_name_char)),
            },
            _ if self.preceding == PrecedingToken::NameDot && is_name_char(first) => {
                (TokenKind::Word, prefix_length(rest, is_name_char))
            }
            '.' if self.preceding != PrecedingToken::Name && second.is_some_and(|c| c.is_ascii_digit()) => {
                (TokenKind::Number, decimal_length(rest))
            }
            '0'..='9' => scan_number_or_name(rest),
            _ if is_name_char(first) => (TokenKind::Word, prefix_length(rest, is_name_char)),
            _ => (TokenKind::Punct, first.len_utf8()),
        }
    }
}

/// Whether the servers' lexers treat the character as white space: the vertical tab is, a Unicode space is not.
fn is_space_char(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn is_host_char(c: char) -> bool {
    is_name_char(c) || c == '.'
}

/// The length of the longest prefix of matching characters.
fn prefix_length(text: &str, belongs: fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The length up to the line break.
fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// `--` opens a comment only before a space, a control character or the end: `5--1` is a subtraction.
fn opens_dash_comment(text: &str) -> bool {
    text.strip_prefix("--")
        .is_some_and(|rest| rest.chars().next().is_none_or(|c| is_space_char(c) || c.is_ascii_control()))
}

/// The length of a quoted text whose first character is the quote.
fn quoted_length(text: &str, escapes: bool) -> usize {
    let mut chars = text.char_indices().peekable();
    let Some((_, quote)) = chars.next() else { return 0 };
    while let Some((at, c)) = chars.next() {
        if c == '\\' && escapes {
            chars.next();
        } else if c == quote && chars.next_if(|&(_, next)| next == quote).is_none() {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// The kind and length of a comment that starts with `/*`.
fn scan_comment(text: &str) -> (TokenKind, usize) {
    for opener in ["/*!", "/*M!"] {
        if let Some(inside) = text.strip_prefix(opener) {
            let version = match prefix_length(inside, |c| c.is_ascii_digit()) {
                0..=4 => 0,
                5 => 5,
                _ => 6,
            };
            return (TokenKind::ConditionalOpen, opener.len() + version);
        }
    }
    let end = text.get(2..).and_then(|inside| inside.find("*/"));
    (TokenKind::Comment, end.map_or(text.len(), |end| end + 4))
}

/// The length of `$tag$ … $tag$`, if the text starts with it.
fn dollar_quoted_length(text: &str) -> Option<usize> {
    let tag = prefix_length(text.get(1..)?, |c| is_name_char(c) && c != '$');
    let delimiter = text.get(..tag + 2).filter(|delimiter| delimiter.ends_with('$'))?;
    let body = text.get(delimiter.len()..)?.find(delimiter)?;
    Some(body + 2 * delimiter.len())
}

/// The kind and length of a token that starts with a digit: `1e5` and `0xff` are numbers, `1e`, `0xfg` and `2nd` are
/// names.
fn scan_number_or_name(text: &str) -> (TokenKind, usize) {
    let word = prefix_length(text, is_name_char);
    let digits = prefix_length(text, |c| c.is_ascii_digit());
    let number = [("0x", is_hex_digit as fn(char) -> bool), ("0b", is_binary_digit)].iter().any(|(prefix, belongs)| {
        let value = text.get(..word).and_then(|word| word.strip_prefix(prefix));
        value.is_some_and(|value| !value.is_empty() && value.chars().all(belongs))
    });
    if number {
        return (TokenKind::Number, word);
    }
    if digits == word {
        return (TokenKind::Number, decimal_length(text));
    }
    match exponent_length(text.get(digits..).unwrap_or_default()) {
        0 => (TokenKind::Word, word),
        length => (TokenKind::Number, digits + length),
    }
}

fn is_hex_digit(c: char) -> bool {
    c.is_ascii_hexdigit()
}

fn is_binary_digit(c: char) -> bool {
    matches!(c, '0' | '1')
}

/// The length of `1`, `1.`, `1.5`, `.5` or `1.5e-3`.
fn decimal_length(text: &str) -> usize {
    let whole = prefix_length(text, |c| c.is_ascii_digit());
    let Some(decimals) = text.get(whole..).and_then(|rest| rest.strip_prefix('.')) else { return whole };
    let length = whole + 1 + prefix_length(decimals, |c| c.is_ascii_digit());
    length + exponent_length(text.get(length..).unwrap_or_default())
}

/// The length of `e5` or `E+5`; 0 if the text does not start with an exponent.
fn exponent_length(text: &str) -> usize {
    let Some(power) = text.strip_prefix(['e', 'E']) else { return 0 };
    let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
    match prefix_length(unsigned, |c| c.is_ascii_digit()) {
        0 => 0,
        digits => text.len() - unsigned.len() + digits,
    }
}

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
