//! The releases of servers that the test kit starts, and what the servers of each have of their own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::flavor::Flavor;

/// A machine allows few asynchronous requests of all processes (`fs.aio-max-nr`), and each server of MySQL asks for thousands.
const EMULATED_AIO: &str = "--innodb-use-native-aio=OFF";

/// A release of MySQL or MariaDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// MySQL 5.6, as a package of npm has it.
    MySql56,
    /// MySQL 9.7, as Debian's unstable suite has it; or the one that [`MYSQLD`](crate::MYSQLD) names.
    MySql97,
    /// MariaDB 10.5, as Debian 11 has it.
    MariaDb105,
    /// The machine's own MariaDB: 10.11 on Debian 12.
    MariaDb1011,
    /// MariaDB 11.8, as Debian 13 has it.
    MariaDb118,
}

impl Release {
    /// All of them, the old before the new of each flavor.
    pub const ALL: [Self; 5] = [Self::MySql56, Self::MySql97, Self::MariaDb105, Self::MariaDb1011, Self::MariaDb118];

    /// The releases beside the two that every test uses; `testkit install` fetches one only on demand.
    pub const EXTRA: [Self; 3] = [Self::MySql56, Self::MariaDb105, Self::MariaDb118];

    /// MySQL or MariaDB.
    pub fn flavor(self) -> Flavor {
        match self {
            Self::MySql56 | Self::MySql97 => Flavor::MySql,
            Self::MariaDb105 | Self::MariaDb1011 | Self::MariaDb118 => Flavor::MariaDb,
        }
    }

    /// The name as an option has it, and a file: `mariadb105`.
    pub fn id(self) -> &'static str {
        match self {
            Self::MySql56 => "mysql56",
            Self::MySql97 => "mysql97",
            Self::MariaDb105 => "mariadb105",
            Self::MariaDb1011 => "mariadb1011",
            Self::MariaDb118 => "mariadb118",
        }
    }

    /// What its servers have of their own.
    pub(crate) fn profile(self) -> Profile {
        let mariadb = Profile {
            args: &["--innodb-log-file-size=96M", "--binlog-format=ROW"],
            unsynced: &["--innodb-flush-method=nosync", "--debug-no-sync"],
            tls: TlsSupport::GivenCertificates,
            without_tls: "--skip-ssl",
            accounts: "DELETE FROM mysql.global_priv WHERE Host <> 'localhost';\nFLUSH PRIVILEGES;\n\
                       ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n\
                       CREATE USER 'root'@'%' IDENTIFIED BY '{password}';\n",
            initialisation: Initialisation::Bootstrap,
        };
        match self {
            Self::MySql56 => Profile {
                args: &["--innodb-log-file-size=96M", "--binlog-format=ROW"],
                unsynced: &["--innodb-flush-method=nosync", EMULATED_AIO],
                tls: TlsSupport::None,
                without_tls: "--skip-ssl",
                accounts: "DELETE FROM mysql.user WHERE Host <> 'localhost' OR User <> 'root';\nFLUSH PRIVILEGES;\n\
                           SET PASSWORD FOR 'root'@'localhost' = PASSWORD('{password}');\n\
                           CREATE USER 'root'@'%' IDENTIFIED BY '{password}';\n",
                initialisation: Initialisation::Bootstrap,
            },
            Self::MySql97 => Profile {
                args: &["--mysqlx=OFF", "--innodb-redo-log-capacity=256M"],
                unsynced: &["--innodb-flush-method=nosync", EMULATED_AIO],
                tls: TlsSupport::OwnCertificates,
                without_tls: "--tls-version=",
                accounts: "ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n\
                           CREATE USER 'root'@'%' IDENTIFIED BY '{password}';\n",
                initialisation: Initialisation::Insecure,
            },
            Self::MariaDb1011 => Profile { initialisation: Initialisation::InstallDb, ..mariadb },
            Self::MariaDb105 | Self::MariaDb118 => mariadb,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql56 => "MySQL 5.6",
            Self::MySql97 => "MySQL 9.7",
            Self::MariaDb105 => "MariaDB 10.5",
            Self::MariaDb1011 => "MariaDB 10.11",
            Self::MariaDb118 => "MariaDB 11.8",
        })
    }
}

/// The release that a flavor's tests use.
impl From<Flavor> for Release {
    fn from(flavor: Flavor) -> Self {
        match flavor {
            Flavor::MySql => Self::MySql97,
            Flavor::MariaDb => Self::MariaDb1011,
        }
    }
}

/// What the servers of a release have of their own.
pub(crate) struct Profile {
    /// Arguments of every server.
    pub(crate) args: &'static [&'static str],
    /// Arguments of a server that does not flush its files to the disk.
    pub(crate) unsynced: &'static [&'static str],
    pub(crate) tls: TlsSupport,
    /// The argument of a server that speaks no TLS.
    pub(crate) without_tls: &'static str,
    /// The statements that make the passwords of root; each on lines of its own, `{password}` for the password.
    pub(crate) accounts: &'static str,
    pub(crate) initialisation: Initialisation,
}

/// Where a server has its certificates from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsSupport {
    /// It makes them itself.
    OwnCertificates,
    /// It must be given some.
    GivenCertificates,
    /// It speaks no version of TLS that a client of today accepts.
    None,
}

/// How a data directory is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initialisation {
    /// By the server's own `--initialize-insecure`.
    Insecure,
    /// By the machine's `mariadb-install-db`.
    InstallDb,
    /// By the server's `--bootstrap` with the statements of its package.
    Bootstrap,
}
