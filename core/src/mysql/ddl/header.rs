//! Gives a definition the names and the comment back that `SHOW CREATE` prints wrongly.

use super::cursor::{Cursor, within};
use super::definer::{Definer, definer_of, eat_definer, with_definer};
use super::lex::{TokenKind, text_of, tokens};
use super::{Dialect, quote_name};

/// What the catalog knows of a routine, trigger or event besides its text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Header<'a> {
    pub(crate) name: &'a str,
    /// The table of a trigger.
    pub(crate) table: Option<&'a str>,
    /// `user@host`, or the name of a role.
    pub(crate) definer: &'a str,
    pub(crate) comment: &'a str,
}

/// Puts the names and the comment of a header right.
///
/// Servers print them in UTF-8 into a text that they then take to be in the character set of the client that made the
/// object, and escape the backslashes of a comment also under `NO_BACKSLASH_ESCAPES`.
pub(crate) fn with_header(create: &str, dialect: Dialect, header: &Header<'_>) -> String {
    let create = match (definer_of(create, dialect), header.definer.rsplit_once('@')) {
        (Some(printed), Some((user, host))) if !header.definer.is_ascii() && printed != header.definer => {
            with_definer(create, dialect, &Definer::Account { user: user.to_owned(), host: host.to_owned() })
        }
        _ => create.to_owned(),
    };
    let all = tokens(&create, dialect);
    let mut text = String::with_capacity(create.len());
    let mut copied = 0;
    for (range, right) in corrections(&all, dialect, header).unwrap_or_default() {
        text.push_str(&text_of(within(&all, copied..range.start)));
        text.push_str(&right);
        copied = range.end;
    }
    text + &text_of(within(&all, copied..all.len()))
}

type Correction = (std::ops::Range<usize>, String);

fn corrections(all: &[super::Token<'_>], dialect: Dialect, header: &Header<'_>) -> Option<Vec<Correction>> {
    let mut cursor = Cursor::new(all);
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
    found.extend(name(&mut cursor, header.name)?);
    if let Some(table) = header.table {
        while !cursor.eat_word("ON") {
            cursor.next()?;
        }
        found.extend(table_name(&mut cursor, table)?);
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

/// Takes a name, and says how it is to be written where it is wrong. One that the user qualified is right.
fn name(cursor: &mut Cursor<'_, '_>, right: &str) -> Option<Option<Correction>> {
    let start = cursor.start();
    let printed = cursor.eat_name()?;
    if cursor.eat_punct(".") {
        cursor.eat_name()?;
        return Some(None);
    }
    // Servers fold the case of some names.
    let wrong = printed.to_lowercase() != right.to_lowercase();
    Some(wrong.then(|| (start..cursor.end(), quote_name(right))))
}

/// The same for the name of a table, which is as the catalog has it also where it is qualified: a server with
/// `lower_case_table_names=1` keeps the text as it was typed, and one that does not fold names finds no such table.
fn table_name(cursor: &mut Cursor<'_, '_>, right: &str) -> Option<Option<Correction>> {
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
    fn names_and_comments_that_were_converted_twice_are_put_right() {
        let header = Header { name: "fä", table: None, definer: "ö@%", comment: "it's c\\ä" };
        assert_eq!(
            with_header(
                "CREATE DEFINER=`Ã¶`@`%` FUNCTION `fÃ¤`(`comment` enum('COMMENT')) RETURNS int\n    COMMENT 'cÃ¤'\nreturn 'COMMENT'",
                PLAIN,
                &header
            ),
            "CREATE DEFINER=`ö`@`%` FUNCTION `fä`(`comment` enum('COMMENT')) RETURNS int\n    COMMENT 'it''s c\\\\ä'\nreturn 'COMMENT'"
        );
        let trigger = Header { name: "trä", table: Some("tä"), definer: "r@%", comment: "" };
        assert_eq!(
            with_header("CREATE DEFINER=`r`@`%` TRIGGER `trÃ¤` BEFORE INSERT ON `tÃ¤` FOR EACH ROW x", PLAIN, &trigger),
            "CREATE DEFINER=`r`@`%` TRIGGER `trä` BEFORE INSERT ON `tä` FOR EACH ROW x"
        );
    }

    #[test]
    fn a_trigger_names_its_table_as_the_catalog_does() {
        let trigger = Header { name: "t", table: Some("orders"), definer: "", comment: "" };
        for (written, right) in [("Orders", "`orders`"), ("`d`.`Orders`", "`d`.`orders`"), ("orders", "orders")] {
            let create = |table: &str| format!("CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW SET @x = 1");
            assert_eq!(with_header(&create(written), PLAIN, &trigger), create(right));
        }
    }

    #[test]
    fn a_backslash_in_a_comment_is_written_as_the_mode_reads_it() {
        let event = Header { name: "e", table: None, definer: "r@%", comment: "a\\" };
        let create = |comment: &str| {
            format!("CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ENABLE COMMENT '{comment}' DO SET @x = 'COMMENT'")
        };
        let raw = Dialect { ansi_quotes: false, no_backslash_escapes: true };
        assert_eq!(with_header(&create("a\\\\"), raw, &event), create("a\\"));
        assert_eq!(with_header(&create("a\\\\"), PLAIN, &event), create("a\\\\"));
    }

    #[test]
    fn what_is_right_stays_to_the_byte() {
        for (create, header) in [
            (
                "CREATE DEFINER=trigger@h trigger  if not exists db.`T` before insert on db . t for each row set @x = 1",
                Header { name: "t", table: Some("t"), definer: "trigger@h", comment: "" },
            ),
            (
                "CREATE DEFINER=\"ä\"@\"%\" PACKAGE BODY \"P\" COMMENT 'c' AS x",
                Header { name: "p", table: None, definer: "ä@%", comment: "c" },
            ),
            ("not a definition", Header::default()),
        ] {
            let ansi = Dialect { ansi_quotes: true, no_backslash_escapes: false };
            assert_eq!(with_header(create, ansi, &header), create);
        }
    }
}
