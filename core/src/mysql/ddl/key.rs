//! Reads one index or foreign key of a table, and writes the statements that add them later.

use super::cursor::{Cursor, split_at_commas, within};
use super::lex::{Token, text_of};
use super::quote_name;

/// The kind of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// `KEY`.
    Plain,
    /// `UNIQUE KEY`.
    Unique,
    /// `FULLTEXT KEY`.
    Fulltext,
    /// `SPATIAL KEY`.
    Spatial,
}

/// An index that is built after the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeferredKey {
    /// Its name.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) kind: KeyKind,
    /// What follows `ADD`: ``UNIQUE KEY `a` (`x`)``.
    pub(crate) definition: String,
}

/// A foreign key, which is added when the tables of both its ends have their rows and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// Its name. Servers always print one.
    pub(crate) name: Option<String>,
    /// The referencing columns.
    pub(crate) columns: Vec<String>,
    /// The database of the referenced table, where it is another one.
    pub(crate) referenced_database: Option<String>,
    /// The referenced table.
    pub(crate) referenced_table: String,
    /// The referenced columns.
    pub(crate) referenced_columns: Vec<String>,
    /// What follows `ADD`: ``CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`b`) ON DELETE CASCADE``.
    pub(crate) definition: String,
}

/// The statement that adds these keys to a table. Without keys it is a statement that does nothing.
///
/// InnoDB refuses more than one `FULLTEXT` key in it.
pub(crate) fn add_keys(table: &str, keys: &[&DeferredKey]) -> String {
    add(table, keys.iter().map(|key| key.definition.as_str()))
}

/// The statement that adds these foreign keys to a table. Without keys it is a statement that does nothing.
pub(crate) fn add_foreign_keys(table: &str, keys: &[ForeignKey]) -> String {
    add(table, keys.iter().map(|key| key.definition.as_str()))
}

fn add<'k>(table: &str, definitions: impl Iterator<Item = &'k str>) -> String {
    let clauses: Vec<String> = definitions.map(|definition| format!("ADD {definition}")).collect();
    format!("ALTER TABLE {} {}", quote_name(table), clauses.join(", ")).trim_end().to_owned()
}

/// An index as it stands in a `CREATE TABLE`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) kind: KeyKind,
    pub(super) parts: Vec<KeyPart>,
    /// It can only be built with the table, or is better so: `WITHOUT OVERLAPS`, and the hash of a long unique key.
    pub(super) fixed: bool,
}

/// One column of an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyPart {
    /// None for an expression.
    pub(super) column: Option<String>,
    /// Only the first characters are in the index.
    pub(super) prefix: bool,
}

impl Key {
    pub(super) fn contains(&self, column: &str) -> bool {
        self.parts.iter().any(|part| part.column.as_deref() == Some(column))
    }

