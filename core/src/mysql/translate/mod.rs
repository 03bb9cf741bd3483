//! Translates definitions between the dialects of MySQL and MariaDB, and between releases of one family. No I/O.
//!
//! Contains no policy. A construct without an exact equivalent becomes the nearest one, and a `FidelityIssue` says so:
//! a `Note` if the meaning is the same, a `Warning` if something is lost, an `Error` if the target cannot have the
//! object.
//!
//! | file | verb |
//! | --- | --- |
//! | [`table`] | translate a `CREATE TABLE` |
//! | [`column`] | translate one column |
//! | [`type_mapping`] | map a column type |
//! | [`key`] | translate one index or constraint |
//! | [`table_options`] | translate the table options and the partition clause |
//! | [`table_summary`] | read what one part of a table needs to know of the others |
//! | [`collation`] | map collations and character sets |
//! | [`unsupported_functions`] | find functions that only one family has |
//! | [`function_calls`] | rewrite calls of functions of one family to those of the other |
//! | [`definition`] | translate views, routines, triggers and events |
//! | [`release`] | adapt definitions to another release of the same family |
//! | [`charset`] | keep the default collations of character sets in code |
//! | [`group_by`] | move the order of a GROUP BY into an ORDER BY |
//! | [`token_editor`] | replace some tokens of a text |

mod charset;
mod collation;
mod column;
mod definition;
mod function_calls;
mod group_by;
mod key;
mod release;
mod table;
mod table_options;
mod table_summary;
mod token_editor;
mod type_mapping;
mod unsupported_functions;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::capability::{self, Capability};
use super::system_versioning;
use crate::catalog::{Catalog, Database, Definition, Flavor, ObjectRef, Server, Table};
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::Note;

/// Translates a catalog for the target, and lists the differences. Within a release, returns the catalog itself.
pub(super) fn catalog<'c>(catalog: &'c Catalog, to: &Server) -> (Cow<'c, Catalog>, Vec<FidelityIssue>) {
    if catalog.server.is_same_release(to) {
        return (Cow::Borrowed(catalog), Vec::new());
    }
    let translator = Translator::new(&catalog.server, to, &catalog.tables.iter().collect::<Vec<_>>());
    let mut issues = Vec::new();
    let tables = catalog.tables.iter().map(|table| translator.translate_table(table, &mut issues)).collect();
    let definitions =
        catalog.definitions.iter().map(|definition| translator.translate_definition(definition, &mut issues)).collect();
    let database = translator.translate_database(&catalog.database);
    (Cow::Owned(Catalog { server: catalog.server.clone(), database, tables, definitions }), issues)
}

/// Translates the definitions of a plan for the target. Its columns stay the source's, as they describe the encoding of
/// the rows.
pub(super) fn plan<'p>(plan: &'p Plan, to: &Server) -> Cow<'p, Plan> {
    if plan.server.is_same_release(to) {
        return Cow::Borrowed(plan);
    }
    let translator =
        Translator::new(&plan.server, to, &plan.tables.iter().map(|table| &table.table).collect::<Vec<_>>());
    let (mut translated, mut issues) = (plan.clone(), Vec::new());
    translated.database = translator.translate_database(&plan.database);
    for table in &mut translated.tables {
        table.table.create = translator.translate_table(&table.table, &mut issues).create;
    }
    translated.definitions =
        plan.definitions.iter().map(|definition| translator.translate_definition(definition, &mut issues)).collect();
    Cow::Owned(translated)
}

/// Describes the differences between the source's database and its translation.
pub(super) fn database_notes(source: &Database, translated: &Database, to: &Server) -> Vec<Note> {
    let (ours, theirs) = (&translated.collation, &source.collation);
    let collation = || format!("the default collation of the database is {ours}, as the target has no {theirs}");
    let comment = || "the comment of the database is left out, as MySQL has none".to_owned();
    let lost = to.flavor == Flavor::MySql && !source.comment.is_empty();
    let messages = [(ours != theirs).then(collation), lost.then(comment)];
    messages.into_iter().flatten().map(Note::general).collect()
}

