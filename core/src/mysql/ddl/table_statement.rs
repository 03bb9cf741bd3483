//! Reads a statement that changes tables, and writes it for a database of another name. What it does not understand for
//! certain is an error.

use super::lexer::{Token, TokenKind, tokenize};
use super::table_change::{TableChange, cascades, check_tokens, has_implicit_timestamp, numbers_rows, unknown};
use super::token_cursor::{TokenCursor, split_at_commas};
use super::{DatabaseRename, Dialect, quote_name};

/// A statement that changes tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableStatement {
    pub(crate) change: TableChange,
    /// The other tables that it refers to.
    pub(crate) references: Vec<String>,
    /// Whether it numbers the rows that are there, in the order in which a server stores them.
    pub(crate) numbers_rows: bool,
    /// Whether it adds a foreign key that changes rows of its own accord.
    pub(crate) cascades: bool,
    /// Whether it has a TIMESTAMP column whose NULL or DEFAULT a setting of the session decides.
    pub(crate) has_implicit_timestamp: bool,
    /// The statement, to be run in the new database.
    pub(crate) sql: String,
}

type Parsed<T> = Result<T, String>;

/// What may begin a part of an ALTER TABLE.
const ALTER_PARTS: [&str; 40] = [
    "ADD",
    "ALTER",
    "CHANGE",
    "MODIFY",
    "DROP",
    "RENAME",
    "CONVERT",
    "FORCE",
    "ALGORITHM",
    "LOCK",
    "COMMENT",
    "ENGINE",
    "AUTO_INCREMENT",
    "ROW_FORMAT",
    "KEY_BLOCK_SIZE",
    "DEFAULT",
    "CHARACTER",
    "CHARSET",
    "COLLATE",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "COALESCE",
    "REORGANIZE",
    "TRUNCATE",
    "REBUILD",
    "REMOVE",
    "PARTITION",
    "ENABLE",
    "DISABLE",
    "COMPRESSION",
    "CHECKSUM",
    "MAX_ROWS",
    "MIN_ROWS",
    "AVG_ROW_LENGTH",
    "PACK_KEYS",
    "AUTOEXTEND_SIZE",
    "WITHOUT",
    "NOWAIT",
    "WAIT",
];
/// Reads a statement that ran in `database`, for the database that `rename` names.
///
/// # Errors
/// The reason why it cannot be taken over.
pub(crate) fn read_table_statement(
    sql: &str,
    dialect: Dialect,
    database: &str,
    rename: &DatabaseRename,
) -> Parsed<TableStatement> {
    let tokens = tokenize(sql, dialect);
    let cursor = TokenCursor::new(&tokens);
    let mut reader = StatementReader { tokens: &tokens, cursor, database, rename, qualifiers: Vec::new() };
    let change = reader.read_change()?;
    let references = reader.read_references()?;
    check_tokens(&tokens, &reader.qualifiers, &change)?;
    let sql = reader.write(&change);
    let (numbers_rows, cascades) = (numbers_rows(&tokens, &change), cascades(&tokens));
    let has_implicit_timestamp = has_implicit_timestamp(&tokens);
    Ok(TableStatement { change, references, numbers_rows, cascades, has_implicit_timestamp, sql })
}

/// What a statement that changes definitions is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatementSubject {
    /// What it does with tables, all of the followed database.
    Tables(TableChange),
    /// Tables, in a form that is not known; the names that occur in it.
    Names(Vec<String>),
    /// Other objects.
    Others,
}

/// Finds out what a statement that ran in `database` is about, whether it can be taken over or not.
pub(crate) fn statement_subject(
    sql: &str,
    dialect: Dialect,
    database: &str,
    rename: &DatabaseRename,
) -> StatementSubject {
    const KINDS: [&str; 10] =
        ["TABLE", "INDEX", "DATABASE", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE", "LIBRARY"];
    let tokens = tokenize(sql, dialect);
    let cursor = TokenCursor::new(&tokens);
    let mut ahead = cursor.clone();
    if ahead.next().is_some_and(|verb| verb.is_any_word(&["CREATE", "ALTER", "DROP"])) {
        let kind = ahead.find(|token| token.is_any_word(&KINDS));
        if kind.is_some_and(|kind| !kind.is_any_word(&["TABLE", "INDEX"])) {
            return StatementSubject::Others;
        }
    }
    let mut reader =
        StatementReader { tokens: &tokens, cursor: cursor.clone(), database, rename, qualifiers: Vec::new() };
    match reader.read_change() {
        Ok(change) => StatementSubject::Tables(change),
        Err(_) => StatementSubject::Names(cursor.filter_map(|token| Some(token.ident()?.into_owned())).collect()),
    }
}

struct StatementReader<'t, 'a> {
    tokens: &'t [Token<'a>],
    cursor: TokenCursor<'t, 'a>,
    database: &'t str,
    rename: &'t DatabaseRename,
    /// The indexes of the tokens that name the database of a table.
    qualifiers: Vec<usize>,
}

