//! What each release of MySQL and MariaDB has. Only this module knows version numbers; the others ask it.
//!
//! The tests run MySQL 5.6.24 and 9.7, and MariaDB 10.5, 10.11 and 11.8. What is said of the releases between them comes
//! from the manuals: "Changes in MySQL" (<https://dev.mysql.com/doc/refman/9.7/en/added-deprecated-removed.html>, and the
//! pages of this name for 8.0 and 5.7) and "MariaDB Server Changes & Improvements"
//! (<https://mariadb.com/docs/release-notes/community-server>).

pub(super) mod functions;
pub(super) mod modes;
pub(super) mod words;

use self::Availability::{Always, Never, Since, Until};
use super::connect::ServerRole;
use crate::catalog::{Flavor, Server};

/// The releases of one family that have something.
#[derive(Debug, Clone, Copy)]
enum Availability {
    Always,
    Never,
    /// This version and all later ones.
    Since(u32, u32, u32),
    /// All versions before this one.
    Until(u32, u32, u32),
}

impl Availability {
    fn includes(self, version: (u32, u32, u32)) -> bool {
        match self {
            Always => true,
            Never => false,
            Since(major, minor, patch) => version >= (major, minor, patch),
            Until(major, minor, patch) => version < (major, minor, patch),
        }
    }
}

/// The availability in MySQL and in MariaDB.
type Releases = (Availability, Availability);

fn is_available((mysql, mariadb): Releases, server: &Server) -> bool {
    let family = match server.flavor {
        Flavor::MySql => mysql,
        Flavor::MariaDb => mariadb,
    };
    family.includes(server.version_numbers())
}

/// A property in which releases differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capability {
    /// Generated columns, and `GENERATION_EXPRESSION` in `information_schema.COLUMNS`.
    GeneratedColumns,
    /// `SCHEMA_COMMENT` in `information_schema.SCHEMATA`.
    DatabaseComments,
    /// Roles, and `CURRENT_ROLE()`.
    Roles,
    /// Stored JavaScript libraries.
    Libraries,
    /// `JSON_TABLE`.
    JsonTable,
    /// The offset of a time zone in a time literal. Source: "Date and Time Literals"
    /// (<https://dev.mysql.com/doc/refman/9.7/en/date-and-time-literals.html>).
    TimeOffsetLiterals,
    /// The result of `EXPLAIN` has a column of partitions before the others.
    ExplainPartitions,
    /// `performance_schema.metadata_locks`.
    MetadataLocksTable,
    /// `performance_schema.processlist`.
    ProcessListTable,
    /// `LOCK TABLES … READ` waits for the transactions that have changed an InnoDB table. In other releases they commit
    /// under the lock. Source: WL#6671 (<https://dev.mysql.com/worklog/task/?id=6671>).
    TableLocksWaitForTransactions,
    /// The name `utf8mb3` in collations; before, only `utf8`.
    Utf8mb3Collations,
    /// The collations `utf8mb4_0900_…`, one of which is the default of utf8mb4.
    Utf8mb4Collations0900,
    /// The collation `utf8mb4_0900_bin`.
    Utf8mb4Bin0900,
    /// The collations `uca1400_…`.
    Uca1400Collations,
    /// A `uca1400` collation is the default of each Unicode character set.
    Uca1400Defaults,
    /// TIMESTAMP holds values until 2106, and the end of time of a current row is there. Before, both end in 2038.
    LongTimestamps,
    /// The privilege `SHOW_ROUTINE`, or a global SELECT, shows the definitions of all routines; before, and in MariaDB, a
    /// SELECT on `mysql.proc` does.
    ShowRoutinePrivilege,
    /// The privileges `SET_ANY_DEFINER` and `ALLOW_NONEXISTENT_DEFINER`.
    NonexistentDefinerPrivilege,
    /// `DISABLE ON REPLICA` for events; before, `DISABLE ON SLAVE`.
    DisableOnReplica,
    /// Invisible (MySQL) or ignored (MariaDB) indexes.
    InvisibleIndexes,
    /// The type VECTOR.
    Vectors,
    /// Partitioned tables of MyISAM.
    PartitionedMyIsam,
    /// The order in `GROUP BY … ASC`.
    GroupByOrder,
    /// The type of a sequence in `CREATE SEQUENCE … AS`.
    TypedSequences,
    /// `SHOW REPLICA STATUS`, whose columns name a source. Before, and in MariaDB, they name a master.
    ReplicaStatus,
    /// The binary log holds what foreign keys change by `CASCADE` and `SET NULL`. Source: "Changes in MySQL 9.6"
    /// (<https://dev.mysql.com/doc/relnotes/mysql/9.6/en/news-9-6-0.html>).
    LoggedCascades,
    /// `SHOW ALL SLAVES STATUS`, which lists every replication connection.
    AllSlavesStatus,
}

