//! Splits a `CREATE TABLE` into what is created before the rows and what is added after them.

use super::cursor::{Cursor, split_at_commas, within};
use super::key::{DeferredKey, ForeignKey, Key, KeyKind, KeyPart, foreign_key, primary_key};
use super::lex::{Token, TokenKind, text_of, tokens};
use super::options::Options;
use super::{Dialect, collate};

/// The parts of a `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableDdl {
    /// The statement that creates the table before its rows: columns, primary key, the keys that cannot wait, checks,
    /// options and partitions.
    pub(crate) create: String,
    /// The same with all its indexes, for a table that is not worth the wait.
    pub(crate) create_with_keys: String,
    /// The indexes that are built after the rows, in their order.
    pub(crate) deferred_keys: Vec<DeferredKey>,
    /// The foreign keys, in their order. They are added last, when every table has its keys.
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// All its indexes, the primary key first.
    pub(crate) indexes: Vec<Index>,
    /// The options taken out of `create` because they name directories, tablespaces or encryption of the source's
    /// machine, as they were written.
    pub(crate) removed_options: Vec<String>,
    /// The storage engine.
    pub(crate) engine: Option<String>,
    /// Whether its rows keep a history.
    pub(crate) versioned: bool,
    /// Whether it has a primary key, or a unique one that takes its place: over whole `NOT NULL` columns.
    pub(crate) identified: bool,
    /// Where the list of columns and keys ends in `create_with_keys`.
    body_end: usize,
}

/// The name of an index and its columns; `None` for an expression and for the first characters of a column only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) columns: Vec<Option<String>>,
}

impl TableDdl {
    /// The statement that creates the table with all its indexes and with these foreign keys.
    pub(crate) fn create_with_foreign_keys(&self, keys: &[ForeignKey]) -> String {
        let (head, tail) = self.create_with_keys.split_at(self.body_end.min(self.create_with_keys.len()));
        let (items, space) = head.split_at(head.trim_end().len());
        let keys: String = keys.iter().map(|key| format!(",\n  {}", key.definition)).collect();
        format!("{items}{keys}{space}{tail}")
    }
}

/// A text that is no `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DdlError {
    expected: &'static str,
    offset: usize,
    near: String,
}

impl std::fmt::Display for DdlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read the table's definition: expected {} at byte {}", self.expected, self.offset)?;
        match self.near.as_str() {
            "" => write!(f, ", where the text ends"),
            near => write!(f, ", near {near:?}"),
        }
    }
}

impl std::error::Error for DdlError {}

/// Splits the text of `SHOW CREATE TABLE`.
///
/// An index waits until after the rows, unless the table cannot do without it (see [`Table::waits`]). What is not
/// understood stays in [`create`](TableDdl::create), as it was written.
pub(crate) fn split_table(create: &str, dialect: Dialect) -> Result<TableDdl, DdlError> {
    let all = tokens(create, dialect);
    let mut cursor = Cursor::new(&all);
    header(&mut cursor).map_err(|expected| error(expected, &all, &cursor))?;
    let Some(body) = cursor.eat_group() else {
        return Err(error("a bracketed list of columns", &all, &cursor));
    };
    let items = split_at_commas(within(&all, body.clone()));
    let options = Options::read(within(&all, cursor.end()..all.len()));
    let table = Table::read(&items, within(&all, cursor.end()..all.len()), options.engine.as_deref());

    let mut deferred_keys = Vec::new();
    let mut foreign_keys = Vec::new();
    let (mut kept, mut with_keys) = (Vec::new(), Vec::new());
    let collation = collate::of_table(within(&all, cursor.end()..all.len()));
    for (index, (item, parsed)) in items.iter().zip(&table.items).enumerate() {
        let text = match parsed {
            Item::Foreign(key) => {
                foreign_keys.push(key.clone());
                continue;
            }
            Item::Column(_) => collate::inherited(item, collation.as_deref()),
            _ => text_of(item),
        };
        with_keys.push(text.clone());
        match parsed {
            Item::Key(key) if index >= table.first_deferred => deferred_keys.push(key.deferred(item)),
            _ => kept.push(text),
        }
    }
    let head = text_of(within(&all, 0..body.start));
    let whole = |kept: &[String]| format!("{head}{}){}", join(&items, kept), options.text);
    let (create, create_with_keys) = (whole(&kept), whole(&with_keys));
    let body_end = head.len() + join(&items, &with_keys).len();
    let indexes = table.indexes();
    let Options { engine, removed: removed_options, .. } = options;
    let versioned = table.versioned;
    Ok(TableDdl {
        create,
        create_with_keys,
        deferred_keys,
        foreign_keys,
        indexes,
        removed_options,
        engine,
        versioned,
        identified: table.identified,
        body_end,
    })
}

