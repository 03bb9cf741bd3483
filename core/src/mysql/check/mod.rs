//! The preflight: finds what would prevent a selection from being read or written, before anything is written.
//!
//! The checks read privileges from `SHOW GRANTS`. Where it is cheap and leaves nothing behind they try the operation.
//! Each problem is one line that names the object, the cause and the remedy.

mod account;
mod binary_log;
mod condition;
mod connections;
mod existing_objects;
mod grants;
mod message_format;
mod read_access;
mod snapshot_method;
mod source;
mod storage_engines;
mod system_variables;
mod target;
mod visibility;

#[cfg(test)]
mod tests;

pub(super) use account::inactive_roles_hint;

use super::connect::{Conn, ServerAddress};
use crate::catalog::{Catalog, ObjectRef, Server, Table};
use crate::error::Result;
use crate::options::CloneOptions;
use crate::plan::{Plan, Selection, SnapshotMethod};
use crate::report::Finding;

/// Finds problems that would prevent this selection from being read.
pub(super) async fn source(
    conn: &mut Conn,
    _address: &ServerAddress,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    source::check(conn, catalog, selection, options).await
}

/// Finds problems that would prevent the changes of this selection from being followed.
pub(super) async fn binary_log(
    conn: &mut Conn,
    catalog: &Catalog,
    selection: &Selection,
    has_foreign_keys: bool,
) -> Result<Vec<Finding>> {
    binary_log::check(conn, catalog, selection, has_foreign_keys).await
}

/// What prevents the changes of these tables from being applied.
pub(super) fn table_problems<'a>(tables: impl Iterator<Item = &'a Table>) -> Vec<String> {
    target::table_problems(tables)
}

/// Finds problems that would prevent this selection from being written into the address's database. Leaves no change
/// behind.
pub(super) async fn target(
    conn: &mut Conn,
    address: &ServerAddress,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    target::check(conn, address, catalog, selection, options).await
}

/// Finds problems that would prevent the changes of this plan from being applied in the address's database.
pub(super) async fn catch_up(conn: &mut Conn, address: &ServerAddress, plan: &Plan) -> Result<Vec<Finding>> {
    target::check_catch_up(conn, address, plan).await
}

/// Lists the objects that are in the database now; none if there is no such database.
pub(super) async fn existing_objects(conn: &mut Conn, database: &str) -> Result<Vec<ObjectRef>> {
    existing_objects::list_objects(conn, database).await
}

/// Reads what a catalog says of its server: identity, largest value, comparison of names, settings of expressions.
pub(super) async fn read_server(conn: &mut Conn) -> Result<Server> {
    let variables = system_variables::SystemVariables::read(conn).await?;
    let max_allowed_packet = variables.number("max_allowed_packet").unwrap_or(0);
    let (identity, folds_names) = (system_variables::server_identity(&variables), variables.folds_names());
    let settings = system_variables::expression_settings(conn).await?;
    Ok(Server { identity, max_allowed_packet, folds_names, settings, ..conn.server.clone() })
}

/// Reads the account's privileges, and returns the snapshot method that they allow.
pub(super) async fn expected_snapshot_method(
    conn: &mut Conn,
    options: &CloneOptions,
    database: &str,
    partial: bool,
) -> Result<SnapshotMethod> {
    let account = account::Account::read(conn).await?;
    Ok(snapshot_method::expected_method(&account, &conn.server, options, database, partial))
}
