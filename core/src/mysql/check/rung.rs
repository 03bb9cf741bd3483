//! Which rung of the snapshot's ladder the account's rights promise.

use super::party::Party;
use crate::catalog::Flavor;
use crate::options::CloneOptions;
use crate::plan::Rung;

pub(super) fn expected(party: &Party, flavor: Flavor, options: &CloneOptions, database: &str) -> Rung {
    let grants = &party.grants;
    let flush: &[&str] = match flavor {
        Flavor::MySql => &["RELOAD", "FLUSH_TABLES"],
        Flavor::MariaDb => &["RELOAD"],
    };
    if options.no_consistency {
        Rung::None
    } else if grants.any_global(flush) {
        Rung::GlobalReadLock
    } else if grants.database("LOCK TABLES", database) && grants.database("SELECT", database) {
        Rung::TableLocks
    } else {
        Rung::SingleTransaction
    }
}
