//! Reads one index or foreign key of a table, and writes the statements that add them later.

use super::lexer::{Token, TokenKind, join_tokens};
use super::quote_name;
use super::token_cursor::{TokenCursor, slice_tokens, split_at_commas};

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

/// An index that is built after the rows are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeferredKey {
    /// The index's name.
    pub(crate) name: String,
    /// The index's kind.
    pub(crate) kind: KeyKind,
    /// The text after `ADD`: ``UNIQUE KEY `a` (`x`)``.
    pub(crate) definition: String,
}

/// What a foreign key does to the rows that refer to a row which is deleted, or whose key changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ReferentialAction {
    /// Nothing: the change is refused (`RESTRICT`, `NO ACTION`).
    #[default]
    Restrict,
    /// `CASCADE`.
    Cascade,
    /// `SET NULL`.
    SetNull,
    /// `SET DEFAULT`.
    SetDefault,
}

/// A foreign key. It is added when both tables have their rows and indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// The foreign key's name. Servers always print one.
    pub(crate) name: Option<String>,
    /// The referencing columns.
    pub(crate) columns: Vec<String>,
    /// The referenced table's database, if it is another one.
    pub(crate) referenced_database: Option<String>,
    /// The referenced table.
    pub(crate) referenced_table: String,
    /// The referenced columns.
    pub(crate) referenced_columns: Vec<String>,
    /// What it does when a referenced row is deleted.
    pub(crate) on_delete: ReferentialAction,
    /// What it does when a referenced key changes.
    pub(crate) on_update: ReferentialAction,
    /// The text after `ADD`: ``CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`b`) ON DELETE CASCADE``.
    pub(crate) definition: String,
}

impl ForeignKey {
    /// Whether the key changes rows when the rows that they refer to change.
    pub(crate) fn changes_rows(&self) -> bool {
        [self.on_delete, self.on_update].iter().any(|action| *action != ReferentialAction::Restrict)
    }
}

/// Writes the statement that adds these indexes to a table. Without indexes the statement does nothing.
///
/// InnoDB refuses a statement with more than one `FULLTEXT` index.
pub(crate) fn add_keys(table: &str, keys: &[&DeferredKey]) -> String {
    alter_table_add(table, keys.iter().map(|key| key.definition.as_str()))
}

/// Writes the statement that adds these foreign keys to a table. Without keys the statement does nothing.
pub(crate) fn add_foreign_keys(table: &str, keys: &[ForeignKey]) -> String {
    alter_table_add(table, keys.iter().map(|key| key.definition.as_str()))
}

fn alter_table_add<'k>(table: &str, definitions: impl Iterator<Item = &'k str>) -> String {
    let clauses: Vec<String> = definitions.map(|definition| format!("ADD {definition}")).collect();
    format!("ALTER TABLE {} {}", quote_name(table), clauses.join(", ")).trim_end().to_owned()
}

/// The definition of an index in a `CREATE TABLE`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyDefinition {
    pub(super) name: String,
    pub(super) kind: KeyKind,
    pub(super) parts: Vec<KeyPart>,
    /// Whether `CREATE TABLE` must build the index: one `WITHOUT OVERLAPS`, or a long unique key `USING HASH`.
    pub(super) needs_table: bool,
}

/// One column of an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyPart {
    /// The column; `None` for an expression.
    pub(super) column: Option<String>,
    /// Whether the index holds only a prefix of the column.
    pub(super) prefix: bool,
}

impl KeyDefinition {
    pub(super) fn contains(&self, column: &str) -> bool {
        self.parts.iter().any(|part| part.column.as_deref() == Some(column))
    }

