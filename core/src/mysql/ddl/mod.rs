//! Parses and rewrites the SQL that `SHOW CREATE …` prints on MySQL 8.0 to 9.7 and MariaDB 10.6 to 11. No I/O.
//!
//! Works on tokens, and never searches the text as a string: names, comments, defaults and bodies may contain any text,
//! including text that looks like a clause. Text that it does not understand stays unchanged, byte for byte.
//!
//! | file | verb |
//! | --- | --- |
//! | [`lexer`] | split a text into tokens |
//! | [`token_cursor`] | iterate over the tokens that are no trivia |
//! | [`create_table`] | split a `CREATE TABLE` into the statement before the rows and the keys after them |
//! | [`key`] | read one index or foreign key, and write the statements that add it |
//! | [`table_options`] | read table options and partitions, and remove those that name the source's machine |
//! | [`definer`] | rewrite the `DEFINER` of a view, trigger, routine, event or package |
//! | [`definition_header`] | correct the header of a routine, trigger or event |
//! | [`event_status`] | disable an event |
//! | [`inherited_collation`] | remove a column's collation that the table has too |
//! | [`table_keys`] | read the unique and foreign keys of a table |
//! | [`table_parts`] | split a table into named parts, to compare it |
//! | [`column_changes`] | read which columns a statement keeps and defines, and their order |
//! | [`table_statement`] | read a statement that changes tables, and rename its database; [`table_change`] what it changes |
//! | [`decode`] | decode a definition with literals in other character sets |
//! | [`unknown_options`] | uncomment options that the engine does not know |
//! | [`column_literals`] | read and replace members and defaults |
//! | [`temporary_table`] | write a temporary table with the same columns |
//! | [`database_rename`] | replace the database in qualified names |

mod column_changes;
mod column_literals;
mod create_table;
mod database_rename;
mod decode;
mod definer;
mod definition_header;
mod event_status;
mod inherited_collation;
mod key;
mod lexer;
mod table_change;
mod table_keys;
mod table_options;
mod table_parts;
mod table_statement;
mod temporary_table;
mod token_cursor;
mod unknown_options;

pub(crate) use column_changes::{LeftColumn, columns_after, keep_columns};
pub(crate) use column_literals::{literal_default, replace_default, replace_member, replace_member_in_type};
pub(crate) use create_table::{IndexColumns, TableDdl, split_table};
pub(crate) use database_rename::{DatabaseRename, rename_database};
pub(crate) use decode::decode_definition;
pub(crate) use definer::{DefinerRewrite, definer_account, definer_clause, rewrite_definer};
pub(crate) use definition_header::{DefinitionHeader, correct_header};
pub(crate) use event_status::{EventStatus, disable_event};
pub(crate) use key::{ForeignKey, KeyKind, ReferentialAction, add_foreign_keys, add_keys};
pub(crate) use lexer::{Token, TokenKind, join_tokens, tokenize};
pub(crate) use table_change::TableChange;
pub(crate) use table_keys::{TableKeys, table_keys};
pub(crate) use table_parts::{TableParts, table_parts};
pub(crate) use table_statement::{StatementSubject, read_table_statement, statement_subject};
pub(crate) use temporary_table::{generated_columns, temporary_table};
pub(crate) use token_cursor::{TokenCursor, slice_tokens, split_at_commas};
pub(crate) use unknown_options::uncomment_unknown_options;

/// The SQL modes that change how a text is split into tokens.
///
/// For a table they are the modes of the session of `SHOW CREATE`; for a routine, trigger or event those of its stored
/// `sql_mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Whether `"x"` is a name instead of a string.
    pub(crate) ansi_quotes: bool,
    /// Whether a backslash in a string is an ordinary character.
    pub(crate) no_backslash_escapes: bool,
}

impl Dialect {
    /// Reads the bits of a `sql_mode`, as servers log it.
    pub(crate) fn from_mode_bits(mode: u64) -> Self {
        const ANSI_QUOTES: u64 = 1 << 2;
        const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;
        Self { ansi_quotes: mode & ANSI_QUOTES != 0, no_backslash_escapes: mode & NO_BACKSLASH_ESCAPES != 0 }
    }

    /// Parses a `sql_mode` as servers print it: with the parts of combined modes such as `ANSI` and `ORACLE`.
    pub(crate) fn from_sql_mode(sql_mode: &str) -> Self {
        let has = |name: &str| sql_mode.split(',').any(|mode| mode.trim().eq_ignore_ascii_case(name));
        Self { ansi_quotes: has("ANSI_QUOTES"), no_backslash_escapes: has("NO_BACKSLASH_ESCAPES") }
    }
}

/// Quotes a name for every `sql_mode`.
pub(crate) fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Writes a text as an SQL expression that has the same value under every `sql_mode`.
///
/// The meaning of a backslash depends on `NO_BACKSLASH_ESCAPES`, so a text with a backslash is written in hexadecimal.
/// That form is an expression: clauses that accept only a plain string, such as `COMMENT`, refuse it.
pub(crate) fn quote_text(text: &str) -> String {
    if text.contains('\\') {
        return format!("_utf8mb4 x'{}'", hex::encode(text));
    }
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_read_from_the_printed_mode() {
        assert_eq!(Dialect::from_sql_mode(""), Dialect::default());
        assert_eq!(Dialect::from_sql_mode("STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO"), Dialect::default());
        assert!(Dialect::from_sql_mode("PIPES_AS_CONCAT,ANSI_QUOTES,ORACLE").ansi_quotes);
        let both = Dialect { ansi_quotes: true, no_backslash_escapes: true };
        assert_eq!(Dialect::from_sql_mode("no_backslash_escapes, ansi_quotes"), both);
    }

    #[test]
    fn quoted_names_and_texts_have_the_same_value_under_every_mode() {
        for text in ["", "plain", "it's", "a`b", "*/ -- #", "line\nbreak", "größe😀", "\"", "a.b", "''"] {
            for ansi_quotes in [false, true] {
                for no_backslash_escapes in [false, true] {
                    let dialect = Dialect { ansi_quotes, no_backslash_escapes };
                    let name = quote_name(text);
                    let read = tokenize(&name, dialect);
                    assert_eq!(read.len(), 1, "{name}");
                    assert_eq!(read[0].ident().as_deref(), Some(text));
                    let quoted = quote_text(text);
                    assert_eq!(tokenize(&quoted, dialect).len(), 1, "{quoted}");
                }
            }
        }
    }

    #[test]
    fn a_backslash_does_not_depend_on_the_mode() {
        assert_eq!(quote_text(r"a\'b"), "_utf8mb4 x'615c2762'");
        assert_eq!(quote_text("it's"), "'it''s'");
    }
}
