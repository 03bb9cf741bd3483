//! One column of a table: its type, its default, and what else is said of it.

use std::ops::Range;

use super::super::ddl::{Cursor, Token, TokenKind, quote_name, text_of, within};
use super::edit::Edit;
use super::types::{self, Image};
use super::{Log, Way, collation, expression};
use crate::catalog::Printable;

/// The column at the target; `None` when it is left out. Checks that cannot stay with the column are added to `checks`.
pub(super) fn translate(item: &[Token<'_>], way: &Way<'_>, log: &mut Log, checks: &mut Vec<String>) -> Option<String> {
    let mut cursor = Cursor::new(item);
    let name = cursor.eat_name()?;
    let start = cursor.start();
    let kind = cursor.eat_name()?.to_ascii_lowercase();
    let arguments = cursor.eat_group().map(|group| text_of(within(item, group))).unwrap_or_default();
    let mut column = Column {
        edit: Edit::new(item),
        what: format!("column {}", Printable(&name)),
        name,
        kind,
        written: start..cursor.end(),
        generated: false,
        filled: false,
        not_null: false,
        hidden: None,
        check: None,
    };
    collation::rename(&mut column.edit, way, log, true);
    column.retype(&arguments, way, log);
    while cursor.peek().is_some() {
        if !column.clause(&mut cursor, way, log, checks)? && cursor.eat_group().is_none() {
            cursor.next();
        }
    }
    column.show(log);
    if let Some(check) = &column.check {
        column.edit.push(check);
    }
    Some(column.edit.text())
}

struct Column<'t, 'a> {
    edit: Edit<'t, 'a>,
    /// As the report names it.
    what: String,
    name: String,
    /// The type's name, in lower case.
    kind: String,
    /// Where the type is written.
    written: Range<usize>,
    generated: bool,
    /// A row has a value of it also where an INSERT names none.
    filled: bool,
    not_null: bool,
    /// Where it is called invisible.
    hidden: Option<Range<usize>>,
    /// What is to stand at the very end.
    check: Option<String>,
}

impl Column<'_, '_> {
    fn text(&self, range: Range<usize>) -> String {
        text_of(within(self.edit.tokens, range)).trim().to_owned()
    }

    fn retype(&mut self, arguments: &str, way: &Way<'_>, log: &mut Log) {
        let written = self.text(self.written.clone());
        match types::image(&self.kind, arguments, way) {
            Image::Same => {}
            Image::Alias(name) => self.edit.replace(self.written.clone(), name),
            Image::Note(name, shown) => {
                log.note(&self.what, written, shown);
                self.edit.replace(self.written.clone(), name);
            }
            Image::Lesser(definition) => {
                log.warn(&self.what, written, &definition);
                self.edit.replace(self.written.clone(), definition);
            }
            Image::None => log.none(&self.what, format!("the target has no {written}")),
        }
    }

    /// Takes one clause that needs care; `false` when the next is none, `None` when the column has no place at the target.
    fn clause(
        &mut self,
        cursor: &mut Cursor<'_, '_>,
        way: &Way<'_>,
        log: &mut Log,
        checks: &mut Vec<String>,
    ) -> Option<bool> {
        let start = cursor.start();
        if cursor.eat_word("COMMENT") {
            cursor.next();
        } else if cursor.eat_word("AS") {
            if cursor.peek().is_some_and(|next| next.is_any_word(&["ROW"])) {
                // The beginning or end of a row version, which is told with the table's history.
                return None;
            }
            self.computed(cursor, way, log);
        } else if cursor.eat_word("DEFAULT") {
            self.default(start, cursor, way, log);
        } else if cursor.eat_words(&["NOT", "NULL"]) {
            self.not_null(start..cursor.end(), way, log);
        } else if way.to_mariadb() {
            return Some(self.of_mysql(start, cursor, log));
        } else {
            return Some(self.of_mariadb(start, cursor, log, way, checks));
        }
        Some(true)
    }

    fn computed(&mut self, cursor: &mut Cursor<'_, '_>, way: &Way<'_>, log: &mut Log) {
        self.generated = true;
        let Some(group) = cursor.eat_group() else { return };
        if let Some(function) = expression::foreign(&self.text(group), way) {
            log.none(&self.what, format!("it is computed by {function}, which the target does not have"));
        }
    }

    /// MariaDB cannot say this of a computed column.
    fn not_null(&mut self, range: Range<usize>, way: &Way<'_>, log: &mut Log) {
        self.not_null = true;
        if !way.to_mariadb() || !self.generated {
            return;
        }
        let check = format!("CHECK ({} IS NOT NULL)", quote_name(&self.name));
        log.note(&self.what, "NOT NULL", &check);
        self.edit.remove(range);
        self.check = Some(format!(" {check}"));
    }

    fn default(&mut self, start: usize, cursor: &mut Cursor<'_, '_>, way: &Way<'_>, log: &mut Log) {
        self.filled = true;
        let from = cursor.start();
        let value = default_value(cursor);
        let range = from..cursor.end();
        let text = self.text(range.clone());
        let what = format!("default of {}", self.what);
        if value != Value::Literal
            && let Some(function) = expression::foreign(&text, way)
        {
            log.warn(what, format!("{text}, as the target does not have {function}"), "");
            self.edit.remove(start..range.end);
            return;
        }
        let moment = text.to_ascii_lowercase().starts_with("current_timestamp")
            && ["timestamp", "datetime"].contains(&self.kind.as_str());
        let bare = match value {
            Value::Bracketed => false,
            Value::Literal => types::has_no_literal_default(&self.kind) && !text.eq_ignore_ascii_case("NULL"),
            Value::Call => !moment,
        };
        if bare && !way.to_mariadb() {
            self.edit.replace(range, format!("({text})"));
        }
    }

    /// MariaDB hides no column that every INSERT has to name.
    fn show(&mut self, log: &mut Log) {
        let Some(range) = self.hidden.take().filter(|_| self.not_null && !self.filled && !self.generated) else {
            return;
        };
        log.warn(&self.what, "INVISIBLE", "visible, as it has no default");
        self.edit.remove(range);
    }

    /// What only MySQL says.
    fn of_mysql(&mut self, start: usize, cursor: &mut Cursor<'_, '_>, log: &mut Log) -> bool {
        if cursor.eat_word("SRID") {
            let srid = cursor.next().map_or("0", |token| token.text);
            log.note(
                &self.what,
                format!("SRID {srid}"),
                format!("REF_SYSTEM_ID={srid}, which the server does not check"),
            );
            self.edit.insert_after(self.written.end.saturating_sub(1), &format!(" REF_SYSTEM_ID={srid}"));
        } else if cursor.eat_word("AUTO_INCREMENT") {
            self.filled = true;
            return true;
        } else if cursor.eat_word("INVISIBLE") {
            self.hidden = Some(start..cursor.end());
            return true;
        } else if cursor.eat_words(&["NOT", "SECONDARY"]) {
        } else if cursor.eat_word("STORAGE") || cursor.eat_word("COLUMN_FORMAT") {
            cursor.next();
        } else if cursor.eat_word("ENGINE_ATTRIBUTE") || cursor.eat_word("SECONDARY_ENGINE_ATTRIBUTE") {
            cursor.eat_punct("=");
            cursor.next();
        } else {
            return false;
        }
        let clause = self.text(start..cursor.end());
        if !clause.starts_with("SRID") {
            log.note(&self.what, clause, "without, as it concerns storage only");
        }
        self.edit.remove(start..cursor.end());
        true
    }

    /// What only MariaDB says.
    fn of_mariadb(
        &mut self,
        start: usize,
        cursor: &mut Cursor<'_, '_>,
        log: &mut Log,
        way: &Way<'_>,
        checks: &mut Vec<String>,
    ) -> bool {
        if cursor.eat_word("CHECK") {
            let Some(group) = cursor.eat_group() else { return true };
            let text = self.text(group);
            match expression::foreign(&text, way) {
                None => checks.push(format!("CHECK ({text})")),
                Some(function) => {
                    log.warn(
                        format!("check of {}", self.what),
                        format!("({text}), as the target does not have {function}"),
                        "",
                    );
                }
            }
        } else if cursor.eat_words(&["WITH", "SYSTEM", "VERSIONING"])
            || cursor.eat_words(&["WITHOUT", "SYSTEM", "VERSIONING"])
        {
            // It is told of the table.
        } else if cursor.eat_word("COMPRESSED") {
            if cursor.eat_punct("=") {
                cursor.next();
            }
            log.note(&self.what, "COMPRESSED", "without, as it concerns storage only");
        } else if cursor.peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent)
            && cursor.peek_at(1).is_some_and(|next| next.is_punct("="))
        {
            cursor.nth(2);
            log.note(&self.what, self.text(start..cursor.end()), "without, as it concerns storage only");
        } else {
            return false;
        }
        self.edit.remove(start..cursor.end());
        true
    }
}

#[derive(PartialEq, Eq)]
enum Value {
    Bracketed,
    Literal,
    Call,
}

/// Takes the value of a default, which is a literal, the call of a function, or in brackets.
fn default_value(cursor: &mut Cursor<'_, '_>) -> Value {
    if cursor.eat_group().is_some() {
        return Value::Bracketed;
    }
    if !cursor.eat_punct("-") {
        cursor.eat_punct("+");
    }
    let Some(first) = cursor.next() else { return Value::Literal };
    if first.kind == TokenKind::Word && first.text.starts_with('_') {
        // The character set of the string that follows.
        cursor.next_if(|next| next.kind == TokenKind::Str);
        return Value::Literal;
    }
    let called = first.kind == TokenKind::Word && cursor.eat_group().is_some();
    if called || first.is_word("CURRENT_TIMESTAMP") { Value::Call } else { Value::Literal }
}
