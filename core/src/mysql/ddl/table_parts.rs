//! Splits a `CREATE TABLE` into named parts, so that two definitions can be compared part by part.

use std::collections::BTreeMap;

use super::create_table::{TableItem, eat_table_header};
use super::lexer::{Token, TokenKind, tokenize};
use super::table_options::TableOptions;
use super::token_cursor::{TokenCursor, slice_tokens, split_at_commas};
use super::{Dialect, inherited_collation};

/// The text of each part, by its name in reports: `column price`, `index by_name`, `options`.
pub(crate) type TableParts = BTreeMap<String, String>;

/// Splits the text of `SHOW CREATE TABLE` into parts; `None` if the text is no `CREATE TABLE`.
///
/// Omits the AUTO_INCREMENT counter, and options that name the source's machine.
pub(crate) fn table_parts(create: &str) -> Option<TableParts> {
    let all = tokenize(create, Dialect::default());
    let mut cursor = TokenCursor::new(&all);
    eat_table_header(&mut cursor).ok()?;
    let body = cursor.eat_group()?;
    let options = slice_tokens(&all, cursor.end()..all.len());
    let collation = inherited_collation::table_collation(options);
    let mut parts = TableParts::new();
    let mut order = Vec::new();
    for item in split_at_commas(slice_tokens(&all, body)) {
        let is_named = TokenCursor::new(item).peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
        let (name, text) = match TableItem::read(item) {
            TableItem::PrimaryKey(_) => ("primary key".to_owned(), normalize_spaces(item)),
            TableItem::Key(key) => (format!("index {}", key.name), normalize_spaces(item)),
            TableItem::ForeignKey(key) => {
                (format!("foreign key {}", key.name.as_deref().unwrap_or("without a name")), normalize_spaces(item))
            }
            TableItem::Column(column) if is_named => {
                let text = inherited_collation::without_inherited_collation(item, collation.as_deref());
                order.push(column.name.clone());
                (format!("column {}", column.name), normalize_spaces(&tokenize(&text, Dialect::default())))
            }
            _ => (check_part_name(item), normalize_spaces(item)),
        };
        parts.insert(name, text);
    }
    parts.insert("order of columns".to_owned(), order.join(", "));
    parts.insert("options".to_owned(), without_auto_increment(&TableOptions::read(options).text));
    Some(parts)
}

/// The part name `check NAME`, or the text of any other item.
fn check_part_name(item: &[Token<'_>]) -> String {
    let mut cursor = TokenCursor::new(item);
    if cursor.eat_word("CONSTRAINT")
        && let Some(name) = cursor.eat_name()
    {
        return format!("check {name}");
    }
    normalize_spaces(item)
}

/// The tokens joined by single spaces.
fn normalize_spaces(all: &[Token<'_>]) -> String {
    let texts: Vec<&str> = all.iter().filter(|token| token.kind != TokenKind::Space).map(|token| token.text).collect();
    texts.join(" ")
}

/// The options without the AUTO_INCREMENT counter.
fn without_auto_increment(options: &str) -> String {
    let all = tokenize(options, Dialect::default());
    let mut text = Vec::new();
    let mut rest = all.iter().filter(|token| token.kind != TokenKind::Space).peekable();
    while let Some(token) = rest.next() {
        if token.is_word("AUTO_INCREMENT") && rest.next_if(|next| next.is_punct("=")).is_some() {
            rest.next();
            continue;
        }
        text.push(token.text);
    }
    text.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_name() {
        let create = "CREATE TABLE `t` (\n  `a` int NOT NULL,\n  `b` varchar(9) COLLATE utf8mb4_bin,\n  PRIMARY KEY \
            (`a`),\n  KEY `k` (`b`),\n  CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `p` (`x`),\n  CONSTRAINT `c` CHECK \
            ((`a` > 1))\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin /* `x`=1 */";
        let parts = table_parts(create).unwrap();
        let names: Vec<&str> = parts.keys().map(String::as_str).collect();
        let expected = [
            "check c",
            "column a",
            "column b",
            "foreign key f",
            "index k",
            "options",
            "order of columns",
            "primary key",
        ];
        assert_eq!(names, expected);
        assert_eq!(parts["column b"], "`b` varchar ( 9 )");
        assert_eq!(parts["options"], "ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin /* `x`=1 */");
        assert_eq!(table_parts("CREATE VIEW v AS SELECT 1"), None);
    }
}
