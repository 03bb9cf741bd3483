//! Replaces some tokens of a text and keeps all others.

use std::borrow::Cow;
use std::ops::Range;

use super::super::ddl::{Token, TokenKind};

/// Edits a text, token by token.
pub(super) struct TokenEditor<'t, 'a> {
    pub(super) tokens: &'t [Token<'a>],
    texts: Vec<Cow<'a, str>>,
}

impl<'t, 'a> TokenEditor<'t, 'a> {
    pub(super) fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens, texts: tokens.iter().map(|token| Cow::Borrowed(token.text)).collect() }
    }

    /// Replaces these tokens by a text.
    pub(super) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        let mut text = Some(text.into());
        for slot in self.texts.iter_mut().take(range.end).skip(range.start) {
            *slot = Cow::Owned(text.take().unwrap_or_default());
        }
    }

    /// Removes these tokens, and the space before them.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let before = range.start.checked_sub(1);
        let spaced =
            before.filter(|before| self.tokens.get(*before).is_some_and(|token| token.kind == TokenKind::Space));
        self.replace(spaced.unwrap_or(range.start)..range.end, "");
    }

    /// Adds a text after the token of this index.
    pub(super) fn insert_after(&mut self, index: usize, text: &str) {
        if let Some(slot) = self.texts.get_mut(index) {
            slot.to_mut().push_str(text);
        }
    }

    /// Adds a text at the end, before the white space there.
    pub(super) fn push(&mut self, text: &str) {
        let last = self.tokens.iter().rposition(|token| token.kind != TokenKind::Space);
        self.insert_after(last.unwrap_or(0), text);
    }

    pub(super) fn text(self) -> String {
        self.texts.concat()
    }
}
