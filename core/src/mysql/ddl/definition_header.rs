//! Corrects the names and the comment that `SHOW CREATE` prints wrongly.

use super::definer::{DefinerRewrite, definer_account, eat_definer, rewrite_definer};
use super::lexer::{TokenKind, join_tokens, tokenize};
use super::token_cursor::{TokenCursor, slice_tokens};
use super::{Dialect, quote_name};

/// The names and the comment of a routine, trigger or event, from `information_schema`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DefinitionHeader<'a> {
    pub(crate) name: &'a str,
    /// A trigger's table.
    pub(crate) table: Option<&'a str>,
    /// `user@host`, or the name of a role.
    pub(crate) definer: &'a str,
    pub(crate) comment: &'a str,
}

/// Corrects the names and the comment in a definition's header.
///
/// Servers print them in UTF-8 into a text that they then convert from the character set of the client that created the
/// object. They also escape the backslashes of a comment under `NO_BACKSLASH_ESCAPES`.
pub(crate) fn correct_header(create: &str, dialect: Dialect, header: &DefinitionHeader<'_>) -> String {
    let create = match (definer_account(create, dialect), header.definer.rsplit_once('@')) {
        (Some(printed), Some((user, host))) if !header.definer.is_ascii() && printed != header.definer => {
            rewrite_definer(create, dialect, &DefinerRewrite::Account { user: user.to_owned(), host: host.to_owned() })
        }
        _ => create.to_owned(),
    };
    let all = tokenize(&create, dialect);
    let mut text = String::with_capacity(create.len());
    let mut copied = 0;
    for (range, right) in corrections(&all, dialect, header).unwrap_or_default() {
        text.push_str(&join_tokens(slice_tokens(&all, copied..range.start)));
        text.push_str(&right);
        copied = range.end;
    }
    text + &join_tokens(slice_tokens(&all, copied..all.len()))
}

/// A range of tokens, and the text that replaces it.
type TokenReplacement = (std::ops::Range<usize>, String);

