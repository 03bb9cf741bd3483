//! Keeps the collations of code that names a character set alone, where the two releases have other default collations.

use super::super::ddl::{Token, TokenCursor, TokenKind, join_tokens, quote_text, slice_tokens};
use super::token_editor::TokenEditor;
use super::{FidelityLog, Translator, collation};
use crate::catalog::{Definition, ObjectKind};

/// A place in code where a character set stands for its default collation.
enum CharsetUse {
    /// `CHARACTER SET x` of a type: `COLLATE` may follow the token of this index.
    Type(usize),
    /// `_x'text'`: the tokens of the introducer and of the literal.
    Literal(usize, usize),
    /// `CAST(… AS CHAR CHARACTER SET x)`: the tokens of the clause. The closing bracket follows.
    Cast(std::ops::Range<usize>),
    /// `CONVERT(… USING x)`: the opening bracket, and the tokens of `USING x`. The closing bracket follows.
    Convert(usize, std::ops::Range<usize>),
}

/// Finds all such places, each with the character set.
fn charset_uses(all: &[Token<'_>]) -> Vec<(String, CharsetUse)> {
    let mut found = Vec::new();
    let mut cursor = TokenCursor::new(all);
    let mut before: [Option<&Token<'_>>; 2] = [None, None];
    // The positions of the `CONVERT` before each open bracket.
    let mut open: Vec<Option<usize>> = Vec::new();
    while cursor.peek().is_some() {
        let start = cursor.start();
        let mut ahead = cursor.clone();
        // `SET CHARACTER SET x` is a statement.
        let is_statement = before[1].is_some_and(|token| token.is_word("SET"));
        let named = !is_statement && (ahead.eat_word("CHARSET") || ahead.eat_words(&["CHARACTER", "SET"]));
        if named && let Some(name) = ahead.eat_name() {
            let is_cast = before[1].is_some_and(|token| token.is_any_word(&["CHAR", "CHARACTER"]))
                && before[0].is_some_and(|token| token.is_word("AS"));
            let collated = ahead.peek().is_some_and(|next| next.is_word("COLLATE"));
            match is_cast {
                true => found.push((name, CharsetUse::Cast(start..ahead.end()))),
                false if !collated => found.push((name, CharsetUse::Type(ahead.end() - 1))),
                false => {}
            }
            cursor = ahead;
            before = [None, None];
            continue;
        }
        let Some(token) = cursor.next() else { break };
        let position = cursor.end() - 1;
        if token.is_punct("(") {
            open.push(before[1].is_some_and(|token| token.is_word("CONVERT")).then_some(position));
            // A length does not separate a type from its character set.
            if before[1].is_some_and(|token| token.is_word("CHAR")) && is_length(&cursor) {
                cursor.nth(1);
                open.pop();
                continue;
            }
        } else if token.is_punct(")") {
            open.pop();
        } else if token.is_word("USING")
            && let Some(Some(convert)) = open.last()
        {
            let mut ahead = cursor.clone();
            if let Some(name) = ahead.eat_name().filter(|_| ahead.peek().is_some_and(|next| next.is_punct(")"))) {
                found.push((name, CharsetUse::Convert(*convert, position..ahead.end())));
            }
        } else if let Some(charset) = token.text.strip_prefix('_').filter(|_| token.kind == TokenKind::Word)
            && cursor.peek().is_some_and(is_literal)
        {
            found.push((charset.to_owned(), CharsetUse::Literal(position, cursor.start())));
        }
        before = [before[1], Some(token)];
    }
    found
}

/// Whether a number and a closing bracket follow.
fn is_length(cursor: &TokenCursor<'_, '_>) -> bool {
    cursor.peek().is_some_and(|token| token.kind == TokenKind::Number)
        && cursor.peek_at(1).is_some_and(|token| token.is_punct(")"))
}

/// Whether this is a string, or a number in the form of bytes.
fn is_literal(token: &Token<'_>) -> bool {
    token.kind == TokenKind::Str || token.kind == TokenKind::Number && token.text.starts_with("0x")
}

/// Logs the expressions of a table whose results depend on another default collation at the target.
pub(super) fn log_expressions(item: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) {
    for (charset, place) in charset_uses(item) {
        let shown = match &place {
            CharsetUse::Type(_) => continue,
            CharsetUse::Literal(from, to) => join_tokens(slice_tokens(item, *from..to + 1)),
            CharsetUse::Cast(range) | CharsetUse::Convert(_, range) => join_tokens(slice_tokens(item, range.clone())),
        };
        log_changed_default(&shown, &charset, translator, log);
    }
}

fn log_changed_default(shown: &str, charset: &str, translator: &Translator<'_>, log: &mut FidelityLog) {
    let Some(ours) = collation::lost_default(charset, translator) else { return };
    let charset = collation::canonical_name(&charset.to_ascii_lowercase());
    let theirs = collation::default_collation(&charset, translator.to).unwrap_or_default();
    log.warn("expression", format!("{} with the collation {ours}", shown.trim()), theirs);
}

/// Writes the source's default collations into a routine, view, trigger or event.
///
/// A type gets a COLLATE. In an expression a COLLATE would win over the collations of columns. So there the character set is
/// removed if the session that runs the code has the same collation; otherwise the change is logged. A server writes the
/// character set of a conversion back into a view, so there it gets a COLLATE, unless the view names one of its own.
pub(super) fn write_default_collations(
    all: &[Token<'_>],
    source: &Definition,
    translator: &Translator<'_>,
    log: &mut FidelityLog,
) -> String {
    let connection = collation::canonical_name(&source.collation_connection.to_ascii_lowercase());
    let is_view = source.object.kind == ObjectKind::View;
    let has_collations = all.iter().any(|token| token.is_word("COLLATE"));
    let mut editor = TokenEditor::new(all);
    for (charset, place) in charset_uses(all) {
        let Some(default) = collation::lost_default(&charset, translator) else { continue };
        let of_session = default == connection;
        match place {
            CharsetUse::Type(index) => {
                let Some(name) = collation::translate_collation(&default, translator, log) else { continue };
                editor.insert_after(index, &format!(" COLLATE {name}"));
            }
            CharsetUse::Literal(from, to) => {
                let literal = all.get(to).map_or("", |token| token.text);
                match literal_of_session(literal).filter(|_| of_session) {
                    Some(text) => editor.replace(from..to + 1, text),
                    None => {
                        let shown = join_tokens(slice_tokens(all, from..to + 1));
                        log_changed_default(&shown, &charset, translator, log);
                    }
                }
            }
            CharsetUse::Cast(range) | CharsetUse::Convert(_, range) if is_view && !has_collations => {
                let close = TokenCursor::new(slice_tokens(all, range.end..all.len())).start() + range.end;
                let Some(name) = collation::translate_collation(&default, translator, log) else { continue };
                editor.insert_after(close, &format!(" COLLATE {name}"));
            }
            CharsetUse::Cast(range) if of_session && !is_view => editor.remove(range),
            CharsetUse::Convert(bracket, range) if of_session && !is_view => {
                let name = (0..bracket).rev().find(|index| all.get(*index).is_some_and(|token| !token.is_trivia()));
                if let Some(name) = name {
                    editor.replace(name..name + 1, "CAST");
                    editor.replace(range, "AS CHAR");
                }
            }
            CharsetUse::Cast(range) | CharsetUse::Convert(_, range) => {
                let shown = join_tokens(slice_tokens(all, range));
                log_changed_default(&shown, &charset, translator, log);
            }
        }
    }
    editor.text()
}

/// The literal without an introducer; `None` if its bytes are no text.
fn literal_of_session(literal: &str) -> Option<String> {
    let digits = literal.strip_prefix("0x").or_else(|| {
        let quoted = literal.strip_prefix(['x', 'X'])?;
        quoted.strip_prefix('\'')?.strip_suffix('\'')
    });
    let Some(digits) = digits else { return Some(literal.to_owned()) };
    let bytes: Option<Vec<u8>> = (digits.len() % 2 == 0)
        .then(|| (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()))?
        .collect();
    let text = String::from_utf8(bytes?).ok()?;
    (!text.contains(['\\', '\0'])).then(|| quote_text(&text))
}

#[cfg(test)]
mod tests {
    use super::super::super::ddl::{Dialect, tokenize};
    use super::*;
    use crate::catalog::{Flavor, ObjectRef, Server};

    fn rewrite(create: &str, connection: &str) -> (String, usize) {
        rewrite_object(ObjectKind::Function, create, connection)
    }

    fn rewrite_object(kind: ObjectKind, create: &str, connection: &str) -> (String, usize) {
        let (from, to) = (Server::new(Flavor::MySql, "5.7.44"), Server::new(Flavor::MySql, "9.7.4"));
        let translator = Translator::new(&from, &to, &[]);
        let object = ObjectRef::new(kind, "f");
        let source = Definition {
            object: object.clone(),
            create: create.to_owned(),
            sql_mode: String::new(),
            character_set_client: "utf8mb4".to_owned(),
            collation_connection: connection.to_owned(),
            database_collation: String::new(),
            time_zone: String::new(),
            columns: Vec::new(),
            state: None,
        };
        let mut log = FidelityLog::for_object(object);
        let all = tokenize(create, Dialect::default());
        let text = write_default_collations(&all, &source, &translator, &mut log);
        (text, log.issues.len())
    }

    #[test]
    fn a_type_gets_its_collation() {
        let create = "CREATE FUNCTION f(a CHAR(3) CHARSET utf8mb4, b TEXT CHARACTER SET latin1) \
                      RETURNS varchar(9) CHARSET utf8mb4 BEGIN DECLARE c CHAR(2) CHARSET utf8mb4 COLLATE utf8mb4_bin; END";
        let expected = "CREATE FUNCTION f(a CHAR(3) CHARSET utf8mb4 COLLATE utf8mb4_general_ci, \
                        b TEXT CHARACTER SET latin1) RETURNS varchar(9) CHARSET utf8mb4 COLLATE utf8mb4_general_ci \
                        BEGIN DECLARE c CHAR(2) CHARSET utf8mb4 COLLATE utf8mb4_bin; END";
        assert_eq!(rewrite(create, "utf8mb4_general_ci"), (expected.to_owned(), 0));
    }

    #[test]
    fn an_expression_takes_the_collation_of_its_session() {
        let create =
            "SELECT _utf8mb4'a' = _utf8mb4 0xC39F, CONVERT(x USING utf8mb4), CAST(y AS CHAR(3) CHARSET utf8mb4)";
        let expected = "SELECT 'a' = 'ß', CAST(x AS CHAR), CAST(y AS CHAR(3))";
        assert_eq!(rewrite(create, "utf8mb4_general_ci"), (expected.to_owned(), 0));
        // Under another collation the change is reported.
        assert_eq!(rewrite(create, "utf8mb4_unicode_ci"), (create.to_owned(), 4));
    }

    #[test]
    fn a_conversion_in_a_view_gets_its_collation() {
        let view = |create: &str| rewrite_object(ObjectKind::View, create, "latin1_swedish_ci");
        let expected = "select convert(x using utf8mb4) COLLATE utf8mb4_general_ci = y";
        assert_eq!(view("select convert(x using utf8mb4) = y"), (expected.to_owned(), 0));
        let own = "select convert(x using utf8mb4) = y collate utf8mb4_bin";
        assert_eq!(view(own), (own.to_owned(), 1));
    }

    #[test]
    fn a_statement_is_left_alone() {
        for create in ["BEGIN SET CHARACTER SET utf8mb4; SET NAMES utf8mb4; END", "SELECT CONVERT(x, CHAR), _latin1'a'"]
        {
            assert_eq!(rewrite(create, "utf8mb4_general_ci"), (create.to_owned(), 0));
        }
    }
}
