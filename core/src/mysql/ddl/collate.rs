//! Leaves a column's collation to the table where it is the table's.
//!
//! `SHOW CREATE TABLE` prints it all the same when it is not the default of the character set, and a column that is
//! created from such a text remembers that it was said: its definition would differ from then on.

use super::cursor::{Cursor, within};
use super::lex::{Token, text_of};

/// The collation that the options of a table name.
pub(super) fn of_table(options: &[Token<'_>]) -> Option<String> {
    let mut cursor = Cursor::new(options);
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

/// The text of a column, without a `COLLATE` that says what the table says and comes with no `CHARACTER SET`.
pub(super) fn inherited(column: &[Token<'_>], table: Option<&str>) -> String {
    match table.and_then(|collation| repeated(column, collation)) {
        Some((before, after)) => {
            format!("{}{}", text_of(within(column, 0..before)).trim_end(), text_of(within(column, after..column.len())))
        }
        None => text_of(column),
    }
}

/// Where the clause begins and ends.
fn repeated(column: &[Token<'_>], collation: &str) -> Option<(usize, usize)> {
    let mut cursor = Cursor::new(column);
    cursor.eat_name()?;
    // The type, with its members or its length.
    cursor.eat_name()?;
    cursor.eat_group();
    let start = cursor.start();
    let same = cursor.eat_word("COLLATE") && cursor.eat_name()?.eq_ignore_ascii_case(collation);
    same.then_some((start, cursor.end()))
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokens};
    use super::*;

    fn column(text: &str) -> String {
        inherited(&tokens(text, Dialect::default()), Some("utf8mb4_bin"))
    }

    #[test]
    fn only_what_the_table_says_too_is_left_out() {
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
