//! Writes a temporary table that takes the same values as a table: its columns without keys, checks and partitions.

use super::cursor::{Cursor, split_at_commas, within};
use super::lex::{Token, TokenKind, text_of, tokens};
use super::table::{Item, header};
use super::{Dialect, quote_name};

/// A generated column as a definition writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GeneratedColumn {
    /// Its name.
    pub(crate) name: String,
    /// What it is computed from.
    pub(crate) expression: String,
}

/// The generated columns of a `CREATE TABLE`, in their order.
pub(crate) fn generated_columns(create: &str) -> Vec<GeneratedColumn> {
    let all = tokens(create, Dialect::default());
    let Some((columns, _)) = columns(&all) else { return Vec::new() };
    columns
        .into_iter()
        .filter_map(|(name, item)| Some(GeneratedColumn { name, expression: expression(item)? }))
        .collect()
}

/// The statement that creates the temporary table `name`, with the columns of `create` of which `keep` says so, and
/// before them one named `counter` that numbers the rows; `None` where the definition is not understood.
pub(crate) fn temporary_table(create: &str, name: &str, counter: &str, keep: impl Fn(&str) -> bool) -> Option<String> {
    let all = tokens(create, Dialect::default());
    let (columns, options) = columns(&all)?;
    let counter = quote_name(counter);
    let mut items = vec![format!("{counter} BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY")];
    let kept = columns.iter().filter(|(column, _)| keep(column));
    items.extend(kept.map(|(_, item)| {
        let counts = |token: &&Token<'_>| !token.is_word("AUTO_INCREMENT");
        item.iter().filter(counts).map(|token| token.text).collect::<String>()
    }));
    Some(format!("CREATE TEMPORARY TABLE {} ({}) ENGINE=InnoDB{}", quote_name(name), items.join(","), charset(options)))
}

/// A column's name and its tokens.
type Column<'t, 'a> = (String, &'t [Token<'a>]);

/// The columns, and the tokens of the table's options.
fn columns<'t, 'a>(all: &'t [Token<'a>]) -> Option<(Vec<Column<'t, 'a>>, &'t [Token<'a>])> {
    let mut cursor = Cursor::new(all);
    header(&mut cursor).ok()?;
    let body = cursor.eat_group()?;
    let items = split_at_commas(within(all, body));
    let column = |item: &'t [Token<'a>]| match Item::read(item) {
        // Servers quote every name; a check begins with a word.
        Item::Column(column) if Cursor::new(item).peek()?.kind == TokenKind::QuotedIdent => Some((column.name, item)),
        _ => None,
    };
    Some((items.into_iter().filter_map(column).collect(), within(all, cursor.end()..all.len())))
}

/// What stands in the brackets after `AS`.
fn expression(item: &[Token<'_>]) -> Option<String> {
    let mut cursor = Cursor::new(item);
    cursor.eat_name()?;
    while cursor.peek().is_some() {
        if cursor.eat_word("AS") {
            return cursor.eat_group().map(|group| text_of(within(item, group)));
        }
        if cursor.eat_group().is_none() {
            cursor.next();
        }
    }
    None
}

/// The default character set and collation, as options.
fn charset(options: &[Token<'_>]) -> String {
    let mut cursor = Cursor::new(options);
    let mut text = String::new();
    while cursor.peek().is_some() {
        let option = ["CHARSET", "COLLATE"].into_iter().find(|option| cursor.eat_word(option));
        match option {
            Some(option) => {
                cursor.eat_punct("=");
                let value = cursor.next_if(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdent));
                text.extend(value.map(|value| format!(" {option}={}", value.text)));
            }
            None if cursor.eat_group().is_none() => drop(cursor.next()),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  `as` varchar(9) DEFAULT 'AS (x)',\n  \
        `g` date GENERATED ALWAYS AS (cast(`seen` as date)) STORED,\n  PRIMARY KEY (`id`),\n  KEY `g` (`g`),\n  \
        CONSTRAINT `c` CHECK ((`id` > 0))\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=latin1 COLLATE=latin1_bin \
        COMMENT='CHARSET=x'\n/*!50100 PARTITION BY HASH (`id`) */";

    #[test]
    fn the_columns_stay_and_all_else_goes() {
        let all = temporary_table(CREATE, "t`", "n", |_| true).unwrap();
        let expected = "CREATE TEMPORARY TABLE `t``` (`n` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,\n  `id` int \
            NOT NULL ,\n  `as` varchar(9) DEFAULT 'AS (x)',\n  `g` date GENERATED ALWAYS AS (cast(`seen` as date)) \
            STORED) ENGINE=InnoDB CHARSET=latin1 COLLATE=latin1_bin";
        assert_eq!(all, expected);
        assert!(!temporary_table(CREATE, "t", "n", |name| name != "g").unwrap().contains("GENERATED"));
        assert_eq!(temporary_table("CREATE VIEW v", "t", "n", |_| true), None);
    }

    #[test]
    fn expressions_are_read() {
        let found = generated_columns(CREATE);
        assert_eq!(found, [GeneratedColumn { name: "g".into(), expression: "cast(`seen` as date)".into() }]);
    }
}
