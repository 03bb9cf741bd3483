//! Compares the target's catalog with the plan after all objects are created.
//!
//! Each difference that no note foretold becomes an entry of the report. A difference that changes rows makes the clone
//! different.

use std::collections::BTreeSet;

use super::connect::Conn;
use super::ddl::{self, DefinerRewrite, Dialect, TableParts, quote_name, rewrite_definer, table_parts};
use super::definition_rewriter::DefinitionRewriter;
use super::existing_objects::ExistingObjects;
use super::target::TargetDatabase;
use super::{introspect, session};
use crate::catalog::{Catalog, Column, Definition, ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::Note;

/// Compares a plan with the catalog of the target.
pub(super) struct CatalogComparison<'a> {
    /// The plan in the target's dialect.
    pub(super) plan: &'a Plan,
    pub(super) rewriter: &'a DefinitionRewriter,
    /// The tables that the clone created. The others keep their definitions.
    pub(super) created_tables: &'a BTreeSet<String>,
    /// The notes of the clone so far.
    pub(super) known_notes: &'a [Note],
}

impl CatalogComparison<'_> {
    /// Compares both catalogs. Removes indexes that the server added by itself, if it allows that.
    pub(super) async fn run(&self, target: &TargetDatabase) -> Result<Vec<Note>> {
        let actual =
            introspect::read_catalog(&mut session::open_control(&target.address).await?, &target.address.database)
                .await?;
        let mut conn = target.ddl_session().await?;
        // A server that stores names in lower case prints every reference to a table differently.
        let folds = ExistingObjects::read(&mut conn, &target.address.database).await?.folds_names;
        let mut notes = Vec::new();
        let exact = self.plan.server.is_same_release(&actual.server);
        for planned in self.plan.tables.iter().map(|plan| &plan.table) {
            if !self.created_tables.contains(&planned.name) {
                continue;
            }
            let Some(table) = find_table(&actual, &planned.name, folds || self.plan.server.folds_names) else {
                if !self.is_reported(&planned.object(), "definition") {
                    notes.push(Note::different(planned.object(), "the table is not there"));
                }
                continue;
            };
            let text = self.rewriter.rename_database(&planned.object(), planned.create.clone(), Dialect::default()).0;
            let (Some(wanted), Some(found)) = (table_parts(&text), table_parts(&table.create)) else { continue };
            let both = if folds { (to_lowercase(&wanted), to_lowercase(&found)) } else { (wanted, found) };
            self.compare_table(&mut conn, planned, &both.0, &both.1, exact, &mut notes).await?;
        }
        target.state().ddl_sessions.push(conn);
        for planned in &self.plan.definitions {
            let same = |actual: &&Definition| {
                let object = &planned.object;
                actual.object == *object
                    || folds
                        && actual.object.kind == object.kind
                        && actual.object.name.to_lowercase() == object.name.to_lowercase()
            };
            self.compare_definition(planned, actual.definitions.iter().find(same), exact && !folds, &mut notes);
        }
        Ok(notes)
    }

    async fn compare_table(
        &self,
        conn: &mut Conn,
        planned: &Table,
        wanted: &TableParts,
        found: &TableParts,
        exact: bool,
        notes: &mut Vec<Note>,
    ) -> Result<()> {
        let object = planned.object();
        let is_column = |what: &&String| what.starts_with("column ");
        let same_columns = wanted.keys().filter(is_column).eq(found.keys().filter(is_column));
        for (what, text) in wanted.iter().filter(|(what, _)| same_columns || *what != "order of columns") {
            let difference = match found.get(what) {
                None => Some(String::new()),
                // Another release may print the same definition differently.
                Some(there) if exact && there != text => Some(there.clone()),
                Some(_) => None,
            };
            let Some(there) = difference.filter(|_| !self.is_reported(&object, what)) else { continue };
            if !exact && there.is_empty() && !has_stable_name(what) {
                continue;
            }
            notes.push(match what.split_once(' ').map(|(kind, _)| kind) {
                // A different column may store different values.
                Some("column") => {
                    Note::different(object.clone(), format!("{what} is {text} in the plan, {there} there"))
                }
                _ => difference_note(&object, what, text, &there),
            });
        }
        for (what, text) in found.iter().filter(|(what, _)| !wanted.contains_key(*what) && has_stable_name(what)) {
            if self.is_reported(&object, what) {
                continue;
            }
            // The server added the index for a foreign key. The source works without it.
            if let Some(index) = what.strip_prefix("index ") {
                let (table, index) = (quote_name(&object.name), quote_name(index));
                match conn.exec(&format!("ALTER TABLE {table} DROP KEY {index}")).await {
                    Err(error) if error.code().is_none() => return Err(error),
                    Err(_) => {}
                    Ok(_) => continue,
                }
            }
            notes.push(difference_note(&object, what, "", text));
        }
        Ok(())
    }

    fn compare_definition(&self, planned: &Definition, found: Option<&Definition>, exact: bool, notes: &mut Vec<Note>) {
        let object = &planned.object;
        if self.has_note(object) {
            return;
        }
        let Some(found) = found else {
            notes.push(difference_note(object, "definition", "it is in the plan", ""));
            return;
        };
        if object.kind == ObjectKind::View {
            let (wanted, there) = (describe_columns(&planned.columns), describe_columns(&found.columns));
            if exact && wanted != there && !planned.columns.is_empty() {
                notes.push(difference_note(object, "columns", &wanted, &there));
            }
        }
        if !exact || object.kind == ObjectKind::Sequence {
            return;
        }
        let dialect = Dialect::from_sql_mode(&planned.sql_mode);
        let text = |create: &str| {
            let text = rewrite_definer(create, dialect, &DefinerRewrite::Strip);
            ddl::tokenize(&text, dialect)
                .iter()
                .filter(|token| !token.is_trivia())
                .map(|token| token.text)
                .collect::<Vec<_>>()
                .join(" ")
                // MySQL keeps the `;` after a body that was created in one text with other statements.
                .trim_end_matches(" ;")
                // A server prints a view whose definer is missing with its database in every name.
                .replace(&format!("{} . ", quote_name(&self.rewriter.rename.to)), "")
        };
        let (wanted, there) = (text(&self.rewriter.rewrite(planned).0), text(&found.create));
        if wanted != there {
            notes.push(difference_note(object, "definition", &wanted, &there));
        }
        let settings = |d: &Definition| {
            [&d.sql_mode, &d.character_set_client, &d.collation_connection, &d.database_collation, &d.time_zone]
                .map(Clone::clone)
        };
        let (wanted, there) = (settings(planned), settings(found));
        if wanted != there {
            notes.push(difference_note(object, "settings that it was made under", &wanted.join(" "), &there.join(" ")));
        }
    }

    /// Whether a note reports this difference of the object already.
    fn is_reported(&self, object: &ObjectRef, what: &str) -> bool {
        let says = |found: &FidelityIssue| {
            // A note on an omitted option names the option.
            found.object == *object
                && (found.what.to_lowercase() == what.to_lowercase()
                    || found.target == what
                    || what == "options" && found.what == "option")
        };
        self.known_notes.iter().any(|note| matches!(note, Note::Fidelity(found) | Note::Refused(found) if says(found)))
    }

    fn has_note(&self, object: &ObjectRef) -> bool {
        self.known_notes
            .iter()
            .any(|note| matches!(note, Note::Fidelity(found) | Note::Refused(found) if found.object == *object))
    }
}

