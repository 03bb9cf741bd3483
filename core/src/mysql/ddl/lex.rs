//! Cuts a text into tokens as the servers' own lexers do. Joining the tokens gives the text back, always.

use std::borrow::Cow;

use super::Dialect;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or an unquoted name. After a single `@` it may hold dots, as in `@a.b` and `u@h.example`.
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

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// The piece as it was written.
    pub(crate) text: &'a str,
}

impl Token<'_> {
    /// The name that a word or a quoted identifier stands for, without its quotes.
    pub(crate) fn ident(&self) -> Option<Cow<'_, str>> {
        match self.kind {
            TokenKind::Word => Some(Cow::Borrowed(self.text)),
            TokenKind::QuotedIdent => Some(unquoted(self.text)),
            _ => None,
        }
    }

    /// The name that this token stands for where the grammar takes a string as a name too, as in `'user'@'host'`.
    pub(crate) fn name_or_string(&self) -> Option<Cow<'_, str>> {
        match self.kind {
            TokenKind::Str => Some(unquoted(self.text)),
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

    /// Whether the grammar looks past this token: spaces, comments, and the brackets of a conditional comment.
    pub(crate) fn is_noise(&self) -> bool {
        use TokenKind::{Comment, ConditionalClose, ConditionalOpen, Space};
        matches!(self.kind, Comment | ConditionalClose | ConditionalOpen | Space)
    }
}

/// Cuts `sql` into tokens. It never fails: what has no end becomes one token up to the end of the text.
pub(crate) fn tokens(sql: &str, dialect: Dialect) -> Vec<Token<'_>> {
    let mut lexer = Lexer { rest: sql, dialect, conditional: 0, glue: Glue::Nothing, after_as: false };
    std::iter::from_fn(|| lexer.next()).collect()
}

/// Joins tokens back into text.
pub(crate) fn text_of(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

fn unquoted(text: &str) -> Cow<'_, str> {
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

/// What the next character touches. It decides whether `.1b` is a name or a number, and whether a host name follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glue {
    Nothing,
    Name,
    NameDot,
    At,
}

struct Lexer<'a> {
    rest: &'a str,
    dialect: Dialect,
    /// How many conditional comments are open. Servers do not count them, but an inner one that a server skips
    /// leaves the outer one open.
    conditional: usize,
    glue: Glue,
    /// The last word was `AS`: the only place where `$` opens a quoted body instead of a name.
    after_as: bool,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let first = self.rest.chars().next()?;
        let (kind, length) = self.scan(first);
        let length = length.max(first.len_utf8());
        let (text, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        let token = Token { kind, text };
        self.note(&token);
        Some(token)
    }

    fn note(&mut self, token: &Token<'_>) {
        match token.kind {
            TokenKind::ConditionalOpen => self.conditional += 1,
            TokenKind::ConditionalClose => self.conditional = self.conditional.saturating_sub(1),
            _ => {}
        }
        self.glue = match token.kind {
            TokenKind::Word | TokenKind::QuotedIdent => Glue::Name,
            TokenKind::Punct if token.text == "." && self.glue == Glue::Name => Glue::NameDot,
            TokenKind::Punct if token.text == "@" => Glue::At,
            _ => Glue::Nothing,
        };
        if !token.is_noise() {
            self.after_as = token.is_word("AS");
        }
    }

    /// The kind and length of the token at the start of the rest.
    fn scan(&self, first: char) -> (TokenKind, usize) {
        let rest = self.rest;
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        let second = after.chars().next();
        let escapes = !self.dialect.no_backslash_escapes;
        match first {
            _ if self.glue == Glue::At && is_host(first) => (TokenKind::Word, run(rest, is_host)),
            _ if is_space(first) => (TokenKind::Space, run(rest, is_space)),
            '`' => (TokenKind::QuotedIdent, quoted(rest, false)),
            '"' if self.dialect.ansi_quotes => (TokenKind::QuotedIdent, quoted(rest, false)),
            '"' | '\'' => (TokenKind::Str, quoted(rest, escapes)),
            'x' | 'X' | 'b' | 'B' | 'n' | 'N' if second == Some('\'') => {
                (TokenKind::Str, first.len_utf8() + quoted(after, escapes))
            }
            '#' => (TokenKind::Comment, line(rest)),
            '-' if opens_dash_comment(rest) => (TokenKind::Comment, line(rest)),
            '/' if second == Some('*') => comment(rest),
            '*' if self.conditional > 0 && second == Some('/') => (TokenKind::ConditionalClose, 2),
            '@' if second == Some('@') => (TokenKind::Punct, 2),
            '$' if self.after_as => match dollar_quoted(rest) {
                Some(length) => (TokenKind::Str, length),
                None => (TokenKind::Word, run(rest, is_name)),
            },
            _ if self.glue == Glue::NameDot && is_name(first) => (TokenKind::Word, run(rest, is_name)),
            '.' if self.glue != Glue::Name && second.is_some_and(|c| c.is_ascii_digit()) => {
                (TokenKind::Number, fraction(rest))
            }
            '0'..='9' => number_or_name(rest),
            _ if is_name(first) => (TokenKind::Word, run(rest, is_name)),
            _ => (TokenKind::Punct, first.len_utf8()),
        }
    }
}

