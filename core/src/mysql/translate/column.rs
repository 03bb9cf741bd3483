//! Translates one column of a table: its type, its default and its attributes.

use std::ops::Range;

use super::super::ddl::{Token, TokenCursor, TokenKind, join_tokens, quote_name, slice_tokens};
use super::token_editor::TokenEditor;
use super::type_mapping::{self, TypeMapping};
use super::{FidelityLog, Translator, collation, unsupported_functions};
use crate::catalog::Printable;

/// Translates a column; `None` if the target has no such column. Moves checks that cannot stay with the column to
/// `checks`.
pub(super) fn translate(
    item: &[Token<'_>],
    translator: &Translator<'_>,
    log: &mut FidelityLog,
    checks: &mut Vec<String>,
) -> Option<String> {
    let mut cursor = TokenCursor::new(item);
    let name = cursor.eat_name()?;
    let start = cursor.start();
    let kind = cursor.eat_name()?.to_ascii_lowercase();
    let arguments = cursor.eat_group().map(|group| join_tokens(slice_tokens(item, group))).unwrap_or_default();
    let mut column = ColumnTranslation {
        editor: TokenEditor::new(item),
        what: format!("column {}", Printable(&name)),
        name,
        kind,
        type_range: start..cursor.end(),
        generated: false,
        has_default: false,
        not_null: false,
        invisible: None,
        check: None,
    };
    collation::rename_collations(&mut column.editor, translator, log, true);
    column.translate_type(&arguments, translator, log);
    while cursor.peek().is_some() {
        if !column.translate_clause(&mut cursor, translator, log, checks)? && cursor.eat_group().is_none() {
            cursor.next();
        }
    }
    column.drop_invisible(log);
    if let Some(check) = &column.check {
        column.editor.push(check);
    }
    Some(column.editor.text())
}

/// A column in translation: its edited tokens, and the properties that are known so far.
struct ColumnTranslation<'t, 'a> {
    editor: TokenEditor<'t, 'a>,
    /// The column's name in the report.
    what: String,
    name: String,
    /// The type's name, in lower case.
    kind: String,
    /// The tokens of the type.
    type_range: Range<usize>,
    generated: bool,
    /// Whether an INSERT may omit the column.
    has_default: bool,
    not_null: bool,
    /// The tokens of `INVISIBLE`.
    invisible: Option<Range<usize>>,
    /// A check that is added at the end of the column.
    check: Option<String>,
}

impl ColumnTranslation<'_, '_> {
    fn text(&self, range: Range<usize>) -> String {
        join_tokens(slice_tokens(self.editor.tokens, range)).trim().to_owned()
    }

    /// Translates the column's type.
    fn translate_type(&mut self, arguments: &str, translator: &Translator<'_>, log: &mut FidelityLog) {
        let source_text = self.text(self.type_range.clone());
        match type_mapping::map_type(&self.kind, arguments, translator) {
            TypeMapping::Same => {}
            TypeMapping::Alias(name) => self.editor.replace(self.type_range.clone(), name),
            TypeMapping::Equivalent(name, shown) => {
                log.note(&self.what, source_text, shown);
                self.editor.replace(self.type_range.clone(), name);
            }
            TypeMapping::Approximate(definition) => {
                log.warn(&self.what, source_text, &definition);
                self.editor.replace(self.type_range.clone(), definition);
            }
            TypeMapping::Unsupported => log.unsupported(&self.what, format!("the target has no {source_text}")),
        }
    }

    /// Takes and translates one clause. Returns `false` if the next clause stays, and `None` if the target has no such
    /// column.
    fn translate_clause(
        &mut self,
        cursor: &mut TokenCursor<'_, '_>,
        translator: &Translator<'_>,
        log: &mut FidelityLog,
        checks: &mut Vec<String>,
    ) -> Option<bool> {
        let start = cursor.start();
        if cursor.eat_word("COMMENT") {
            cursor.next();
        } else if cursor.eat_word("AS") {
            if cursor.peek().is_some_and(|next| next.is_any_word(&["ROW"])) {
                // The start or end of a row's version. The translation of the table's options logs the lost history.
                return None;
            }
            self.translate_generated(cursor, translator, log);
        } else if cursor.eat_word("DEFAULT") {
            self.translate_default(start, cursor, translator, log);
        } else if cursor.eat_words(&["NOT", "NULL"]) {
            self.translate_not_null(start..cursor.end(), translator, log);
        } else if translator.targets_mariadb() {
            return Some(self.translate_mysql_clause(start, cursor, log));
        } else {
            return Some(self.translate_mariadb_clause(start, cursor, log, translator, checks));
        }
        Some(true)
    }

    /// Checks the expression of a generated column.
    fn translate_generated(
        &mut self,
        cursor: &mut TokenCursor<'_, '_>,
        translator: &Translator<'_>,
        log: &mut FidelityLog,
    ) {
        self.generated = true;
        let Some(group) = cursor.eat_group() else { return };
        if let Some(function) = unsupported_functions::find_unsupported(&self.text(group), translator) {
            log.unsupported(&self.what, format!("it is computed by {function}, which the target does not have"));
        }
    }

    /// Replaces `NOT NULL` of a generated column by a check, as MariaDB does not accept it there.
    fn translate_not_null(&mut self, range: Range<usize>, translator: &Translator<'_>, log: &mut FidelityLog) {
        self.not_null = true;
        if !translator.targets_mariadb() || !self.generated {
            return;
        }
        let check = format!("CHECK ({} IS NOT NULL)", quote_name(&self.name));
        log.note(&self.what, "NOT NULL", &check);
        self.editor.remove(range);
        self.check = Some(format!(" {check}"));
    }

    /// Translates a default, or removes one that the target cannot compute.
    fn translate_default(
        &mut self,
        start: usize,
        cursor: &mut TokenCursor<'_, '_>,
        translator: &Translator<'_>,
        log: &mut FidelityLog,
    ) {
        self.has_default = true;
        let from = cursor.start();
        let value = eat_default(cursor);
        let range = from..cursor.end();
        let text = self.text(range.clone());
        let what = format!("default of {}", self.what);
        if value != DefaultKind::Literal
            && let Some(function) = unsupported_functions::find_unsupported(&text, translator)
        {
            log.warn(what, format!("{text}, as the target does not have {function}"), "");
            self.editor.remove(start..range.end);
            return;
        }
        let is_current_timestamp = text.to_ascii_lowercase().starts_with("current_timestamp")
            && ["timestamp", "datetime"].contains(&self.kind.as_str());
        let needs_brackets = match value {
            DefaultKind::Expression => false,
            DefaultKind::Literal => {
                type_mapping::has_no_literal_default(&self.kind) && !text.eq_ignore_ascii_case("NULL")
            }
            DefaultKind::Call => !is_current_timestamp,
        };
        if needs_brackets && !translator.targets_mariadb() {
            self.editor.replace(range, format!("({text})"));
        }
    }

    /// Removes `INVISIBLE` if every INSERT has to name the column, as MariaDB refuses such a column.
    fn drop_invisible(&mut self, log: &mut FidelityLog) {
        let Some(range) = self.invisible.take().filter(|_| self.not_null && !self.has_default && !self.generated)
        else {
            return;
        };
        log.warn(&self.what, "INVISIBLE", "visible, as it has no default");
        self.editor.remove(range);
    }

    /// Translates a clause that only MySQL has.
    fn translate_mysql_clause(
        &mut self,
        start: usize,
        cursor: &mut TokenCursor<'_, '_>,
        log: &mut FidelityLog,
    ) -> bool {
        if cursor.eat_word("SRID") {
            let srid = cursor.next().map_or("0", |token| token.text);
            log.note(
                &self.what,
                format!("SRID {srid}"),
                format!("REF_SYSTEM_ID={srid}, which the server does not check"),
            );
            self.editor.insert_after(self.type_range.end.saturating_sub(1), &format!(" REF_SYSTEM_ID={srid}"));
        } else if cursor.eat_word("AUTO_INCREMENT") {
            self.has_default = true;
            return true;
        } else if cursor.eat_word("INVISIBLE") {
            self.invisible = Some(start..cursor.end());
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
        self.editor.remove(start..cursor.end());
        true
    }

    /// Translates a clause that only MariaDB has.
    fn translate_mariadb_clause(
        &mut self,
        start: usize,
        cursor: &mut TokenCursor<'_, '_>,
        log: &mut FidelityLog,
        translator: &Translator<'_>,
        checks: &mut Vec<String>,
    ) -> bool {
        if cursor.eat_word("CHECK") {
            let Some(group) = cursor.eat_group() else { return true };
            let text = self.text(group);
            match unsupported_functions::find_unsupported(&text, translator) {
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
            // The translation of the table's options logs the lost history.
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
        self.editor.remove(start..cursor.end());
        true
    }
}

/// The syntax of a default.
#[derive(PartialEq, Eq)]
enum DefaultKind {
    Expression,
    Literal,
    Call,
}

/// Takes the value of a default: a literal, a function call, or an expression in brackets.
fn eat_default(cursor: &mut TokenCursor<'_, '_>) -> DefaultKind {
    if cursor.eat_group().is_some() {
        return DefaultKind::Expression;
    }
    if !cursor.eat_punct("-") {
        cursor.eat_punct("+");
    }
    let Some(first) = cursor.next() else { return DefaultKind::Literal };
    if first.kind == TokenKind::Word && first.text.starts_with('_') {
        // The character set introducer of the string that follows.
        cursor.next_if(|next| next.kind == TokenKind::Str);
        return DefaultKind::Literal;
    }
    let called = first.kind == TokenKind::Word && cursor.eat_group().is_some();
    if called || first.is_word("CURRENT_TIMESTAMP") { DefaultKind::Call } else { DefaultKind::Literal }
}