    /// Reads `KEY`, `UNIQUE KEY`, `FULLTEXT KEY` or `SPATIAL KEY`; `None` for any other item.
    pub(super) fn read(item: &[Token<'_>]) -> Option<Self> {
        let mut cursor = TokenCursor::new(item);
        let kind = [("UNIQUE", KeyKind::Unique), ("FULLTEXT", KeyKind::Fulltext), ("SPATIAL", KeyKind::Spatial)]
            .into_iter()
            .find_map(|(word, kind)| cursor.eat_word(word).then_some(kind));
        let is_key = cursor.eat_word("KEY") || cursor.eat_word("INDEX");
        if kind.is_none() && !is_key {
            return None;
        }
        let name = cursor.eat_name()?;
        let parts = eat_key_parts(item, &mut cursor)?;
        let needs_table = item.iter().any(|token| token.is_any_word(&["OVERLAPS", "HASH"]));
        Some(Self { name, kind: kind.unwrap_or(KeyKind::Plain), parts, needs_table })
    }

    pub(super) fn to_deferred_key(&self, item: &[Token<'_>]) -> DeferredKey {
        DeferredKey { name: self.name.clone(), kind: self.kind, definition: definition_text(item) }
    }
}

/// Reads the columns of `PRIMARY KEY (…)`, named or not; `None` for any other item.
pub(super) fn read_primary_key(item: &[Token<'_>]) -> Option<Vec<KeyPart>> {
    let mut cursor = TokenCursor::new(item);
    if cursor.eat_word("CONSTRAINT") && !cursor.peek()?.is_word("PRIMARY") {
        cursor.next();
    }
    if !cursor.eat_words(&["PRIMARY", "KEY"]) {
        return None;
    }
    eat_key_parts(item, &mut cursor)
}

/// Reads `[CONSTRAINT [name]] FOREIGN KEY …`; `None` for any other item.
pub(super) fn read_foreign_key(item: &[Token<'_>]) -> Option<ForeignKey> {
    let mut cursor = TokenCursor::new(item);
    let mut name = None;
    if cursor.eat_word("CONSTRAINT") && !cursor.peek()?.is_word("FOREIGN") {
        name = cursor.eat_name();
    }
    if !cursor.eat_words(&["FOREIGN", "KEY"]) {
        return None;
    }
    // MariaDB before 10.6 prints the name of the index too.
    cursor.next_if(|token| token.kind == TokenKind::QuotedIdent);
    let columns = part_columns(eat_key_parts(item, &mut cursor)?)?;
    if !cursor.eat_word("REFERENCES") {
        return None;
    }
    let mut referenced_database = None;
    let mut referenced_table = cursor.eat_name()?;
    if cursor.eat_punct(".") {
        referenced_database = Some(std::mem::replace(&mut referenced_table, cursor.eat_name()?));
    }
    let referenced_columns = eat_columns(item, &mut cursor)?;
    let (on_delete, on_update) = read_actions(&mut cursor);
    Some(ForeignKey {
        name,
        columns,
        referenced_database,
        referenced_table,
        referenced_columns,
        on_delete,
        on_update,
        definition: definition_text(item),
    })
}

/// Reads `ON DELETE …` and `ON UPDATE …`.
fn read_actions(cursor: &mut TokenCursor<'_, '_>) -> (ReferentialAction, ReferentialAction) {
    let (mut on_delete, mut on_update) = Default::default();
    while let Some(token) = cursor.next() {
        if !token.is_word("ON") {
            continue;
        }
        let Some(event) = cursor.next() else { break };
        let action = if cursor.eat_word("CASCADE") {
            ReferentialAction::Cascade
        } else if cursor.eat_words(&["SET", "NULL"]) {
            ReferentialAction::SetNull
        } else if cursor.eat_words(&["SET", "DEFAULT"]) {
            ReferentialAction::SetDefault
        } else {
            ReferentialAction::Restrict
        };
        if event.is_word("DELETE") {
            on_delete = action;
        } else if event.is_word("UPDATE") {
            on_update = action;
        }
    }
    (on_delete, on_update)
}

fn eat_columns(item: &[Token<'_>], cursor: &mut TokenCursor<'_, '_>) -> Option<Vec<String>> {
    part_columns(eat_key_parts(item, cursor)?)
}

/// The columns of the parts; `None` if a part is an expression.
fn part_columns(parts: Vec<KeyPart>) -> Option<Vec<String>> {
    parts.into_iter().map(|part| part.column).collect()
}

/// Moves the cursor past the next `( … )` and reads its parts.
fn eat_key_parts(item: &[Token<'_>], cursor: &mut TokenCursor<'_, '_>) -> Option<Vec<KeyPart>> {
    while !cursor.peek()?.is_punct("(") {
        cursor.next();
    }
    let group = cursor.eat_group()?;
    Some(split_at_commas(slice_tokens(item, group)).into_iter().map(read_key_part).collect())
}

fn read_key_part(tokens: &[Token<'_>]) -> KeyPart {
    let mut cursor = TokenCursor::new(tokens);
    let column = cursor.eat_name();
    let prefix = column.is_some() && cursor.eat_punct("(");
    KeyPart { column, prefix }
}

/// The item's text without the spaces and comments around it. A line comment at its end would hide the text after it.
fn definition_text(item: &[Token<'_>]) -> String {
    use super::lexer::TokenKind::{Comment, Space};
    let outer = |token: &Token<'_>| !matches!(token.kind, Comment | Space);
    let start = item.iter().position(outer).unwrap_or(item.len());
    // MariaDB prints options that the engine does not know in a comment.
    let last = |token: &Token<'_>| outer(token) || token.kind == Comment && token.text.starts_with("/*");
    let end = item.iter().rposition(last).map_or(start, |last| last + 1);
    join_tokens(slice_tokens(item, start..end))
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokenize};
    use super::*;

    fn key(text: &str) -> Option<KeyDefinition> {
        KeyDefinition::read(&tokenize(text, Dialect::default()))
    }

    fn foreign(text: &str) -> Option<ForeignKey> {
        read_foreign_key(&tokenize(text, Dialect::default()))
    }

    #[test]
    fn every_kind_of_index_is_read() {
        let read = key("\n  UNIQUE KEY `a``(` (`x`,`y)`(10) DESC) USING BTREE COMMENT 'USING HASH'").unwrap();
        assert_eq!((read.name.as_str(), read.kind, read.needs_table), ("a`(", KeyKind::Unique, false));
        assert_eq!(read.parts[0], KeyPart { column: Some("x".into()), prefix: false });
        assert_eq!(read.parts[1], KeyPart { column: Some("y)".into()), prefix: true });
        assert!(read.contains("y)") && !read.contains("y"));
        let functional = key("KEY `f` (((`a` + 1)),(cast(json_extract(`b`,'$.x') as unsigned array)))").unwrap();
        assert_eq!(functional.parts.iter().filter(|part| part.column.is_none()).count(), 2);
        assert_eq!(key("FULLTEXT KEY `f` (`a`) /*!50100 WITH PARSER `ngram` */ ").unwrap().kind, KeyKind::Fulltext);
        assert_eq!(key("SPATIAL KEY `f` (`a`)").unwrap().kind, KeyKind::Spatial);
        assert!(key("UNIQUE KEY `f` (`a`,`p` WITHOUT OVERLAPS)").unwrap().needs_table);
        assert!(key("UNIQUE KEY `f` (`a`) USING HASH").unwrap().needs_table);
    }

    #[test]
    fn other_items_are_no_indexes() {
        for text in ["`KEY` int", "PRIMARY KEY (`a`)", "CHECK (`a` > 1)", "VECTOR KEY `v` (`a`)", "KEY `a`", "KEY", ""]
        {
            assert_eq!(key(text), None, "{text}");
        }
    }

    #[test]
    fn foreign_keys_are_read() {
        let text = "CONSTRAINT `f``,` FOREIGN KEY (`a`, `b)`) REFERENCES `d.b`.`p` (`x`, `y`) ON DELETE SET NULL";
        let read = foreign(&format!("\n  {text}")).unwrap();
        assert_eq!(read.name.as_deref(), Some("f`,"));
        assert_eq!(read.columns, ["a", "b)"]);
        assert_eq!(read.referenced_database.as_deref(), Some("d.b"));
        assert_eq!(read.referenced_table, "p");
        assert_eq!(read.referenced_columns, ["x", "y"]);
        assert_eq!(read.definition, text);
        assert_eq!((read.on_delete, read.on_update), (ReferentialAction::SetNull, ReferentialAction::Restrict));
        let both = "FOREIGN KEY (`on`) REFERENCES `on` (`on`) ON UPDATE CASCADE ON DELETE NO ACTION";
        let both = foreign(both).unwrap();
        assert_eq!((both.on_delete, both.on_update), (ReferentialAction::Restrict, ReferentialAction::Cascade));
        assert!(both.changes_rows());
        let indexed = foreign("CONSTRAINT `f` FOREIGN KEY `i` (`a`) REFERENCES `p` (`b`)").unwrap();
        assert_eq!((indexed.name.as_deref(), indexed.columns.as_slice()), (Some("f"), ["a".to_owned()].as_slice()));
        let bare = foreign("FOREIGN KEY (a) REFERENCES p (b)").unwrap();
        assert_eq!((bare.name, bare.referenced_database), (None, None));
        assert_eq!(foreign("CONSTRAINT `c` CHECK (`FOREIGN` > 1)"), None);
    }

    #[test]
    fn keys_are_added_in_one_statement() {
        let read = key("KEY `a` (`x`)").unwrap().to_deferred_key(&tokenize(" KEY `a` (`x`) -- c", Dialect::default()));
        assert_eq!(add_keys("t`.", &[&read, &read]), "ALTER TABLE `t``.` ADD KEY `a` (`x`), ADD KEY `a` (`x`)");
        let foreign = foreign("CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`b`)").unwrap();
        assert_eq!(
            add_foreign_keys("t", &[foreign]),
            "ALTER TABLE `t` ADD CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `p` (`b`)"
        );
        assert_eq!(add_keys("t", &[]), "ALTER TABLE `t`");
    }
}
