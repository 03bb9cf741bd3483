//! One index or constraint of a table.

use super::super::ddl::{Cursor, Token, TokenKind, quote_name, split_at_commas, text_of, within};
use super::edit::Edit;
use super::table::Shape;
use super::{Log, Way, expression};
use crate::catalog::Printable;

/// The index or constraint at the target; `None` when it is left out.
pub(super) fn translate(item: &[Token<'_>], way: &Way<'_>, log: &mut Log, shape: &Shape) -> Option<String> {
    let mut cursor = Cursor::new(item);
    if cursor.eat_words(&["PERIOD", "FOR"]) {
        let (name, first, last) = period(cursor, item)?;
        let check = format!("CHECK ({} < {})", quote_name(&first), quote_name(&last));
        log.warn(format!("period {}", Printable(&name)), text_of(item).trim(), &check);
        return Some(format!("\n  {check}"));
    }
    match constraint(item) {
        Some((name, Constraint::Check)) => check(item, &name, way, log),
        Some((_, Constraint::Other)) => Some(text_of(item)),
        None => index(item, way, log, shape),
    }
}

enum Constraint {
    Check,
    Other,
}

/// The name and kind of `[CONSTRAINT [name]] CHECK …` or `FOREIGN KEY …`.
fn constraint(item: &[Token<'_>]) -> Option<(String, Constraint)> {
    let mut cursor = Cursor::new(item);
    let mut name = String::new();
    if cursor.eat_word("CONSTRAINT") && cursor.peek()?.kind == TokenKind::QuotedIdent {
        name = cursor.eat_name()?;
    }
    match cursor.next()? {
        token if token.is_word("CHECK") => Some((name, Constraint::Check)),
        token if token.is_word("FOREIGN") => Some((name, Constraint::Other)),
        _ => None,
    }
}

/// The name of a check; `None` for all else.
pub(super) fn check_name(item: &[Token<'_>]) -> Option<String> {
    match constraint(item)? {
        (name, Constraint::Check) if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// Reads what follows `PERIOD FOR`: the name and the two columns. `None` for the period of the system.
pub(super) fn period(mut cursor: Cursor<'_, '_>, item: &[Token<'_>]) -> Option<(String, String, String)> {
    let name = cursor.next_if(|token| token.kind == TokenKind::QuotedIdent)?.ident()?.into_owned();
    let [first, last] = columns(cursor, item).try_into().ok()?;
    Some((name, first, last))
}

/// The names in the brackets that follow.
pub(super) fn columns(mut cursor: Cursor<'_, '_>, item: &[Token<'_>]) -> Vec<String> {
    let group = cursor.eat_group().unwrap_or_default();
    split_at_commas(within(item, group)).iter().filter_map(|part| Cursor::new(part).eat_name()).collect()
}

fn check(item: &[Token<'_>], name: &str, way: &Way<'_>, log: &mut Log) -> Option<String> {
    let mut edit = Edit::new(item);
    let mut cursor = Cursor::new(item);
    let head = cursor.start();
    while !cursor.peek()?.is_word("CHECK") {
        cursor.next();
    }
    let start = cursor.start();
    cursor.next();
    let group = cursor.eat_group()?;
    let what = format!("check {}", Printable(name));
    let text = text_of(within(item, group));
    if let Some(function) = expression::foreign(&text, way) {
        log.warn(what, format!("({text}), as the target does not have {function}"), "");
        return None;
    }
    if way.to_mariadb() {
        if cursor.eat_words(&["NOT", "ENFORCED"]) {
            log.warn(what, format!("({text}) NOT ENFORCED, as the target enforces every check"), "");
            return None;
        }
        return Some(edit.text());
    }
    // MariaDB names them so by itself, in each table anew; in MySQL a name is used once in the whole database.
    let automatic = name.strip_prefix("CONSTRAINT_").is_some_and(|number| number.parse::<u32>().is_ok());
    if automatic || way.checks.get(&name.to_lowercase()).is_some_and(|count| *count > 1) {
        log.note(what, "its name", "a name of the server's own, as MySQL takes each only once in a database");
        edit.replace(head..start, "");
    }
    Some(edit.text())
}

fn index(item: &[Token<'_>], way: &Way<'_>, log: &mut Log, shape: &Shape) -> Option<String> {
    let mut cursor = Cursor::new(item);
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
    let Some(group) = cursor.eat_group() else { return Some(text_of(item)) };
    let parts = split_at_commas(within(item, group.clone()));
    let what = format!("index {}", Printable(&name));
    let written = text_of(item).trim().to_owned();
    if way.to_mariadb() && parts.iter().any(|part| Cursor::new(part).peek().is_some_and(|token| token.is_punct("("))) {
        log.warn(what, format!("{written}, as the target indexes columns only"), "");
        return None;
    }
    let why = [
        (is("VECTOR"), "the target has no such index"),
        (is_hash(item, &parts, shape), "the target needs a length for such a key"),
        (!is("SPATIAL") && parts.iter().any(|part| is_shape(part, shape)), "the target indexes no bytes of shapes"),
    ];
    if let Some((_, why)) = why.iter().find(|(is_so, _)| *is_so && !way.to_mariadb()) {
        log.warn(what, format!("{written}, as {why}"), "");
        return None;
    }
    let mut edit = Edit::new(item);
    let is_version = |part: &&&[Token<'_>]| {
        let name = Cursor::new(part).eat_name();
        !way.to_mariadb() && name.is_some_and(|name| shape.versions.contains(&name))
    };
    let kept: Vec<String> = parts.iter().filter(|part| !is_version(part)).map(|part| text_of(part)).collect();
    if kept.is_empty() {
        // It is told of the table that there is no history.
        return None;
    }
    if kept.len() < parts.len() {
        edit.replace(group.clone(), kept.join(","));
    }
    if let Some(columns) = without_overlaps(&parts, shape).filter(|_| !way.to_mariadb()) {
        edit.replace(group, &columns);
        log.warn(&what, written, format!("({columns}), which lets periods overlap"));
    }
    attributes(&mut edit, cursor, way, log, &what);
    Some(edit.text())
}

/// Whether the first bytes of a geometry are the part of a key.
fn is_shape(part: &[Token<'_>], shape: &Shape) -> bool {
    let mut cursor = Cursor::new(part);
    let Some(name) = cursor.eat_name() else { return false };
    let kind = shape.columns.iter().find(|(column, _)| *column == name).map_or("", |(_, kind)| kind.as_str());
    let shapes = ["geometry", "point", "linestring", "polygon", "geometrycollection"];
    shapes.iter().any(|shape| kind.strip_prefix("multi").unwrap_or(kind) == *shape) && cursor.eat_group().is_some()
}

/// A unique key over values longer than a key: MariaDB keeps their hashes.
fn is_hash(item: &[Token<'_>], parts: &[&[Token<'_>]], shape: &Shape) -> bool {
    let mut cursor = Cursor::new(item);
    let mut said = false;
    while cursor.peek().is_some() {
        said |= cursor.eat_words(&["USING", "HASH"]);
        cursor.next();
    }
    let is_long = |part: &&[Token<'_>]| {
        let mut cursor = Cursor::new(part);
        let name = cursor.eat_name().unwrap_or_default();
        let kind = shape.columns.iter().find(|(column, _)| *column == name).map_or("", |(_, kind)| kind.as_str());
        let long = ["text", "blob", "varchar", "varbinary", "json"].iter().any(|end| kind.ends_with(end));
        long && cursor.eat_group().is_none()
    };
    said && shape.engine != "memory" && parts.iter().any(is_long)
}

/// The columns of a key whose last part is a period `WITHOUT OVERLAPS`, with the period's columns in its place.
fn without_overlaps(parts: &[&[Token<'_>]], shape: &Shape) -> Option<String> {
    let (last, before) = parts.split_last()?;
    let mut cursor = Cursor::new(last);
    let name = cursor.eat_name()?;
    if !cursor.eat_words(&["WITHOUT", "OVERLAPS"]) {
        return None;
    }
    let (_, first, end) = shape.periods.iter().find(|(period, ..)| *period == name)?;
    let mut columns: Vec<String> = before.iter().map(|part| text_of(part).trim().to_owned()).collect();
    columns.extend([quote_name(first), quote_name(end)]);
    Some(columns.join(","))
}

/// What follows the columns of an index.
fn attributes(edit: &mut Edit<'_, '_>, mut cursor: Cursor<'_, '_>, way: &Way<'_>, log: &mut Log, what: &str) {
    while cursor.peek().is_some() {
        let start = cursor.start();
        if cursor.eat_word("COMMENT") {
            cursor.next();
        } else if way.to_mariadb() && cursor.eat_word("INVISIBLE") {
            let knows = way.reaches(10, 6, 0);
            log.note(what, "INVISIBLE", if knows { "IGNORED" } else { "visible" });
            edit.replace(start..cursor.end(), if knows { "IGNORED" } else { "" });
        } else if !way.to_mariadb() && cursor.eat_word("IGNORED") {
            let knows = way.reaches(8, 0, 0);
            log.note(what, "IGNORED", if knows { "INVISIBLE" } else { "visible" });
            edit.replace(start..cursor.end(), if knows { "INVISIBLE" } else { "" });
        } else if way.to_mariadb() && cursor.eat_words(&["WITH", "PARSER"]) {
            let parser = cursor.eat_name().unwrap_or_default();
            log.warn(what, format!("WITH PARSER {parser}"), "an index by the server's own parser");
            edit.remove(start..cursor.end());
        } else if cursor.eat_word("ENGINE_ATTRIBUTE")
            || cursor.eat_word("SECONDARY_ENGINE_ATTRIBUTE")
            || is_engine_option(&cursor)
        {
            cursor.next_if(|token| token.kind == TokenKind::QuotedIdent);
            cursor.eat_punct("=");
            cursor.next();
            log.note(what, text_of(within(edit.tokens, start..cursor.end())), "without, as it concerns storage only");
            edit.remove(start..cursor.end());
        } else {
            cursor.next();
        }
    }
}

/// MariaDB prints what an engine adds as quoted names.
fn is_engine_option(cursor: &Cursor<'_, '_>) -> bool {
    let quoted = cursor.peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent);
    quoted && cursor.peek_at(1).is_some_and(|token| token.is_punct("="))
}
