//! Replaces the database in qualified names and in SHOW statements.

use super::lexer::{Token, TokenKind, tokenize};
use super::{Dialect, quote_name};

/// The old and the new name of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseRename {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Whether the source's server ignores the case of the name.
    pub(crate) ignores_case: bool,
}

/// Replaces `from` by `to` in names that it qualifies. Returns the text and the number of replacements.
///
/// Strings, comments and variables never change.
///
/// `from.x` may also be a column of a table or alias that is named like the database. If the text holds such a name by
/// itself, a name of two parts is only rewritten at a position where the grammar requires a table or a routine.
pub(crate) fn rename_database(sql: &str, dialect: Dialect, rename: &DatabaseRename) -> (String, usize) {
    let DatabaseRename { from, to, ignores_case } = rename;
    if from == to && !ignores_case {
        return (sql.to_owned(), 0);
    }
    let all = tokenize(sql, dialect);
    let significant: Vec<_> = all.iter().enumerate().filter(|(_, token)| !token.is_trivia()).collect();
    let names = QualifiedNames { significant: &significant, old_name: from, ignores_case: *ignores_case };
    let ambiguous = names.has_other_use();
    let mut renamed = String::with_capacity(sql.len());
    let mut copied = 0;
    let mut count = 0;
    for (position, &(index, token)) in significant.iter().enumerate() {
        let means_database = names.is_shown_database(position)
            || names.is_qualifier(position) && (!ambiguous || names.must_be_database(position));
        if means_database && token.ident().is_none_or(|name| name != *to) {
            renamed.extend(all.iter().take(index).skip(copied).map(|token| token.text));
            renamed.push_str(&quote_like(token, to, dialect));
            copied = index + 1;
            count += 1;
        }
    }
    renamed.extend(all.iter().skip(copied).map(|token| token.text));
    (renamed, count)
}

/// Quotes a name in the same way as `token`.
fn quote_like(token: &Token<'_>, name: &str, dialect: Dialect) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(plain);
    match token.kind {
        TokenKind::Word if word => name.to_owned(),
        TokenKind::QuotedIdent if token.text.starts_with('`') => quote_name(name),
        _ if dialect.ansi_quotes => format!("\"{}\"", name.replace('"', "\"\"")),
        _ => quote_name(name),
    }
}

/// The keywords before the names of tables and routines.
const BEFORE_TABLES: [&str; 24] = [
    "FROM",
    "JOIN",
    "STRAIGHT_JOIN",
    "INTO",
    "UPDATE",
    "TABLE",
    "TABLES",
    "USING",
    "REFERENCES",
    "INSERT",
    "REPLACE",
    "DELETE",
    "IGNORE",
    "TRUNCATE",
    "EXISTS",
    "CALL",
    "VIEW",
    "TRIGGER",
    "EVENT",
    "PROCEDURE",
    "FUNCTION",
    "PACKAGE",
    "BODY",
    "SEQUENCE",
];

/// The keywords before columns.
const BEFORE_COLUMNS: [&str; 10] =
    ["SELECT", "WHERE", "ON", "SET", "BY", "HAVING", "VALUES", "RETURN", "LIMIT", "RETURNING"];

/// The words between SHOW and the kind of the listed objects.
const SHOW_MODIFIERS: [&str; 3] = ["FULL", "EXTENDED", "OPEN"];

/// MariaDB's functions with a sequence as their argument.
const SEQUENCE_FUNCTIONS: [&str; 3] = ["NEXTVAL", "LASTVAL", "SETVAL"];

/// Finds the qualified names among the tokens that are no trivia, each given with its index among all tokens.
struct QualifiedNames<'t, 'a> {
    significant: &'t [(usize, &'t Token<'a>)],
    old_name: &'t str,
    ignores_case: bool,
}

impl<'t, 'a> QualifiedNames<'t, 'a> {
    fn token_at(&self, position: usize) -> Option<&'t Token<'a>> {
        self.significant.get(position).map(|(_, token)| *token)
    }

    /// The token `back` positions before.
    fn token_before(&self, position: usize, back: usize) -> Option<&'t Token<'a>> {
        position.checked_sub(back).and_then(|position| self.token_at(position))
    }

    fn is_punct(&self, position: usize, text: &str) -> bool {
        self.token_at(position).is_some_and(|token| token.is_punct(text))
    }

    /// Whether the token is the old name.
    fn is_old_name(&self, position: usize) -> bool {
        self.token_at(position).and_then(Token::ident).is_some_and(|name| {
            name == self.old_name || (self.ignores_case && name.to_lowercase() == self.old_name.to_lowercase())
        })
    }

    /// Whether the token before is one of these.
    fn follows_punct(&self, position: usize, puncts: &[&str]) -> bool {
        self.token_before(position, 1).is_some_and(|token| puncts.iter().any(|text| token.is_punct(text)))
    }

