//! Decides what a statement in the log does: whether it begins or ends a transaction, and whether it may change a followed
//! table. What it does not understand may change one.

use crate::catalog::ObjectKind;
use crate::mysql::ddl::{Dialect, Token, TokenCursor, tokenize};
use crate::plan::Plan;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatementKind {
    Begin,
    Commit,
    Rollback,
    /// Undoes a part of the transaction.
    RollbackToSavepoint,
    /// Begins or ends the statements of an XA transaction.
    XaPart,
    /// Ends a transaction that an earlier XA PREPARE left open.
    XaCommit,
    XaRollback,
    /// Changes a definition of the followed database.
    Definition,
    /// Changes rows, perhaps those of a followed table.
    Rows,
    /// Changes nothing that is followed.
    Other,
}

/// The names that a statement is compared with.
pub(super) struct FollowedNames<'a> {
    plan: &'a Plan,
}

/// The name of an object, with its database.
type QualifiedName = (String, String);

const TABLE: &str = "TABLE";
/// What CREATE, ALTER and DROP change beside tables, indexes and databases, in databases.
const OBJECTS: [(&str, ObjectKind); 9] = [
    ("VIEW", ObjectKind::View),
    ("TRIGGER", ObjectKind::Trigger),
    ("PROCEDURE", ObjectKind::Procedure),
    ("FUNCTION", ObjectKind::Function),
    ("EVENT", ObjectKind::Event),
    ("SEQUENCE", ObjectKind::Sequence),
    ("PACKAGE", ObjectKind::Package),
    ("LIBRARY", ObjectKind::Library),
    (TABLE, ObjectKind::Table),
];
/// What they change outside of databases.
const OUTSIDE: [&str; 10] =
    ["USER", "ROLE", "SERVER", "TABLESPACE", "LOGFILE", "UNDO", "RESOURCE", "INSTANCE", "REFERENCE", "PREPARE"];
/// Statements that change neither rows nor definitions.
const HARMLESS: [&str; 23] = [
    "SAVEPOINT",
    "RELEASE",
    "GRANT",
    "REVOKE",
    "SET",
    "FLUSH",
    "OPTIMIZE",
    "REPAIR",
    "CHECK",
    "CHECKSUM",
    "INSTALL",
    "UNINSTALL",
    "CHANGE",
    "RESET",
    "KILL",
    "PURGE",
    "USE",
    "SHOW",
    "LOCK",
    "UNLOCK",
    "STOP",
    "CACHE",
    "DEALLOCATE",
];

impl<'a> FollowedNames<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan }
    }

    fn is_same(&self, a: &str, b: &str) -> bool {
        a == b || self.plan.server.folds_names && a.to_lowercase() == b.to_lowercase()
    }

    /// Whether this is the followed database.
    pub(super) fn is_database(&self, name: &str) -> bool {
        self.is_same(name, &self.plan.database.name)
    }

    /// The number in the plan of a table of the followed database.
    pub(super) fn table_number(&self, name: &str) -> Option<u32> {
        let found = self.plan.tables.iter().find(|planned| self.is_same(&planned.table.name, name))?;
        Some(found.number)
    }

    /// Whether the plan leaves the object out.
    fn leaves_out(&self, kind: ObjectKind, name: &str) -> bool {
        let mut left_out = self.plan.left_out.iter().map(|omitted| &omitted.object);
        left_out.any(|object| object.kind == kind && self.is_same(&object.name, name))
    }

    /// Whether a definition of the object may concern what is followed.
    fn concerns(&self, kind: ObjectKind, (database, name): &QualifiedName) -> bool {
        self.is_database(database) && !self.leaves_out(kind, name)
    }

    /// Finds out what a statement does that ran in `database`. `updated` lists the databases that it may change, if the
    /// server told.
    pub(super) fn classify(
        &self,
        sql: &str,
        dialect: Dialect,
        database: &str,
        updated: Option<&[String]>,
    ) -> StatementKind {
        let tokens = tokenize(sql, dialect);
        let mut cursor = TokenCursor::new(&tokens);
        let Some(mut first) = cursor.next() else { return StatementKind::Other };
        // MariaDB sets variables for one statement.
        if first.is_word("SET") && cursor.eat_word("STATEMENT") {
            first = match cursor.by_ref().find(|token| token.is_word("FOR")).and_then(|_| cursor.next()) {
                Some(first) => first,
                None => return StatementKind::Other,
            };
        }
        if let Some(kind) = transaction_statement(first, &mut cursor) {
            return kind;
        }
        let statement = Statement { names: self, tokens: &tokens, database };
        if first.is_any_word(&["CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"]) {
            return statement.definition(first, cursor);
        }
        // MariaDB's ANALYZE of another statement runs it.
        let analyzes_tables =
            cursor.peek().is_some_and(|next| next.is_any_word(&[TABLE, "LOCAL", "NO_WRITE_TO_BINLOG"]));
        if first.is_any_word(&HARMLESS) || first.is_word("ANALYZE") && analyzes_tables {
            return StatementKind::Other;
        }
        let concerns = match updated {
            Some(updated) => updated.iter().any(|database| self.is_database(database)),
            // The code that these call may change any table.
            None if first.is_any_word(&["CALL", "SELECT", "DO"]) => true,
            None => self.is_database(database) || statement.mentions_database(),
        };
        if concerns { StatementKind::Rows } else { StatementKind::Other }
    }
}

