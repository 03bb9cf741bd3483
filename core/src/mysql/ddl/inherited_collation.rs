//! Removes a column's `COLLATE` clause if the column inherits the same collation from its table.
//!
//! `SHOW CREATE TABLE` prints an inherited collation that is not the default of its character set. A column created
//! from such a text would store it as an explicit one, and its definition would differ from the source's.

use super::lexer::{Token, join_tokens};
use super::token_cursor::{TokenCursor, slice_tokens};

/// The collation in a table's options.
pub(super) fn table_collation(options: &[Token<'_>]) -> Option<String> {
    let mut cursor = TokenCursor::new(options);
    while cursor.peek().is_some() {
        if cursor.eat_word("COLLATE") {
            cursor.eat_punct("=");
            return cursor.eat_name();
        }
        if cursor.eat_group().is_none() {
            cursor.next();
        }
    }
    None
}

/// The text of a column, without a `COLLATE` of the table's collation that has no `CHARACTER SET` before it.
pub(super) fn without_inherited_collation(column: &[Token<'_>], table: Option<&str>) -> String {
    match table.and_then(|collation| inherited_clause(column, collation)) {
        Some((before, after)) => {
            format!(
                "{}{}",
                join_tokens(slice_tokens(column, 0..before)).trim_end(),
                join_tokens(slice_tokens(column, after..column.len()))
            )
        }
        None => join_tokens(column),
    }
}

/// The start and end of such a clause.
fn inherited_clause(column: &[Token<'_>], collation: &str) -> Option<(usize, usize)> {
    let mut cursor = TokenCursor::new(column);
    cursor.eat_name()?;
    // Skips the type, with its members or its length.
    cursor.eat_name()?;
    cursor.eat_group();
    let start = cursor.start();
    let same = cursor.eat_word("COLLATE") && cursor.eat_name()?.eq_ignore_ascii_case(collation);
    same.then_some((start, cursor.end()))
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokenize};
    use super::*;

    fn column(text: &str) -> String {
        without_inherited_collation(&tokenize(text, Dialect::default()), Some("utf8mb4_bin"))
    }

    #[test]
    fn only_an_inherited_collation_is_removed() {
        assert_eq!(column("\n  `a` varchar(9) COLLATE utf8mb4_bin NOT NULL"), "\n  `a` varchar(9) NOT NULL");
        assert_eq!(column("`a` enum('COLLATE',')') COLLATE utf8mb4_bin"), "`a` enum('COLLATE',')')");
        for kept in [
            "`a` varchar(9) COLLATE utf8mb4_general_ci",
            "`a` varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "`a` varchar(9) DEFAULT (_utf8mb4'x' COLLATE utf8mb4_bin)",
        ] {
            assert_eq!(column(kept), kept);
        }
    }
}
