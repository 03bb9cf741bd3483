//! Rewrites the `DEFINER` clause in the header of a view, trigger, routine, event or package.

use std::ops::Range;

use super::lexer::{Token, join_tokens, tokenize};
use super::token_cursor::{TokenCursor, slice_tokens};
use super::{Dialect, quote_name};

/// How to rewrite a `DEFINER` clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DefinerRewrite {
    /// Removes the clause: the account that creates the object becomes its definer.
    Strip,
    /// Keeps the clause.
    Keep,
    /// Names this account.
    Account {
        /// The account's user name.
        user: String,
        /// The account's host, often `%`.
        host: String,
    },
}

/// The keywords for kinds of objects. The header of a `CREATE` ends at the first of them.
const OBJECTS: [&str; 12] = [
    "VIEW",
    "TRIGGER",
    "FUNCTION",
    "PROCEDURE",
    "EVENT",
    "PACKAGE",
    "TABLE",
    "SEQUENCE",
    "DATABASE",
    "SCHEMA",
    "INDEX",
    "LIBRARY",
];

/// Rewrites the `DEFINER` clause of one `CREATE VIEW`, `TRIGGER`, `FUNCTION`, `PROCEDURE`, `EVENT` or `PACKAGE [BODY]`.
///
/// Changes only the header, before the keyword for the kind of object. Returns a statement without the clause, which no
/// server prints, unchanged.
pub(crate) fn rewrite_definer(create: &str, dialect: Dialect, definer: &DefinerRewrite) -> String {
    let all = tokenize(create, dialect);
    let Some(clause) = find_clause(&all) else { return create.to_owned() };
    let before = join_tokens(slice_tokens(&all, 0..clause.range.start));
    let after = join_tokens(slice_tokens(&all, clause.range.end..all.len()));
    match definer {
        DefinerRewrite::Keep => create.to_owned(),
        DefinerRewrite::Strip => before + after.trim_start(),
        DefinerRewrite::Account { user, host } => {
            format!("{before}DEFINER={}@{}{after}", quote_name(user), quote_name(host))
        }
    }
}

/// The account in the `DEFINER` clause, for reports: `user@host`, a role's name, or `CURRENT_USER`.
pub(crate) fn definer_account(create: &str, dialect: Dialect) -> Option<String> {
    find_clause(&tokenize(create, dialect)).map(|clause| clause.account)
}

/// The text of the `DEFINER` clause; empty if there is none.
pub(crate) fn definer_clause(create: &str, dialect: Dialect) -> String {
    let all = tokenize(create, dialect);
    find_clause(&all).map(|clause| join_tokens(slice_tokens(&all, clause.range)).trim().to_owned()).unwrap_or_default()
}

/// The position of a `DEFINER` clause among the tokens, and its account.
struct DefinerClause {
    range: Range<usize>,
    account: String,
}

