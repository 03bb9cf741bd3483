//! What an account may do, from the lines of `SHOW GRANTS`. Text in, answers out.

use crate::mysql::ddl::{Dialect, Token, TokenKind, tokens};

/// What an account may do by the lines of `SHOW GRANTS`, its active roles included.
#[derive(Debug, Default)]
pub(super) struct Grants {
    entries: Vec<Entry>,
    /// The roles that were granted to it, active or not, as `role@host`; on MariaDB as `role`.
    roles: Vec<Role>,
    /// How the server compares the names of databases.
    naming: Naming,
    /// The server does not tell (it runs without grant tables): everything may be done.
    unknown: bool,
}

/// How the database of a grant is compared.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Naming {
    /// Upper and lower case are the same.
    pub(super) folds: bool,
    /// `_` and `%` are only characters (MySQL's `partial_revokes`).
    pub(super) literal: bool,
}

#[derive(Debug)]
struct Entry {
    privileges: Vec<String>,
    scope: Scope,
    revoked: bool,
}

#[derive(Debug)]
struct Role {
    name: String,
    to: String,
}

#[derive(Debug)]
enum Scope {
    Global,
    /// A pattern in the way of `LIKE`.
    Database(String),
    Table(String, String),
}

impl Grants {
    /// What an account may do where nobody asks.
    pub(super) fn all() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// Reads the lines; one that is no grant, or a grant on something else than tables, says nothing here.
    pub(super) fn parse<T: AsRef<str>>(lines: impl IntoIterator<Item = T>, naming: Naming) -> Self {
        let mut grants = Self { naming, ..Self::default() };
        for line in lines {
            grants.read(line.as_ref());
        }
        grants
    }

    fn read(&mut self, line: &str) -> Option<()> {
        let all = tokens(line, Dialect::default());
        let mut rest: &[Token<'_>] = &all.into_iter().filter(|token| !token.is_noise()).collect::<Vec<_>>();
        let (verb, after) = rest.split_first()?;
        rest = after;
        if !verb.is_any_word(&["GRANT", "REVOKE"]) {
            return None;
        }
        let Some(on) = position(rest, |token| token.is_word("ON")) else {
            self.roles.extend(roles(rest)?);
            return None;
        };
        let (privileges, target) = rest.split_at_checked(on)?;
        let scope = scope(target.get(1..)?)?;
        self.entries.push(Entry { privileges: self::privileges(privileges), scope, revoked: verb.is_word("REVOKE") });
        None
    }

    /// Whether the account has the privilege on everything.
    pub(super) fn global(&self, privilege: &str) -> bool {
        self.unknown || self.entries.iter().any(|entry| matches!(entry.scope, Scope::Global) && entry.gives(privilege))
    }

    /// Whether the account has one of the privileges on everything.
    pub(super) fn any_global(&self, privileges: &[&str]) -> bool {
        privileges.iter().any(|privilege| self.global(privilege))
    }

    /// Whether the account has the privilege on the whole database.
    pub(super) fn database(&self, privilege: &str, database: &str) -> bool {
        let on_it = |entry: &&Entry| match &entry.scope {
            Scope::Database(pattern) if entry.revoked => self.same(pattern, database),
            Scope::Database(pattern) => self.matches(pattern, database),
            _ => false,
        };
        let mut here = self.entries.iter().filter(|entry| entry.privileges_include(privilege)).filter(on_it);
        let revoked = here.clone().any(|entry| entry.revoked);
        here.any(|entry| !entry.revoked) || self.global(privilege) && !revoked
    }

    /// Whether the account has the privilege on the whole table.
    pub(super) fn table(&self, privilege: &str, database: &str, table: &str) -> bool {
        let here = |entry: &Entry| match &entry.scope {
            Scope::Table(of, name) => self.same(of, database) && self.same(name, table) && entry.gives(privilege),
            _ => false,
        };
        self.database(privilege, database) || self.entries.iter().any(here)
    }

    /// The roles that were granted to `account` and are none of the `active` ones.
    pub(super) fn idle_roles(&self, account: &str, active: &[String]) -> Vec<&str> {
        let granted = self.roles.iter().filter(|role| role.to == account).map(|role| role.name.as_str());
        granted.filter(|name| !active.iter().any(|other| other == name)).collect()
    }

    fn same(&self, one: &str, other: &str) -> bool {
        one == other || self.naming.folds && one.to_lowercase() == other.to_lowercase()
    }

    fn matches(&self, pattern: &str, name: &str) -> bool {
        if self.naming.literal {
            return self.same(pattern, name);
        }
        let fold = |text: &str| if self.naming.folds { text.to_lowercase() } else { text.to_owned() };
        let (pattern, name) = (fold(pattern).chars().collect::<Vec<_>>(), fold(name).chars().collect::<Vec<_>>());
        like(&pattern, &name)
    }
}

impl Entry {
    fn gives(&self, privilege: &str) -> bool {
        !self.revoked && self.privileges_include(privilege)
    }