impl StatementReader<'_, '_> {
    fn read_change(&mut self) -> Parsed<TableChange> {
        let first = self.cursor.next().ok_or_else(unknown)?;
        if first.is_word("TRUNCATE") {
            self.cursor.eat_word("TABLE");
            let table = self.name()?;
            self.eat_wait();
            return self.at_end().then_some(TableChange::Truncate { table }).ok_or_else(unknown);
        }
        if first.is_word("RENAME") {
            return self.read_rename();
        }
        if first.is_word("DROP") {
            return self.read_drop();
        }
        if first.is_word("CREATE") {
            self.cursor.eat_words(&["OR", "REPLACE"]);
            return match self.cursor.eat_word("TABLE") {
                true => self.read_create(),
                false => self.read_index(),
            };
        }
        if first.is_word("ALTER") {
            self.cursor.eat_word("ONLINE");
            if self.cursor.eat_word("IGNORE") {
                return Err(
                    "IGNORE keeps and changes rows by their order, which is another one at each server".to_owned()
                );
            }
            if self.cursor.eat_word("TABLE") {
                return self.read_alter();
            }
        }
        Err("only statements on tables and their indexes are applied".to_owned())
    }

    fn read_rename(&mut self) -> Parsed<TableChange> {
        self.cursor.next_if(|token| token.is_any_word(&["TABLE", "TABLES"])).ok_or_else(unknown)?;
        self.eat_if_exists();
        let mut pairs = Vec::new();
        loop {
            let from = self.name()?;
            self.eat_wait();
            if !self.cursor.eat_word("TO") {
                return Err(unknown());
            }
            pairs.push((from, self.name()?));
            if !self.cursor.eat_punct(",") {
                return self.at_end().then_some(TableChange::Rename { pairs }).ok_or_else(unknown);
            }
        }
    }

    fn read_drop(&mut self) -> Parsed<TableChange> {
        if self.cursor.next_if(|token| token.is_any_word(&["TABLE", "TABLES"])).is_none() {
            return self.read_index();
        }
        self.eat_if_exists();
        let mut tables = vec![self.name()?];
        while self.cursor.eat_punct(",") {
            tables.push(self.name()?);
        }
        self.eat_wait();
        self.cursor.next_if(|token| token.is_any_word(&["RESTRICT", "CASCADE"]));
        self.at_end().then_some(TableChange::Drop { tables }).ok_or_else(unknown)
    }

    fn read_create(&mut self) -> Parsed<TableChange> {
        self.cursor.eat_words(&["IF", "NOT", "EXISTS"]);
        let table = self.name()?;
        let mut ahead = self.cursor.clone();
        let is_like = ahead.eat_word("LIKE") || ahead.eat_punct("(") && ahead.eat_word("LIKE");
        if is_like || ahead_is_group(&self.cursor) {
            return Ok(TableChange::Create { table });
        }
        Err(unknown())
    }

    /// Reads CREATE INDEX and DROP INDEX after their first words.
    fn read_index(&mut self) -> Parsed<TableChange> {
        let kinds = ["ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"];
        while self.cursor.next_if(|token| token.is_any_word(&kinds)).is_some() {}
        if !self.cursor.eat_word("INDEX") {
            return Err("only statements on tables and their indexes are applied".to_owned());
        }
        while !self.cursor.next().ok_or_else(unknown)?.is_word("ON") {}
        Ok(TableChange::Alter { table: self.name()?, renamed: None })
    }

