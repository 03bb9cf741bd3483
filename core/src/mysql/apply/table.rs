//! The tables that changes are applied to: how their rows are found, and which changes depend on each other.

use std::collections::{BTreeMap, BTreeSet};

use super::cascades::{Cascades, ServerCascades, find_cascades};
use super::conflict_keys::{hashers, is_row_identity};
use crate::catalog::{Column, Printable, Table};
use crate::change::RowImages;
use crate::conflict_hasher::ConflictHasher;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::capability::{self, Capability};
use crate::mysql::cascade_chains;
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{TableKeys, quote_name, quote_text, table_keys, table_parts};
use crate::plan::{Plan, TablePlan};

const UNKNOWN_TABLE: u16 = 1146;

/// A table that changes are applied to.
pub(super) struct AppliedTable {
    /// The source's table.
    pub(super) table: Table,
    /// The quoted name with its database.
    pub(super) name: String,
    /// The stored columns, in the order of a full image.
    pub(super) columns: Vec<Column>,
    /// The columns by which a row is found, as indexes into `columns`; `None` if only all columns tell rows apart.
    pub(super) locator: Option<Vec<u32>>,
    pub(super) hasher: ConflictHasher,
    pub(super) cascades: Cascades,
    /// What prevents changes of the table from being applied: it may be as a statement leaves it that is not passed yet.
    pub(super) difference: Option<String>,
}

/// Reads the keys of the plan's tables from the target, which compares them.
pub(super) async fn read_tables(conn: &mut Conn, database: &str, plan: &Plan) -> Result<Vec<AppliedTable>> {
    let (mut keys, mut differences) = (Vec::new(), Vec::new());
    let members = member_differences(conn, database, plan).await?;
    for planned in &plan.tables {
        let name = format!("{}.{}", quote_name(database), quote_name(&planned.table.name));
        let row = match conn.row(&format!("SHOW CREATE TABLE {name}")).await {
            Err(error) if error.code() == Some(UNKNOWN_TABLE) => None,
            row => row?,
        };
        let create = row.map(|row| row.string(1));
        differences.push(match &create {
            None => Some("the table is not at the target".to_owned()),
            Some(create) => column_difference(&planned.table, create).or_else(|| members.get(&planned.number).cloned()),
        });
        keys.push((name, table_keys(&create.unwrap_or_default())));
    }
    let pairs: Vec<(&Table, &TableKeys)> =
        plan.tables.iter().map(|planned| &planned.table).zip(keys.iter().map(|(_, keys)| keys)).collect();
    let hashers = hashers(&pairs);
    let servers = ServerCascades {
        are_logged: capability::has(&plan.server, Capability::LoggedCascades),
        are_incomplete: cascade_chains::is_incomplete(conn).await?,
    };
    let cascades = find_cascades(&pairs, servers)?;
    let tables = plan.tables.iter().zip(&keys).zip(hashers.into_iter().zip(cascades)).zip(differences);
    let applied = tables.map(|(((planned, (name, keys)), found), difference)| AppliedTable {
        difference,
        ..applied_table(planned, name, keys, found)
    });
    Ok(applied.collect())
}

/// Finds the ENUM and SET columns whose members are others at the target: their values travel as numbers.
async fn member_differences(conn: &mut Conn, database: &str, plan: &Plan) -> Result<BTreeMap<u32, String>> {
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND DATA_TYPE IN \
         ('enum', 'set')",
        quote_text(database)
    );
    let mut found = BTreeMap::new();
    for row in conn.rows(&sql).await? {
        found.insert((row.string(0).to_lowercase(), row.string(1).to_lowercase()), row.string(2));
    }
    let mut differences = BTreeMap::new();
    for planned in &plan.tables {
        for column in planned.table.columns.iter().filter(|column| matches!(column.data_type.as_str(), "enum" | "set"))
        {
            let there = found.get(&(planned.table.name.to_lowercase(), column.name.to_lowercase()));
            if there.is_some_and(|there| *there != column.column_type) {
                let name = Printable(&column.name);
                let difference = format!(
                    "column {name} has other members at the target: run at the target what was run at the source"
                );
                differences.insert(planned.number, difference);
            }
        }
    }
    Ok(differences)
}

