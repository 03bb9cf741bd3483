//! The tables that changes are applied to: how their rows are found, and which changes depend on each other.

use std::collections::BTreeSet;

use super::conflict_keys::{ConflictHasher, hashers, is_row_identity};
use crate::catalog::{Column, Printable, Table};
use crate::change::RowImages;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::connect::Conn;
use crate::mysql::ddl::{TableKeys, quote_name, table_keys, table_parts};
use crate::plan::{Plan, TablePlan};

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
}

/// Reads the keys of the plan's tables from the target, which compares them.
pub(super) async fn read_tables(conn: &mut Conn, database: &str, plan: &Plan) -> Result<Vec<AppliedTable>> {
    let mut keys = Vec::new();
    for planned in &plan.tables {
        let name = format!("{}.{}", quote_name(database), quote_name(&planned.table.name));
        let row = conn.row(&format!("SHOW CREATE TABLE {name}")).await?;
        let create = row.map(|row| row.string(1)).unwrap_or_default();
        check_columns(&planned.table, &create)?;
        keys.push((name, table_keys(&create)));
    }
    let pairs: Vec<(&Table, &TableKeys)> =
        plan.tables.iter().map(|planned| &planned.table).zip(keys.iter().map(|(_, keys)| keys)).collect();
    let hashers = hashers(&pairs);
    let tables = plan.tables.iter().zip(&keys).zip(hashers);
    Ok(tables.map(|((planned, (name, keys)), hasher)| applied_table(planned, name, keys, hasher)).collect())
}

/// Compares the columns of a table with those that the target has.
fn check_columns(table: &Table, create: &str) -> Result<()> {
    let parts = table_parts(create).unwrap_or_default();
    let found: BTreeSet<String> =
        parts.keys().filter_map(|part| Some(part.strip_prefix("column ")?.to_lowercase())).collect();
    let wanted: BTreeSet<String> = table.columns.iter().map(|column| column.name.to_lowercase()).collect();
    let Some(column) = wanted.symmetric_difference(&found).next() else { return Ok(()) };
    let (there, missing) = if found.contains(column) { ("target", "source") } else { ("source", "target") };
    let message = format!(
        "column {} is at the {there} and not at the {missing}: run at the target what was run at the source",
        Printable(column)
    );
    Err(Error::new(ErrorKind::Preflight, message).with("table", Printable(&table.name)))
}

fn applied_table(planned: &TablePlan, name: &str, keys: &TableKeys, hasher: ConflictHasher) -> AppliedTable {
    let table = planned.table.clone();
    let columns: Vec<Column> = table.stored_columns().cloned().collect();
    let index = |name: &Option<String>| {
        (0..).zip(&columns).find(|(_, c)| name.as_deref().is_some_and(|name| c.name.eq_ignore_ascii_case(name)))
    };
    let key = keys.unique.iter().find(|key| is_row_identity(&table, &key.columns));
    let locator = key.and_then(|key| key.columns.iter().map(|name| Some(index(name)?.0)).collect());
    AppliedTable { name: name.to_owned(), locator, hasher, columns, table }
}

impl AppliedTable {
    /// The columns of an image.
    pub(super) fn image_columns(&self, images: &RowImages) -> Result<Vec<&Column>> {
        let column = |index: &u32| self.columns.get(*index as usize);
        let columns: Option<Vec<&Column>> = images.columns.iter().map(column).collect();
        columns.ok_or_else(|| self.error("the source's log has a column that the plan does not have"))
    }

    /// Whether an image has all columns.
    pub(super) fn is_full(&self, images: &RowImages) -> bool {
        images.columns.len() == self.columns.len()
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
