//! Reads the keys of a table by which rows are found, and by which rows of several tables depend on each other.

use super::Dialect;
use super::create_table::{TableItem, eat_table_header};
use super::key::{ForeignKey, KeyKind, KeyPart};
use super::lexer::tokenize;
use super::token_cursor::{TokenCursor, slice_tokens, split_at_commas};

/// The keys of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableKeys {
    /// The unique keys, the primary key first.
    pub(crate) unique: Vec<UniqueKey>,
    /// The foreign keys.
    pub(crate) foreign: Vec<ForeignKey>,
}

/// A unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UniqueKey {
    /// The columns; `None` for an expression, or for the prefix of a column.
    pub(crate) columns: Vec<Option<String>>,
}

impl UniqueKey {
    fn of(parts: &[KeyPart]) -> Self {
        Self { columns: parts.iter().map(|part| part.column.clone().filter(|_| !part.prefix)).collect() }
    }
}

/// Reads the keys of a `CREATE TABLE`; none if the text is none.
pub(crate) fn table_keys(create: &str) -> TableKeys {
    let all = tokenize(create, Dialect::default());
    let mut cursor = TokenCursor::new(&all);
    let mut keys = TableKeys::default();
    let body = eat_table_header(&mut cursor).ok().and_then(|_| cursor.eat_group());
    for item in body.map(|body| split_at_commas(slice_tokens(&all, body))).into_iter().flatten() {
        match TableItem::read(item) {
            TableItem::PrimaryKey(parts) => keys.unique.insert(0, UniqueKey::of(&parts)),
            TableItem::Key(key) if key.kind == KeyKind::Unique => keys.unique.push(UniqueKey::of(&key.parts)),
            TableItem::ForeignKey(key) => keys.foreign.push(key),
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_and_foreign_keys_are_read() {
        let keys = table_keys(
            "CREATE TABLE `t` (\n  `a` int NOT NULL,\n  UNIQUE KEY `u` (`b`(3),`a`),\n  KEY `k` (`a`),\n  \
             UNIQUE KEY `f` ((`a` + 1)),\n  PRIMARY KEY (`a`),\n  CONSTRAINT `c` FOREIGN KEY (`b`) REFERENCES `p` (`x`)\n)",
        );
        let columns: Vec<_> = keys.unique.iter().map(|key| key.columns.clone()).collect();
        assert_eq!(columns, [vec![Some("a".to_owned())], vec![None, Some("a".to_owned())], vec![None]]);
        assert_eq!(keys.foreign[0].referenced_table, "p");
        assert_eq!(table_keys("CREATE VIEW v AS SELECT 1"), TableKeys::default());
    }
}
