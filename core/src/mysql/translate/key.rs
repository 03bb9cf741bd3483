//! Translates one index or constraint of a table.

use super::super::capability::Capability;
use super::super::ddl::{Token, TokenCursor, TokenKind, join_tokens, quote_name, slice_tokens, split_at_commas};
use super::table_summary::{self, TableSummary};
use super::token_editor::TokenEditor;
use super::{FidelityLog, Translator, unsupported_functions};
use crate::catalog::Printable;

/// Translates an index or constraint; `None` if the target has no such item.
pub(super) fn translate(
    item: &[Token<'_>],
    translator: &Translator<'_>,
    log: &mut FidelityLog,
    summary: &TableSummary,
) -> Option<String> {
    let mut cursor = TokenCursor::new(item);
    if cursor.eat_words(&["PERIOD", "FOR"]) {
        let (name, first, last) = table_summary::read_period(cursor, item)?;
        let check = format!("CHECK ({} < {})", quote_name(&first), quote_name(&last));
        log.warn(format!("period {}", Printable(&name)), join_tokens(item).trim(), &check);
        return Some(format!("\n  {check}"));
    }
    match read_constraint(item) {
        Some((name, ConstraintKind::Check)) => translate_check(item, &name, translator, log),
        Some((_, ConstraintKind::Other)) => Some(join_tokens(item)),
        None => translate_index(item, translator, log, summary),
    }
}

/// The kind of a constraint.
enum ConstraintKind {
    Check,
    Other,
}

/// Reads the name and kind of `[CONSTRAINT [name]] CHECK …` or `FOREIGN KEY …`.
fn read_constraint(item: &[Token<'_>]) -> Option<(String, ConstraintKind)> {
    let mut cursor = TokenCursor::new(item);
    let mut name = String::new();
    if cursor.eat_word("CONSTRAINT") && cursor.peek()?.kind == TokenKind::QuotedIdent {
        name = cursor.eat_name()?;
    }
    match cursor.next()? {
        token if token.is_word("CHECK") => Some((name, ConstraintKind::Check)),
        token if token.is_word("FOREIGN") => Some((name, ConstraintKind::Other)),
        _ => None,
    }
}

/// Reads the name of a check; `None` for any other item.
pub(super) fn check_name(item: &[Token<'_>]) -> Option<String> {
    match read_constraint(item)? {
        (name, ConstraintKind::Check) if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// Translates a check; `None` if the target cannot have it.
fn translate_check(
    item: &[Token<'_>],
    name: &str,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) -> Option<String> {
    let mut editor = TokenEditor::new(item);
    let mut cursor = TokenCursor::new(item);
    let head = cursor.start();
    while !cursor.peek()?.is_word("CHECK") {
        cursor.next();
    }
    let start = cursor.start();
    cursor.next();
    let group = cursor.eat_group()?;
    let what = format!("check {}", Printable(name));
    let text = join_tokens(slice_tokens(item, group));
    if let Some(function) = unsupported_functions::find_unsupported(&text, translator) {
        log.warn(what, format!("({text}), as the target does not have {function}"), "");
        return None;
    }
    if translator.targets_mariadb() {
        if cursor.eat_words(&["NOT", "ENFORCED"]) {
            log.warn(what, format!("({text}) NOT ENFORCED, as the target enforces every check"), "");
            return None;
        }
        return Some(editor.text());
    }
    // MariaDB generates such names in each table anew. In MySQL a name is unique in the whole database.
    let automatic = name.strip_prefix("CONSTRAINT_").is_some_and(|number| number.parse::<u32>().is_ok());
    if automatic || translator.check_counts.get(&name.to_lowercase()).is_some_and(|count| *count > 1) {
        log.note(what, "its name", "a name of the server's own, as MySQL takes each only once in a database");
        editor.replace(head..start, "");
    }
    Some(editor.text())
}

/// Translates an index; `None` if the target cannot have it.
fn translate_index(
    item: &[Token<'_>],
    translator: &Translator<'_>,
    log: &mut FidelityLog,
    summary: &TableSummary,
) -> Option<String> {
    let mut cursor = TokenCursor::new(item);
    let mut words: Vec<&str> = Vec::new();
    while let Some(word) = cursor.next_if(|token| token.kind == TokenKind::Word) {
        words.push(word.text);
    }
    let is = |wanted: &str| words.iter().any(|word| word.eq_ignore_ascii_case(wanted));
    let name = match is("PRIMARY") {
        true => "PRIMARY".to_owned(),
        false => cursor.eat_name().unwrap_or_default(),
    };
    // `USING HASH` may stand before the columns as well.
    while cursor.peek().is_some_and(|token| !token.is_punct("(")) {
        cursor.next();
    }
    let Some(group) = cursor.eat_group() else { return Some(join_tokens(item)) };
    let parts = split_at_commas(slice_tokens(item, group.clone()));
    let what = format!("index {}", Printable(&name));
    let source_text = join_tokens(item).trim().to_owned();
    if translator.targets_mariadb()
        && parts.iter().any(|part| TokenCursor::new(part).peek().is_some_and(|token| token.is_punct("(")))
    {
        log.warn(what, format!("{source_text}, as the target indexes columns only"), "");
        return None;
    }
    let why = [
        (is("VECTOR"), "the target has no such index"),
        (is_hash_key(item, &parts, summary), "the target needs a length for such a key"),
        (
            !is("SPATIAL") && parts.iter().any(|part| is_geometry_prefix(part, summary)),
            "the target indexes no bytes of shapes",
        ),
    ];
    if let Some((_, why)) = why.iter().find(|(is_so, _)| *is_so && !translator.targets_mariadb()) {
        log.warn(what, format!("{source_text}, as {why}"), "");
        return None;
    }
    let mut editor = TokenEditor::new(item);
    let is_version = |part: &&&[Token<'_>]| {
        let name = TokenCursor::new(part).eat_name();
        !translator.targets_mariadb() && name.is_some_and(|name| summary.versions.contains(&name))
    };
    let kept: Vec<String> = parts.iter().filter(|part| !is_version(part)).map(|part| join_tokens(part)).collect();
    if kept.is_empty() {
        // The translation of the table's options logs the lost history.
        return None;
    }
    if kept.len() < parts.len() {
        editor.replace(group.clone(), kept.join(","));
    }
    if let Some(columns) = columns_without_overlaps(&parts, summary).filter(|_| !translator.targets_mariadb()) {
        editor.replace(group, &columns);
        log.warn(&what, source_text, format!("({columns}), which lets periods overlap"));
    }
    translate_attributes(&mut editor, cursor, translator, log, &what);
    Some(editor.text())
}

/// Whether the part of a key is a prefix of a geometry column.
fn is_geometry_prefix(part: &[Token<'_>], summary: &TableSummary) -> bool {
    let mut cursor = TokenCursor::new(part);
    let Some(name) = cursor.eat_name() else { return false };
    let kind = summary.columns.iter().find(|(column, _)| *column == name).map_or("", |(_, kind)| kind.as_str());
    let shapes = ["geometry", "point", "linestring", "polygon", "geometrycollection"];
    shapes.iter().any(|shape| kind.strip_prefix("multi").unwrap_or(kind) == *shape) && cursor.eat_group().is_some()
}

/// Whether the index is a unique key over long values, of which MariaDB stores hashes.
fn is_hash_key(item: &[Token<'_>], parts: &[&[Token<'_>]], summary: &TableSummary) -> bool {
    let mut cursor = TokenCursor::new(item);
    let mut uses_hash = false;
    while cursor.peek().is_some() {
        uses_hash |= cursor.eat_words(&["USING", "HASH"]);
        cursor.next();
    }
    let is_long = |part: &&[Token<'_>]| {
        let mut cursor = TokenCursor::new(part);
        let name = cursor.eat_name().unwrap_or_default();
        let kind = summary.columns.iter().find(|(column, _)| *column == name).map_or("", |(_, kind)| kind.as_str());
        let long = ["text", "blob", "varchar", "varbinary", "json"].iter().any(|end| kind.ends_with(end));
        long && cursor.eat_group().is_none()
    };
    uses_hash && summary.engine != "memory" && parts.iter().any(is_long)
}

/// The columns of a key whose last part is a period `WITHOUT OVERLAPS`, with the period's columns instead of the
/// period.
fn columns_without_overlaps(parts: &[&[Token<'_>]], summary: &TableSummary) -> Option<String> {
    let (last, before) = parts.split_last()?;
    let mut cursor = TokenCursor::new(last);
    let name = cursor.eat_name()?;
    if !cursor.eat_words(&["WITHOUT", "OVERLAPS"]) {
        return None;
    }
    let (_, first, end) = summary.periods.iter().find(|(period, ..)| *period == name)?;
    let mut columns: Vec<String> = before.iter().map(|part| join_tokens(part).trim().to_owned()).collect();
    columns.extend([quote_name(first), quote_name(end)]);
    Some(columns.join(","))
}

/// Translates the attributes after the columns of an index.
fn translate_attributes(
    editor: &mut TokenEditor<'_, '_>,
    mut cursor: TokenCursor<'_, '_>,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
    what: &str,
) {
    while cursor.peek().is_some() {
        let start = cursor.start();
        if cursor.eat_word("COMMENT") {
            cursor.next();
        } else if translator.targets_mariadb() && cursor.eat_word("INVISIBLE") {
            let knows = translator.target_has(Capability::InvisibleIndexes);
            log.note(what, "INVISIBLE", if knows { "IGNORED" } else { "visible" });
            editor.replace(start..cursor.end(), if knows { "IGNORED" } else { "" });
        } else if !translator.targets_mariadb() && cursor.eat_word("IGNORED") {
            let knows = translator.target_has(Capability::InvisibleIndexes);
            log.note(what, "IGNORED", if knows { "INVISIBLE" } else { "visible" });
            editor.replace(start..cursor.end(), if knows { "INVISIBLE" } else { "" });
        } else if translator.targets_mariadb() && cursor.eat_words(&["WITH", "PARSER"]) {
            let parser = cursor.eat_name().unwrap_or_default();
            log.warn(what, format!("WITH PARSER {parser}"), "an index by the server's own parser");
            editor.remove(start..cursor.end());
        } else if cursor.eat_word("ENGINE_ATTRIBUTE")
            || cursor.eat_word("SECONDARY_ENGINE_ATTRIBUTE")
            || is_engine_option(&cursor)
        {
            cursor.next_if(|token| token.kind == TokenKind::QuotedIdent);
            cursor.eat_punct("=");
            cursor.next();
            log.note(
                what,
                join_tokens(slice_tokens(editor.tokens, start..cursor.end())),
                "without, as it concerns storage only",
            );
            editor.remove(start..cursor.end());
        } else {
            cursor.next();
        }
    }
}

/// Whether an engine's option follows, which MariaDB prints with a quoted name.
fn is_engine_option(cursor: &TokenCursor<'_, '_>) -> bool {
    let quoted = cursor.peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
    quoted && cursor.peek_at(1).is_some_and(|token| token.is_punct("="))
}
