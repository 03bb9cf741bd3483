//! Looks at what was made: reads the target's catalog once, and compares it with the plan. What differs, and nobody
//! foresaw, is an entry of the report; where rows could not be the same, the clone is different.

use std::collections::BTreeSet;

use super::apply::Rewriting;
use super::connect::Conn;
use super::ddl::{self, DefinerRewrite, Dialect, TableParts, quote_name, rewrite_definer, table_parts};
use super::target::{Target, There};
use super::{introspect, session};
use crate::catalog::{Catalog, Column, Definition, ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::fidelity::{FidelityIssue, Severity};
use crate::plan::Plan;
use crate::report::Note;

/// What was to be made, and what is known of it already.
pub(super) struct Audit<'a> {
    /// As the target takes it.
    pub(super) plan: &'a Plan,
    pub(super) rewriting: &'a Rewriting,
    /// The tables that were made; others keep their definitions.
    pub(super) tables: &'a BTreeSet<String>,
    /// What has been told.
    pub(super) told: &'a [Note],
}

impl Audit<'_> {
    /// Compares, and removes indexes that the server added by itself where it lets us.
    pub(super) async fn run(&self, target: &Target) -> Result<Vec<Note>> {
        let made = introspect::catalog(&mut session::control(&target.address).await?, &target.address.database).await?;
        let mut conn = target.definer().await?;
        // Where it keeps names in lower case, all that names a table reads otherwise.
        let folds = There::look(&mut conn, &target.address.database).await?.folds;
        let mut notes = Vec::new();
        let exact = self.plan.server.is_same_release(&made.server);
        for planned in self.plan.tables.iter().map(|plan| &plan.table) {
            if !self.tables.contains(&planned.name) {
                continue;
            }
            let Some(table) = find(&made, &planned.name, folds || self.plan.server.folds_names) else {
                if !self.is_told(&planned.object(), "definition") {
                    notes.push(Note::different(planned.object(), "the table is not there"));
                }
                continue;
            };
            let text = self.rewriting.renamed(&planned.object(), planned.create.clone(), Dialect::default()).0;
            let (Some(wanted), Some(found)) = (table_parts(&text), table_parts(&table.create)) else { continue };
            let both = if folds { (folded(&wanted), folded(&found)) } else { (wanted, found) };
            self.compare_table(&mut conn, planned, &both.0, &both.1, exact, &mut notes).await?;
        }
        target.state().definers.push(conn);
        for planned in &self.plan.definitions {
            let same = |made: &&Definition| {
                let object = &planned.object;
                made.object == *object
                    || folds
                        && made.object.kind == object.kind
                        && made.object.name.to_lowercase() == object.name.to_lowercase()
            };
            self.compare_definition(planned, made.definitions.iter().find(same), exact && !folds, &mut notes);
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
                // Another release writes the same in another way.
                Some(there) if exact && there != text => Some(there.clone()),
                Some(_) => None,
            };
            let Some(there) = difference.filter(|_| !self.is_told(&object, what)) else { continue };
            if !exact && there.is_empty() && !names_the_same(what) {
                continue;
            }
            notes.push(match what.split_once(' ').map(|(kind, _)| kind) {
                // Another column takes other values.
                Some("column") => {
                    Note::different(object.clone(), format!("{what} is {text} in the plan, {there} there"))
                }
                _ => told(&object, what, text, &there),
            });
        }
        for (what, text) in found.iter().filter(|(what, _)| !wanted.contains_key(*what) && names_the_same(what)) {
            if self.is_told(&object, what) {
                continue;
            }
            // The server added it for a foreign key, and the source could do without.
            if let Some(index) = what.strip_prefix("index ") {
                let (table, index) = (quote_name(&object.name), quote_name(index));
                match conn.exec(&format!("ALTER TABLE {table} DROP KEY {index}")).await {
                    Err(error) if error.code().is_none() => return Err(error),
                    Err(_) => {}
                    Ok(_) => continue,
                }
            }
            notes.push(told(&object, what, "", text));
        }
        Ok(())
    }

    fn compare_definition(&self, planned: &Definition, found: Option<&Definition>, exact: bool, notes: &mut Vec<Note>) {
        let object = &planned.object;
        if self.has_entry(object) {
            return;
        }
        let Some(found) = found else {
            notes.push(told(object, "definition", "it is in the plan", ""));
            return;
        };
        if object.kind == ObjectKind::View {
            let (wanted, there) = (columns(&planned.columns), columns(&found.columns));
            if exact && wanted != there && !planned.columns.is_empty() {
                notes.push(told(object, "columns", &wanted, &there));
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
                // A view whose definer is not there is shown with its database in every name.
                .replace(&format!("{} . ", quote_name(&self.rewriting.rename.to)), "")
        };
        let (wanted, there) = (text(&self.rewriting.apply(planned).0), text(&found.create));
        if wanted != there {
            notes.push(told(object, "definition", &wanted, &there));
        }
        let settings = |d: &Definition| {
            [&d.sql_mode, &d.character_set_client, &d.collation_connection, &d.database_collation, &d.time_zone]
                .map(Clone::clone)
        };
        let (wanted, there) = (settings(planned), settings(found));
        if wanted != there {
            notes.push(told(object, "settings that it was made under", &wanted.join(" "), &there.join(" ")));
        }
    }

    /// Whether this has been told of the object.
    fn is_told(&self, object: &ObjectRef, what: &str) -> bool {
        let says = |found: &FidelityIssue| {
            // An option that was left out is told by its name.
            found.object == *object
                && (found.what.to_lowercase() == what.to_lowercase()
                    || found.target == what
                    || what == "options" && found.what == "option")
        };
        self.told.iter().any(|note| matches!(note, Note::Fidelity(found) | Note::Refused(found) if says(found)))
    }

    fn has_entry(&self, object: &ObjectRef) -> bool {
        self.told
            .iter()
            .any(|note| matches!(note, Note::Fidelity(found) | Note::Refused(found) if found.object == *object))
    }
}

fn told(object: &ObjectRef, what: &str, source: &str, target: &str) -> Note {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    Note::Fidelity(FidelityIssue {
        object: object.clone(),
        what: what.to_owned(),
        severity: Severity::Warning,
        source: or_none(source),
        target: target.to_owned(),
    })
}

/// Whether a part of this name has it in every release.
fn names_the_same(what: &str) -> bool {
    ["column ", "index ", "foreign key "].iter().any(|kind| what.starts_with(kind)) || what == "primary key"
}

/// The parts in lower case.
fn folded(parts: &TableParts) -> TableParts {
    parts.iter().map(|(what, text)| (what.to_lowercase(), text.to_lowercase())).collect()
}

fn find<'c>(catalog: &'c Catalog, name: &str, folds: bool) -> Option<&'c Table> {
    let same = |table: &&Table| table.name == name || folds && table.name.to_lowercase() == name.to_lowercase();
    catalog.tables.iter().find(same)
}

fn columns(columns: &[Column]) -> String {
    let one = |column: &Column| {
        let collation = column.collation.as_deref().unwrap_or_default();
        let null = if column.nullable { "" } else { " not null" };
        format!("{} {} {collation}{null}", column.name, column.column_type)
    };
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}