/// The white space of the servers' lexers, which includes the vertical tab and no Unicode space.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn is_host(c: char) -> bool {
    is_name(c) || c == '.'
}

fn run(text: &str, belongs: fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// `--` opens a comment only before a space, a control character or the end: `5--1` is a subtraction.
fn opens_dash_comment(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(|c| is_space(c) || c.is_ascii_control()))
}

/// The length of a quoted piece whose first character is the quote.
fn quoted(text: &str, escapes: bool) -> usize {
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

fn comment(text: &str) -> (TokenKind, usize) {
    for opener in ["/*!", "/*M!"] {
        if let Some(inside) = text.strip_prefix(opener) {
            let version = match run(inside, |c| c.is_ascii_digit()) {
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

/// The length of `$tag$ … $tag$`, if that is what the text starts with.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = run(text.get(1..)?, |c| is_name(c) && c != '$');
    let delimiter = text.get(..tag + 2).filter(|delimiter| delimiter.ends_with('$'))?;
    let body = text.get(delimiter.len()..)?.find(delimiter)?;
    Some(body + 2 * delimiter.len())
}

/// A name may start with digits: `1e5` and `0xff` are numbers, `1e`, `0xfg` and `2nd` are names.
fn number_or_name(text: &str) -> (TokenKind, usize) {
    let word = run(text, is_name);
    let digits = run(text, |c| c.is_ascii_digit());
    let number = [("0x", is_hex as fn(char) -> bool), ("0b", is_bit)].iter().any(|(prefix, belongs)| {
        let value = text.get(..word).and_then(|word| word.strip_prefix(prefix));
        value.is_some_and(|value| !value.is_empty() && value.chars().all(belongs))
    });
    if number {
        return (TokenKind::Number, word);
    }
    if digits == word {
        return (TokenKind::Number, fraction(text));
    }
    match exponent(text.get(digits..).unwrap_or_default()) {
        0 => (TokenKind::Word, word),
        length => (TokenKind::Number, digits + length),
    }
}

fn is_hex(c: char) -> bool {
    c.is_ascii_hexdigit()
}

fn is_bit(c: char) -> bool {
    matches!(c, '0' | '1')
}

/// The length of `1`, `1.`, `1.5`, `.5` or `1.5e-3`.
fn fraction(text: &str) -> usize {
    let whole = run(text, |c| c.is_ascii_digit());
    let Some(decimals) = text.get(whole..).and_then(|rest| rest.strip_prefix('.')) else { return whole };
    let length = whole + 1 + run(decimals, |c| c.is_ascii_digit());
    length + exponent(text.get(length..).unwrap_or_default())
}

/// The length of `e5` or `E+5`; 0 if the text starts with no exponent.
fn exponent(text: &str) -> usize {
    let Some(power) = text.strip_prefix(['e', 'E']) else { return 0 };
    let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
    match run(unsigned, |c| c.is_ascii_digit()) {
        0 => 0,
        digits => text.len() - unsigned.len() + digits,
    }
}

#[cfg(test)]
#[path = "lex_tests.rs"]
mod tests;
