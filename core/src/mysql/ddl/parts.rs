//! Takes a `CREATE TABLE` apart into named parts, each as its text, so that two definitions can be compared part by part.

use std::collections::BTreeMap;

use super::cursor::{Cursor, split_at_commas, within};
use super::lex::{Token, TokenKind, tokens};
use super::options::Options;
use super::table::{Item, header};
use super::{Dialect, collate};

/// A part's name as reports write it (`column price`, `index by_name`, `options`), and its text.
pub(crate) type Parts = BTreeMap<String, String>;

/// The parts of the text of `SHOW CREATE TABLE`; `None` where it is not understood.
///
/// Left out is what has no fixed text: the counter of AUTO_INCREMENT, and options that belong to the source's machine.
pub(crate) fn table_parts(create: &str) -> Option<Parts> {
    let all = tokens(create, Dialect::default());
    let mut cursor = Cursor::new(&all);
    header(&mut cursor).ok()?;
    let body = cursor.eat_group()?;
    let options = within(&all, cursor.end()..all.len());
    let collation = collate::of_table(options);
    let mut parts = Parts::new();
    let mut order = Vec::new();
    for item in split_at_commas(within(&all, body)) {
        let is_named = Cursor::new(item).peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
        let (name, text) = match Item::read(item) {
            Item::Primary(_) => ("primary key".to_owned(), spaced(item)),
            Item::Key(key) => (format!("index {}", key.name), spaced(item)),
            Item::Foreign(key) => {
                (format!("foreign key {}", key.name.as_deref().unwrap_or("without a name")), spaced(item))
            }
            Item::Column(column) if is_named => {
                let text = collate::inherited(item, collation.as_deref());
                order.push(column.name.clone());
                (format!("column {}", column.name), spaced(&tokens(&text, Dialect::default())))
            }
            _ => (named_check(item), spaced(item)),
        };
        parts.insert(name, text);
    }
    parts.insert("order of columns".to_owned(), order.join(", "));
    parts.insert("options".to_owned(), without_counter(&Options::read(options).text));
    Some(parts)
}

/// `check name`, or what else stands there.
fn named_check(item: &[Token<'_>]) -> String {
    let mut cursor = Cursor::new(item);
    if cursor.eat_word("CONSTRAINT")
        && let Some(name) = cursor.eat_name()
    {
        return format!("check {name}");
    }
    spaced(item)
}

/// The text with one space wherever there is any.
fn spaced(all: &[Token<'_>]) -> String {
    let texts: Vec<&str> = all.iter().filter(|token| token.kind != TokenKind::Space).map(|token| token.text).collect();
    texts.join(" ")
}

fn without_counter(options: &str) -> String {
    let all = tokens(options, Dialect::default());
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