/// Walks up to the bracket of the columns; an error is what was expected instead.
pub(super) fn header(cursor: &mut Cursor<'_, '_>) -> Result<(), &'static str> {
    if !cursor.eat_word("CREATE") {
        return Err("CREATE");
    }
    cursor.eat_words(&["OR", "REPLACE"]);
    cursor.eat_word("TEMPORARY");
    if !cursor.eat_word("TABLE") {
        return Err("TABLE");
    }
    cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    cursor.eat_name().ok_or("the table's name")?;
    if cursor.eat_punct(".") {
        cursor.eat_name().ok_or("the table's name")?;
    }
    Ok(())
}

fn error(expected: &'static str, all: &[Token<'_>], cursor: &Cursor<'_, '_>) -> DdlError {
    let position = cursor.start();
    let offset = text_of(within(all, 0..position)).len();
    let near = all.get(position).map_or("", |token| token.text).chars().take(30).collect();
    DdlError { expected, offset, near }
}

/// Joins what is kept. The last item brings the line break before the closing bracket.
fn join(items: &[&[Token<'_>]], kept: &[String]) -> String {
    let mut text = kept.join(",");
    let tail = |item: Option<&&[Token<'_>]>| match item.and_then(|item| item.last()) {
        Some(token) if token.kind == TokenKind::Space => token.text.to_owned(),
        _ => String::new(),
    };
    if kept.len() < items.len() && !text.ends_with('\n') {
        text.push_str(&tail(items.last()));
    }
    text
}

/// What the choice of the keys depends on.
struct Table {
    items: Vec<Item>,
    /// The rows keep a history.
    versioned: bool,
    /// A key tells its rows apart.
    identified: bool,
    /// The engine builds an index later as well as at once, and rows keep no history.
    defers: bool,
    /// The keys from this item on may be built after the rows: before it stands one that cannot, and the order of keys
    /// is theirs to keep.
    first_deferred: usize,
    /// The column that counts, unless the primary key serves it.
    auto_column: Option<String>,
    /// The unique key that identifies the rows of a table without a primary key.
    clustered: Option<String>,
}

pub(super) enum Item {
    Column(Column),
    Primary(Vec<KeyPart>),
    Key(Key),
    Foreign(ForeignKey),
    Other,
}

pub(super) struct Column {
    pub(super) name: String,
    not_null: bool,
    auto_increment: bool,
}

impl Table {
    fn read(texts: &[&[Token<'_>]], options: &[Token<'_>], engine: Option<&str>) -> Self {
        let items: Vec<Item> = texts.iter().map(|item| Item::read(item)).collect();
        let versioned = texts.iter().any(|item| is_versioned(item)) || is_versioned(options);
        let known = ["InnoDB", "Aria", "MyISAM"];
        let defers = !versioned && engine.is_some_and(|engine| known.iter().any(|k| k.eq_ignore_ascii_case(engine)));
        let primary = items.iter().find_map(|item| match item {
            Item::Primary(parts) => Some(parts),
            _ => None,
        });
        let led = primary.and_then(|parts| parts.first()).and_then(|part| part.column.as_deref());
        let auto_column = columns(&items).find(|column| column.auto_increment).map(|column| column.name.clone());
        let auto_column = auto_column.filter(|auto| led != Some(auto));
        let clustered = if primary.is_none() { clustered(&items) } else { None };
        let identified = primary.is_some() || clustered.is_some();
        let mut table = Self { first_deferred: 0, items, versioned, identified, defers, auto_column, clustered };
        let stays = |item: &Item| matches!(item, Item::Key(key) if !table.waits(key));
        table.first_deferred = table.items.iter().rposition(stays).map_or(0, |last| last + 1);
        table
    }

    fn indexes(&self) -> Vec<Index> {
        let columns =
            |parts: &[KeyPart]| parts.iter().map(|part| part.column.clone().filter(|_| !part.prefix)).collect();
        let index = |item: &Item| match item {
            Item::Primary(parts) => Some(Index { name: "PRIMARY".to_owned(), columns: columns(parts) }),
            Item::Key(key) => Some(Index { name: key.name.clone(), columns: columns(&key.parts) }),
            _ => None,
        };
        self.items.iter().filter_map(index).collect()
    }

    /// Whether the key may be built after the rows.
    ///
    /// Not a key that the counter needs, nor the key that takes the place of a missing primary key (the first unique
    /// one over whole `NOT NULL` columns), nor one that can only be built with the table. Tables with history keep all
    /// their keys, and so do tables of an engine other than InnoDB, Aria and MyISAM.
    fn waits(&self, key: &Key) -> bool {
        let counted = self.auto_column.as_deref().is_some_and(|column| key.contains(column));
        self.defers && !key.fixed && !counted && self.clustered.as_deref() != Some(key.name.as_str())
    }
}

fn columns(items: &[Item]) -> impl Iterator<Item = &Column> {
    items.iter().filter_map(|item| match item {
        Item::Column(column) => Some(column),
        _ => None,
    })
}

fn clustered(items: &[Item]) -> Option<String> {
    let not_null = |name: &str| columns(items).any(|column| column.name == name && column.not_null);
    let whole = |part: &KeyPart| !part.prefix && part.column.as_deref().is_some_and(not_null);
    items.iter().find_map(|item| match item {
        Item::Key(key) if key.kind == KeyKind::Unique && key.parts.iter().all(whole) => Some(key.name.clone()),
        _ => None,
    })
}

fn is_versioned(tokens: &[Token<'_>]) -> bool {
    let mut cursor = Cursor::new(tokens);
    while cursor.peek().is_some() {
        if cursor.eat_words(&["WITH", "SYSTEM", "VERSIONING"]) || cursor.eat_words(&["PERIOD", "FOR", "SYSTEM_TIME"]) {
            return true;
        }
        cursor.next();
    }
    false
}

impl Item {
    pub(super) fn read(item: &[Token<'_>]) -> Self {
        if !is_closed(item) {
            return Self::Other;
        }
        let quoted = Cursor::new(item).peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
        if !quoted {
            if let Some(parts) = primary_key(item) {
                return Self::Primary(parts);
            }
            if let Some(key) = foreign_key(item) {
                return Self::Foreign(key);
            }
            if let Some(key) = Key::read(item) {
                return Self::Key(key);
            }
        }
        Column::read(item).map_or(Self::Other, Self::Column)
    }
}

/// Whether every conditional comment that opens in the item closes in it, so that it can be taken out by itself.
fn is_closed(item: &[Token<'_>]) -> bool {
    let count = |kind: TokenKind| item.iter().filter(|token| token.kind == kind).count();
    count(TokenKind::ConditionalOpen) == count(TokenKind::ConditionalClose)
}

impl Column {
    fn read(item: &[Token<'_>]) -> Option<Self> {
        let mut cursor = Cursor::new(item);
        let mut column = Self { name: cursor.eat_name()?, not_null: false, auto_increment: false };
        while cursor.peek().is_some() {
            if cursor.eat_words(&["NOT", "NULL"]) {
                column.not_null = true;
            } else if cursor.eat_word("AUTO_INCREMENT") {
                column.auto_increment = true;
            } else if cursor.eat_group().is_none() {
                cursor.next();
            }
        }
        Some(column)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
