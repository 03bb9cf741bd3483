//! Parses the lines of `SHOW GRANTS`, and looks up privileges in them. No I/O.

use crate::mysql::ddl::{Dialect, Token, TokenKind, tokenize};

/// The privileges of an account and its active roles.
#[derive(Debug, Default)]
pub(super) struct Grants {
    entries: Vec<Grant>,
    /// The granted roles, active or not.
    roles: Vec<RoleGrant>,
    /// How the server compares the names of databases and tables.
    naming: NameComparison,
    /// The server runs without grant tables and allows everything.
    unknown: bool,
}

/// How a server compares the names in a grant.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct NameComparison {
    /// It ignores the case of letters.
    pub(super) folds: bool,
    /// `_` and `%` are no wildcards (MySQL's `partial_revokes`).
    pub(super) literal: bool,
}

/// A `GRANT` or `REVOKE` of privileges.
#[derive(Debug)]
struct Grant {
    privileges: Vec<String>,
    scope: GrantScope,
    revoked: bool,
}

/// A role, and the account or role that it is granted to.
#[derive(Debug)]
struct RoleGrant {
    name: String,
    to: String,
}

/// The objects that a grant applies to.
#[derive(Debug)]
enum GrantScope {
    Global,
    /// A pattern of `LIKE`.
    Database(String),
    Table(String, String),
}

impl Grants {
    /// The privileges on a server without grant tables: all.
    pub(super) fn unrestricted() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// Parses the lines, and skips those that grant no privilege on tables and no role.
    pub(super) fn parse<T: AsRef<str>>(lines: impl IntoIterator<Item = T>, naming: NameComparison) -> Self {
        let mut grants = Self { naming, ..Self::default() };
        for line in lines {
            grants.read_line(line.as_ref());
        }
        grants
    }

    /// Parses one line.
    fn read_line(&mut self, line: &str) -> Option<()> {
        let all = tokenize(line, Dialect::default());
        let mut rest: &[Token<'_>] = &all.into_iter().filter(|token| !token.is_trivia()).collect::<Vec<_>>();
        let (verb, after) = rest.split_first()?;
        rest = after;
        if !verb.is_any_word(&["GRANT", "REVOKE"]) {
            return None;
        }
        let Some(on) = find_outside_brackets(rest, |token| token.is_word("ON")) else {
            self.roles.extend(parse_role_grants(rest)?);
            return None;
        };
        let (privileges, target) = rest.split_at_checked(on)?;
        let scope = parse_scope(target.get(1..)?)?;
        self.entries.push(Grant { privileges: parse_privileges(privileges), scope, revoked: verb.is_word("REVOKE") });
        None
    }

    /// Whether the account has the privilege on everything.
    pub(super) fn has_globally(&self, privilege: &str) -> bool {
        self.unknown
            || self.entries.iter().any(|entry| matches!(entry.scope, GrantScope::Global) && entry.grants(privilege))
    }

    /// Whether the account has one of the privileges on everything.
    pub(super) fn has_any_globally(&self, privileges: &[&str]) -> bool {
        privileges.iter().any(|privilege| self.has_globally(privilege))
    }

    /// Whether the account has the privilege on the whole database.
    pub(super) fn has_on_database(&self, privilege: &str, database: &str) -> bool {
        let on_it = |entry: &&Grant| match &entry.scope {
            GrantScope::Database(pattern) if entry.revoked => self.is_same_name(pattern, database),
            GrantScope::Database(pattern) => self.matches_pattern(pattern, database),
            _ => false,
        };
        let mut here = self.entries.iter().filter(|entry| entry.privileges_include(privilege)).filter(on_it);
        let revoked = here.clone().any(|entry| entry.revoked);
        here.any(|entry| !entry.revoked) || self.has_globally(privilege) && !revoked
    }

    /// Whether the account has the privilege on the whole table.
    pub(super) fn has_on_table(&self, privilege: &str, database: &str, table: &str) -> bool {
        let here = |entry: &Grant| match &entry.scope {
            GrantScope::Table(of, name) => {
                self.is_same_name(of, database) && self.is_same_name(name, table) && entry.grants(privilege)
            }
            _ => false,
        };
        self.has_on_database(privilege, database) || self.entries.iter().any(here)
    }

    /// The roles that are granted to `account` and not `active`.
    pub(super) fn inactive_roles(&self, account: &str, active: &[String]) -> Vec<&str> {
        let granted = self.roles.iter().filter(|role| role.to == account).map(|role| role.name.as_str());
        granted.filter(|name| !active.iter().any(|other| other == name)).collect()
    }

    /// Whether the server treats two names as the same.
    fn is_same_name(&self, one: &str, other: &str) -> bool {
        one == other || self.naming.folds && one.to_lowercase() == other.to_lowercase()
    }

    /// Whether the database's name matches the pattern of a grant.
    fn matches_pattern(&self, pattern: &str, name: &str) -> bool {
        if self.naming.literal {
            return self.is_same_name(pattern, name);
        }
        let fold = |text: &str| if self.naming.folds { text.to_lowercase() } else { text.to_owned() };
        let (pattern, name) = (fold(pattern).chars().collect::<Vec<_>>(), fold(name).chars().collect::<Vec<_>>());
        matches_like(&pattern, &name)
    }
}

impl Grant {
    /// Whether it is a `GRANT` of the privilege.
    fn grants(&self, privilege: &str) -> bool {
        !self.revoked && self.privileges_include(privilege)
    }