    /// Reads `KEY`, `UNIQUE KEY`, `FULLTEXT KEY` or `SPATIAL KEY`; None when it is none of these.
    pub(super) fn read(item: &[Token<'_>]) -> Option<Self> {
        let mut cursor = Cursor::new(item);
        let kind = [("UNIQUE", KeyKind::Unique), ("FULLTEXT", KeyKind::Fulltext), ("SPATIAL", KeyKind::Spatial)]
            .into_iter()
            .find_map(|(word, kind)| cursor.eat_word(word).then_some(kind));
        let is_key = cursor.eat_word("KEY") || cursor.eat_word("INDEX");
        if kind.is_none() && !is_key {
            return None;
        }
        let name = cursor.eat_name()?;
        let parts = key_parts(item, &mut cursor)?;
        let fixed = item.iter().any(|token| token.is_any_word(&["OVERLAPS", "HASH"]));
        Some(Self { name, kind: kind.unwrap_or(KeyKind::Plain), parts, fixed })
    }

    pub(super) fn deferred(&self, item: &[Token<'_>]) -> DeferredKey {
        DeferredKey { name: self.name.clone(), kind: self.kind, definition: definition(item) }
    }
}

/// Reads the columns of `PRIMARY KEY (…)`, named or not; None when it is something else.
pub(super) fn primary_key(item: &[Token<'_>]) -> Option<Vec<KeyPart>> {
    let mut cursor = Cursor::new(item);
    if cursor.eat_word("CONSTRAINT") && !cursor.peek()?.is_word("PRIMARY") {
        cursor.next();
    }
    if !cursor.eat_words(&["PRIMARY", "KEY"]) {
        return None;
    }
    key_parts(item, &mut cursor)
}

/// Reads `[CONSTRAINT [name]] FOREIGN KEY …`; None when it is something else.
pub(super) fn foreign_key(item: &[Token<'_>]) -> Option<ForeignKey> {
    let mut cursor = Cursor::new(item);
    let mut name = None;
    if cursor.eat_word("CONSTRAINT") && !cursor.peek()?.is_word("FOREIGN") {
        name = cursor.eat_name();
    }
    if !cursor.eat_words(&["FOREIGN", "KEY"]) {
        return None;
    }
    let columns = columns(key_parts(item, &mut cursor)?)?;
    if !cursor.eat_word("REFERENCES") {
        return None;
    }
    let mut referenced_database = None;
    let mut referenced_table = cursor.eat_name()?;
    if cursor.eat_punct(".") {
        referenced_database = Some(std::mem::replace(&mut referenced_table, cursor.eat_name()?));
    }
    let referenced_columns = columns_of_group(item, &mut cursor)?;
    let definition = definition(item);
    Some(ForeignKey { name, columns, referenced_database, referenced_table, referenced_columns, definition })
}

fn columns_of_group(item: &[Token<'_>], cursor: &mut Cursor<'_, '_>) -> Option<Vec<String>> {
    columns(key_parts(item, cursor)?)
}

fn columns(parts: Vec<KeyPart>) -> Option<Vec<String>> {
    parts.into_iter().map(|part| part.column).collect()
}

/// Goes on to the next `( … )` and reads its parts.
fn key_parts(item: &[Token<'_>], cursor: &mut Cursor<'_, '_>) -> Option<Vec<KeyPart>> {
    while !cursor.peek()?.is_punct("(") {
        cursor.next();
    }
    let group = cursor.eat_group()?;
    Some(split_at_commas(within(item, group)).into_iter().map(key_part).collect())
}

fn key_part(tokens: &[Token<'_>]) -> KeyPart {
    let mut cursor = Cursor::new(tokens);
    let column = cursor.eat_name();
    let prefix = column.is_some() && cursor.eat_punct("(");
    KeyPart { column, prefix }
}

/// The item's text without what surrounds it. A line comment at its end would swallow what is put after it.
fn definition(item: &[Token<'_>]) -> String {
    use super::lex::TokenKind::{Comment, Space};
    let outer = |token: &Token<'_>| !matches!(token.kind, Comment | Space);
    let start = item.iter().position(outer).unwrap_or(item.len());
    // Options that the engine does not know stand in a comment.
    let last = |token: &Token<'_>| outer(token) || token.kind == Comment && token.text.starts_with("/*");
    let end = item.iter().rposition(last).map_or(start, |last| last + 1);
    text_of(within(item, start..end))
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokens};
    use super::*;

    fn key(text: &str) -> Option<Key> {
        Key::read(&tokens(text, Dialect::default()))
    }

    fn foreign(text: &str) -> Option<ForeignKey> {
        foreign_key(&tokens(text, Dialect::default()))
    }

    #[test]
    fn every_kind_of_index_is_read() {
        let read = key("\n  UNIQUE KEY `a``(` (`x`,`y)`(10) DESC) USING BTREE COMMENT 'USING HASH'").unwrap();
        assert_eq!((read.name.as_str(), read.kind, read.fixed), ("a`(", KeyKind::Unique, false));
        assert_eq!(read.parts[0], KeyPart { column: Some("x".into()), prefix: false });
        assert_eq!(read.parts[1], KeyPart { column: Some("y)".into()), prefix: true });
        assert!(read.contains("y)") && !read.contains("y"));
        let functional = key("KEY `f` (((`a` + 1)),(cast(json_extract(`b`,'$.x') as unsigned array)))").unwrap();
        assert_eq!(functional.parts.iter().filter(|part| part.column.is_none()).count(), 2);
        assert_eq!(key("FULLTEXT KEY `f` (`a`) /*!50100 WITH PARSER `ngram` */ ").unwrap().kind, KeyKind::Fulltext);
        assert_eq!(key("SPATIAL KEY `f` (`a`)").unwrap().kind, KeyKind::Spatial);
        assert!(key("UNIQUE KEY `f` (`a`,`p` WITHOUT OVERLAPS)").unwrap().fixed);
        assert!(key("UNIQUE KEY `f` (`a`) USING HASH").unwrap().fixed);
    }

    #[test]
    fn what_is_no_index_is_left_alone() {
        for text in ["`KEY` int", "PRIMARY KEY (`a`)", "CHECK (`a` > 1)", "VECTOR KEY `v` (`a`)", "KEY `a`", "KEY", ""]
        {
            assert_eq!(key(text), None, "{text}");
        }
    }

    #[test]
    fn foreign_keys_name_both_ends() {
        let text = "CONSTRAINT `f``,` FOREIGN KEY (`a`, `b)`) REFERENCES `d.b`.`p` (`x`, `y`) ON DELETE SET NULL";
        let read = foreign(&format!("\n  {text}")).unwrap();
        assert_eq!(read.name.as_deref(), Some("f`,"));
        assert_eq!(read.columns, ["a", "b)"]);
        assert_eq!(read.referenced_database.as_deref(), Some("d.b"));
        assert_eq!(read.referenced_table, "p");
        assert_eq!(read.referenced_columns, ["x", "y"]);
        assert_eq!(read.definition, text);
        let bare = foreign("FOREIGN KEY (a) REFERENCES p (b)").unwrap();
        assert_eq!((bare.name, bare.referenced_database), (None, None));
        assert_eq!(foreign("CONSTRAINT `c` CHECK (`FOREIGN` > 1)"), None);
    }

    #[test]
    fn keys_are_added_in_one_statement() {
        let read = key("KEY `a` (`x`)").unwrap().deferred(&tokens(" KEY `a` (`x`) -- c", Dialect::default()));
        assert_eq!(add_keys("t`.", &[&read, &read]), "ALTER TABLE `t``.` ADD KEY `a` (`x`), ADD KEY `a` (`x`)");
        let foreign = foreign("CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`b`)").unwrap();
        assert_eq!(
            add_foreign_keys("t", &[foreign]),
            "ALTER TABLE `t` ADD CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`b`)"
        );
        assert_eq!(add_keys("t", &[]), "ALTER TABLE `t`");
    }
}
