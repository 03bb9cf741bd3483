//! The SQL modes that not every release has.

use super::Availability::{Always, Never, Since, Until};
use super::{Releases, is_available};
use crate::catalog::{Flavor, Server};

/// An SQL mode, the releases that have it, and whether it changes the results of a routine.
struct SqlMode {
    name: &'static str,
    releases: Releases,
    changes_results: bool,
}

const fn mode(name: &'static str, releases: Releases, changes_results: bool) -> SqlMode {
    SqlMode { name, releases, changes_results }
}

const MODES: [SqlMode; 17] = [
    mode("EMPTY_STRING_IS_NULL", (Never, Since(10, 3, 1)), true),
    mode("SIMULTANEOUS_ASSIGNMENT", (Never, Since(10, 3, 5)), true),
    mode("TIME_ROUND_FRACTIONAL", (Never, Since(10, 4, 1)), false),
    mode("TIME_TRUNCATE_FRACTIONAL", (Since(8, 0, 0), Never), false),
    mode("IGNORE_BAD_TABLE_OPTIONS", (Never, Always), false),
    mode("NOT_USED", (Never, Always), false),
    mode("NO_AUTO_CREATE_USER", (Until(8, 0, 11), Always), false),
    mode("NO_FIELD_OPTIONS", (Until(8, 0, 11), Always), false),
    mode("NO_KEY_OPTIONS", (Until(8, 0, 11), Always), false),
    mode("NO_TABLE_OPTIONS", (Until(8, 0, 11), Always), false),
    // The combined modes are printed together with their parts, which decide.
    mode("DB2", (Until(8, 0, 11), Always), false),
    mode("MAXDB", (Until(8, 0, 11), Always), false),
    mode("MSSQL", (Until(8, 0, 11), Always), false),
    mode("MYSQL323", (Until(8, 0, 11), Always), false),
    mode("MYSQL40", (Until(8, 0, 11), Always), false),
    mode("POSTGRESQL", (Until(8, 0, 11), Always), false),
    // In MariaDB it is another grammar, which other checks refuse for a target without it.
    mode("ORACLE", (Until(8, 0, 11), Never), false),
];

/// Whether the target lacks the mode. `Some(true)`: without it a routine may have other results.
pub(in crate::mysql) fn lost_mode(name: &str, from: &Server, to: &Server) -> Option<bool> {
    let mode = MODES.iter().find(|mode| mode.name.eq_ignore_ascii_case(name))?;
    // ORACLE of MySQL is not that of MariaDB.
    let oracle = mode.name == "ORACLE" && from.flavor == Flavor::MariaDb;
    (!oracle && !is_available(mode.releases, to)).then_some(mode.changes_results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_lost_if_the_target_lacks_it() {
        let (old, new) = (Server::new(Flavor::MySql, "5.7.44"), Server::new(Flavor::MySql, "9.7.4"));
        let mariadb = Server::new(Flavor::MariaDb, "10.11.19-MariaDB");
        assert_eq!(lost_mode("NO_AUTO_CREATE_USER", &old, &new), Some(false));
        assert_eq!(lost_mode("NO_AUTO_CREATE_USER", &old, &mariadb), None);
        assert_eq!(lost_mode("empty_string_is_null", &mariadb, &new), Some(true));
        assert_eq!(lost_mode("ORACLE", &old, &mariadb), Some(false));
        assert_eq!(lost_mode("ORACLE", &mariadb, &mariadb), None);
        assert_eq!(lost_mode("ANSI_QUOTES", &old, &new), None);
    }
}
