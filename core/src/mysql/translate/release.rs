//! Adapts definitions to another release of the same family: default collations, reserved words, removed syntax.

use super::super::capability::{Capability, words};
use super::super::ddl::{
    Dialect, Token, TokenCursor, TokenKind, join_tokens, quote_name, slice_tokens, split_at_commas, tokenize,
};
use super::token_editor::TokenEditor;
use super::{
    FidelityLog, Translator, charset, collation, definition, group_by, table, table_summary, unsupported_functions,
};
use crate::catalog::{Definition, ObjectKind};

/// Adapts a `CREATE TABLE`.
pub(super) fn adapt_table(create: &str, translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let all = tokenize(create, Dialect::default());
    let Some((body, rest)) = table::split_body(&all) else { return create.to_owned() };
    let mut items = Vec::new();
    for item in split_at_commas(slice_tokens(&all, body.clone())) {
        charset::log_expressions(item, translator, log);
        let mut editor = TokenEditor::new(item);
        if table_summary::is_column(item) {
            collation::rename_collations(&mut editor, translator, log, true);
        }
        items.push(editor.text());
    }
    let mut options = TokenEditor::new(slice_tokens(&all, rest.clone()));
    collation::rename_collations(&mut options, translator, log, true);
    let before = join_tokens(slice_tokens(&all, 0..body.start));
    let between = join_tokens(slice_tokens(&all, body.end..rest.start));
    format!("{before}{}{between}{}", items.join(","), options.text())
}

/// Adapts the definition of an object that is not a table. Returns it unchanged, and logs an error, if the target has no
/// such function.
pub(super) fn adapt_definition(source: &Definition, translator: &Translator<'_>, log: &mut FidelityLog) -> Definition {
    let dialect = Dialect::from_sql_mode(&source.sql_mode);
    let all = tokenize(&source.create, dialect);
    if source.object.kind == ObjectKind::Library && !translator.target_has(Capability::Libraries) {
        log.unsupported("definition", "the target's release has no libraries");
        return source.clone();
    }
    if let Some(function) = unsupported_functions::find_unsupported_in(&all, translator) {
        log.unsupported("definition", format!("it uses {function}, which the target does not have"));
        return source.clone();
    }
    let ordered = group_by::move_order(&all, translator, log);
    let all = tokenize(&ordered, dialect);
    let quoted = quote_reserved_words(&all, translator, log);
    let all = tokenize(&quoted, dialect);
    let create = match source.object.kind {
        ObjectKind::Sequence => without_sequence_type(&all, translator, log),
        _ => charset::write_default_collations(&all, source, translator, log),
    };
    definition::with_settings(source, create, translator, log)
}

/// Quotes the names that the target reserves.
fn quote_reserved_words(all: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let mut editor = TokenEditor::new(all);
    for (index, token) in all.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Word) {
        let before = index.checked_sub(1).and_then(|before| all.get(before));
        let is_variable = before.is_some_and(|before| before.is_punct("@") || before.is_punct("@@"));
        if !is_variable && words::is_newly_reserved(token.text, translator.from, translator.to) {
            log.note("name", token.text, format!("{}, as the target reserves the word", quote_name(token.text)));
            editor.replace(index..index + 1, quote_name(token.text));
        }
    }
    editor.text()
}

