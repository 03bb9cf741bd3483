//! The preflight: what would keep a selection from being read or written, found before anything is.
//!
//! Rights are read from `SHOW GRANTS` and, where it is cheap and leaves nothing behind, tried. Each problem is one
//! line that names the thing and says what to do.

mod condition;
mod connections;
mod facts;
mod grants;
mod party;
mod readable;
mod rung;
mod source;
mod target;
mod visible;
mod words;

#[cfg(test)]
mod tests;

use super::connect::{Address, Conn};
use crate::catalog::{Catalog, Flavor, ObjectRef, Server};
use crate::error::Result;
use crate::options::CloneOptions;
use crate::plan::{Selection, SnapshotMethod};
use crate::report::Finding;

/// Problems that would keep this selection from being read.
pub(super) async fn source(
    conn: &mut Conn,
    _address: &Address,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    source::check(conn, catalog, selection, options).await
}

/// Problems that would keep this selection from being written into the address's database. Changes nothing that lasts.
pub(super) async fn target(
    conn: &mut Conn,
    address: &Address,
    catalog: &Catalog,
    selection: &Selection,
    options: &CloneOptions,
) -> Result<Vec<Finding>> {
    target::check(conn, address, catalog, selection, options).await
}

/// The objects that are in the database now; none if there is no such database.
pub(super) async fn existing(conn: &mut Conn, database: &str) -> Result<Vec<ObjectRef>> {
    facts::existing(conn, database).await
}

/// What helps where a role of the account has the rights, and is not active.
pub(super) async fn roles_hint(conn: &mut Conn) -> Result<String> {
    Ok(party::Party::read(conn).await?.roles_hint())
}

/// What a catalog should say of the server: its identity, how large a value may be, and how it compares names.
pub(super) async fn server(conn: &mut Conn) -> Result<Server> {
    let settings = facts::Settings::read(conn).await?;
    let max_allowed_packet = settings.number("max_allowed_packet").unwrap_or(0);
    let (identity, folds_names) = (facts::identity(&settings), settings.folds_names());
    let settings = facts::computing_settings(conn).await?;
    Ok(Server { identity, max_allowed_packet, folds_names, settings, ..conn.server.clone() })
}

/// The rung that the account's rights promise.
pub(super) async fn expected_rung(
    conn: &mut Conn,
    flavor: Flavor,
    options: &CloneOptions,
    database: &str,
    partial: bool,
) -> Result<SnapshotMethod> {
    Ok(rung::expected(&party::Party::read(conn).await?, flavor, options, database, partial))
}