/// Translates definitions of the server `from` for the server `to`.
struct Translator<'s> {
    from: &'s Server,
    to: &'s Server,
    /// The number of tables with a check of this name, in lower case. In MySQL a name is unique in the whole database.
    check_counts: BTreeMap<String, usize>,
}

impl<'s> Translator<'s> {
    fn new(from: &'s Server, to: &'s Server, tables: &[&Table]) -> Self {
        let mut check_counts = BTreeMap::new();
        if from.flavor != to.flavor && to.flavor == Flavor::MySql {
            for name in tables.iter().flat_map(|table| table::check_names(&table.create)) {
                *check_counts.entry(name.to_lowercase()).or_default() += 1;
            }
        }
        Self { from, to, check_counts }
    }

    /// Whether both servers are of one family.
    fn is_within_family(&self) -> bool {
        self.from.flavor == self.to.flavor
    }

    fn targets_mariadb(&self) -> bool {
        self.to.flavor == Flavor::MariaDb
    }

    /// Whether the target has this.
    fn target_has(&self, capability: Capability) -> bool {
        capability::has(self.to, capability)
    }

    fn translate_table(&self, table: &Table, issues: &mut Vec<FidelityIssue>) -> Table {
        let mut log = FidelityLog::for_object(table.object());
        if self.is_within_family() {
            let create = release::adapt_table(&table.create, self, &mut log);
            issues.append(&mut log.issues);
            return Table { create, ..table.clone() };
        }
        let create = table::translate_table(&table.create, self, &mut log);
        let plain = self.without_history(table);
        let columns = plain.columns.iter().map(|column| type_mapping::map_column(column, self)).collect();
        let engine = table_options::replacement_engine(&table.engine, false, self).unwrap_or(&table.engine).to_owned();
        issues.append(&mut log.issues);
        Table { columns, create, engine, ..plain.into_owned() }
    }

    /// The table without system versioning, which MySQL does not have.
    fn without_history<'t>(&self, table: &'t Table) -> Cow<'t, Table> {
        match system_versioning::period_columns(table).filter(|_| !self.targets_mariadb()) {
            Some(period) => Cow::Owned(system_versioning::without_period_columns(table, &period)),
            None => Cow::Borrowed(table),
        }
    }

    fn translate_definition(&self, definition: &Definition, issues: &mut Vec<FidelityIssue>) -> Definition {
        let mut log = FidelityLog::for_object(definition.object.clone());
        let translated = match self.is_within_family() {
            true => release::adapt_definition(definition, self, &mut log),
            false => definition::translate_definition(definition, self, &mut log),
        };
        issues.append(&mut log.issues);
        translated
    }

    fn translate_database(&self, database: &Database) -> Database {
        let (charset, collation) = match collation::nearest_collation(&database.collation, self) {
            Some(translated) => (collation::charset_name(&database.charset, self), translated.name),
            None => ("utf8mb4".to_owned(), collation::fallback_collation(self)),
        };
        Database { charset, collation, ..database.clone() }
    }
}

/// Collects the issues of one object.
struct FidelityLog {
    object: ObjectRef,
    issues: Vec<FidelityIssue>,
}

impl FidelityLog {
    fn for_object(object: ObjectRef) -> Self {
        Self { object, issues: Vec::new() }
    }

    /// Logs another form with the same meaning.
    fn note(&mut self, what: impl Into<String>, source: impl Into<String>, target: impl Into<String>) {
        self.add(Severity::Note, what.into(), source.into(), target.into());
    }

    /// Logs a loss or a change. An empty `target` stands for an omitted part.
    fn warn(&mut self, what: impl Into<String>, source: impl Into<String>, target: impl Into<String>) {
        self.add(Severity::Warning, what.into(), source.into(), target.into());
    }

    /// Logs the reason why the target cannot have the object.
    fn unsupported(&mut self, what: impl Into<String>, source: impl Into<String>) {
        self.add(Severity::Error, what.into(), source.into(), String::new());
    }

    fn add(&mut self, severity: Severity, what: String, source: String, target: String) {
        let issue = FidelityIssue { object: self.object.clone(), what, severity, source, target };
        if !self.issues.contains(&issue) {
            self.issues.push(issue);
        }
    }
}
