//! Splits a `CREATE TABLE` into the statement to run before the rows are loaded and the keys to add afterwards.

use super::key::{DeferredKey, ForeignKey, KeyDefinition, KeyKind, KeyPart, read_foreign_key, read_primary_key};
use super::lexer::{Token, TokenKind, join_tokens, tokenize};
use super::table_options::TableOptions;
use super::token_cursor::{TokenCursor, slice_tokens, split_at_commas};
use super::{Dialect, inherited_collation, quote_name};

/// The engine that takes the rows of a table with a counter in its order only.
const ARCHIVE: &str = "ARCHIVE";

/// The parts of a `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableDdl {
    /// The statement that creates the table before its rows are loaded, without deferred indexes and foreign keys.
    pub(crate) create: String,
    /// The same statement with all indexes, for a table that is too small for deferred ones.
    pub(crate) create_with_keys: String,
    /// The indexes that are built after the rows are loaded, in their order.
    pub(crate) deferred_keys: Vec<DeferredKey>,
    /// The foreign keys, in their order. They are added last, when every table has its indexes.
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// All indexes, the primary key first.
    pub(crate) indexes: Vec<IndexColumns>,
    /// The options that are removed from `create` because they name directories, tablespaces or encryption keys of the
    /// source's machine.
    pub(crate) removed_options: Vec<String>,
    /// The storage engine.
    pub(crate) engine: Option<String>,
    /// Whether the table is system-versioned.
    pub(crate) versioned: bool,
    /// Whether the table has a primary key, or a unique key over whole `NOT NULL` columns.
    pub(crate) has_row_identity: bool,
    /// The end of the list of columns and keys in `create_with_keys`.
    body_end: usize,
}

/// The name of an index and its columns. A part that is an expression or a column's prefix is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexColumns {
    pub(crate) name: String,
    pub(crate) columns: Vec<Option<String>>,
}

impl TableDdl {
    /// Whether even a small table gets its indexes after the rows.
    pub(crate) fn always_defers(&self) -> bool {
        self.engine.as_deref().is_some_and(|engine| engine.eq_ignore_ascii_case(ARCHIVE))
    }

    /// The statement that creates the table with all its indexes and with these foreign keys.
    pub(crate) fn create_with_foreign_keys(&self, keys: &[ForeignKey]) -> String {
        let (head, tail) = self.create_with_keys.split_at(self.body_end.min(self.create_with_keys.len()));
        let (items, space) = head.split_at(head.trim_end().len());
        let keys: String = keys.iter().map(|key| format!(",\n  {}", key.definition)).collect();
        format!("{items}{keys}{space}{tail}")
    }
}

/// The error of a text that is no `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DdlParseError {
    expected: &'static str,
    offset: usize,
    near: String,
}

impl std::fmt::Display for DdlParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read the table's definition: expected {} at byte {}", self.expected, self.offset)?;
        match self.near.as_str() {
            "" => write!(f, ", where the text ends"),
            near => write!(f, ", near {near:?}"),
        }
    }
}

impl std::error::Error for DdlParseError {}

/// Splits the text of `SHOW CREATE TABLE`.
///
/// An index is deferred unless the table needs it (see [`TableItems::is_deferrable`]). Text that this parser does not
/// understand stays in [`create`](TableDdl::create) unchanged.
pub(crate) fn split_table(create: &str, dialect: Dialect) -> Result<TableDdl, DdlParseError> {
    let all = tokenize(create, dialect);
    let mut cursor = TokenCursor::new(&all);
    eat_table_header(&mut cursor).map_err(|expected| parse_error(expected, &all, &cursor))?;
    let Some(body) = cursor.eat_group() else {
        return Err(parse_error("a bracketed list of columns", &all, &cursor));
    };
    let items = split_at_commas(slice_tokens(&all, body.clone()));
    let options = TableOptions::read(slice_tokens(&all, cursor.end()..all.len()));
    let table = TableItems::read(&items, slice_tokens(&all, cursor.end()..all.len()), options.engine.as_deref());

    let mut deferred_keys = Vec::new();
    let mut foreign_keys = Vec::new();
    let (mut kept, mut with_keys) = (Vec::new(), Vec::new());
    let collation = inherited_collation::table_collation(slice_tokens(&all, cursor.end()..all.len()));
    let counter = archive_counter(&items, &table.items, options.engine.as_deref());
    for (index, (item, parsed)) in items.iter().zip(&table.items).enumerate() {
        let text = match parsed {
            TableItem::ForeignKey(key) => {
                foreign_keys.push(key.clone());
                continue;
            }
            TableItem::Column(_) => inherited_collation::without_inherited_collation(item, collation.as_deref()),
            _ => join_tokens(item),
        };
        with_keys.push(text.clone());
        match (parsed, &counter) {
            (TableItem::Column(column), Some(counter)) if column.name == counter.name => {
                kept.push(counter.plain.clone());
                continue;
            }
            (TableItem::PrimaryKey(_), Some(counter)) => {
                deferred_keys.push(counter.to_deferred_key("PRIMARY", item));
                continue;
            }
            (TableItem::Key(key), Some(counter)) => {
                deferred_keys.push(counter.to_deferred_key(&key.name, item));
                continue;
            }
            _ => {}
        }
        match parsed {
            TableItem::Key(key) if index >= table.first_deferred => deferred_keys.push(key.to_deferred_key(item)),
            _ => kept.push(text),
        }
    }
    let head = join_tokens(slice_tokens(&all, 0..body.start));
    let assemble = |kept: &[String]| format!("{head}{}){}", join_items(&items, kept), options.text);
    let (create, create_with_keys) = (assemble(&kept), assemble(&with_keys));
    let body_end = head.len() + join_items(&items, &with_keys).len();
    let indexes = table.indexes();
    let TableOptions { engine, removed: removed_options, .. } = options;
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
        has_row_identity: table.has_row_identity,
        body_end,
    })
}

