//! Iterates over tokens, and skips trivia: spaces, comments and the brackets of conditional comments.

use std::ops::Range;

use super::lexer::Token;

/// A position among tokens. Every step moves to the next token that is no trivia.
#[derive(Debug, Clone)]
pub(crate) struct TokenCursor<'t, 'a> {
    tokens: &'t [Token<'a>],
    position: usize,
}

impl<'t, 'a> TokenCursor<'t, 'a> {
    pub(crate) fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens, position: 0 }
    }

    /// The position at the token of this index.
    pub(crate) fn at(tokens: &'t [Token<'a>], position: usize) -> Self {
        Self { tokens, position }
    }

    /// The index just after the last taken token.
    pub(crate) fn end(&self) -> usize {
        self.position
    }

    /// The index of the next token, or the number of tokens if there is none.
    pub(crate) fn start(&self) -> usize {
        let rest = self.tokens.get(self.position..).unwrap_or_default();
        rest.iter().position(|token| !token.is_trivia()).map_or(self.tokens.len(), |skipped| self.position + skipped)
    }

    pub(crate) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.start())
    }

    /// The token `ahead` tokens after the next one: `peek_at(0)` is `peek()`.
    pub(crate) fn peek_at(&self, ahead: usize) -> Option<&'t Token<'a>> {
        self.clone().nth(ahead)
    }

    /// Takes the next token if it is the word `keyword`.
    pub(crate) fn eat_word(&mut self, keyword: &str) -> bool {
        self.next_if(|token| token.is_word(keyword)).is_some()
    }

    /// Takes the next tokens if they are exactly these words.
    pub(crate) fn eat_words(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = self.clone();
        let all = keywords.iter().all(|keyword| ahead.eat_word(keyword));
        if all {
            *self = ahead;
        }
        all
    }

    /// Takes the next token if it is the punctuation `text`.
    pub(crate) fn eat_punct(&mut self, text: &str) -> bool {
        self.next_if(|token| token.is_punct(text)).is_some()
    }

    /// Takes the next token if it is a name.
    pub(crate) fn eat_name(&mut self) -> Option<String> {
        let name = self.peek()?.ident()?.into_owned();
        self.next();
        Some(name)
    }

    /// Takes a balanced `( … )` and returns the range between the brackets; `None` if no such group follows.
    pub(crate) fn eat_group(&mut self) -> Option<Range<usize>> {
        let mut ahead = self.clone();
        if !ahead.eat_punct("(") {
            return None;
        }
        let start = ahead.end();
        let mut depth = 1;
        while let Some(token) = ahead.next() {
            if token.is_punct("(") {
                depth += 1;
            } else if token.is_punct(")") {
                depth -= 1;
            }
            if depth == 0 {
                *self = ahead;
                return Some(start..self.position - 1);
            }
        }
        None
    }

    pub(crate) fn next_if(&mut self, wanted: impl FnOnce(&Token<'a>) -> bool) -> Option<&'t Token<'a>> {
        self.peek().filter(|token| wanted(token))?;
        self.next()
    }
}

impl<'t, 'a> Iterator for TokenCursor<'t, 'a> {
    type Item = &'t Token<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.start();
        let token = self.tokens.get(position)?;
        self.position = position + 1;
        Some(token)
    }
}

/// The tokens of a range; empty if the range is out of bounds.
pub(crate) fn slice_tokens<'t, 'a>(tokens: &'t [Token<'a>], range: Range<usize>) -> &'t [Token<'a>] {
    tokens.get(range).unwrap_or_default()
}

/// Splits at the commas outside of brackets.
pub(crate) fn split_at_commas<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut depth = 0_usize;
    let parts = tokens.split(|token| {
        if token.is_punct("(") {
            depth += 1;
        } else if token.is_punct(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is_punct(",")
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokenize};
    use super::*;

    #[test]
    fn groups_and_commas_are_found_by_depth_and_never_in_strings_or_comments() {
        let text = "/* ( */ (a, ')', (b, c), `)`/*, )*/) tail";
        let all = tokenize(text, Dialect::default());
        let mut cursor = TokenCursor::new(&all);
        let group = cursor.eat_group().unwrap();
        assert_eq!(split_at_commas(slice_tokens(&all, group)).len(), 4);
        assert!(cursor.eat_word("TAIL"));
        assert!(cursor.next().is_none());
    }

    #[test]
    fn tokens_that_do_not_match_are_not_taken() {
        let all = tokenize("IF NOT (a", Dialect::default());
        let mut cursor = TokenCursor::new(&all);
        assert!(!cursor.eat_words(&["IF", "NOT", "EXISTS"]));
        assert!(cursor.eat_words(&["IF", "NOT"]));
        assert_eq!(cursor.eat_group(), None);
        assert!(cursor.eat_punct("("));
    }
}