fn transaction_statement(first: &Token<'_>, rest: &mut TokenCursor<'_, '_>) -> Option<StatementKind> {
    Some(if first.is_word("BEGIN") || first.is_word("START") && rest.eat_word("TRANSACTION") {
        StatementKind::Begin
    } else if first.is_word("COMMIT") {
        StatementKind::Commit
    } else if first.is_word("ROLLBACK") {
        rest.eat_word("WORK");
        if rest.eat_word("TO") { StatementKind::RollbackToSavepoint } else { StatementKind::Rollback }
    } else if first.is_word("XA") {
        match rest.next()? {
            word if word.is_any_word(&["START", "BEGIN", "END"]) => StatementKind::XaPart,
            word if word.is_word("COMMIT") => StatementKind::XaCommit,
            word if word.is_word("ROLLBACK") => StatementKind::XaRollback,
            _ => StatementKind::Other,
        }
    } else {
        return None;
    })
}

/// A statement that changes a definition.
struct Statement<'s, 'a> {
    names: &'s FollowedNames<'s>,
    tokens: &'s [Token<'a>],
    /// The database in which it ran.
    database: &'s str,
}

impl Statement<'_, '_> {
    fn definition(&self, verb: &Token<'_>, mut cursor: TokenCursor<'_, '_>) -> StatementKind {
        let concerns = match self.concerns(verb, &mut cursor) {
            Some(concerns) => concerns,
            // The form is not known.
            None => self.names.is_database(self.database) || self.mentions_database(),
        };
        if concerns { StatementKind::Definition } else { StatementKind::Other }
    }

    /// Whether the definition may concern what is followed; `None` if its form is not known.
    fn concerns(&self, verb: &Token<'_>, cursor: &mut TokenCursor<'_, '_>) -> Option<bool> {
        if verb.is_word("TRUNCATE") {
            cursor.eat_word(TABLE);
            return Some(self.names.concerns(ObjectKind::Table, &self.name(cursor)?));
        }
        if verb.is_word("RENAME") {
            if cursor.eat_word("USER") {
                return Some(false);
            }
            cursor.next_if(|token| token.is_any_word(&[TABLE, "TABLES"]))?;
            return self.renames(cursor);
        }
        loop {
            let token = cursor.next()?;
            if token.is_word("TEMPORARY") {
                return Some(false);
            }
            if token.is_any_word(&["DATABASE", "SCHEMA"]) {
                skip_condition(cursor);
                // ALTER DATABASE without a name changes the current one.
                let name = cursor.clone().eat_name()?;
                return Some(
                    self.names.is_database(&name) || verb.is_word("ALTER") && self.names.is_database(self.database),
                );
            }
            if token.is_word("INDEX") {
                while !cursor.next()?.is_word("ON") {}
                return Some(self.names.concerns(ObjectKind::Table, &self.name(cursor)?));
            }
            if token.is_any_word(&OUTSIDE) {
                return Some(false);
            }
            if let Some((_, kind)) = OBJECTS.iter().find(|(word, _)| token.is_word(word)) {
                return self.objects(verb, *kind, cursor);
            }
        }
    }

    /// Whether CREATE, ALTER or DROP concerns one of its objects.
    fn objects(&self, verb: &Token<'_>, kind: ObjectKind, cursor: &mut TokenCursor<'_, '_>) -> Option<bool> {
        cursor.eat_word("BODY");
        skip_condition(cursor);
        let mut concerns = self.names.concerns(kind, &self.name(cursor)?);
        while verb.is_word("DROP") && cursor.eat_punct(",") {
            concerns |= self.names.concerns(kind, &self.name(cursor)?);
        }
        if verb.is_word("ALTER") && kind == ObjectKind::Table {
            // It may take its table to another name, or change its rows for those of another table.
            while let Some(token) = cursor.next() {
                let is_rename =
                    token.is_word("RENAME") && !cursor.peek()?.is_any_word(&["COLUMN", "INDEX", "KEY", "CONSTRAINT"]);
                if is_rename {
                    cursor.next_if(|token| token.is_any_word(&["TO", "AS"]) || token.is_punct("="));
                }
                if is_rename || token.is_word("WITH") && cursor.eat_word(TABLE) {
                    concerns |= self.names.concerns(kind, &self.name(cursor)?);
                }
            }
        }
        Some(concerns)
    }

    /// Whether RENAME TABLE concerns one of its tables, by the old name or the new one.
    fn renames(&self, cursor: &mut TokenCursor<'_, '_>) -> Option<bool> {
        let mut concerns = false;
        skip_condition(cursor);
        loop {
            concerns |= self.names.concerns(ObjectKind::Table, &self.name(cursor)?);
            while !cursor.next()?.is_word("TO") {}
            concerns |= self.names.concerns(ObjectKind::Table, &self.name(cursor)?);
            if !cursor.eat_punct(",") {
                return Some(concerns);
            }
        }
    }

    /// Takes a name, and the current database where it has none.
    fn name(&self, cursor: &mut TokenCursor<'_, '_>) -> Option<QualifiedName> {
        if cursor.eat_punct(".") {
            return Some((self.database.to_owned(), cursor.eat_name()?));
        }
        let first = cursor.eat_name()?;
        Some(match cursor.eat_punct(".") {
            true => (first, cursor.eat_name()?),
            false => (self.database.to_owned(), first),
        })
    }

    /// Whether a name in the statement is that of the followed database.
    fn mentions_database(&self) -> bool {
        self.tokens.iter().any(|token| token.ident().is_some_and(|name| self.names.is_database(&name)))
    }
}

fn skip_condition(cursor: &mut TokenCursor<'_, '_>) {
    if !cursor.eat_words(&["IF", "NOT", "EXISTS"]) {
        cursor.eat_words(&["IF", "EXISTS"]);
    }
}
