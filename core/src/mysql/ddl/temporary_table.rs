//! Writes a temporary table with the columns of a table, without its keys, checks and partitions.

use super::create_table::{TableItem, eat_table_header};
use super::lexer::{Token, TokenKind, join_tokens, tokenize};
use super::token_cursor::{TokenCursor, slice_tokens, split_at_commas};
use super::{Dialect, quote_name};

/// A generated column of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GeneratedColumn {
    /// The column's name.
    pub(crate) name: String,
    /// The expression after `AS`.
    pub(crate) expression: String,
}

/// Reads the generated columns of a `CREATE TABLE`, in their order.
pub(crate) fn generated_columns(create: &str) -> Vec<GeneratedColumn> {
    let all = tokenize(create, Dialect::default());
    let Some((columns, _)) = split_columns(&all) else { return Vec::new() };
    columns
        .into_iter()
        .filter_map(|(name, item)| Some(GeneratedColumn { name, expression: generated_expression(item)? }))
        .collect()
}

/// Writes the statement that creates the temporary table `name` with the columns of `create` that `keep_column`
/// accepts.
///
/// The first column `row_number` numbers the rows. `None` if `create` is no `CREATE TABLE`.
pub(crate) fn temporary_table(
    create: &str,
    name: &str,
    row_number: &str,
    keep_column: impl Fn(&str) -> bool,
) -> Option<String> {
    let all = tokenize(create, Dialect::default());
    let (columns, options) = split_columns(&all)?;
    let row_number = quote_name(row_number);
    let mut items = vec![format!("{row_number} BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY")];
    let kept = columns.iter().filter(|(column, _)| keep_column(column));
    items.extend(kept.map(|(_, item)| {
        let counts = |token: &&Token<'_>| !token.is_word("AUTO_INCREMENT");
        item.iter().filter(counts).map(|token| token.text).collect::<String>()
    }));
    Some(format!(
        "CREATE TEMPORARY TABLE {} ({}) ENGINE=InnoDB{}",
        quote_name(name),
        items.join(","),
        charset_options(options)
    ))
}

/// A column's name and its tokens.
type ColumnTokens<'t, 'a> = (String, &'t [Token<'a>]);

/// Splits a `CREATE TABLE` into its columns and the tokens of its options.
fn split_columns<'t, 'a>(all: &'t [Token<'a>]) -> Option<(Vec<ColumnTokens<'t, 'a>>, &'t [Token<'a>])> {
    let mut cursor = TokenCursor::new(all);
    eat_table_header(&mut cursor).ok()?;
    let body = cursor.eat_group()?;
    let items = split_at_commas(slice_tokens(all, body));
    let column = |item: &'t [Token<'a>]| match TableItem::read(item) {
        // Servers quote every name; a check begins with a keyword.
        TableItem::Column(column) if TokenCursor::new(item).peek()?.kind == TokenKind::QuotedIdent => {
            Some((column.name, item))
        }
        _ => None,
    };
    Some((items.into_iter().filter_map(column).collect(), slice_tokens(all, cursor.end()..all.len())))
}

/// The expression in the brackets after `AS`.
fn generated_expression(item: &[Token<'_>]) -> Option<String> {
    let mut cursor = TokenCursor::new(item);
    cursor.eat_name()?;
    while cursor.peek().is_some() {
        if cursor.eat_word("AS") {
            return cursor.eat_group().map(|group| join_tokens(slice_tokens(item, group)));
        }
        if cursor.eat_group().is_none() {
            cursor.next();
        }
    }
    None
}

/// The options for the default character set and collation.
fn charset_options(options: &[Token<'_>]) -> String {
    let mut cursor = TokenCursor::new(options);
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
    fn only_the_columns_stay() {
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
