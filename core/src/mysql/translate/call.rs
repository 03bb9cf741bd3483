//! Functions and operators of one family, written with those of the other; and what has the same name and other results.

use super::super::ddl::{Cursor, Token, TokenKind, split_at_commas, text_of, within};
use super::{Log, Way};
use crate::catalog::ObjectKind;

/// The text with everything replaced that the target says in other words.
pub(super) fn rewrite(all: &[Token<'_>], way: &Way<'_>, log: &mut Log) -> String {
    let mut cursor = Cursor::new(all);
    let (mut text, mut done) = (String::new(), 0);
    // Where the name begins, parted by dots, that was read last.
    let mut operand = 0;
    let mut after_dot = false;
    while cursor.peek().is_some() {
        let start = cursor.start();
        let Some((from, image, rest)) = image(cursor.clone(), operand, all, way, log).filter(|_| !after_dot) else {
            let token = cursor.next();
            let is_name = token.is_some_and(|token| token.ident().is_some());
            if is_name && !after_dot {
                operand = start;
            }
            after_dot = token.is_some_and(|token| token.is_punct("."));
            continue;
        };
        text.push_str(&text_of(within(all, done..from)));
        text.push_str(&image);
        done = rest.end();
        log.note("expression", text_of(within(all, from..done)), image);
        cursor = rest;
    }
    text.push_str(&text_of(within(all, done..all.len())));
    text
}

/// What takes the place of the next tokens: from which on, by what, and what follows.
fn image<'t, 'a>(
    mut cursor: Cursor<'t, 'a>,
    operand: usize,
    all: &'t [Token<'a>],
    way: &Way<'_>,
    log: &mut Log,
) -> Option<(usize, String, Cursor<'t, 'a>)> {
    let start = cursor.start();
    let token = cursor.next()?;
    if way.to_mariadb() && token.is_punct("-") && cursor.eat_punct(">") {
        let unquoted = cursor.eat_punct(">");
        let path = cursor.next_if(|token| token.kind == TokenKind::Str)?;
        let value = format!("json_extract({}, {})", text_of(within(all, operand..start)).trim(), path.text);
        let value = if unquoted { format!("json_unquote({value})") } else { value };
        return Some((operand, value, cursor));
    }
    if way.to_mariadb() && token.is_word("FOR") && cursor.eat_word("SHARE") {
        let more = cursor.peek().is_some_and(|next| next.is_any_word(&["OF", "NOWAIT", "SKIP"]));
        return (!more).then(|| (start, "LOCK IN SHARE MODE".to_owned(), cursor));
    }
    if token.kind != TokenKind::Word {
        return None;
    }
    let is_bytes = |token: &Token<'_>| token.kind == TokenKind::Str && token.text.starts_with(['x', 'X']);
    let in_table = way.to_mariadb() && log.object.kind == ObjectKind::Table;
    if let Some(charset) = token.text.strip_prefix('_').filter(|_| in_table)
        && let Some(bytes) = cursor.next_if(is_bytes)
    {
        // MariaDB prints its bytes into its own copy of a table's definition in a form that it reads wrongly.
        return Some((start, format!("convert({} using {charset})", bytes.text), cursor));
    }
    let group = cursor.eat_group()?;
    let arguments = split_at_commas(within(all, group));
    let name = token.text.to_ascii_lowercase();
    let image =
        if way.to_mariadb() { in_mariadb(&name, &arguments, way, log) } else { in_mysql(&name, &arguments, way, log) };
    Some((start, image?, cursor))
}

