//! Translates a `CREATE TABLE`, item by item.

use super::super::ddl::{Dialect, Token, TokenCursor, TokenKind, join_tokens, slice_tokens, split_at_commas, tokenize};
use super::table_summary::{self, TableSummary};
use super::{FidelityLog, Translator, column, function_calls, key, table_options};

/// Translates the statement that creates a table.
pub(super) fn translate_table(create: &str, translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let plain = expand_conditional_comments(create);
    let all = tokenize(&plain, Dialect::default());
    let Some((_, rest)) = split_body(&all) else { return create.to_owned() };
    // The partition clause accepts plain values only.
    let plain = function_calls::rewrite_calls(slice_tokens(&all, 0..rest.start), translator, log)
        + &join_tokens(slice_tokens(&all, rest));
    let all = tokenize(&plain, Dialect::default());
    let Some((body, rest)) = split_body(&all) else { return create.to_owned() };
    let items = split_at_commas(slice_tokens(&all, body.clone()));
    let rest = slice_tokens(&all, rest);
    let summary = TableSummary::read(&items, rest);
    let mut checks = Vec::new();
    let mut kept: Vec<String> = Vec::new();
    for item in items {
        let translated = match table_summary::is_column(item) {
            true => column::translate(item, translator, log, &mut checks),
            false => key::translate(item, translator, log, &summary),
        };
        kept.extend(translated.map(|text| text.trim_end().to_owned()));
    }
    kept.extend(checks.into_iter().map(|check| format!("\n  {check}")));
    let head = join_tokens(slice_tokens(&all, 0..body.start));
    format!("{head}{}\n){}", kept.join(","), table_options::translate(rest, translator, log))
}

/// Reads the names of a table's checks.
pub(super) fn check_names(create: &str) -> Vec<String> {
    let plain = expand_conditional_comments(create);
    let all = tokenize(&plain, Dialect::default());
    let Some((body, _)) = split_body(&all) else { return Vec::new() };
    split_at_commas(slice_tokens(&all, body)).into_iter().filter_map(key::check_name).collect()
}

/// Removes the brackets of conditional comments, whose content counts for the source's server, and the introducers
/// `_utf8mb4`.
fn expand_conditional_comments(create: &str) -> String {
    let all = tokenize(create, Dialect::default());
    let is =
        |index: Option<usize>, kind| index.and_then(|index| all.get(index)).is_some_and(|token| token.kind == kind);
    let kept = all.iter().enumerate().filter(|(index, token)| match token.kind {
        // The sessions that create objects have this character set. MariaDB writes a string with the introducer and a
        // backslash wrongly into its stored copy of the definition.
        TokenKind::Word if token.is_word("_utf8mb4") => !is(Some(index + 1), TokenKind::Str),
        TokenKind::ConditionalOpen | TokenKind::ConditionalClose => false,
        TokenKind::Space => {
            !is(index.checked_sub(1), TokenKind::ConditionalOpen) && !is(Some(index + 1), TokenKind::ConditionalClose)
        }
        _ => true,
    });
    kept.map(|(_, token)| token.text).collect()
}

/// The token ranges of the items and of the options after them.
pub(super) fn split_body(all: &[Token<'_>]) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut cursor = TokenCursor::new(all);
    while !cursor.peek()?.is_punct("(") {
        cursor.next();
    }
    let body = cursor.eat_group()?;
    Some((body, cursor.end()..all.len()))
}