/// The AUTO_INCREMENT column of an ARCHIVE table, which takes rows only in the order of that column. The table is created
/// without the counter; its key, which is the only one, is added with the counter in a statement that sorts the rows.
struct ArchiveCounter {
    name: String,
    /// The column with the counter.
    counting: String,
    /// The column without the counter.
    plain: String,
}

impl ArchiveCounter {
    fn to_deferred_key(&self, name: &str, item: &[Token<'_>]) -> DeferredKey {
        let (key, column) = (join_tokens(item), self.counting.trim());
        // The counter of the definition would refuse all rows below it. The sort must be the last part.
        let definition =
            format!("{}, MODIFY {column}, AUTO_INCREMENT = 1, ORDER BY {}", key.trim(), quote_name(&self.name));
        DeferredKey { name: name.to_owned(), kind: KeyKind::Plain, definition }
    }
}

fn archive_counter(items: &[&[Token<'_>]], parsed: &[TableItem], engine: Option<&str>) -> Option<ArchiveCounter> {
    engine.filter(|engine| engine.eq_ignore_ascii_case(ARCHIVE))?;
    items.iter().zip(parsed).find_map(|(item, parsed)| match parsed {
        TableItem::Column(column) if column.auto_increment => {
            let kept = item.iter().filter(|token| !token.is_word("AUTO_INCREMENT"));
            let plain = kept.map(|token| token.text).collect::<String>();
            Some(ArchiveCounter { name: column.name.clone(), counting: join_tokens(item), plain })
        }
        _ => None,
    })
}

/// Moves the cursor to the opening bracket of the columns. The error names the expected token.
pub(super) fn eat_table_header(cursor: &mut TokenCursor<'_, '_>) -> Result<(), &'static str> {
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

fn parse_error(expected: &'static str, all: &[Token<'_>], cursor: &TokenCursor<'_, '_>) -> DdlParseError {
    let position = cursor.start();
    let offset = join_tokens(slice_tokens(all, 0..position)).len();
    let near = all.get(position).map_or("", |token| token.text).chars().take(30).collect();
    DdlParseError { expected, offset, near }
}

/// Joins the kept items. The last item ends in the line break before the closing bracket.
fn join_items(items: &[&[Token<'_>]], kept: &[String]) -> String {
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

/// The items of a table, and the properties that decide which indexes are deferred.
struct TableItems {
    items: Vec<TableItem>,
    /// The table is system-versioned.
    versioned: bool,
    /// The table has a primary key or an equivalent unique key.
    has_row_identity: bool,
    /// The engine can add indexes later, and the table is not system-versioned.
    can_defer: bool,
    /// The first item whose index may be deferred. All indexes before the last non-deferrable one stay, which keeps the
    /// order of indexes.
    first_deferred: usize,
    /// The AUTO_INCREMENT column, unless it leads the primary key.
    auto_column: Option<String>,
    /// The unique key that identifies the rows of a table without a primary key.
    row_identity_key: Option<String>,
}

/// One item between the brackets of a `CREATE TABLE`.
pub(super) enum TableItem {
    Column(ColumnDefinition),
    PrimaryKey(Vec<KeyPart>),
    Key(KeyDefinition),
    ForeignKey(ForeignKey),
    Other,
}

/// The definition of a column in a `CREATE TABLE`.
pub(super) struct ColumnDefinition {
    pub(super) name: String,
    not_null: bool,
    auto_increment: bool,
}

impl TableItems {
    fn read(texts: &[&[Token<'_>]], options: &[Token<'_>], engine: Option<&str>) -> Self {
        let items: Vec<TableItem> = texts.iter().map(|item| TableItem::read(item)).collect();
        let versioned = texts.iter().any(|item| is_versioned(item)) || is_versioned(options);
        let supported = ["InnoDB", "Aria", "MyISAM"];
        let can_defer =
            !versioned && engine.is_some_and(|engine| supported.iter().any(|k| k.eq_ignore_ascii_case(engine)));
        let primary = items.iter().find_map(|item| match item {
            TableItem::PrimaryKey(parts) => Some(parts),
            _ => None,
        });
        let first_column = primary.and_then(|parts| parts.first()).and_then(|part| part.column.as_deref());
        let auto_column = columns(&items).find(|column| column.auto_increment).map(|column| column.name.clone());
        let auto_column = auto_column.filter(|auto| first_column != Some(auto));
        let row_identity_key = if primary.is_none() { row_identity_key(&items) } else { None };
        let has_row_identity = primary.is_some() || row_identity_key.is_some();
        let mut table =
            Self { first_deferred: 0, items, versioned, has_row_identity, can_defer, auto_column, row_identity_key };
        let stays = |item: &TableItem| matches!(item, TableItem::Key(key) if !table.is_deferrable(key));
        table.first_deferred = table.items.iter().rposition(stays).map_or(0, |last| last + 1);
        table
    }

    fn indexes(&self) -> Vec<IndexColumns> {
        let columns =
            |parts: &[KeyPart]| parts.iter().map(|part| part.column.clone().filter(|_| !part.prefix)).collect();
        let index = |item: &TableItem| match item {
            TableItem::PrimaryKey(parts) => Some(IndexColumns { name: "PRIMARY".to_owned(), columns: columns(parts) }),
            TableItem::Key(key) => Some(IndexColumns { name: key.name.clone(), columns: columns(&key.parts) }),
            _ => None,
        };
        self.items.iter().filter_map(index).collect()
    }

    /// Whether the index may be built after the rows are loaded.
    ///
    /// These stay with the table: an index that the AUTO_INCREMENT column needs, the unique key that replaces a missing
    /// primary key (the first one over whole `NOT NULL` columns), and an index that only `CREATE TABLE` can build.
    /// System-versioned tables, and tables of engines other than InnoDB, Aria and MyISAM, keep all their indexes.
    fn is_deferrable(&self, key: &KeyDefinition) -> bool {
        let needed_by_auto_increment = self.auto_column.as_deref().is_some_and(|column| key.contains(column));
        self.can_defer
            && !key.needs_table
            && !needed_by_auto_increment
            && self.row_identity_key.as_deref() != Some(key.name.as_str())
    }
}

/// The columns among the items.
fn columns(items: &[TableItem]) -> impl Iterator<Item = &ColumnDefinition> {
    items.iter().filter_map(|item| match item {
        TableItem::Column(column) => Some(column),
        _ => None,
    })
}

/// Finds the first unique key over whole `NOT NULL` columns.
fn row_identity_key(items: &[TableItem]) -> Option<String> {
    let not_null = |name: &str| columns(items).any(|column| column.name == name && column.not_null);
    let is_whole_not_null = |part: &KeyPart| !part.prefix && part.column.as_deref().is_some_and(not_null);
    items.iter().find_map(|item| match item {
        TableItem::Key(key) if key.kind == KeyKind::Unique && key.parts.iter().all(is_whole_not_null) => {
            Some(key.name.clone())
        }
        _ => None,
    })
}

/// Whether the tokens enable system versioning.
fn is_versioned(tokens: &[Token<'_>]) -> bool {
    let mut cursor = TokenCursor::new(tokens);
    while cursor.peek().is_some() {
        if cursor.eat_words(&["WITH", "SYSTEM", "VERSIONING"]) || cursor.eat_words(&["PERIOD", "FOR", "SYSTEM_TIME"]) {
            return true;
        }
        cursor.next();
    }
    false
}

impl TableItem {
    pub(super) fn read(item: &[Token<'_>]) -> Self {
        if !has_balanced_comments(item) {
            return Self::Other;
        }
        let quoted = TokenCursor::new(item).peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
        if !quoted {
            if let Some(parts) = read_primary_key(item) {
                return Self::PrimaryKey(parts);
            }
            if let Some(key) = read_foreign_key(item) {
                return Self::ForeignKey(key);
            }
            if let Some(key) = KeyDefinition::read(item) {
                return Self::Key(key);
            }
        }
        ColumnDefinition::read(item).map_or(Self::Other, Self::Column)
    }
}

/// Whether every conditional comment that opens in the item closes in it, so that the item can be removed by itself.
fn has_balanced_comments(item: &[Token<'_>]) -> bool {
    let count = |kind: TokenKind| item.iter().filter(|token| token.kind == kind).count();
    count(TokenKind::ConditionalOpen) == count(TokenKind::ConditionalClose)
}

impl ColumnDefinition {
    fn read(item: &[Token<'_>]) -> Option<Self> {
        let mut cursor = TokenCursor::new(item);
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
#[path = "create_table_tests.rs"]
mod tests;