/// Removes the type of a sequence for a target that does not know it. The limits of its values are printed, so nothing is
/// lost.
fn without_sequence_type(all: &[Token<'_>], translator: &Translator<'_>, log: &mut FidelityLog) -> String {
    let mut editor = TokenEditor::new(all);
    let mut cursor = TokenCursor::new(all);
    while !translator.target_has(Capability::TypedSequences) && cursor.peek().is_some() {
        let start = cursor.start();
        if !cursor.eat_word("AS") {
            cursor.next();
            continue;
        }
        cursor.next();
        cursor.eat_group();
        cursor.next_if(|token| token.is_any_word(&["SIGNED", "UNSIGNED"]));
        let removed = start..cursor.end();
        log.note("type", join_tokens(slice_tokens(all, removed.clone())), "without, as its limits say the same");
        editor.remove(removed);
        break;
    }
    editor.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Flavor, ObjectRef, Server};

    const OLD: &str = "5.6.24";
    const NEW: &str = "9.7.4";

    fn adapt(kind: ObjectKind, create: &str, flavor: Flavor, from: &str, to: &str) -> String {
        let (from, to) = (Server::new(flavor, from), Server::new(flavor, to));
        let translator = Translator::new(&from, &to, &[]);
        let mut log = FidelityLog::for_object(ObjectRef::new(kind, "x"));
        if kind == ObjectKind::Table {
            return adapt_table(create, &translator, &mut log);
        }
        let source = Definition {
            object: ObjectRef::new(kind, "x"),
            create: create.to_owned(),
            sql_mode: "NO_AUTO_CREATE_USER,ANSI_QUOTES".to_owned(),
            character_set_client: "utf8mb4".to_owned(),
            collation_connection: "utf8_general_ci".to_owned(),
            database_collation: "utf8_bin".to_owned(),
            time_zone: String::new(),
            columns: Vec::new(),
            state: None,
        };
        let adapted = adapt_definition(&source, &translator, &mut log);
        if flavor == Flavor::MySql {
            assert_eq!(adapted.sql_mode, "ANSI_QUOTES");
            assert_eq!(adapted.collation_connection, "utf8mb3_general_ci");
            assert_eq!(adapted.database_collation, "utf8mb3_bin");
        }
        adapted.create
    }

    #[test]
    fn a_table_keeps_its_default_collation() {
        let create = "CREATE TABLE `t` (\n  `a` text,\n  `b` char(3) CHARACTER SET utf8mb4 DEFAULT 'CHARSET utf8mb4',\n  \
                      `c` char(3) CHARACTER SET latin1,\n  KEY `k` (`b`)\n) ENGINE=MyISAM DEFAULT CHARSET=utf8mb4 \
                      COMMENT='CHARSET=utf8mb4'";
        let expected = "CREATE TABLE `t` (\n  `a` text,\n  `b` char(3) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci \
                        DEFAULT 'CHARSET utf8mb4',\n  `c` char(3) CHARACTER SET latin1,\n  KEY `k` (`b`)\n) ENGINE=MyISAM \
                        DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='CHARSET=utf8mb4'";
        assert_eq!(adapt(ObjectKind::Table, create, Flavor::MySql, OLD, NEW), expected);
    }

    #[test]
    fn new_reserved_words_are_quoted() {
        let create = "CREATE FUNCTION x(rank int) RETURNS int BEGIN DECLARE groups int; \
                      SELECT @rank, t.rank, 'rank' INTO groups FROM t; RETURN rank; END";
        let expected = "CREATE FUNCTION x(`rank` int) RETURNS int BEGIN DECLARE `groups` int; \
                        SELECT @rank, t.`rank`, 'rank' INTO `groups` FROM t; RETURN `rank`; END";
        assert_eq!(adapt(ObjectKind::Function, create, Flavor::MySql, OLD, NEW), expected);
    }

    #[test]
    fn the_order_of_a_group_by_moves() {
        let view = |create: &str| adapt(ObjectKind::View, create, Flavor::MySql, OLD, NEW);
        for (from, to) in [
            ("select a from t group by a desc", "select a from t group by a ORDER BY a desc"),
            (
                "select a from t group by a asc, f(b) desc having c > (select 1) limit 3",
                "select a from t group by a, f(b) having c > (select 1) ORDER BY a asc, f(b) desc limit 3",
            ),
            ("select a from t group by a desc with rollup", "select a from t group by a with rollup ORDER BY a desc"),
            ("select a from t group by a desc order by b", "select a from t group by a order by b"),
            (
                "select * from (select a from t group by a desc) s",
                "select * from (select a from t group by a ORDER BY a desc ) s",
            ),
            ("select a from t group by a desc union select 1", "select a from t group by a union select 1"),
            ("begin select a from t group by a desc; end", "begin select a from t group by a ORDER BY a desc ; end"),
            ("select a from t group by a order by a desc", "select a from t group by a order by a desc"),
        ] {
            assert_eq!(view(from), to);
        }
    }

    #[test]
    fn an_older_server_gets_a_sequence_without_type() {
        let create = "CREATE SEQUENCE `x` as int unsigned start with 1 minvalue 1 maxvalue 9";
        let expected = "CREATE SEQUENCE `x` start with 1 minvalue 1 maxvalue 9";
        let adapted = |from, to| adapt(ObjectKind::Sequence, create, Flavor::MariaDb, from, to);
        assert_eq!(adapted("11.8.3-MariaDB", "10.11.19-MariaDB"), expected);
        assert_eq!(adapted("11.8.3-MariaDB", "11.4.9-MariaDB"), expected);
        assert_eq!(adapted("11.4.9-MariaDB", "11.8.3-MariaDB"), create);
    }
}
