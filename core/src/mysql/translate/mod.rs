//! Brings definitions from one family's dialect into the other's: text in, text out.
//!
//! There is no policy here. What has no exact image becomes the nearest one, and the list says so: a `Note` where the
//! meaning is the same, a `Warning` where something is lost, an `Error` where there is no image of the object at all.
//!
//! | file | verb |
//! | --- | --- |
//! | [`table`] | take a `CREATE TABLE` apart and put it together again |
//! | [`column`] | one column: its type, default, and what else is said of it |
//! | [`types`] | the types of one family in the other's |
//! | [`key`] | one index or constraint |
//! | [`options`] | the table options and the partition clause |
//! | [`collation`] | collations and character sets, wherever they are named |
//! | [`expression`] | functions that only one family has |
//! | [`call`] | functions of one family written with those of the other |
//! | [`code`] | views, routines, triggers and events |
//! | [`edit`] | replace some tokens of a text |

mod call;
mod code;
mod collation;
mod column;
mod edit;
mod expression;
mod key;
mod options;
mod table;
mod types;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::system_versioning;
use crate::catalog::{Catalog, Database, Definition, Flavor, ObjectRef, Server, Table};
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::Note;

/// The catalog as the target would have it, and what is not the same there. Within a family it is the catalog itself.
pub(super) fn catalog<'c>(catalog: &'c Catalog, to: &Server) -> (Cow<'c, Catalog>, Vec<FidelityIssue>) {
    if catalog.server.flavor == to.flavor {
        return (Cow::Borrowed(catalog), Vec::new());
    }
    let way = Way::new(&catalog.server, to, &catalog.tables.iter().collect::<Vec<_>>());
    let mut found = Vec::new();
    let tables = catalog.tables.iter().map(|table| way.table(table, &mut found)).collect();
    let definitions = catalog.definitions.iter().map(|definition| way.definition(definition, &mut found)).collect();
    let database = way.database(&catalog.database);
    (Cow::Owned(Catalog { server: catalog.server.clone(), database, tables, definitions }), found)
}

/// The plan with the definitions as the target would have them. Its columns stay the source's: they say how the rows
/// come.
pub(super) fn plan<'p>(plan: &'p Plan, to: &Server) -> Cow<'p, Plan> {
    if plan.server.flavor == to.flavor {
        return Cow::Borrowed(plan);
    }
    let way = Way::new(&plan.server, to, &plan.tables.iter().map(|table| &table.table).collect::<Vec<_>>());
    let (mut image, mut told) = (plan.clone(), Vec::new());
    image.database = way.database(&plan.database);
    for table in &mut image.tables {
        table.table.create = way.table(&table.table, &mut told).create;
    }
    image.definitions = plan.definitions.iter().map(|definition| way.definition(definition, &mut told)).collect();
    Cow::Owned(image)
}

/// What is not the same of a database that was made after the image of another.
pub(super) fn database_notes(source: &Database, image: &Database, to: &Server) -> Vec<Note> {
    let (ours, theirs) = (&image.collation, &source.collation);
    let collation = || format!("the default collation of the database is {ours}, as the target has no {theirs}");
    let comment = || "the comment of the database is left out, as MySQL has none".to_owned();
    let lost = to.flavor == Flavor::MySql && !source.comment.is_empty();
    let messages = [(ours != theirs).then(collation), lost.then(comment)];
    messages.into_iter().flatten().map(Note::general).collect()
}

/// From which server to which.
struct Way<'s> {
    from: &'s Server,
    to: &'s Server,
    /// How many tables have a check of this name, in lower case: MySQL wants it only once in a database.
    checks: BTreeMap<String, usize>,
}

impl<'s> Way<'s> {
    fn new(from: &'s Server, to: &'s Server, tables: &[&Table]) -> Self {
        let mut checks = BTreeMap::new();
        if to.flavor == Flavor::MySql {
            for name in tables.iter().flat_map(|table| table::checks(&table.create)) {
                *checks.entry(name.to_lowercase()).or_default() += 1;
            }
        }
        Self { from, to, checks }
    }

    fn to_mariadb(&self) -> bool {
        self.to.flavor == Flavor::MariaDb
    }

    /// Whether the target is at least this version of its family.
    fn reaches(&self, major: u32, minor: u32, patch: u32) -> bool {
        self.to.version_numbers() >= (major, minor, patch)
    }

    fn table(&self, table: &Table, found: &mut Vec<FidelityIssue>) -> Table {
        let mut log = Log::of(table.object());
        let create = table::statement(&table.create, self, &mut log);
        let plain = self.without_history(table);
        let columns = plain.columns.iter().map(|column| types::column(column, self)).collect();
        let engine = options::engine(&table.engine, false, self).unwrap_or(&table.engine).to_owned();
        found.append(&mut log.found);
        Table { columns, create, engine, ..plain.into_owned() }
    }

    /// MySQL keeps none.
    fn without_history<'t>(&self, table: &'t Table) -> Cow<'t, Table> {
        match system_versioning::period_columns(table).filter(|_| !self.to_mariadb()) {
            Some(period) => Cow::Owned(system_versioning::without_period_columns(table, &period)),
            None => Cow::Borrowed(table),
        }
    }

    fn definition(&self, definition: &Definition, found: &mut Vec<FidelityIssue>) -> Definition {
        let mut log = Log::of(definition.object.clone());
        let image = code::definition(definition, self, &mut log);
        found.append(&mut log.found);
        image
    }

    fn database(&self, database: &Database) -> Database {
        let (charset, collation) = match collation::image(&database.collation, self) {
            Some(image) => (collation::charset(&database.charset, self), image.name),
            None => ("utf8mb4".to_owned(), collation::fallback(self)),
        };
        Database { charset, collation, ..database.clone() }
    }
}

/// What was found of one object.
struct Log {
    object: ObjectRef,
    found: Vec<FidelityIssue>,
}

impl Log {
    fn of(object: ObjectRef) -> Self {
        Self { object, found: Vec::new() }
    }

    /// Another form of the same meaning.
    fn note(&mut self, what: impl Into<String>, source: impl Into<String>, target: impl Into<String>) {
        self.add(Severity::Note, what.into(), source.into(), target.into());
    }

    /// Something is lost or changed; an empty `target` says that it is not there.
    fn warn(&mut self, what: impl Into<String>, source: impl Into<String>, target: impl Into<String>) {
        self.add(Severity::Warning, what.into(), source.into(), target.into());
    }

    /// The object has no image, because of this.
    fn none(&mut self, what: impl Into<String>, source: impl Into<String>) {
        self.add(Severity::Error, what.into(), source.into(), String::new());
    }

    fn add(&mut self, severity: Severity, what: String, source: String, target: String) {
        let found = FidelityIssue { object: self.object.clone(), what, severity, source, target };
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }
}
