//! Finds foreign keys that change rows which other foreign keys refer to. No I/O.
//!
//! Since 9.6 the server of MySQL, not its engine, does what foreign keys do. In 9.7.4 it leaves some rows as they were if such
//! a change goes on to a third table, and does not say so. Tried by hand: four tables in a chain, and two keys between two
//! tables with a third table after them. Changes of one step were complete.

use super::capability::{self, Capability};
use super::connect::Conn;
use super::ddl::{ForeignKey, ReferentialAction};
use crate::catalog::Table;
use crate::error::Result;

/// What a server needs to change all rows.
pub(super) const REMEDY: &str = "start the target with innodb_native_foreign_keys = ON, as this release does not change all of these rows otherwise";

/// Whether the server leaves rows as they were.
pub(super) async fn is_incomplete(conn: &mut Conn) -> Result<bool> {
    if !capability::has(&conn.server, Capability::LoggedCascades) {
        return Ok(false);
    }
    let row = conn.row("SELECT @@GLOBAL.innodb_native_foreign_keys").await?;
    Ok(row.is_some_and(|row| row.number(0) == 0))
}

/// Finds a key that changes further rows when `key` of table `child` changes rows.
pub(super) fn find_next<'k>(
    (child, key): (&Table, &ForeignKey),
    keys: impl IntoIterator<Item = (&'k Table, &'k ForeignKey)>,
) -> Option<(&'k Table, &'k ForeignKey)> {
    let deletes = key.on_delete == ReferentialAction::Cascade;
    let is_set = |column: &String| key.columns.iter().any(|set| is_same(set, column));
    let goes_on = |next: &ForeignKey| {
        let after_deletion = deletes && next.on_delete != ReferentialAction::Restrict;
        let after_update = next.on_update != ReferentialAction::Restrict && next.referenced_columns.iter().any(is_set);
        after_deletion || after_update
    };
    let mut keys = keys.into_iter();
    keys.find(|(_, next)| {
        next.referenced_database.is_none() && is_same(&next.referenced_table, &child.name) && goes_on(next)
    })
}

fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