    /// Whether the token is the old name and qualifies another one.
    fn is_qualifier(&self, position: usize) -> bool {
        self.is_old_name(position)
            && self.is_punct(position + 1, ".")
            && !self.follows_punct(position, &[".", "@", "@@"])
    }

    /// Whether the token is the old name as the database of a SHOW statement, as in `SHOW TABLES FROM d` and `SHOW COLUMNS FROM
    /// t IN d`.
    fn is_shown_database(&self, position: usize) -> bool {
        let introduces = |token: &Token<'_>| token.is_any_word(&["FROM", "IN"]);
        if !self.is_old_name(position)
            || self.is_punct(position + 1, ".")
            || !self.token_before(position, 1).is_some_and(introduces)
        {
            return false;
        }
        let is_show = |at: &usize| self.token_at(*at).is_some_and(|token| token.is_word("SHOW"));
        let Some(show) = (0..position).rev().find(is_show) else { return false };
        let words: Vec<&Token<'_>> = (show + 1..position - 1).filter_map(|at| self.token_at(at)).collect();
        let rest = words.split_at(words.iter().take_while(|word| word.is_any_word(&SHOW_MODIFIERS)).count()).1;
        match rest {
            [what] => what.is_any_word(&["TABLES", "TRIGGERS", "EVENTS"]),
            [table, status] if table.is_word("TABLE") => status.is_word("STATUS"),
            [what, from, name @ ..] => {
                what.is_any_word(&["COLUMNS", "FIELDS", "INDEX", "INDEXES", "KEYS"])
                    && introduces(from)
                    && matches!(name, [_] | [_, _, _])
            }
            [] => false,
        }
    }

    /// Whether the name is also the name of a table, an alias, a row variable or a column.
    fn has_other_use(&self) -> bool {
        let row_of_a_trigger = ["NEW", "OLD"].iter().any(|row| self.old_name.eq_ignore_ascii_case(row));
        let is_namesake = |position| {
            let account = self.follows_punct(position, &["@", "@@"]) || self.is_punct(position + 1, "@");
            let database = self.is_qualifier(position) || self.is_shown_database(position);
            self.is_old_name(position) && !database && !account
        };
        row_of_a_trigger || (0..self.significant.len()).any(is_namesake)
    }

    /// Whether `from.x` cannot be a column: it has a third part, is called, or is in a position for tables.
    fn must_be_database(&self, position: usize) -> bool {
        if self.is_punct(position + 3, ".") || self.is_punct(position + 3, "(") {
            return true;
        }
        let (Some(last), second) = (self.token_before(position, 1), self.token_before(position, 2)) else {
            return false;
        };
        let second_is = |words: &[&str]| second.is_some_and(|token| token.is_any_word(words));
        if last.is_word("UPDATE") && second_is(&["KEY"]) {
            return false; // ON DUPLICATE KEY UPDATE
        }
        last.is_any_word(&BEFORE_TABLES)
            || (last.is_word("ON") && second_is(&["INSERT", "UPDATE", "DELETE"]))
            || (last.is_word("FOR") && second_is(&["VALUE"]))
            || (last.is_punct("(") && second_is(&SEQUENCE_FUNCTIONS))
            || ((last.is_punct("(") || last.is_punct(",")) && self.is_in_table_list(position))
    }

