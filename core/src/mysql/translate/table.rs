//! Takes a `CREATE TABLE` apart, and puts it together again of what each of its parts becomes.

use super::super::ddl::{Cursor, Dialect, Token, TokenKind, split_at_commas, text_of, tokens, within};
use super::{Log, Way, call, column, key, options};

/// What one part of a table must know of the others.
pub(super) struct Shape {
    /// The storage engine, in lower case.
    pub(super) engine: String,
    /// The columns' names, each with its type in lower case.
    pub(super) columns: Vec<(String, String)>,
    /// Application-time periods: name, first and last column.
    pub(super) periods: Vec<(String, String, String)>,
    /// The columns of a row's versions that the target does not have: MariaDB adds the last one to every unique key.
    pub(super) versions: Vec<String>,
}

/// The statement that creates the table at the target.
pub(super) fn statement(create: &str, way: &Way<'_>, log: &mut Log) -> String {
    let plain = unconditional(create);
    let all = tokens(&plain, Dialect::default());
    let Some((_, rest)) = parts(&all) else { return create.to_owned() };
    // Partitions take plain values only.
    let plain = call::rewrite(within(&all, 0..rest.start), way, log) + &text_of(within(&all, rest));
    let all = tokens(&plain, Dialect::default());
    let Some((body, rest)) = parts(&all) else { return create.to_owned() };
    let items = split_at_commas(within(&all, body.clone()));
    let rest = within(&all, rest);
    let shape = Shape::read(&items, rest);
    let mut checks = Vec::new();
    let mut kept: Vec<String> = Vec::new();
    for item in items {
        let image = match is_column(item) {
            true => column::translate(item, way, log, &mut checks),
            false => key::translate(item, way, log, &shape),
        };
        kept.extend(image.map(|text| text.trim_end().to_owned()));
    }
    kept.extend(checks.into_iter().map(|check| format!("\n  {check}")));
    let head = text_of(within(&all, 0..body.start));
    format!("{head}{}\n){}", kept.join(","), options::translate(rest, way, log))
}

/// The names of a table's checks.
pub(super) fn checks(create: &str) -> Vec<String> {
    let plain = unconditional(create);
    let all = tokens(&plain, Dialect::default());
    let Some((body, _)) = parts(&all) else { return Vec::new() };
    split_at_commas(within(&all, body)).into_iter().filter_map(key::check_name).collect()
}

/// The text as the server that printed it reads it: what stands in its conditional comments counts, and strings are
/// UTF-8.
fn unconditional(create: &str) -> String {
    let all = tokens(create, Dialect::default());
    let is =
        |index: Option<usize>, kind| index.and_then(|index| all.get(index)).is_some_and(|token| token.kind == kind);
    let kept = all.iter().enumerate().filter(|(index, token)| match token.kind {
        // The sessions that define are of this character set, and MariaDB prints a string with it wrongly into its own
        // copy of the definition when there is a backslash.
        TokenKind::Word if token.is_word("_utf8mb4") => !is(Some(index + 1), TokenKind::Str),
        TokenKind::ConditionalOpen | TokenKind::ConditionalClose => false,
        TokenKind::Space => {
            !is(index.checked_sub(1), TokenKind::ConditionalOpen) && !is(Some(index + 1), TokenKind::ConditionalClose)
        }
        _ => true,
    });
    kept.map(|(_, token)| token.text).collect()
}

/// Where the columns are, and where what follows them.
fn parts(all: &[Token<'_>]) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut cursor = Cursor::new(all);
    while !cursor.peek()?.is_punct("(") {
        cursor.next();
    }
    let body = cursor.eat_group()?;
    Some((body, cursor.end()..all.len()))
}

/// Servers quote the names of columns, and nothing else begins with a name.
fn is_column(item: &[Token<'_>]) -> bool {
    Cursor::new(item).peek().is_some_and(|token| token.kind == TokenKind::QuotedIdent)
}

impl Shape {
    fn read(items: &[&[Token<'_>]], rest: &[Token<'_>]) -> Self {
        let mut shape =
            Self { engine: options::engine_of(rest), columns: Vec::new(), periods: Vec::new(), versions: Vec::new() };
        for item in items {
            let mut cursor = Cursor::new(item);
            if is_column(item) {
                let pair = cursor.eat_name().zip(cursor.eat_name());
                shape.columns.extend(pair.map(|(name, kind)| (name, kind.to_ascii_lowercase())));
            } else if cursor.eat_words(&["PERIOD", "FOR", "SYSTEM_TIME"]) {
                shape.versions = key::columns(cursor, item);
            } else if cursor.eat_words(&["PERIOD", "FOR"]) {
                shape.periods.extend(key::period(cursor, item));
            }
        }
        shape
    }
}