/// Finds the clause in the header of a `CREATE`.
fn find_clause(all: &[Token<'_>]) -> Option<DefinerClause> {
    let mut cursor = TokenCursor::new(all);
    if !cursor.eat_word("CREATE") {
        return None;
    }
    loop {
        let start = cursor.start();
        if let Some(account) = eat_definer(&mut cursor) {
            return Some(DefinerClause { range: start..cursor.end(), account });
        }
        let token = cursor.next()?;
        if token.is_any_word(&OBJECTS) || token.is_punct("(") {
            return None;
        }
    }
}

/// Takes a `DEFINER` clause and returns its account.
pub(super) fn eat_definer(cursor: &mut TokenCursor<'_, '_>) -> Option<String> {
    let mut ahead = cursor.clone();
    // `SQL SECURITY DEFINER` has no equals sign.
    if !(ahead.eat_word("DEFINER") && ahead.eat_punct("=")) {
        return None;
    }
    let account = eat_account(&mut ahead)?;
    *cursor = ahead;
    Some(account)
}

/// Takes an account or a role.
fn eat_account(cursor: &mut TokenCursor<'_, '_>) -> Option<String> {
    let user = cursor.next()?;
    if user.is_any_word(&["CURRENT_USER", "CURRENT_ROLE"]) {
        cursor.eat_group();
        return Some(user.text.to_ascii_uppercase());
    }
    let mut account = user.name_or_string()?.into_owned();
    if cursor.eat_punct("@") {
        account = format!("{account}@{}", cursor.next()?.name_or_string()?);
    }
    Some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { ansi_quotes: false, no_backslash_escapes: false };

    fn strip(create: &str) -> String {
        rewrite_definer(create, PLAIN, &DefinerRewrite::Strip)
    }

    #[test]
    fn every_spelling_of_an_account_is_read_and_stripped() {
        for (written, account) in [
            ("`u`@`h`", "u@h"),
            ("'u'@'h'", "u@h"),
            ("\"u\"@\"h\"", "u@h"),
            ("u@h.example", "u@h.example"),
            ("root@10.0.0.1", "root@10.0.0.1"),
            ("`u` @ `%`", "u@%"),
            ("`a``b VIEW`@`10.%`", "a`b VIEW@10.%"),
            ("``@`localhost`", "@localhost"),
            ("CURRENT_USER", "CURRENT_USER"),
            ("current_user()", "CURRENT_USER"),
            ("CURRENT_ROLE", "CURRENT_ROLE"),
            ("`role`", "role"),
            ("view@trigger", "view@trigger"),
        ] {
            for kind in ["VIEW `v` AS select 1", "TRIGGER t", "FUNCTION f", "PROCEDURE p", "EVENT e", "PACKAGE BODY p"]
            {
                let create = format!("CREATE DEFINER = {written} {kind}");
                assert_eq!(definer_account(&create, PLAIN).as_deref(), Some(account), "{create}");
                assert_eq!(strip(&create), format!("CREATE {kind}"));
            }
        }
    }

    #[test]
    fn the_rest_of_the_header_stays() {
        let view = "CREATE OR REPLACE ALGORITHM=MERGE DEFINER=`u`@`h` SQL SECURITY DEFINER VIEW `v` AS select 1";
        assert_eq!(strip(view), "CREATE OR REPLACE ALGORITHM=MERGE SQL SECURITY DEFINER VIEW `v` AS select 1");
        let account = DefinerRewrite::Account { user: "o`k".into(), host: "%".into() };
        assert_eq!(
            rewrite_definer(view, PLAIN, &account),
            "CREATE OR REPLACE ALGORITHM=MERGE DEFINER=`o``k`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1"
        );
        assert_eq!(rewrite_definer(view, PLAIN, &DefinerRewrite::Keep), view);
    }

    #[test]
    fn a_conditional_comment_is_part_of_the_header() {
        let dump = "/*!50003 CREATE*/ /*!50017 DEFINER=`u`@`h`*/ /*!50003 TRIGGER t BEFORE INSERT ON x SET @a=1 */";
        assert_eq!(strip(dump), "/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER t BEFORE INSERT ON x SET @a=1 */");
        assert_eq!(definer_account(dump, PLAIN).as_deref(), Some("u@h"));
    }

    #[test]
    fn bodies_names_and_comments_are_never_touched() {
        for create in [
            "CREATE /* DEFINER=`x`@`y` */ PROCEDURE p() begin select 'DEFINER=`x`@`y`'; end",
            "CREATE VIEW `DEFINER=x` AS select definer=user() from t",
            "CREATE PROCEDURE p() COMMENT 'DEFINER=`x`@`y`' begin create definer=a@b view v as select 1; end",
            "CREATE -- DEFINER=`x`@`y`\n EVENT e ON SCHEDULE EVERY 1 DAY DO set @definer=1",
            "CREATE TABLE t (a int, b int as (definer=1), definer int)",
            "CREATE SQL SECURITY DEFINER VIEW v AS select 1",
            "ALTER DEFINER=`x`@`y` VIEW v AS select 1",
            "CREATE DEFINER=",
            "",
        ] {
            assert_eq!(strip(create), create);
            assert_eq!(definer_account(create, PLAIN), None);
        }
        let body = "CREATE DEFINER=`u`@`h` PROCEDURE p()\nbegin -- DEFINER=`x`@`y`\n  select `DELIMITER //`; end";
        assert_eq!(strip(body), "CREATE PROCEDURE p()\nbegin -- DEFINER=`x`@`y`\n  select `DELIMITER //`; end");
    }

    #[test]
    fn ansi_quotes_name_the_account_too() {
        let ansi = Dialect { ansi_quotes: true, no_backslash_escapes: false };
        let package = r#"CREATE DEFINER="ro\"@"localhost" PACKAGE BODY "p" as procedure q as begin null; end; end"#;
        assert_eq!(definer_account(package, ansi).as_deref(), Some(r"ro\@localhost"));
        assert!(rewrite_definer(package, ansi, &DefinerRewrite::Strip).starts_with(r#"CREATE PACKAGE BODY "p" as"#));
    }
}