    /// Whether the list around this position follows a keyword for tables.
    fn is_in_table_list(&self, position: usize) -> bool {
        let mut depth = 0_usize;
        for back in (0..position).rev() {
            let Some(token) = self.token_at(back) else { return false };
            if token.is_punct(")") {
                depth += 1;
            } else if token.is_punct("(") {
                // A bracket after any other token belongs to a function or an expression.
                let opens_list = self.token_before(back, 1).is_some_and(|token| {
                    token.is_any_word(&["FROM", "JOIN", "STRAIGHT_JOIN"]) || token.is_punct("(") || token.is_punct(",")
                });
                if depth == 0 && !opens_list {
                    return false;
                }
                depth = depth.saturating_sub(1);
            } else if depth == 0 && (token.is_any_word(&BEFORE_COLUMNS) || token.is_punct(";")) {
                return false;
            } else if depth == 0 && token.is_any_word(&BEFORE_TABLES) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(sql: &str) -> (String, usize) {
        with(sql, Dialect::default(), "d", "new-d")
    }

    fn with(sql: &str, dialect: Dialect, from: &str, to: &str) -> (String, usize) {
        rename_database(sql, dialect, &DatabaseRename { from: from.to_owned(), to: to.to_owned(), ignores_case: false })
    }

    fn stays(sql: &str) {
        assert_eq!(renamed(sql), (sql.to_owned(), 0));
    }

    #[test]
    fn qualified_names_get_the_new_database() {
        assert_eq!(
            renamed("select `d`.`t`.`c`, d.f(1) from d.t join `d` . /* c */ `u`"),
            ("select `new-d`.`t`.`c`, `new-d`.f(1) from `new-d`.t join `new-d` . /* c */ `u`".to_owned(), 4)
        );
        assert_eq!(with("x(d.1b,d.t)", Dialect::default(), "d", "e"), ("x(e.1b,e.t)".into(), 2));
        assert_eq!(renamed("/*!50001 select d.a */").1, 1);
        assert_eq!(renamed("create trigger d.tr before insert on d.t for each row set new.a = 1").1, 2);
    }

    #[test]
    fn the_database_of_a_show_statement_is_renamed() {
        for (sql, expected) in [
            ("begin show full tables from d like 't'; end", "begin show full tables from `new-d` like 't'; end"),
            ("show table status in `d`", "show table status in `new-d`"),
            ("show columns from d in d", "show columns from d in `new-d`"),
            ("show index from t from d where 1", "show index from t from `new-d` where 1"),
            ("show triggers from d; select d.a", "show triggers from `new-d`; select `new-d`.a"),
        ] {
            assert_eq!(renamed(sql).0, expected);
        }
        stays("show columns from d");
        stays("show tables; select x from d");
    }

    #[test]
    fn strings_comments_variables_and_other_names_stay() {
        for sql in [
            "select 'd.t', \"`d`.`t`\" -- d.t\n # d.t\n /* `d`.`t` */",
            "set @d.x := @@d.key_buffer_size, @`d`.x = D.t",
            "select x.d.c, `x` . `d`.c, dd.t, d_.t, `d `.t",
            "create definer=`d`@`%` view v as select 1",
            "CREATE DEFINER=u@d.example PROCEDURE p() select 'it''s d.t'",
            "CREATE PROCEDURE p() LANGUAGE JAVASCRIPT\nAS $js$ d.t.x = \"it's $$ `\" $js$",
            "select /*+ NO_INDEX(`d`@`select#1`) */ `t`.`id` AS `d` from `t`",
            "",
        ] {
            stays(sql);
        }
        let raw = Dialect { ansi_quotes: false, no_backslash_escapes: true };
        assert_eq!(with(r"select '\', d.f('d.x')", raw, "d", "e").1, 1);
    }

    #[test]
    fn the_case_is_respected_unless_the_server_ignores_it() {
        let rename = |to: &str| DatabaseRename { from: "Größe".into(), to: to.into(), ignores_case: true };
        let folded = |sql| rename_database(sql, Dialect::default(), &rename("x"));
        assert_eq!(folded("select GRÖSSE.a, gRÖßE.a, `größe`.`a`"), ("select GRÖSSE.a, x.a, `x`.`a`".into(), 2));
        // The target's server may respect the case.
        let same = rename_database("select gRÖßE.a, Größe.b", Dialect::default(), &rename("Größe"));
        assert_eq!(same, ("select `Größe`.a, Größe.b".into(), 1));
    }

    #[test]
    fn the_new_name_is_quoted_as_it_needs() {
        let to = |name: &str| with("`d`.a d.a", Dialect::default(), "d", name).0;
        assert_eq!(to("e`.x"), "`e``.x`.a `e``.x`.a");
        assert_eq!(to("1e"), "`1e`.a `1e`.a");
        assert_eq!(to("e_1"), "`e_1`.a e_1.a");
        let ansi = Dialect { ansi_quotes: true, no_backslash_escapes: false };
        let (text, count) = with("\"d\".a `d`.a d.a 'd'.a", ansi, "d", "e\"-");
        assert_eq!((text.as_str(), count), ("\"e\"\"-\".a `e\"-`.a \"e\"\"-\".a 'd'.a", 3));
        assert_eq!(with("`d``.`.`t` `d``.x`", Dialect::default(), "d`.", "e").0, "`e`.`t` `d``.x`");
    }

    #[test]
    fn columns_of_a_namesake_table_stay() {
        stays("select `d`.`id` AS `id` from `d` where `d`.`a` = 1 group by x, `d`.`b`");
        stays("select d.id, replace(d.a, 1, d.b) from t d join u on (d.id = u.id) where d.x in (1, d.y)");
        stays("insert into t select d.a from other.d on duplicate key update d.a = values(a)");
        assert_eq!(
            renamed("select `d`.`d`.`id`, d.f(`d`.`a`) from (`d`.`d` join `d`.`e`) where `d`.`a` = 1").0,
            "select `new-d`.`d`.`id`, `new-d`.f(`d`.`a`) from (`new-d`.`d` join `new-d`.`e`) where `d`.`a` = 1"
        );
        assert_eq!(renamed("select d.a from t as d, d.u").0, "select d.a from t as d, `new-d`.u");
        assert_eq!(renamed("(`d` int DEFAULT nextval(`d`.`s`))").1, 1);
        assert_eq!(renamed("(`d` int DEFAULT NEXT VALUE FOR d.s)").1, 1);
        assert_eq!(renamed("create trigger d before insert on d.t for each row call d.p").1, 2);
        let row = "create trigger t before insert on x for each row set new.a = new.b";
        assert_eq!(with(row, Dialect::default(), "new", "e"), (row.to_owned(), 0));
    }
}
