//! Walks over the tokens that mean something, past spaces, comments and the brackets of conditional comments.

use std::ops::Range;

use super::lex::Token;

/// A place among tokens. Every step leads to the next token that means something.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub(crate) fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens, at: 0 }
    }

    /// The index just after the last token that was taken.
    pub(crate) fn end(&self) -> usize {
        self.at
    }

    /// The index of the next token, or the number of tokens when there is none.
    pub(crate) fn start(&self) -> usize {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        rest.iter().position(|token| !token.is_noise()).map_or(self.tokens.len(), |skipped| self.at + skipped)
    }

    pub(crate) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.start())
    }

    /// The token after the next one, and so on: `peek_at(0)` is `peek()`.
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

    /// Takes a balanced `( … )` and gives the range between the brackets. Takes nothing when there is none.
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
                return Some(start..self.at - 1);
            }
        }
        None
    }

    pub(crate) fn next_if(&mut self, wanted: impl FnOnce(&Token<'a>) -> bool) -> Option<&'t Token<'a>> {
        self.peek().filter(|token| wanted(token))?;
        self.next()
    }
}

impl<'t, 'a> Iterator for Cursor<'t, 'a> {
    type Item = &'t Token<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.start();
        let token = self.tokens.get(position)?;
        self.at = position + 1;
        Some(token)
    }
}

/// The tokens of a range; none when the range is not theirs.
pub(crate) fn within<'t, 'a>(tokens: &'t [Token<'a>], range: Range<usize>) -> &'t [Token<'a>] {
    tokens.get(range).unwrap_or_default()
}

/// Splits at the commas that are in no bracket.
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
    use super::super::{Dialect, tokens};
    use super::*;

    #[test]
    fn groups_and_commas_are_found_by_depth_and_never_in_strings_or_comments() {
        let text = "/* ( */ (a, ')', (b, c), `)`/*, )*/) tail";
        let all = tokens(text, Dialect::default());
        let mut cursor = Cursor::new(&all);
        let group = cursor.eat_group().unwrap();
        assert_eq!(split_at_commas(within(&all, group)).len(), 4);
        assert!(cursor.eat_word("TAIL"));
        assert!(cursor.next().is_none());
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let all = tokens("IF NOT (a", Dialect::default());
        let mut cursor = Cursor::new(&all);
        assert!(!cursor.eat_words(&["IF", "NOT", "EXISTS"]));
        assert!(cursor.eat_words(&["IF", "NOT"]));
        assert_eq!(cursor.eat_group(), None);
        assert!(cursor.eat_punct("("));
    }
}
