//! Reads what a statement does with the columns of a table: which it leaves as they are, which it defines, and in which order
//! they are after it. The rows of a log have no names of columns.

use super::lexer::{Token, TokenKind, tokenize};
use super::token_cursor::{TokenCursor, slice_tokens, split_at_commas};
use super::{Dialect, TableChange};

/// A column after a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftColumn {
    pub(crate) name: String,
    /// Its index among the columns before the statement, if it has the same name and definition.
    pub(crate) kept: Option<usize>,
}

/// The columns of the table of a statement after it, in their order; `before` are those before it, and `columns_of` returns those
/// of another table. `None` if what the statement does is not known for certain.
pub(crate) fn columns_after(
    sql: &str,
    dialect: Dialect,
    change: &TableChange,
    before: Option<&[String]>,
    columns_of: impl Fn(&str) -> Option<Vec<String>>,
) -> Option<Vec<LeftColumn>> {
    let tokens = tokenize(sql, dialect);
    if tokens.iter().any(|token| token.kind == TokenKind::ConditionalOpen) {
        return None;
    }
    match change {
        TableChange::Create { .. } => match before.filter(|_| has_words(&tokens, &["IF", "NOT", "EXISTS"])) {
            Some(before) => Some(keep_columns(before)),
            None => created_columns(&tokens, columns_of),
        },
        TableChange::Alter { .. } => alter(&tokens, before?),
        _ => Some(keep_columns(before?)),
    }
}

/// The columns after a statement that leaves them as they are.
pub(crate) fn keep_columns(names: &[String]) -> Vec<LeftColumn> {
    (0..).zip(names).map(|(index, name)| LeftColumn { name: name.clone(), kept: Some(index) }).collect()
}

/// What begins a part of a statement that adds or drops no column.
const NO_COLUMNS: [&str; 11] =
    ["INDEX", "KEY", "PRIMARY", "UNIQUE", "FULLTEXT", "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK", "PARTITION", "LIKE"];

fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Whether the words occur one after the other.
fn has_words(tokens: &[Token<'_>], words: &[&str]) -> bool {
    let mut cursor = TokenCursor::new(tokens);
    while cursor.peek().is_some() {
        if cursor.clone().eat_words(words) {
            return true;
        }
        cursor.next();
    }
    false
}

/// Whether a part of a statement is about an index, a constraint or a partition.
fn names_no_column(cursor: &TokenCursor<'_, '_>) -> bool {
    let is_index = |token: &Token<'_>| token.is_any_word(&["INDEX", "KEY"]);
    cursor.peek().is_some_and(|token| {
        token.is_any_word(&NO_COLUMNS) || token.is_word("VECTOR") && cursor.peek_at(1).is_some_and(is_index)
    })
}

fn created_columns(tokens: &[Token<'_>], columns_of: impl Fn(&str) -> Option<Vec<String>>) -> Option<Vec<LeftColumn>> {
    let mut cursor = TokenCursor::new(tokens);
    cursor.next_if(|token| token.is_word("CREATE"))?;
    cursor.eat_words(&["OR", "REPLACE"]);
    cursor.next_if(|token| token.is_word("TABLE"))?;
    cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    eat_table(&mut cursor)?;
    let mut ahead = cursor.clone();
    if ahead.eat_word("LIKE") || ahead.eat_punct("(") && ahead.eat_word("LIKE") {
        let other = eat_table(&mut ahead)?;
        return defined(columns_of(&other)?);
    }
    let mut names = Vec::new();
    for part in split_at_commas(slice_tokens(tokens, cursor.eat_group()?)) {
        let mut part = TokenCursor::new(part);
        if !names_no_column(&part) {
            names.push(part.eat_name()?);
        }
    }
    defined(names)
}

fn defined(names: Vec<String>) -> Option<Vec<LeftColumn>> {
    Some(names.into_iter().map(|name| LeftColumn { name, kept: None }).collect())
}

/// Takes the name of a table, without that of its database.
fn eat_table(cursor: &mut TokenCursor<'_, '_>) -> Option<String> {
    let name = cursor.eat_name()?;
    if cursor.eat_punct(".") { cursor.eat_name() } else { Some(name) }
}

/// The columns after an ALTER TABLE, or after a statement on an index.
fn alter(tokens: &[Token<'_>], before: &[String]) -> Option<Vec<LeftColumn>> {
    let mut cursor = TokenCursor::new(tokens);
    if !cursor.eat_word("ALTER") {
        return Some(keep_columns(before));
    }
    cursor.eat_word("ONLINE");
    cursor.next_if(|token| token.is_word("TABLE"))?;
    cursor.eat_words(&["IF", "EXISTS"]);
    eat_table(&mut cursor)?;
    let ends_wait = cursor.eat_word("NOWAIT") || !cursor.eat_word("WAIT");
    if !ends_wait {
        cursor.next()?;
    }
    let mut columns = AlteredColumns::new(before);
    for part in split_at_commas(slice_tokens(tokens, cursor.end()..tokens.len())) {
        let mut cursor = TokenCursor::new(part);
        let Some(word) = cursor.next() else { continue };
        // A list of partitions may follow, and nothing else.
        if word.is_word("PARTITION") || cursor.peek().is_some_and(|next| next.is_word("PARTITION")) {
            break;
        }
        columns.alter(word, cursor, part)?;
    }
    Some(columns.left(before))
}

/// Where a column comes to be.
enum Place {
    /// Where it is; the end for a new one.
    Unchanged,
    First,
    After(String),
}

/// Reads the place at the end of the definition of a column; `None` if something else follows.
fn read_place(mut rest: TokenCursor<'_, '_>) -> Option<Place> {
    let mut depth = 0_usize;
    let mut found = Place::Unchanged;
    while let Some(token) = rest.next() {
        if token.is_punct("(") {
            depth += 1;
        } else if token.is_punct(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && token.is_any_word(&["FIRST", "AFTER"]) {
            found = if token.is_word("FIRST") { Place::First } else { Place::After(rest.eat_name()?) };
            rest.eat_punct(";");
            return rest.peek().is_none().then_some(found);
        }
    }
    Some(found)
}

struct AlteredColumn {
    /// Its name before the statement.
    before: Option<String>,
    name: String,
    is_defined: bool,
}

impl AlteredColumn {
    fn was(&self, name: &str) -> bool {
        self.before.as_ref().is_some_and(|before| is_same(before, name))
    }
}

/// The columns of a table while the parts of an ALTER TABLE are read.
struct AlteredColumns(Vec<AlteredColumn>);

impl AlteredColumns {
    fn new(before: &[String]) -> Self {
        let column =
            |name: &String| AlteredColumn { before: Some(name.clone()), name: name.clone(), is_defined: false };
        Self(before.iter().map(column).collect())
    }

    /// Reads a part of the statement, after its first word.
    fn alter(&mut self, word: &Token<'_>, mut cursor: TokenCursor<'_, '_>, part: &[Token<'_>]) -> Option<()> {
        if word.is_word("CONVERT") {
            self.0.iter_mut().for_each(|column| column.is_defined = true);
        } else if word.is_word("ADD") {
            if !cursor.eat_word("COLUMN") && names_no_column(&cursor) {
                return Some(());
            }
            let is_conditional = cursor.eat_words(&["IF", "NOT", "EXISTS"]);
            let Some(group) = cursor.eat_group() else {
                let name = cursor.eat_name()?;
                return self.add(name, is_conditional, &read_place(cursor)?);
            };
            for part in split_at_commas(slice_tokens(part, group)) {
                let mut part = TokenCursor::new(part);
                if !names_no_column(&part) {
                    self.add(part.eat_name()?, is_conditional, &read_place(part)?)?;
                }
            }
        } else if word.is_word("DROP") {
            if !cursor.eat_word("COLUMN") && names_no_column(&cursor) {
                return Some(());
            }
            let index = self.find(&mut cursor)?;
            index.map(|index| self.0.remove(index));
        } else if word.is_any_word(&["MODIFY", "CHANGE"]) {
            cursor.eat_word("COLUMN");
            let index = self.find(&mut cursor)?;
            let name = if word.is_word("CHANGE") { Some(cursor.eat_name()?) } else { None };
            let place = read_place(cursor)?;
            let Some(index) = index else { return Some(()) };
            let column = self.0.get_mut(index)?;
            column.is_defined = true;
            if let Some(name) = name {
                column.name = name;
            }
            if !matches!(place, Place::Unchanged) {
                let column = self.0.remove(index);
                self.insert(column, &place)?;
            }
        } else if word.is_word("RENAME") && cursor.eat_word("COLUMN") {
            let index = self.find(&mut cursor)?;
            cursor.next_if(|token| token.is_word("TO"))?;
            let name = cursor.eat_name()?;
            if let Some(column) = index.and_then(|index| self.0.get_mut(index)) {
                (column.name, column.is_defined) = (name, true);
            }
        }
        Some(())
    }

    /// Takes the name of a column before the statement. Returns its index now, or nothing for `IF EXISTS` without one.
    fn find(&self, cursor: &mut TokenCursor<'_, '_>) -> Option<Option<usize>> {
        let is_conditional = cursor.eat_words(&["IF", "EXISTS"]);
        let name = cursor.eat_name()?;
        let index = self.0.iter().position(|column| column.was(&name));
        (index.is_some() || is_conditional).then_some(index)
    }

    fn add(&mut self, name: String, is_conditional: bool, place: &Place) -> Option<()> {
        if is_conditional && self.0.iter().any(|column| column.was(&name)) {
            return Some(());
        }
        self.insert(AlteredColumn { before: None, name, is_defined: true }, place)
    }

    fn insert(&mut self, column: AlteredColumn, place: &Place) -> Option<()> {
        let index = match place {
            Place::Unchanged => self.0.len(),
            Place::First => 0,
            Place::After(name) => {
                // The old name and the new one may be those of two columns.
                let mut found =
                    (1..).zip(&self.0).filter(|(_, column)| column.was(name) || is_same(&column.name, name));
                let (index, _) = found.next()?;
                if found.next().is_some() {
                    return None;
                }
                index
            }
        };
        self.0.insert(index, column);
        Some(())
    }

    fn left(self, before: &[String]) -> Vec<LeftColumn> {
        let left = |AlteredColumn { before: name_before, name, is_defined }: AlteredColumn| {
            let index = before.iter().position(|before| name_before.as_ref() == Some(before));
            LeftColumn { name, kept: index.filter(|_| !is_defined) }
        };
        self.0.into_iter().map(left).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns after a statement on a table with the columns a, b and c; those that it defines in upper case.
    fn left(sql: &str, change: &TableChange) -> Option<String> {
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let table = names(&["a", "b", "c"]);
        let before = if matches!(change, TableChange::Create { .. }) { None } else { Some(&table[..]) };
        let columns_of = |table: &str| (table == "other").then(|| names(&["x", "y"]));
        let columns = columns_after(sql, Dialect::default(), change, before, columns_of)?;
        let shown = columns.into_iter().map(|column| match column.kept {
            Some(index) => ["a", "b", "c"][index].to_owned(),
            None => column.name.to_uppercase(),
        });
        Some(shown.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn columns_have_the_order_that_the_servers_give_them() {
        let alter = TableChange::Alter { table: "t".to_owned(), renamed: None };
        for (parts, expected) in [
            ("ADD d INT", "a b c D"),
            ("ADD COLUMN d INT AFTER a", "a D b c"),
            ("ADD d INT FIRST, ADD e INT FIRST", "E D a b c"),
            ("ADD (d INT, e DECIMAL(3, 1), KEY (d)), ADD INDEX (a), ADD VECTOR INDEX (d)", "a b c D E"),
            ("ADD `index` INT DEFAULT (1 + 2) COMMENT 'AFTER a' AFTER `b`;", "a b INDEX c"),
            ("DROP b, ADD b INT, DROP PRIMARY KEY, DROP FOREIGN KEY f", "a c B"),
            ("MODIFY a BIGINT", "A b c"),
            ("MODIFY COLUMN a BIGINT AFTER c, ALTER b SET DEFAULT 3, COMMENT = 'FIRST'", "b c A"),
            ("CHANGE b d INT FIRST, ADD e INT AFTER d", "D E a c"),
            ("RENAME COLUMN a TO b, RENAME COLUMN b TO a", "B A c"),
            ("ADD COLUMN IF NOT EXISTS a INT, DROP COLUMN IF EXISTS z", "a b c"),
            ("CONVERT TO CHARACTER SET latin1", "A B C"),
            ("DROP PARTITION p, a", "a b c"),
            ("ENGINE = InnoDB, RENAME TO u", "a b c"),
        ] {
            assert_eq!(left(&format!("ALTER TABLE d.t {parts}"), &alter).as_deref(), Some(expected), "{parts}");
        }
        assert_eq!(left("CREATE INDEX a ON t (b)", &alter).as_deref(), Some("a b c"));
        for parts in [
            "ADD d INT AFTER z",
            "DROP z",
            "RENAME COLUMN a TO b, RENAME COLUMN b TO a, ADD d INT AFTER a",
            "ADD d INT AFTER a PARTITION BY HASH (a)",
            "/*!50100 ADD d INT */",
        ] {
            assert_eq!(left(&format!("ALTER TABLE t {parts}"), &alter), None, "{parts}");
        }
        let create = TableChange::Create { table: "n".to_owned() };
        for (sql, expected) in [
            ("CREATE TABLE IF NOT EXISTS n (d INT PRIMARY KEY, `key` INT, KEY (d), CHECK (d > 0))", "D KEY"),
            ("CREATE OR REPLACE TABLE n LIKE d.other", "X Y"),
        ] {
            assert_eq!(left(sql, &create).as_deref(), Some(expected), "{sql}");
        }
        assert_eq!(left("TRUNCATE t", &TableChange::Truncate { table: "t".to_owned() }).as_deref(), Some("a b c"));
    }
}