/// The replacements that correct a header, in their order.
fn corrections(
    all: &[super::Token<'_>],
    dialect: Dialect,
    header: &DefinitionHeader<'_>,
) -> Option<Vec<TokenReplacement>> {
    let mut cursor = TokenCursor::new(all);
    let mut found = Vec::new();
    if !cursor.eat_word("CREATE") {
        return None;
    }
    loop {
        eat_definer(&mut cursor);
        if cursor.next()?.is_any_word(&["FUNCTION", "PROCEDURE", "TRIGGER", "EVENT", "PACKAGE"]) {
            break;
        }
    }
    cursor.eat_word("BODY");
    cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    found.extend(correct_name(&mut cursor, header.name)?);
    if let Some(table) = header.table {
        while !cursor.eat_word("ON") {
            cursor.next()?;
        }
        found.extend(correct_table_name(&mut cursor, table)?);
    }
    if !header.comment.is_empty() {
        cursor.eat_group();
        while !(cursor.next()?.is_word("COMMENT") && cursor.peek()?.kind == TokenKind::Str) {}
        let start = cursor.start();
        cursor.next();
        let comment = header.comment.replace('\'', "''");
        let comment = if dialect.no_backslash_escapes { comment } else { comment.replace('\\', "\\\\") };
        found.push((start..cursor.end(), format!("'{comment}'")));
    }
    Some(found)
}

/// Takes a name and returns its correction, if it is wrong. A qualified name is always right.
fn correct_name(cursor: &mut TokenCursor<'_, '_>, right: &str) -> Option<Option<TokenReplacement>> {
    let start = cursor.start();
    let printed = cursor.eat_name()?;
    if cursor.eat_punct(".") {
        cursor.eat_name()?;
        return Some(None);
    }
    // Servers change the case of some names.
    let wrong = printed.to_lowercase() != right.to_lowercase();
    Some(wrong.then(|| (start..cursor.end(), quote_name(right))))
}

/// Takes a table's name and returns its correction, if it differs from the catalog, qualified or not: a server with
/// `lower_case_table_names=1` keeps the user's spelling, which names no table on a server that respects the case.
fn correct_table_name(cursor: &mut TokenCursor<'_, '_>, right: &str) -> Option<Option<TokenReplacement>> {
    let mut start = cursor.start();
    let mut printed = cursor.eat_name()?;
    if cursor.eat_punct(".") {
        start = cursor.start();
        printed = cursor.eat_name()?;
    }
    Some((printed != right).then(|| (start..cursor.end(), quote_name(right))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { ansi_quotes: false, no_backslash_escapes: false };

    #[test]
    fn names_and_comments_that_were_converted_twice_are_corrected() {
        let header = DefinitionHeader { name: "fä", table: None, definer: "ö@%", comment: "it's c\\ä" };
        assert_eq!(
            correct_header(
                "CREATE DEFINER=`Ã¶`@`%` FUNCTION `fÃ¤`(`comment` enum('COMMENT')) RETURNS int\n    COMMENT 'cÃ¤'\nreturn 'COMMENT'",
                PLAIN,
                &header
            ),
            "CREATE DEFINER=`ö`@`%` FUNCTION `fä`(`comment` enum('COMMENT')) RETURNS int\n    COMMENT 'it''s c\\\\ä'\nreturn 'COMMENT'"
        );
        let trigger = DefinitionHeader { name: "trä", table: Some("tä"), definer: "r@%", comment: "" };
        assert_eq!(
            correct_header(
                "CREATE DEFINER=`r`@`%` TRIGGER `trÃ¤` BEFORE INSERT ON `tÃ¤` FOR EACH ROW x",
                PLAIN,
                &trigger
            ),
            "CREATE DEFINER=`r`@`%` TRIGGER `trä` BEFORE INSERT ON `tä` FOR EACH ROW x"
        );
    }

    #[test]
    fn a_trigger_names_its_table_as_the_catalog_does() {
        let trigger = DefinitionHeader { name: "t", table: Some("orders"), definer: "", comment: "" };
        for (written, right) in [("Orders", "`orders`"), ("`d`.`Orders`", "`d`.`orders`"), ("orders", "orders")] {
            let create = |table: &str| format!("CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW SET @x = 1");
            assert_eq!(correct_header(&create(written), PLAIN, &trigger), create(right));
        }
    }

    #[test]
    fn a_backslash_in_a_comment_is_written_as_the_mode_reads_it() {
        let event = DefinitionHeader { name: "e", table: None, definer: "r@%", comment: "a\\" };
        let create = |comment: &str| {
            format!("CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ENABLE COMMENT '{comment}' DO SET @x = 'COMMENT'")
        };
        let raw = Dialect { ansi_quotes: false, no_backslash_escapes: true };
        assert_eq!(correct_header(&create("a\\\\"), raw, &event), create("a\\"));
        assert_eq!(correct_header(&create("a\\\\"), PLAIN, &event), create("a\\\\"));
    }

    #[test]
    fn a_correct_header_stays_unchanged() {
        for (create, header) in [
            (
                "CREATE DEFINER=trigger@h trigger  if not exists db.`T` before insert on db . t for each row set @x = 1",
                DefinitionHeader { name: "t", table: Some("t"), definer: "trigger@h", comment: "" },
            ),
            (
                "CREATE DEFINER=\"ä\"@\"%\" PACKAGE BODY \"P\" COMMENT 'c' AS x",
                DefinitionHeader { name: "p", table: None, definer: "ä@%", comment: "c" },
            ),
            ("not a definition", DefinitionHeader::default()),
        ] {
            let ansi = Dialect { ansi_quotes: true, no_backslash_escapes: false };
            assert_eq!(correct_header(create, ansi, &header), create);
        }
    }
}
