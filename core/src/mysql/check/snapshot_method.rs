//! Chooses the snapshot method that the account's privileges allow.

use super::account::Account;
use crate::catalog::{Flavor, Server};
use crate::mysql::capability::{self, Capability};
use crate::options::CloneOptions;
use crate::plan::SnapshotMethod;

/// Returns the first method that the privileges allow. `partial` stands for a clone of some of the database's tables.
pub(super) fn expected_method(
    account: &Account,
    server: &Server,
    options: &CloneOptions,
    database: &str,
    partial: bool,
) -> SnapshotMethod {
    let grants = &account.grants;
    let flush: &[&str] = match server.flavor {
        Flavor::MySql => &["RELOAD", "FLUSH_TABLES"],
        Flavor::MariaDb => &["RELOAD"],
    };
    let lock_tables = capability::has(server, Capability::TableLocksWaitForTransactions)
        && grants.has_on_database("LOCK TABLES", database)
        && grants.has_on_database("SELECT", database);
    if options.no_consistency {
        SnapshotMethod::None
    } else if partial && lock_tables {
        SnapshotMethod::TableLocks
    } else if grants.has_any_globally(flush) {
        SnapshotMethod::GlobalReadLock
    } else if lock_tables {
        SnapshotMethod::TableLocks
    } else if options.follow && (server.flavor == Flavor::MariaDb || account.variables.is_on("gtid_mode")) {
        SnapshotMethod::UnchangedLog
    } else {
        SnapshotMethod::SingleTransaction
    }
}
