//! Which rung of the snapshot's ladder the account's rights promise.

use super::party::Party;
use crate::catalog::Flavor;
use crate::options::CloneOptions;
use crate::plan::SnapshotMethod;

/// `partial` is a clone of some of the database's tables.
pub(super) fn expected(
    party: &Party,
    flavor: Flavor,
    options: &CloneOptions,
    database: &str,
    partial: bool,
) -> SnapshotMethod {
    let grants = &party.grants;
    let flush: &[&str] = match flavor {
        Flavor::MySql => &["RELOAD", "FLUSH_TABLES"],
        Flavor::MariaDb => &["RELOAD"],
    };
    let lock_tables = grants.database("LOCK TABLES", database) && grants.database("SELECT", database);
    if options.no_consistency {
        SnapshotMethod::None
    } else if partial && lock_tables {
        SnapshotMethod::TableLocks
    } else if grants.any_global(flush) {
        SnapshotMethod::GlobalReadLock
    } else if lock_tables {
        SnapshotMethod::TableLocks
    } else {
        SnapshotMethod::SingleTransaction
    }
}
