//! Decides what a statement in the log does: whether it begins or ends a transaction, and whether it may change a followed
//! table. What it does not understand may change one.

use crate::catalog::ObjectKind;
use crate::mysql::ddl::{Dialect, Token, TokenCursor, tokenize};
use crate::mysql::journal;
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

/// What a statement that changes a definition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefinitionSubject {
    /// Tables, or something that is not known.
    Tables,
    /// Views and code, which change no rows by themselves.
    Code,
    /// What a cut-over makes: triggers and events, and the defaults of the database meanwhile.
    ActiveObject,
}

/// Finds out what a statement is about that changes a definition.
pub(super) fn definition_subject(sql: &str, dialect: Dialect) -> DefinitionSubject {
    let tokens = tokenize(sql, dialect);
    let mut cursor = TokenCursor::new(&tokens);
    let Some(verb) = cursor.next().filter(|verb| verb.is_any_word(&["CREATE", "ALTER", "DROP"])) else {
        return DefinitionSubject::Tables;
    };
    for token in cursor {
        if token.is_any_word(&["TRIGGER", "EVENT"]) {
            return DefinitionSubject::ActiveObject;
        }
        if token.is_any_word(&["VIEW", "PROCEDURE", "FUNCTION", "PACKAGE", "LIBRARY"]) {
            return DefinitionSubject::Code;
        }
        if token.is_any_word(&["DATABASE", "SCHEMA"]) && verb.is_word("ALTER") {
            return DefinitionSubject::ActiveObject;
        }
        if token.is_any_word(&["DATABASE", "SCHEMA", TABLE, "INDEX", "SEQUENCE"]) {
            break;
        }
    }
    DefinitionSubject::Tables
}

/// Whether a statement that changes a definition may change one of these tables, or their rows. The dialect is not known, so
/// that a quoted text counts as a name too.
pub(in crate::mysql) fn may_change_tables(sql: &str, is_table: impl Fn(&str) -> bool) -> bool {
    let dialect = Dialect::default();
    let tokens = tokenize(sql, dialect);
    let names_table = || tokens.iter().filter_map(Token::name_or_string).any(|name| is_table(&name));
    let names_database = || tokens.iter().any(|token| token.is_any_word(&["DATABASE", "SCHEMA"]));
    definition_subject(sql, dialect) == DefinitionSubject::Tables && (names_table() || names_database())
}

/// The name in a statement on an XA transaction: what follows its second word.
pub(super) fn xa_name(sql: &str) -> String {
    sql.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")
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

    /// Whether this is the table in which dbgraft records what it applies to the followed database.
    pub(super) fn is_journal(&self, name: &str) -> bool {
        self.is_same(name, journal::TABLE_NAME)
    }

    /// Whether rows of a table of the followed database that the plan does not have are none of its rows. Sequences have rows
    /// too, and views, tables and sequences share their names.
    pub(super) fn passes_rows(&self, name: &str) -> bool {
        let kinds = [ObjectKind::Table, ObjectKind::Sequence, ObjectKind::View];
        self.is_journal(name) || kinds.into_iter().any(|kind| self.leaves_out(kind, name))
    }

    /// Whether a definition of the object may concern what is followed. A followed table may have got the name of one that
    /// was left out.
    fn concerns(&self, kind: ObjectKind, (database, name): &QualifiedName) -> bool {
        let is_followed = kind == ObjectKind::Table && self.table_number(name).is_some();
        self.is_database(database) && (is_followed || !self.leaves_out(kind, name) && !self.is_journal(name))
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
