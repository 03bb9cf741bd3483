//! The checks of the target.

mod code;
mod columns;
mod keys;
mod kin;
mod loading;
mod naming;
mod probe;
mod rights;
mod room;
mod terms;

use std::collections::BTreeSet;

use super::facts;
use super::party::Party;
use crate::catalog::{Catalog, Definition, Flavor, ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::fidelity::Severity;
use crate::mysql::connect::{Address, Conn};
use crate::mysql::ddl::{Dialect, ForeignKey, TableDdl, split_table};
use crate::mysql::journal;
use crate::options::CloneOptions;
use crate::plan::Selection;
use crate::report::Finding;

/// What is to be written, and what is there.
struct Target<'a> {
    catalog: &'a Catalog,
    selection: &'a Selection,
    options: &'a CloneOptions,
    /// The database's name as the user gave it.
    database: &'a str,
    /// The family of the server that is written.
    flavor: Flavor,
    party: Party,
    /// The database's name as the server keeps it, if it is there.
    stored: Option<String>,
    /// What the database holds, also if it is to be dropped first.
    holds: Vec<ObjectRef>,
    /// Whether the journal of a clone is there, which is under way or was killed.
    journal: bool,
    /// The selected tables, and how their definitions come apart.
    tables: Vec<(&'a Table, Option<TableDdl>)>,
    /// The selected other objects.
    definitions: Vec<&'a Definition>,
}

pub(super) async fn check(
    conn: &mut Conn,
    address: &Address,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    let target = Target::read(conn, address, catalog, selection, options).await?;
    let mut findings = kin::check(conn, &target);
    if has_error(&findings) {
        // Everything else would be noise.
        return Ok(findings);
    }
    findings.extend(loading::writable(conn, &target));
    findings.extend(rights::check(&target));
    findings.extend(naming::check(&target));
    findings.extend(room::check(conn, &target).await?);
    if selection.schema {
        findings.extend(terms::check(conn, &target).await?);
        findings.extend(keys::check(conn, &target).await?);
        findings.extend(code::check(conn, &target).await?);
    }
    findings.extend(loading::check(conn, &target).await?);
    if !has_error(&findings) {
        findings.extend(probe::check(conn, address, &target).await?);
    }
    Ok(findings)
}

fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

impl<'a> Target<'a> {
    async fn read(
        conn: &mut Conn,
        address: &'a Address,
        catalog: &'a Catalog,
        selection: &'a Selection,
        options: &'a CloneOptions,
    ) -> Result<Self> {
        let party = Party::read(conn).await?;
        let stored = facts::stored_database(conn, &party.settings, &address.database).await?;
        let mut holds = facts::existing(conn, &address.database).await?;
        let journal = holds.extract_if(.., |object| object.name == journal::TABLE_NAME).count() > 0;
        let tables = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
        let objects: BTreeSet<&ObjectRef> = selection.objects.iter().collect();
        Ok(Self {
            catalog,
            selection,
            options,
            database: &address.database,
            flavor: conn.server.flavor,
            party,
            stored,
            holds,
            journal,
            tables: tables.map(|table| (table, split_table(&table.create, Dialect::default()).ok())).collect(),
            definitions: catalog.definitions.iter().filter(|d| objects.contains(&d.object)).collect(),
        })
    }

    /// What is there when the first object is made.
    fn there(&self) -> &[ObjectRef] {
        if self.options.recreate_database { &[] } else { &self.holds }
    }

    /// The database's name for statements.
    fn database(&self) -> &str {
        self.stored.as_deref().unwrap_or(self.database)
    }

    fn of_kind(&self, wanted: impl Fn(ObjectKind) -> bool) -> impl Iterator<Item = &'a Definition> {
        self.definitions.iter().copied().filter(move |definition| wanted(definition.object.kind))
    }

    fn foreign_keys(&self) -> impl Iterator<Item = (&'a Table, &ForeignKey)> {
        let split = self.tables.iter().filter_map(|(table, ddl)| Some((*table, ddl.as_ref()?)));
        split.flat_map(|(table, ddl)| ddl.foreign_keys.iter().map(move |key| (table, key)))
    }

    /// The name as the target compares names of tables and views.
    fn folded(&self, name: &str) -> String {
        if self.party.settings.folds_names() { name.to_lowercase() } else { name.to_owned() }
    }

    /// Whether the two would meet: tables, views and sequences share their names; the servers fold those of routines and
    /// events always.
    fn meet(&self, one: &ObjectRef, other: &ObjectRef) -> bool {
        let folds = |kind: ObjectKind| kind.is_routine() || kind == ObjectKind::Event;
        match one.kind == other.kind && folds(one.kind) {
            true => one.name.to_lowercase() == other.name.to_lowercase(),
            false => {
                let kinds = one.kind == other.kind || is_relation(one.kind) && is_relation(other.kind);
                kinds && self.folded(&one.name) == self.folded(&other.name)
            }
        }
    }
}

/// Whether the kind shares the names of tables.
fn is_relation(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence)
}

/// Whether this session may set the variable; it is set back at once.
async fn settable(conn: &mut Conn, target: &Target<'_>, name: &str, value: &str) -> Result<bool> {
    match conn.exec(&format!("SET SESSION {name} = {value}")).await {
        Ok(_) => {
            conn.exec(&format!("SET SESSION {name} = {}", target.party.settings.text(name))).await?;
            Ok(true)
        }
        Err(error) if error.code().is_none() => Err(error),
        Err(_) => Ok(false),
    }
}
