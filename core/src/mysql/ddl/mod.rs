//! Understands just enough of the SQL that `SHOW CREATE …` prints on MySQL 8.0 to 9.7 and MariaDB 10.6 to 11.
//!
//! Everything here is text in, text out. The texts are cut into tokens, never searched as strings: names, comments,
//! defaults and bodies may contain anything, including what looks like the very clause that is looked for. What is not
//! understood is passed on as it was written, to the byte.
//!
//! | file | verb |
//! | --- | --- |
//! | [`lex`] | cut a text into tokens, without loss |
//! | [`cursor`] | walk over the tokens that mean something |
//! | [`table`] | split a `CREATE TABLE` into what comes before the rows and what comes after |
//! | [`key`] | read one index or foreign key, and write the statements that add it |
//! | [`options`] | read and relieve the table options and the partition clause |
//! | [`definer`] | rewrite the `DEFINER` of a view, trigger, routine, event or package |
//! | [`header`] | put right what is wrong in the header of a routine, trigger or event |
//! | [`event`] | create an event disabled |
//! | [`parts`] | take a table apart into named parts, to compare it |
//! | [`readable`] | make text of a definition with literals in other character sets |
//! | [`leftover`] | find options that the engine does not know |
//! | [`literal`] | read and replace members and defaults |
//! | [`scratch`] | write a temporary table that takes the same values |
//! | [`rename`] | move qualified names to a database of another name |

mod collate;
mod cursor;
mod definer;
mod event;
mod header;
mod key;
mod leftover;
mod lex;
mod literal;
mod options;
mod parts;
mod readable;
mod rename;
mod scratch;
mod table;

pub(crate) use cursor::{Cursor, split_at_commas, within};
pub(crate) use definer::{Definer, definer_clause, definer_of, with_definer};
pub(crate) use event::{EventStatus, disabled_event};
pub(crate) use header::{Header, with_header};
pub(crate) use key::{ForeignKey, KeyKind, add_foreign_keys, add_keys};
pub(crate) use leftover::with_leftover_options;
pub(crate) use lex::{Token, TokenKind, text_of, tokens};
pub(crate) use literal::{literal_default, type_with_member, with_default, with_member};
pub(crate) use parts::{Parts, table_parts};
pub(crate) use readable::readable;
pub(crate) use rename::{Rename, rename_database};
pub(crate) use scratch::{generated_columns, temporary_table};
pub(crate) use table::{Index, TableDdl, split_table};

/// The session facts that change how a text is cut into tokens.
///
/// They belong to the session that wrote the text: for a table that is the session of `SHOW CREATE`, for the body of a
/// routine, trigger or event the `sql_mode` that is stored with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `"x"` is a name, not a string.
    pub(crate) ansi_quotes: bool,
    /// A backslash in a string is only a backslash.
    pub(crate) no_backslash_escapes: bool,
}

impl Dialect {
    /// Reads a `sql_mode` as servers print it: combined modes such as `ANSI` and `ORACLE` come with their parts listed.
    pub(crate) fn of(sql_mode: &str) -> Self {
        let has = |name: &str| sql_mode.split(',').any(|mode| mode.trim().eq_ignore_ascii_case(name));
        Self { ansi_quotes: has("ANSI_QUOTES"), no_backslash_escapes: has("NO_BACKSLASH_ESCAPES") }
    }
}

/// Quotes a name so that it is read as that name under every `sql_mode`.
pub(crate) fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Writes a text as an SQL expression that has that value under every `sql_mode`.
///
/// A backslash means one thing with `NO_BACKSLASH_ESCAPES` and another without, so a text that holds one is written in
/// hexadecimal. That form is an expression: clauses which take only a plain string, such as `COMMENT`, refuse it.
pub(crate) fn quote_text(text: &str) -> String {
    if text.contains('\\') {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        return format!("_utf8mb4 x'{hex}'");
    }
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_read_from_the_printed_mode() {
        assert_eq!(Dialect::of(""), Dialect::default());
        assert_eq!(Dialect::of("STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO"), Dialect::default());
        assert!(Dialect::of("PIPES_AS_CONCAT,ANSI_QUOTES,ORACLE").ansi_quotes);
        let both = Dialect { ansi_quotes: true, no_backslash_escapes: true };
        assert_eq!(Dialect::of("no_backslash_escapes, ansi_quotes"), both);
    }

    #[test]
    fn quoted_names_and_texts_read_back_under_every_mode() {
        for text in ["", "plain", "it's", "a`b", "*/ -- #", "line\nbreak", "größe😀", "\"", "a.b", "''"] {
            for ansi_quotes in [false, true] {
                for no_backslash_escapes in [false, true] {
                    let dialect = Dialect { ansi_quotes, no_backslash_escapes };
                    let name = quote_name(text);
                    let read = tokens(&name, dialect);
                    assert_eq!(read.len(), 1, "{name}");
                    assert_eq!(read[0].ident().as_deref(), Some(text));
                    let quoted = quote_text(text);
                    assert_eq!(tokens(&quoted, dialect).len(), 1, "{quoted}");
                }
            }
        }
    }

    #[test]
    fn a_backslash_is_never_left_to_the_mode() {
        assert_eq!(quote_text(r"a\'b"), "_utf8mb4 x'615c2762'");
        assert_eq!(quote_text("it's"), "'it''s'");
    }
}