    fn privileges_include(&self, privilege: &str) -> bool {
        self.privileges.iter().any(|own| own == privilege || own == "ALL PRIVILEGES" || own == "ALL")
    }
}

/// The names of roles in a cut of `SHOW GRANTS` or of `CURRENT_ROLE()`: each `role@host`, or `role` without a host.
pub(super) fn role_names(text: &str) -> Vec<String> {
    let all = tokens(text, Dialect::default());
    let all: Vec<Token<'_>> = all.into_iter().filter(|token| !token.is_noise()).collect();
    split(&all).filter_map(account).collect()
}

/// `` `r1`@`%`,`r2`@`%` TO `u`@`h` ``
fn roles(rest: &[Token<'_>]) -> Option<Vec<Role>> {
    let to = position(rest, |token| token.is_word("TO"))?;
    let (names, grantee) = rest.split_at_checked(to)?;
    let grantee = grantee.get(1..)?;
    let end = position(grantee, |token| token.is_any_word(&["WITH", "IDENTIFIED", "REQUIRE"]));
    let grantee = account(grantee.get(..end.unwrap_or(grantee.len()))?)?;
    Some(split(names).filter_map(account).map(|name| Role { name, to: grantee.clone() }).collect())
}

fn account(tokens: &[Token<'_>]) -> Option<String> {
    let user = tokens.first()?.name_or_string()?;
    match tokens {
        [_, at, host, ..] if at.is_punct("@") => Some(format!("{user}@{}", host.name_or_string()?)),
        _ => Some(user.into_owned()),
    }
}

/// The privileges that are not for some columns only, in upper case.
fn privileges(tokens: &[Token<'_>]) -> Vec<String> {
    let whole = split(tokens).filter(|part| !part.iter().any(|token| token.is_punct("(")));
    let text = whole.map(|part| part.iter().map(|token| token.text.to_ascii_uppercase()).collect::<Vec<_>>().join(" "));
    text.collect()
}

/// What follows `ON`; `None` for routines and whatever else is no table.
fn scope(target: &[Token<'_>]) -> Option<Scope> {
    let target = match target.split_first()? {
        (first, rest) if first.is_word("TABLE") => rest,
        _ => target,
    };
    let [database, dot, table, ..] = target else { return None };
    if !dot.is_punct(".") {
        return None;
    }
    match (database.is_punct("*"), table.is_punct("*")) {
        (true, _) => Some(Scope::Global),
        (false, true) => Some(Scope::Database(database.ident()?.into_owned())),
        (false, false) => Some(Scope::Table(database.ident()?.into_owned(), table.ident()?.into_owned())),
    }
}

/// The first token outside of brackets that is wanted.
fn position(tokens: &[Token<'_>], wanted: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut depth = 0_i32;
    tokens.iter().position(|token| {
        depth += bracket(token);
        depth == 0 && wanted(token)
    })
}

fn split<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t [Token<'a>]> {
    let mut depth = 0_i32;
    tokens.split(move |token| {
        depth += bracket(token);
        depth == 0 && token.is_punct(",")
    })
}

fn bracket(token: &Token<'_>) -> i32 {
    match token.text {
        "(" if token.kind == TokenKind::Punct => 1,
        ")" if token.kind == TokenKind::Punct => -1,
        _ => 0,
    }
}

/// `LIKE` with a backslash as the escape.
fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| text.get(skipped..).is_some_and(|text| like(rest, text))),
        ['\\', literal @ ('%' | '_' | '\\'), rest @ ..] => {
            text.split_first().is_some_and(|(first, text)| first == literal && like(rest, text))
        }
        [wanted, rest @ ..] => {
            text.split_first().is_some_and(|(first, text)| (*wanted == '_' || wanted == first) && like(rest, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::parse(lines, Naming::default())
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
        assert!(grants.global("RELOAD") && grants.global("CREATE TEMPORARY TABLES") && grants.global("FLUSH_TABLES"));
        assert!(!grants.global("SELECT") && grants.database("RELOAD", "any"));
        assert!(grants.database("SELECT", "d_x") && !grants.database("SELECT", "dax"));
        assert!(grants.database("EVENT", "owner") && !grants.database("EVENT", "d_x"));
        assert!(grants.table("UPDATE", "d", "t,`( x") && !grants.table("SELECT", "d", "t,`( x"));
        assert!(!grants.database("EXECUTE", "d") && !grants.global("PROXY"));
    }

    #[test]
    fn a_partial_revoke_takes_from_the_global_right_only() {
        let grants = grants(&[
            "GRANT SELECT, INSERT ON *.* TO `u`@`%`",
            "GRANT INSERT ON `b`.* TO `u`@`%`",
            "REVOKE SELECT, INSERT ON `b`.* FROM `u`@`%`",
        ]);
        assert!(grants.database("SELECT", "a") && !grants.database("SELECT", "b") && grants.database("INSERT", "b"));
        assert!(grants.global("SELECT"));
    }

    #[test]
    fn names_are_compared_as_the_server_does() {
        let line = ["GRANT SELECT ON `Ab_`.* TO `u`@`%`"];
        let with = |folds, literal| Grants::parse(line, Naming { folds, literal });
        assert!(with(false, false).database("SELECT", "Abc") && !with(false, false).database("SELECT", "abc"));
        assert!(with(true, false).database("SELECT", "aBc"));
        assert!(with(false, true).database("SELECT", "Ab_") && !with(false, true).database("SELECT", "Abc"));
    }

    #[test]
    fn roles_that_sleep_are_known() {
        let mysql = grants(&["GRANT `r1`@`%`,`r 2`@`%` TO `u`@`%` WITH ADMIN OPTION"]);
        assert_eq!(mysql.idle_roles("u@%", &role_names("`r 2`@`%`")), ["r1@%"]);
        let mariadb = grants(&["GRANT `r1` TO `u`@`%`", "GRANT `r3` TO `r1`", "GRANT USAGE ON *.* TO `r1`"]);
        assert_eq!(mariadb.idle_roles("u@%", &role_names("r1")), [""; 0]);
        assert_eq!(mariadb.idle_roles("u@%", &[]), ["r1"]);
    }
}
