//! The checks of the target.

mod column_match;
mod compatibility;
mod conflicts;
mod create_probe;
mod following;
mod object_names;
mod privileges;
mod row_loading;
mod server_features;
mod stored_code;
mod table_keys;

use std::collections::BTreeSet;

pub(super) use self::following::{check_catch_up, table_problems};
use super::account::Account;
use super::existing_objects;
use crate::catalog::{Catalog, Definition, Flavor, ObjectKind, ObjectRef, Table};
use crate::error::Result;
use crate::fidelity::Severity;
use crate::mysql::connect::{Conn, ServerAddress};
use crate::mysql::ddl::{Dialect, ForeignKey, TableDdl, split_table};
use crate::mysql::journal;
use crate::options::CloneOptions;
use crate::plan::Selection;
use crate::report::Finding;

/// The clone that is to be written, and the target's state before it.
struct PreflightContext<'a> {
    catalog: &'a Catalog,
    selection: &'a Selection,
    options: &'a CloneOptions,
    /// The database's name in the URL.
    database: &'a str,
    /// The target server's family.
    flavor: Flavor,
    account: Account,
    /// The database's name as the server stores it; `None` if it does not exist.
    stored_name: Option<String>,
    /// The objects in the database, also if the clone drops it first.
    objects: Vec<ObjectRef>,
    /// Whether the journal of a clone exists, which runs now or was killed.
    has_journal: bool,
    /// The selected tables, each with its split definition.
    tables: Vec<(&'a Table, Option<TableDdl>)>,
    /// The other selected objects.
    definitions: Vec<&'a Definition>,
}

/// Runs all checks of the target, and stops early if the target is unsuitable.
pub(super) async fn check(
    conn: &mut Conn,
    address: &ServerAddress,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    let target = PreflightContext::read(conn, address, catalog, selection, options).await?;
    let mut findings = compatibility::check(conn, &target);
    if has_error(&findings) {
        // The other checks make no sense for such a target.
        return Ok(findings);
    }
    findings.extend(row_loading::check_writable(conn, &target));
    findings.extend(privileges::check(&target));
    findings.extend(object_names::check(&target));
    findings.extend(following::check(conn, &target).await?);
    findings.extend(conflicts::check(conn, &target).await?);
    if selection.schema {
        findings.extend(server_features::check(conn, &target).await?);
        findings.extend(table_keys::check(conn, &target).await?);
        findings.extend(stored_code::check(conn, &target).await?);
    }
    findings.extend(row_loading::check(conn, &target).await?);
    if !has_error(&findings) {
        findings.extend(create_probe::check(conn, address, &target).await?);
    }
    Ok(findings)
}

fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

impl<'a> PreflightContext<'a> {
    async fn read(
        conn: &mut Conn,
        address: &'a ServerAddress,
        catalog: &'a Catalog,
        selection: &'a Selection,
        options: &'a CloneOptions,
    ) -> Result<Self> {
        let account = Account::read(conn).await?;
        let stored_name = existing_objects::stored_name(conn, &account.variables, &address.database).await?;
        let mut objects = existing_objects::list_objects(conn, &address.database).await?;
        let has_journal = objects.extract_if(.., |object| object.name == journal::TABLE_NAME).count() > 0;
        let tables = selection.tables.iter().filter_map(|chosen| catalog.table(&chosen.name));
        let selected: BTreeSet<&ObjectRef> = selection.objects.iter().collect();
        Ok(Self {
            catalog,
            selection,
            options,
            database: &address.database,
            flavor: conn.server.flavor,
            account,
            stored_name,
            objects,
            has_journal,
            tables: tables.map(|table| (table, split_table(&table.create, Dialect::default()).ok())).collect(),
            definitions: catalog.definitions.iter().filter(|d| selected.contains(&d.object)).collect(),
        })
    }

    /// The objects that exist when the clone creates the first one.
    fn existing_objects(&self) -> &[ObjectRef] {
        if self.options.recreate_database { &[] } else { &self.objects }
    }

    /// The database's name for statements.
    fn database(&self) -> &str {
        self.stored_name.as_deref().unwrap_or(self.database)
    }

    /// The selected objects of the kinds that `wanted` accepts.
    fn definitions_of_kind(&self, wanted: impl Fn(ObjectKind) -> bool) -> impl Iterator<Item = &'a Definition> {
        self.definitions.iter().copied().filter(move |definition| wanted(definition.object.kind))
    }

    /// The foreign keys of the selected tables.
    fn foreign_keys(&self) -> impl Iterator<Item = (&'a Table, &ForeignKey)> {
        let split = self.tables.iter().filter_map(|(table, ddl)| Some((*table, ddl.as_ref()?)));
        split.flat_map(|(table, ddl)| ddl.foreign_keys.iter().map(move |key| (table, key)))
    }

    /// The name in the form by which the target compares names of tables and views.
    fn fold_name(&self, name: &str) -> String {
        if self.account.variables.folds_names() { name.to_lowercase() } else { name.to_owned() }
    }

    /// Whether the two names collide. Tables, views and sequences share one namespace; the servers always ignore the
    /// case of routines and events.
    fn names_collide(&self, one: &ObjectRef, other: &ObjectRef) -> bool {
        let folds = |kind: ObjectKind| kind.is_routine() || kind == ObjectKind::Event;
        match one.kind == other.kind && folds(one.kind) {
            true => one.name.to_lowercase() == other.name.to_lowercase(),
            false => {
                let kinds = one.kind == other.kind || is_relation(one.kind) && is_relation(other.kind);
                kinds && self.fold_name(&one.name) == self.fold_name(&other.name)
            }
        }
    }
}

/// Whether objects of this kind are in the namespace of tables.
fn is_relation(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence)
}

/// Whether this session may set the variable. Restores its value.
async fn can_set_variable(conn: &mut Conn, target: &PreflightContext<'_>, name: &str, value: &str) -> Result<bool> {
    match conn.exec(&format!("SET SESSION {name} = {value}")).await {
        Ok(_) => {
            conn.exec(&format!("SET SESSION {name} = {}", target.account.variables.text(name))).await?;
            Ok(true)
        }
        Err(error) if error.code().is_none() => Err(error),
        Err(_) => Ok(false),
    }
}
