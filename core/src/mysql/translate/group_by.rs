//! Moves the order in `GROUP BY … ASC`, which later releases of MySQL do not have, into an `ORDER BY`.

use super::super::capability::Capability;
use super::super::ddl::{Token, TokenCursor, join_tokens, slice_tokens, split_at_commas};
use super::{FidelityLog, Translator};

/// The words that end the expressions of a GROUP BY.
const AFTER_GROUPS: [&str; 9] = ["HAVING", "WINDOW", "ORDER", "WITH", "LIMIT", "PROCEDURE", "INTO", "FOR", "LOCK"];
/// The words that may follow an ORDER BY.
const AFTER_ORDER: [&str; 5] = ["LIMIT", "PROCEDURE", "INTO", "FOR", "LOCK"];
/// The words between two queries. An order within one of them has no effect.
const BETWEEN_QUERIES: [&str; 3] = ["UNION", "EXCEPT", "INTERSECT"];
/// The words of a routine that may follow a query.
const AFTER_QUERY: [&str; 2] = ["ON", "DO"];

/// Rewrites each `GROUP BY` that has an order. If the query has an `ORDER BY`, that one decides alone.
pub(super) fn move_order(all: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let (mut text, mut copied) = (String::new(), 0);
    let mut cursor = TokenCursor::new(all);
    while !translator.target_has(Capability::GroupByOrder) && cursor.peek().is_some() {
        if !cursor.eat_words(&["GROUP", "BY"]) {
            cursor.next();
            continue;
        }
        let start = cursor.end();
        let mut rest = cursor.clone();
        skip_to(&mut rest, &[&AFTER_GROUPS, &BETWEEN_QUERIES, &AFTER_QUERY]);
        let groups = slice_tokens(all, start..rest.start());
        if !split_at_commas(groups).into_iter().any(|group| direction(group).is_some()) {
            continue;
        }
        let end = rest.start();
        rest.eat_words(&["WITH", "ROLLUP"]);
        let has_order = skip_to(&mut rest, &[&AFTER_ORDER, &BETWEEN_QUERIES, &AFTER_QUERY]);
        let is_last = !rest.peek().is_some_and(|next| next.is_any_word(&BETWEEN_QUERIES));
        let written = join_tokens(groups).trim().to_owned();
        let plain: Vec<String> = split_at_commas(groups).into_iter().map(without_direction).collect();
        text.push_str(&join_tokens(slice_tokens(all, copied..start)));
        text.push_str(plain.join(",").trim_end());
        let between = join_tokens(slice_tokens(all, end..rest.start()));
        if !between.trim().is_empty() {
            text.push_str(&format!(" {}", between.trim_end()));
        }
        if !has_order && is_last {
            text.push_str(&format!(" ORDER BY {written}"));
        }
        copied = rest.start();
        if copied < all.len() {
            text.push(' ');
        }
        log.note("GROUP BY", written, "with its order in ORDER BY");
        cursor = rest;
    }
    text.push_str(&join_tokens(slice_tokens(all, copied..all.len())));
    text
}

/// Moves to the next token outside of brackets that is one of these words or ends the query. Returns whether it has passed
/// an ORDER BY.
fn skip_to(cursor: &mut TokenCursor<'_, '_>, ends: &[&[&str]]) -> bool {
    let mut has_order = false;
    while let Some(token) = cursor.peek() {
        if token.is_punct(")") || token.is_punct(";") || ends.iter().any(|words| token.is_any_word(words)) {
            break;
        }
        has_order |= token.is_word("ORDER");
        if cursor.eat_group().is_none() {
            cursor.next();
        }
    }
    has_order
}

/// The index of the direction at the end of a grouping expression.
fn direction(group: &[Token<'_>]) -> Option<usize> {
    let last = group.iter().rposition(|token| !token.is_trivia())?;
    group.get(last).filter(|token| token.is_any_word(&["ASC", "DESC"])).map(|_| last)
}

fn without_direction(group: &[Token<'_>]) -> String {
    let kept = direction(group).unwrap_or(group.len());
    join_tokens(slice_tokens(group, 0..kept)).trim_end().to_owned()
}
