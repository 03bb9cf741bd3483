//! Rewrites calls of functions of one family to those of the other, and finds functions whose results differ.

use super::super::ddl::{Token, TokenCursor, TokenKind, join_tokens, slice_tokens, split_at_commas};
use super::{FidelityLog, Translator};
use crate::catalog::ObjectKind;

/// Rewrites all calls and operators for which the target has an equivalent.
pub(super) fn rewrite_calls(all: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let mut cursor = TokenCursor::new(all);
    let (mut text, mut copied) = (String::new(), 0);
    // The start of the last name, with its qualifiers.
    let mut operand = 0;
    let mut after_dot = false;
    while cursor.peek().is_some() {
        let start = cursor.start();
        let Some((from, rewritten, rest)) =
            rewrite_next(cursor.clone(), operand, all, translator, log).filter(|_| !after_dot)
        else {
            let token = cursor.next();
            let is_name = token.is_some_and(|token| token.ident().is_some());
            if is_name && !after_dot {
                operand = start;
            }
            after_dot = token.is_some_and(|token| token.is_punct("."));
            continue;
        };
        text.push_str(&join_tokens(slice_tokens(all, copied..from)));
        text.push_str(&rewritten);
        copied = rest.end();
        log.note("expression", join_tokens(slice_tokens(all, from..copied)), rewritten);
        cursor = rest;
    }
    text.push_str(&join_tokens(slice_tokens(all, copied..all.len())));
    text
}

/// Rewrites the next call or operator. Returns the index of its first token, its new text, and the cursor after it.
fn rewrite_next<'t, 'a>(
    mut cursor: TokenCursor<'t, 'a>,
    operand: usize,
    all: &'t [Token<'a>],
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) -> Option<(usize, String, TokenCursor<'t, 'a>)> {
    let start = cursor.start();
    let token = cursor.next()?;
    if translator.targets_mariadb() && token.is_punct("-") && cursor.eat_punct(">") {
        let unquoted = cursor.eat_punct(">");
        let path = cursor.next_if(|token| token.kind == TokenKind::Str)?;
        let value = format!("json_extract({}, {})", join_tokens(slice_tokens(all, operand..start)).trim(), path.text);
        let value = if unquoted { format!("json_unquote({value})") } else { value };
        return Some((operand, value, cursor));
    }
    if translator.targets_mariadb() && token.is_word("FOR") && cursor.eat_word("SHARE") {
        let more = cursor.peek().is_some_and(|next| next.is_any_word(&["OF", "NOWAIT", "SKIP"]));
        return (!more).then(|| (start, "LOCK IN SHARE MODE".to_owned(), cursor));
    }
    if token.kind != TokenKind::Word {
        return None;
    }
    let is_bytes = |token: &Token<'_>| token.kind == TokenKind::Str && token.text.starts_with(['x', 'X']);
    let in_table = translator.targets_mariadb() && log.object.kind == ObjectKind::Table;
    if let Some(charset) = token.text.strip_prefix('_').filter(|_| in_table)
        && let Some(bytes) = cursor.next_if(is_bytes)
    {
        // MariaDB writes such bytes into its stored copy of the table's definition in a form that it cannot read.
        return Some((start, format!("convert({} using {charset})", bytes.text), cursor));
    }
    let group = cursor.eat_group()?;
    let arguments = split_at_commas(slice_tokens(all, group));
    let name = token.text.to_ascii_lowercase();
    let rewritten = if translator.targets_mariadb() {
        mariadb_equivalent(&name, &arguments, translator, log)
    } else {
        mysql_equivalent(&name, &arguments, translator, log)
    };
    Some((start, rewritten?, cursor))
}

