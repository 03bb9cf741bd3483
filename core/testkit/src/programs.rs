//! The executables of each flavor.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::flavor::Flavor;
use crate::paths::cache_dir;

/// Names a mysqld to use in place of the one that `testkit install` fetches.
pub const MYSQLD: &str = "DBGRAFT_TEST_MYSQLD";

/// The executables of one installation. They need no further setting, and read no option file if
/// `--no-defaults` is their first argument.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `mysqld` or `mariadbd`.
    pub server: PathBuf,
    /// `mysql` or `mariadb`.
    pub client: PathBuf,
    /// `mysqldump` or `mariadb-dump`.
    pub dump: PathBuf,
}

impl Programs {
    /// Finds the executables of `flavor` on this machine.
    pub fn find(flavor: Flavor) -> Result<Self> {
        match flavor {
            Flavor::MySql => mysql(),
            Flavor::MariaDb => mariadb(),
        }
    }

    /// The server's version: `9.7.4-2`, `10.11.19-MariaDB-0+deb12u1`.
    pub(crate) fn version(&self) -> Result<String> {
        let output =
            Command::new(&self.server).args(["--no-defaults", "--version"]).output().at("cannot run", &self.server)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_once("Ver ").and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned).ok_or_else(
            || {
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                Error::new(format!("{} tells no version: {text}{error}", self.server.display()))
            },
        )
    }
}

fn mysql() -> Result<Programs> {
    if let Some(server) = env::var_os(MYSQLD).filter(|value| !value.is_empty()) {
        let server = PathBuf::from(server);
        if !server.is_file() {
            return Err(Error::new(format!("{MYSQLD}: {} is no file", server.display())));
        }
        let beside = |name: &str| {
            let dir = server.parent().unwrap_or(Path::new("/"));
            let near = [dir.join(name), dir.join("../bin").join(name)];
            near.into_iter().find(|path| path.is_file()).unwrap_or_else(|| name.into())
        };
        return Ok(Programs { client: beside("mysql"), dump: beside("mysqldump"), server });
    }
    let root = fetched_mysql()?
        .ok_or_else(|| Error::new(format!("MySQL is not here: run `testkit install`, or name a mysqld in {MYSQLD}")))?;
    Ok(Programs { server: root.join("bin/mysqld"), client: root.join("bin/mysql"), dump: root.join("bin/mysqldump") })
}

fn mariadb() -> Result<Programs> {
    let program = |name: &str| {
        on_path(name).ok_or_else(|| {
            Error::new(format!("{name} is not here: run `testkit install`, or install the package mariadb-server"))
        })
    };
    Ok(Programs { server: program("mariadbd")?, client: program("mariadb")?, dump: program("mariadb-dump")? })
}

/// The newest MySQL in the cache.
pub(crate) fn fetched_mysql() -> Result<Option<PathBuf>> {
    let dir = cache_dir()?;
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(&dir)
        .at("cannot list", &dir)?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.strip_prefix("mysql-")?;
            let numbers = version.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
            path.join("bin/mysqld").is_file().then(|| (numbers.collect(), path.clone()))
        })
        .collect();
    found.sort();
    Ok(found.pop().map(|(_, path)| path))
}

/// Looks where programs are, and where Debian puts servers, which a user's PATH may leave out.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}