    fn read_alter(&mut self) -> Parsed<TableChange> {
        self.eat_if_exists();
        let table = self.name()?;
        self.eat_wait();
        let rest = self.tokens.get(self.cursor.end()..).unwrap_or_default();
        let mut start = self.cursor.end();
        let mut renamed = None;
        for part in split_at_commas(rest) {
            let end = start + part.len();
            let mut cursor = TokenCursor::new(part);
            match cursor.next() {
                None => return Err(unknown()),
                Some(word) if word.is_word("RENAME") => {
                    if cursor.peek().is_some_and(|next| next.is_any_word(&["COLUMN", "INDEX", "KEY"])) {
                        start = end + 1;
                        continue;
                    }
                    cursor.next_if(|token| token.is_any_word(&["TO", "AS"]) || token.is_punct("="));
                    self.cursor = TokenCursor::at(self.tokens, start + cursor.end());
                    renamed = Some(self.name()?);
                    if self.cursor.start() != end {
                        return Err(unknown());
                    }
                }
                Some(word) if word.is_word("CONVERT") && !cursor.eat_word("TO") => return Err(unknown()),
                Some(word) if !word.is_any_word(&ALTER_PARTS) => return Err(unknown()),
                // A list of partitions may follow, and nothing else.
                Some(word) if word.is_word("PARTITION") || cursor.eat_word("PARTITION") => break,
                Some(_) => {}
            }
            start = end + 1;
        }
        Ok(TableChange::Alter { table, renamed })
    }

    /// Takes the name of a table of the followed database.
    fn name(&mut self) -> Parsed<String> {
        let start = self.cursor.start();
        let first = self.cursor.eat_name().ok_or_else(unknown)?;
        let (database, table) = match self.cursor.eat_punct(".") {
            true => {
                self.qualifiers.push(start);
                (first, self.cursor.eat_name().ok_or_else(unknown)?)
            }
            false => (self.database.to_owned(), first),
        };
        let DatabaseRename { from, ignores_case, .. } = self.rename;
        match database == *from || *ignores_case && database.to_lowercase() == from.to_lowercase() {
            true => Ok(table),
            false => Err(format!("it concerns table {table} of another database, {database}")),
        }
    }

    fn eat_if_exists(&mut self) {
        self.cursor.eat_words(&["IF", "EXISTS"]);
    }

    /// Takes MariaDB's `WAIT n` and `NOWAIT`.
    fn eat_wait(&mut self) {
        let mut ahead = self.cursor.clone();
        if ahead.eat_word("NOWAIT")
            || ahead.eat_word("WAIT") && ahead.next_if(|token| token.kind == TokenKind::Number).is_some()
        {
            self.cursor = ahead;
        }
    }

    fn at_end(&self) -> bool {
        let mut rest = self.cursor.clone();
        rest.eat_punct(";");
        rest.peek().is_none()
    }

    /// Reads the tables after REFERENCES and LIKE.
    fn read_references(&mut self) -> Parsed<Vec<String>> {
        let mut found = Vec::new();
        self.cursor = TokenCursor::new(self.tokens);
        while let Some(token) = self.cursor.next() {
            let is_like = token.is_word("LIKE")
                && self.cursor.peek().is_some_and(|next| matches!(next.kind, TokenKind::Word | TokenKind::QuotedIdent));
            if token.is_word("REFERENCES") || is_like {
                found.push(self.name()?);
            }
        }
        Ok(found)
    }

    /// Writes the statement without the databases of its names, which are those of the current database then.
    fn write(&self, change: &TableChange) -> String {
        let quoted = quote_name(&self.rename.to);
        let text: String = self
            .tokens
            .iter()
            .enumerate()
            .map(|(index, token)| if self.qualifiers.contains(&index) { quoted.as_str() } else { token.text })
            .collect();
        // MySQL writes into its log that rows follow.
        let mut cursor = TokenCursor::new(self.tokens);
        let mut words = Vec::new();
        while cursor.peek().is_some() {
            words.push(cursor.start());
            cursor.next();
        }
        let last = words.get(words.len().saturating_sub(2)..).unwrap_or_default();
        if let (TableChange::Create { .. }, [start, transaction]) = (change, last)
            && self.tokens.get(*start).is_some_and(|token| token.is_word("START"))
            && self.tokens.get(*transaction).is_some_and(|token| token.is_word("TRANSACTION"))
        {
            let length: usize = self.tokens.iter().skip(*start).map(|token| token.text.len()).sum();
            return text.get(..text.len().saturating_sub(length)).unwrap_or_default().to_owned();
        }
        text
    }
}

fn ahead_is_group(cursor: &TokenCursor<'_, '_>) -> bool {
    cursor.clone().eat_group().is_some()
}

#[cfg(test)]
#[path = "table_statement_tests.rs"]
mod tests;