impl Capability {
    fn releases(self) -> Releases {
        match self {
            Self::GeneratedColumns => (Since(5, 7, 6), Since(10, 2, 5)),
            Self::DatabaseComments => (Never, Since(10, 5, 0)),
            Self::Roles => (Since(8, 0, 0), Since(10, 0, 5)),
            Self::Libraries => (Since(9, 2, 0), Never),
            Self::JsonTable => (Since(8, 0, 4), Since(10, 6, 0)),
            Self::TimeOffsetLiterals => (Since(8, 0, 19), Never),
            Self::ExplainPartitions => (Since(5, 7, 3), Never),
            Self::MetadataLocksTable => (Since(5, 7, 3), Since(10, 5, 2)),
            Self::ProcessListTable => (Since(8, 0, 22), Never),
            Self::TableLocksWaitForTransactions => (Since(5, 7, 5), Always),
            Self::Utf8mb3Collations => (Since(8, 0, 30), Since(10, 6, 0)),
            Self::Utf8mb4Collations0900 => (Since(8, 0, 1), Never),
            Self::Utf8mb4Bin0900 => (Since(8, 0, 17), Never),
            Self::Uca1400Collations => (Never, Since(10, 10, 1)),
            Self::Uca1400Defaults => (Never, Since(11, 5, 0)),
            Self::LongTimestamps => (Never, Since(11, 5, 0)),
            Self::ShowRoutinePrivilege => (Since(8, 0, 20), Never),
            Self::NonexistentDefinerPrivilege => (Since(8, 2, 0), Never),
            Self::DisableOnReplica => (Since(8, 2, 0), Never),
            Self::InvisibleIndexes => (Since(8, 0, 0), Since(10, 6, 0)),
            Self::Vectors => (Since(9, 0, 0), Since(11, 7, 1)),
            Self::PartitionedMyIsam => (Until(8, 0, 0), Always),
            Self::GroupByOrder => (Until(8, 0, 13), Always),
            Self::TypedSequences => (Never, Since(11, 5, 0)),
            Self::ReplicaStatus => (Since(8, 0, 22), Never),
            Self::LoggedCascades => (Since(9, 6, 0), Never),
            Self::AllSlavesStatus => (Never, Always),
        }
    }
}

/// Whether the server has this.
pub(super) fn has(server: &Server, capability: Capability) -> bool {
    is_available(capability.releases(), server)
}

/// The oldest versions that can be a source, and a target: of MySQL and of MariaDB.
const OLDEST_SOURCES: Releases = (Since(5, 6, 0), Since(10, 3, 0));
const OLDEST_TARGETS: Releases = (Since(8, 0, 0), Since(10, 6, 0));
/// The series that the tests run.
const TESTED: [(Flavor, u32, u32); 5] = [
    (Flavor::MySql, 5, 6),
    (Flavor::MySql, 9, 7),
    (Flavor::MariaDb, 10, 5),
    (Flavor::MariaDb, 10, 11),
    (Flavor::MariaDb, 11, 8),
];

/// Describes why the server cannot be this end of a clone; `None` if it can.
pub(super) fn too_old(server: &Server, role: ServerRole) -> Option<String> {
    let (oldest, names) = match role {
        ServerRole::Source => (OLDEST_SOURCES, "a source is MySQL 5.6 or MariaDB 10.3 at least"),
        ServerRole::Target | ServerRole::Replica => (OLDEST_TARGETS, "a target is MySQL 8.0 or MariaDB 10.6 at least"),
    };
    (!is_available(oldest, server)).then(|| format!("{server} is too old: {names}"))
}

/// Describes how well a pair of servers is known; `None` for two servers of one release that the tests run.
pub(super) fn describe_pair(from: &Server, to: &Server) -> Option<String> {
    let is_tested = |server: &Server| {
        let (major, minor, _) = server.version_numbers();
        TESTED.contains(&(server.flavor, major, minor))
    };
    match is_tested(from) && is_tested(to) {
        true if from.is_same_release(to) => None,
        true => Some(format!("from {from} to {to}: a pair that the tests run")),
        false => Some(format!("from {from} to {to}: expected to work, though the tests do not run this pair")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mysql(version: &str) -> Server {
        Server::new(Flavor::MySql, version)
    }

    fn mariadb(version: &str) -> Server {
        Server::new(Flavor::MariaDb, version)
    }

    #[test]
    fn a_capability_depends_on_family_and_version() {
        assert!(!has(&mysql("5.6.24-log"), Capability::Roles));
        assert!(has(&mysql("8.0.11"), Capability::Roles));
        assert!(has(&mariadb("10.5.29-MariaDB"), Capability::Roles));
        assert!(has(&mysql("5.7.44"), Capability::PartitionedMyIsam));
        assert!(!has(&mysql("8.0.0"), Capability::PartitionedMyIsam));
        assert!(!has(&mariadb("11.4.9-MariaDB"), Capability::LongTimestamps));
        assert!(has(&mariadb("11.8.3-MariaDB"), Capability::LongTimestamps));
    }

    #[test]
    fn old_servers_are_refused_by_name() {
        assert_eq!(too_old(&mysql("5.6.24"), ServerRole::Source), None);
        let message = too_old(&mysql("5.5.62"), ServerRole::Source).unwrap();
        assert!(message.starts_with("MySQL 5.5.62 is too old: a source is MySQL 5.6"), "{message}");
        assert!(too_old(&mysql("5.7.44"), ServerRole::Target).is_some());
        assert!(too_old(&mariadb("10.2.44-MariaDB"), ServerRole::Source).is_some());
        assert!(too_old(&mariadb("10.5.29-MariaDB"), ServerRole::Target).is_some());
        assert_eq!(too_old(&mariadb("10.6.0-MariaDB"), ServerRole::Target), None);
    }

    #[test]
    fn a_pair_is_tested_if_both_series_are() {
        let pair = |from: &Server, to: &Server| describe_pair(from, to).unwrap().contains("a pair that the tests run");
        assert!(pair(&mysql("5.6.51"), &mysql("9.7.4")));
        assert!(!pair(&mysql("5.7.44"), &mysql("9.7.4")));
        assert!(!pair(&mysql("9.7.4"), &mariadb("11.4.1-MariaDB")));
    }
}
