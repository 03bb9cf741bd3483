//! What the translation of one part of a table depends on in the others.

use super::super::ddl::{Token, TokenCursor, TokenKind, slice_tokens, split_at_commas};
use super::table_options;

/// The engine, columns and periods of a table.
pub(super) struct TableSummary {
    /// The storage engine, in lower case.
    pub(super) engine: String,
    /// Each column's name, and its type in lower case.
    pub(super) columns: Vec<(String, String)>,
    /// Each application-time period's name, first and last column.
    pub(super) periods: Vec<(String, String, String)>,
    /// The columns of the system-time period. MariaDB adds the last one to every unique key.
    pub(super) versions: Vec<String>,
}

impl TableSummary {
    /// Reads the items between the brackets of a `CREATE TABLE`, and the options after them.
    pub(super) fn read(items: &[&[Token<'_>]], options: &[Token<'_>]) -> Self {
        let engine = table_options::engine_name(options);
        let mut summary = Self { engine, columns: Vec::new(), periods: Vec::new(), versions: Vec::new() };
        for item in items {
            let mut cursor = TokenCursor::new(item);
            if is_column(item) {
                let pair = cursor.eat_name().zip(cursor.eat_name());
                summary.columns.extend(pair.map(|(name, kind)| (name, kind.to_ascii_lowercase())));
            } else if cursor.eat_words(&["PERIOD", "FOR", "SYSTEM_TIME"]) {
                summary.versions = read_columns(cursor, item);
            } else if cursor.eat_words(&["PERIOD", "FOR"]) {
                summary.periods.extend(read_period(cursor, item));
            }
        }
        summary
    }
}

/// Whether an item is a column. Servers quote the names of columns, and no other item begins with a quoted name.
pub(super) fn is_column(item: &[Token<'_>]) -> bool {
    TokenCursor::new(item).peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent)
}

/// Reads what follows `PERIOD FOR`: the name and the two columns. `None` for the period of `SYSTEM_TIME`.
pub(super) fn read_period(mut cursor: TokenCursor<'_, '_>, item: &[Token<'_>]) -> Option<(String, String, String)> {
    let name = cursor.next_if(|token| token.kind == TokenKind::QuotedIdent)?.ident()?.into_owned();
    let [first, last] = read_columns(cursor, item).try_into().ok()?;
    Some((name, first, last))
}

/// Reads the names between the brackets that follow.
fn read_columns(mut cursor: TokenCursor<'_, '_>, item: &[Token<'_>]) -> Vec<String> {
    let group = cursor.eat_group().unwrap_or_default();
    split_at_commas(slice_tokens(item, group)).iter().filter_map(|part| TokenCursor::new(part).eat_name()).collect()
}