/// Writes a call of MySQL's function with MariaDB's.
fn mariadb_equivalent(
    name: &str,
    arguments: &[&[Token<'_>]],
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) -> Option<String> {
    if !["regexp_like", "uuid_to_bin", "bin_to_uuid", "any_value", "json_value"].contains(&name) {
        return None;
    }
    if let ("json_value", [document, rest]) = (name, arguments) {
        return json_value_in_mariadb(&rewrite_argument(document, translator, log), rest);
    }
    let texts: Vec<String> = arguments.iter().map(|tokens| rewrite_argument(tokens, translator, log)).collect();
    match (name, texts.as_slice()) {
        ("regexp_like", [text, pattern]) => Some(format!("({} regexp {})", as_operand(text), as_operand(pattern))),
        ("uuid_to_bin", [uuid]) => Some(format!("unhex(replace({uuid},'-',''))")),
        ("bin_to_uuid", [bytes]) => {
            let dashed = |text: String, at: u32| format!("insert({text},{at},0,'-')");
            Some([9, 14, 19, 24].into_iter().fold(format!("lower(hex({bytes}))"), dashed))
        }
        ("any_value", [value]) => Some(format!("({value})")),
        _ => None,
    }
}

/// Rewrites the arguments of `json_value`: MySQL prints the type of its result, MariaDB has no such clause.
fn json_value_in_mariadb(document: &str, rest: &[Token<'_>]) -> Option<String> {
    let at = rest.iter().position(|token| token.is_word("RETURNING"))?;
    let path = join_tokens(slice_tokens(rest, 0..at));
    let kind = join_tokens(slice_tokens(rest, at + 1..rest.len()));
    let value = format!("json_value({document},{})", path.trim());
    match kind.trim().to_ascii_lowercase().as_str() {
        "char(512)" => Some(value),
        kind if kind.contains("error") || kind.contains("empty") || kind == "json" || kind == "year" => None,
        kind => Some(format!("cast({value} as {kind})")),
    }
}

/// Writes a call of MariaDB's function with MySQL's.
fn mysql_equivalent(
    name: &str,
    arguments: &[&[Token<'_>]],
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) -> Option<String> {
    if !["nvl", "nvl2", "lengthb", "json_exists", "lpad", "rpad"].contains(&name) {
        return None;
    }
    let texts: Vec<String> = arguments.iter().map(|tokens| rewrite_argument(tokens, translator, log)).collect();
    match (name, texts.as_slice()) {
        ("nvl", [value, other]) => Some(format!("ifnull({value},{other})")),
        ("nvl2", [value, some, none]) => Some(format!("if({} is not null,{some},{none})", as_operand(value))),
        ("lengthb", [text]) => Some(format!("length({text})")),
        ("lpad" | "rpad", [text, length]) => Some(format!("{name}({text},{length},' ')")),
        ("json_exists", [document, path]) => Some(format!("json_contains_path({document},'one',{path})")),
        _ => None,
    }
}

/// Rewrites the calls in an argument.
fn rewrite_argument(tokens: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    rewrite_calls(tokens, translator, log).trim().to_owned()
}

/// Puts an argument into brackets if an operator next to it may bind tighter.
fn as_operand(text: &str) -> String {
    if text.contains(char::is_whitespace) { format!("({text})") } else { text.to_owned() }
}

/// The functions whose JSON the two families print differently.
const JSON_PRINTERS: [&str; 8] = [
    "json_array",
    "json_arrayagg",
    "json_merge",
    "json_merge_patch",
    "json_merge_preserve",
    "json_object",
    "json_objectagg",
    "json_pretty",
];
/// The functions that return a part of a document: unchanged in MariaDB, in normalized form in MySQL.
const JSON_EXTRACTORS: [&str; 8] = [
    "json_array_append",
    "json_array_insert",
    "json_extract",
    "json_insert",
    "json_remove",
    "json_replace",
    "json_set",
    "json_keys",
];
/// The functions whose results are decimals in MariaDB and doubles in MySQL.
const DIGIT_COUNT_DIFFERS: [&str; 9] =
    ["cume_dist", "percent_rank", "std", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance"];

/// Logs calls that the target accepts and whose results may differ.
pub(super) fn log_result_differences(all: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) {
    let mut cursor = TokenCursor::new(all);
    let mut before: Option<&Token<'_>> = None;
    while let Some(token) = cursor.next() {
        let called = token.kind == TokenKind::Word && cursor.peek().is_some_and(|next| next.is_punct("("));
        let name = || format!("{}()", token.text.to_ascii_lowercase());
        if called
            && (token.is_any_word(&JSON_PRINTERS)
                || !translator.targets_mariadb() && token.is_any_word(&JSON_EXTRACTORS))
        {
            log.warn("JSON", name(), "prints JSON in the target's way: order of keys, spaces, true or 1");
        } else if called && token.is_any_word(&DIGIT_COUNT_DIFFERS) {
            log.warn("digits", name(), "has more or fewer of them at the target");
        } else if token.is_any_word(&["DATETIME", "TIME"]) && before.is_some_and(|before| before.is_word("AS")) {
            let (here, there) = if translator.targets_mariadb() { ("rounded", "cut") } else { ("cut", "rounded") };
            let kind = token.text.to_ascii_lowercase();
            log.note("fractions of a second", format!("cast to {kind}: {here}"), there);
        }
        before = Some(token);
    }
}