    fn privileges_include(&self, privilege: &str) -> bool {
        self.privileges.iter().any(|own| own == privilege || own == "ALL PRIVILEGES" || own == "ALL")
    }
}

/// Parses the list of roles of `CURRENT_ROLE()`: each becomes `role@host`, or `role` without a host.
pub(super) fn parse_role_names(text: &str) -> Vec<String> {
    let all = tokenize(text, Dialect::default());
    let all: Vec<Token<'_>> = all.into_iter().filter(|token| !token.is_trivia()).collect();
    split_at_commas(&all).filter_map(parse_account).collect()
}

/// Parses `` `r1`@`%`,`r2`@`%` TO `u`@`h` ``.
fn parse_role_grants(rest: &[Token<'_>]) -> Option<Vec<RoleGrant>> {
    let to = find_outside_brackets(rest, |token| token.is_word("TO"))?;
    let (names, grantee) = rest.split_at_checked(to)?;
    let grantee = grantee.get(1..)?;
    let end = find_outside_brackets(grantee, |token| token.is_any_word(&["WITH", "IDENTIFIED", "REQUIRE"]));
    let grantee = parse_account(grantee.get(..end.unwrap_or(grantee.len()))?)?;
    Some(split_at_commas(names).filter_map(parse_account).map(|name| RoleGrant { name, to: grantee.clone() }).collect())
}

/// Parses an account or a role: `user@host`, or `role`.
fn parse_account(tokens: &[Token<'_>]) -> Option<String> {
    let user = tokens.first()?.name_or_string()?;
    match tokens {
        [_, at, host, ..] if at.is_punct("@") => Some(format!("{user}@{}", host.name_or_string()?)),
        _ => Some(user.into_owned()),
    }
}

/// Parses the privileges, in upper case, without those for single columns.
fn parse_privileges(tokens: &[Token<'_>]) -> Vec<String> {
    let whole = split_at_commas(tokens).filter(|part| !part.iter().any(|token| token.is_punct("(")));
    let text = whole.map(|part| part.iter().map(|token| token.text.to_ascii_uppercase()).collect::<Vec<_>>().join(" "));
    text.collect()
}

/// Parses the text after `ON`; `None` for routines and other objects that are no tables.
fn parse_scope(target: &[Token<'_>]) -> Option<GrantScope> {
    let target = match target.split_first()? {
        (first, rest) if first.is_word("TABLE") => rest,
        _ => target,
    };
    let [database, dot, table, ..] = target else { return None };
    if !dot.is_punct(".") {
        return None;
    }
    match (database.is_punct("*"), table.is_punct("*")) {
        (true, _) => Some(GrantScope::Global),
        (false, true) => Some(GrantScope::Database(database.ident()?.into_owned())),
        (false, false) => Some(GrantScope::Table(database.ident()?.into_owned(), table.ident()?.into_owned())),
    }
}

/// The index of the first matching token outside of brackets.
fn find_outside_brackets(tokens: &[Token<'_>], wanted: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut depth = 0_i32;
    tokens.iter().position(|token| {
        depth += depth_change(token);
        depth == 0 && wanted(token)
    })
}

/// Splits at the commas outside of brackets.
fn split_at_commas<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t [Token<'a>]> {
    let mut depth = 0_i32;
    tokens.split(move |token| {
        depth += depth_change(token);
        depth == 0 && token.is_punct(",")
    })
}

fn depth_change(token: &Token<'_>) -> i32 {
    match token.text {
        "(" if token.kind == TokenKind::Punct => 1,
        ")" if token.kind == TokenKind::Punct => -1,
        _ => 0,
    }
}

/// Whether the text matches a pattern of `LIKE` with a backslash as the escape character.
fn matches_like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => {
            (0..=text.len()).any(|skipped| text.get(skipped..).is_some_and(|text| matches_like(rest, text)))
        }
        ['\\', literal @ ('%' | '_' | '\\'), rest @ ..] => {
            text.split_first().is_some_and(|(first, text)| first == literal && matches_like(rest, text))
        }
        [wanted, rest @ ..] => text
            .split_first()
            .is_some_and(|(first, text)| (*wanted == '_' || wanted == first) && matches_like(rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::parse(lines, NameComparison::default())
    }

    #[test]
    fn privileges_are_found_at_every_level() {
        let grants = grants(&[
            "GRANT RELOAD, CREATE TEMPORARY TABLES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*AB' WITH GRANT OPTION",
            "GRANT BACKUP_ADMIN,FLUSH_TABLES ON *.* TO `u`@`%`",
            r"GRANT SELECT, INSERT ON `d\_x`.* TO `u`@`%`",
            "GRANT ALL PRIVILEGES ON `own%`.* TO `u`@`%`",
            "GRANT SELECT (`a`, `b`), UPDATE ON `d`.`t,``( x` TO `u`@`%`",
            "GRANT EXECUTE ON PROCEDURE `d`.`p` TO `u`@`%`",
            "GRANT PROXY ON ``@`` TO `u`@`%` WITH GRANT OPTION",
            "SET DEFAULT ROLE `r` FOR `u`@`%`",
            "",
        ]);
        assert!(
            grants.has_globally("RELOAD")
                && grants.has_globally("CREATE TEMPORARY TABLES")
                && grants.has_globally("FLUSH_TABLES")
        );
        assert!(!grants.has_globally("SELECT") && grants.has_on_database("RELOAD", "any"));
        assert!(grants.has_on_database("SELECT", "d_x") && !grants.has_on_database("SELECT", "dax"));
        assert!(grants.has_on_database("EVENT", "owner") && !grants.has_on_database("EVENT", "d_x"));
        assert!(grants.has_on_table("UPDATE", "d", "t,`( x") && !grants.has_on_table("SELECT", "d", "t,`( x"));
        assert!(!grants.has_on_database("EXECUTE", "d") && !grants.has_globally("PROXY"));
    }

    #[test]
    fn a_partial_revoke_restricts_global_privileges_only() {
        let grants = grants(&[
            "GRANT SELECT, INSERT ON *.* TO `u`@`%`",
            "GRANT INSERT ON `b`.* TO `u`@`%`",
            "REVOKE SELECT, INSERT ON `b`.* FROM `u`@`%`",
        ]);
        assert!(
            grants.has_on_database("SELECT", "a")
                && !grants.has_on_database("SELECT", "b")
                && grants.has_on_database("INSERT", "b")
        );
        assert!(grants.has_globally("SELECT"));
    }

    #[test]
    fn names_are_compared_as_the_server_does() {
        let line = ["GRANT SELECT ON `Ab_`.* TO `u`@`%`"];
        let with = |folds, literal| Grants::parse(line, NameComparison { folds, literal });
        assert!(
            with(false, false).has_on_database("SELECT", "Abc") && !with(false, false).has_on_database("SELECT", "abc")
        );
        assert!(with(true, false).has_on_database("SELECT", "aBc"));
        assert!(
            with(false, true).has_on_database("SELECT", "Ab_") && !with(false, true).has_on_database("SELECT", "Abc")
        );
    }

    #[test]
    fn inactive_roles_are_found() {
        let mysql = grants(&["GRANT `r1`@`%`,`r 2`@`%` TO `u`@`%` WITH ADMIN OPTION"]);
        assert_eq!(mysql.inactive_roles("u@%", &parse_role_names("`r 2`@`%`")), ["r1@%"]);
        let mariadb = grants(&["GRANT `r1` TO `u`@`%`", "GRANT `r3` TO `r1`", "GRANT USAGE ON *.* TO `r1`"]);
        assert_eq!(mariadb.inactive_roles("u@%", &parse_role_names("r1")), [""; 0]);
        assert_eq!(mariadb.inactive_roles("u@%", &[]), ["r1"]);
    }
}