fn in_mariadb(name: &str, arguments: &[&[Token<'_>]], way: &Way<'_>, log: &mut Log) -> Option<String> {
    if !["regexp_like", "uuid_to_bin", "bin_to_uuid", "any_value", "json_value"].contains(&name) {
        return None;
    }
    if let ("json_value", [document, rest]) = (name, arguments) {
        return json_value(&argument(document, way, log), rest);
    }
    let texts: Vec<String> = arguments.iter().map(|tokens| argument(tokens, way, log)).collect();
    match (name, texts.as_slice()) {
        ("regexp_like", [text, pattern]) => Some(format!("({} regexp {})", operand(text), operand(pattern))),
        ("uuid_to_bin", [uuid]) => Some(format!("unhex(replace({uuid},'-',''))")),
        ("bin_to_uuid", [bytes]) => {
            let dashed = |text: String, at: u32| format!("insert({text},{at},0,'-')");
            Some([9, 14, 19, 24].into_iter().fold(format!("lower(hex({bytes}))"), dashed))
        }
        ("any_value", [value]) => Some(format!("({value})")),
        _ => None,
    }
}

/// MySQL prints the type of the result, MariaDB has none.
fn json_value(document: &str, rest: &[Token<'_>]) -> Option<String> {
    let at = rest.iter().position(|token| token.is_word("RETURNING"))?;
    let path = text_of(within(rest, 0..at));
    let kind = text_of(within(rest, at + 1..rest.len()));
    let value = format!("json_value({document},{})", path.trim());
    match kind.trim().to_ascii_lowercase().as_str() {
        "char(512)" => Some(value),
        kind if kind.contains("error") || kind.contains("empty") || kind == "json" || kind == "year" => None,
        kind => Some(format!("cast({value} as {kind})")),
    }
}

fn in_mysql(name: &str, arguments: &[&[Token<'_>]], way: &Way<'_>, log: &mut Log) -> Option<String> {
    if !["nvl", "nvl2", "lengthb", "json_exists", "lpad", "rpad"].contains(&name) {
        return None;
    }
    let texts: Vec<String> = arguments.iter().map(|tokens| argument(tokens, way, log)).collect();
    match (name, texts.as_slice()) {
        ("nvl", [value, other]) => Some(format!("ifnull({value},{other})")),
        ("nvl2", [value, some, none]) => Some(format!("if({} is not null,{some},{none})", operand(value))),
        ("lengthb", [text]) => Some(format!("length({text})")),
        ("lpad" | "rpad", [text, length]) => Some(format!("{name}({text},{length},' ')")),
        ("json_exists", [document, path]) => Some(format!("json_contains_path({document},'one',{path})")),
        _ => None,
    }
}

fn argument(tokens: &[Token<'_>], way: &Way<'_>, log: &mut Log) -> String {
    rewrite(tokens, way, log).trim().to_owned()
}

/// An argument where an operator stands beside it.
fn operand(text: &str) -> String {
    if text.contains(char::is_whitespace) { format!("({text})") } else { text.to_owned() }
}

/// Functions that print what they make in each family's own way.
const PRINT: [&str; 8] = [
    "json_array",
    "json_arrayagg",
    "json_merge",
    "json_merge_patch",
    "json_merge_preserve",
    "json_object",
    "json_objectagg",
    "json_pretty",
];
/// Functions that give a whole part of a document: as it was written in MariaDB, in MySQL's own form there.
const CUT: [&str; 8] = [
    "json_array_append",
    "json_array_insert",
    "json_extract",
    "json_insert",
    "json_remove",
    "json_replace",
    "json_set",
    "json_keys",
];
/// Functions whose results have as many digits as MariaDB's decimals, and those of a double in MySQL.
const DIGITS: [&str; 9] =
    ["cume_dist", "percent_rank", "std", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance"];

/// Tells what the target takes and understands a little otherwise.
pub(super) fn shades(all: &[Token<'_>], way: &Way<'_>, log: &mut Log) {
    let mut cursor = Cursor::new(all);
    let mut before: Option<&Token<'_>> = None;
    while let Some(token) = cursor.next() {
        let called = token.kind == TokenKind::Word && cursor.peek().is_some_and(|next| next.is_punct("("));
        let name = || format!("{}()", token.text.to_ascii_lowercase());
        if called && (token.is_any_word(&PRINT) || !way.to_mariadb() && token.is_any_word(&CUT)) {
            log.warn("JSON", name(), "prints JSON in the target's way: order of keys, spaces, true or 1");
        } else if called && token.is_any_word(&DIGITS) {
            log.warn("digits", name(), "has more or fewer of them at the target");
        } else if token.is_any_word(&["DATETIME", "TIME"]) && before.is_some_and(|before| before.is_word("AS")) {
            let (here, there) = if way.to_mariadb() { ("rounded", "cut") } else { ("cut", "rounded") };
            let kind = token.text.to_ascii_lowercase();
            log.note("fractions of a second", format!("cast to {kind}: {here}"), there);
        }
        before = Some(token);
    }
}