fn difference_note(object: &ObjectRef, what: &str, source: &str, target: &str) -> Note {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    Note::Fidelity(FidelityIssue {
        object: object.clone(),
        what: what.to_owned(),
        severity: Severity::Warning,
        source: or_none(source),
        target: target.to_owned(),
    })
}

/// Whether every release gives this part of a table the same name.
fn has_stable_name(what: &str) -> bool {
    ["column ", "index ", "foreign key "].iter().any(|kind| what.starts_with(kind)) || what == "primary key"
}

/// Converts names and texts of the parts to lower case.
fn to_lowercase(parts: &TableParts) -> TableParts {
    parts.iter().map(|(what, text)| (what.to_lowercase(), text.to_lowercase())).collect()
}

fn find_table<'c>(catalog: &'c Catalog, name: &str, folds: bool) -> Option<&'c Table> {
    let same = |table: &&Table| table.name == name || folds && table.name.to_lowercase() == name.to_lowercase();
    catalog.tables.iter().find(same)
}

fn describe_columns(columns: &[Column]) -> String {
    let one = |column: &Column| {
        let collation = column.collation.as_deref().unwrap_or_default();
        let null = if column.nullable { "" } else { " not null" };
        format!("{} {} {collation}{null}", column.name, column.column_type)
    };
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}