/// How the columns of a table differ from those that the target has.
fn column_difference(table: &Table, create: &str) -> Option<String> {
    let parts = table_parts(create).unwrap_or_default();
    let found: BTreeSet<String> =
        parts.keys().filter_map(|part| Some(part.strip_prefix("column ")?.to_lowercase())).collect();
    let wanted: BTreeSet<String> = table.columns.iter().map(|column| column.name.to_lowercase()).collect();
    let column = wanted.symmetric_difference(&found).next()?;
    let (there, missing) = if found.contains(column) { ("target", "source") } else { ("source", "target") };
    Some(format!(
        "column {} is at the {there} and not at the {missing}: run at the target what was run at the source",
        Printable(column)
    ))
}

fn applied_table(
    planned: &TablePlan,
    name: &str,
    keys: &TableKeys,
    (mut hasher, cascades): (ConflictHasher, Cascades),
) -> AppliedTable {
    let table = planned.table.clone();
    let columns: Vec<Column> = table.stored_columns().cloned().collect();
    let index = |name: &Option<String>| {
        (0..).zip(&columns).find(|(_, c)| name.as_deref().is_some_and(|name| c.name.eq_ignore_ascii_case(name)))
    };
    let key = keys.unique.iter().find(|key| is_row_identity(&table, &key.columns));
    let locator = key.and_then(|key| key.columns.iter().map(|name| Some(index(name)?.0)).collect());
    hasher.cascades = cascades.changes.clone();
    AppliedTable { name: name.to_owned(), locator, hasher, cascades, columns, table, difference: None }
}

impl AppliedTable {
    /// The columns of an image.
    pub(super) fn image_columns(&self, images: &RowImages) -> Result<Vec<&Column>> {
        self.check()?;
        let column = |index: &u32| self.columns.get(*index as usize);
        let columns: Option<Vec<&Column>> = images.columns.iter().map(column).collect();
        columns.ok_or_else(|| self.error("the source's log has a column that the plan does not have"))
    }

    /// Fails if the target's table is not the one of the plan.
    pub(super) fn check(&self) -> Result<()> {
        let Some(difference) = &self.difference else { return Ok(()) };
        Err(Error::new(ErrorKind::Preflight, difference.clone()).with("table", Printable(&self.table.name)))
    }

    /// Whether an image has all columns, apart from those that the target computes.
    pub(super) fn is_full(&self, images: &RowImages) -> bool {
        let mut loaded = (0..).zip(&self.columns).filter(|(_, column)| !column.generated);
        loaded.all(|(index, _)| images.columns.contains(&index))
    }

    /// The places of the columns by which rows of these images are found, and whether they are a key.
    pub(super) fn locator_places(&self, images: &RowImages) -> Result<(Vec<usize>, bool)> {
        let place = |column: &u32| images.columns.iter().position(|there| there == column);
        match &self.locator {
            Some(key) => {
                let places: Option<Vec<usize>> = key.iter().map(place).collect();
                let missing =
                    || self.error("the source's log does not have the key of a row: set binlog_row_image to FULL");
                Ok((places.ok_or_else(missing)?, true))
            }
            None if !self.is_full(images) => Err(self.error(
                "the table has no key, and the source's log has only a part of a row: set binlog_row_image to FULL",
            )),
            None => {
                let is_loaded = |(_, column): &(usize, &u32)| {
                    self.columns.get(**column as usize).is_some_and(|column| !column.generated)
                };
                Ok((images.columns.iter().enumerate().filter(is_loaded).map(|(place, _)| place).collect(), false))
            }
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Data, message).with("table", Printable(&self.table.name))
    }
}
