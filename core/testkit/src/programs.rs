//! The executables of each release.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::flavor::Flavor;
use crate::paths::cache_dir;
use crate::release::Release;

/// Names a mysqld to use in place of the one that `testkit install` fetches.
pub const MYSQLD: &str = "DBGRAFT_TEST_MYSQLD";

/// The executable server of one installation. It needs no further setting, and reads no option file if
/// `--no-defaults` is its first argument.
#[derive(Clone, Debug)]
pub(crate) struct ServerProgram {
    pub(crate) path: PathBuf,
}

impl ServerProgram {
    /// Finds the server of `release` on this machine.
    pub(crate) fn find(release: Release) -> Result<Self> {
        if release == Release::MariaDb1011 {
            let path = on_path("mariadbd").ok_or_else(|| {
                Error::new("mariadbd is not here: run `testkit install`, or install the package mariadb-server")
            })?;
            return Ok(Self { path });
        }
        if let Some(path) = named(release) {
            return match path.is_file() {
                true => Ok(Self { path }),
                false => Err(Error::new(format!("{MYSQLD}: {} is no file", path.display()))),
            };
        }
        Self::fetched(release)?.ok_or_else(|| {
            let remedy = match release {
                Release::MySql97 => format!("run `testkit install`, or name a mysqld in {MYSQLD}"),
                _ => format!("run `testkit install --{}`", release.id()),
            };
            Error::new(format!("{release} is not here: {remedy}"))
        })
    }

    /// The newest server of `release` in the cache.
    pub(crate) fn fetched(release: Release) -> Result<Option<Self>> {
        let dir = cache_dir()?;
        let start = format!("{}-", cache_name(release));
        let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(&dir)
            .at("cannot list", &dir)?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let version = path.file_name()?.to_str()?.strip_prefix(&start)?;
                let numbers = version.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
                let server = Self::within(&path, release);
                server.path.is_file().then(|| (numbers.collect(), server.path))
            })
            .collect();
        found.sort();
        Ok(found.pop().map(|(_, path)| Self { path }))
    }

    /// The server in a directory that `testkit install` made.
    pub(crate) fn within(root: &Path, release: Release) -> Self {
        let name = match release.flavor() {
            Flavor::MySql => "mysqld",
            Flavor::MariaDb => "mariadbd",
        };
        Self { path: root.join("bin").join(name) }
    }

    /// The statements that `--bootstrap` reads, where `testkit install` put them.
    pub(crate) fn bootstrap_script(&self) -> PathBuf {
        self.path.with_file_name("bootstrap.sql")
    }

    /// The server's version: `9.7.4-2`, `10.11.19-MariaDB-0+deb12u1`.
    pub(crate) fn version(&self) -> Result<String> {
        let output =
            Command::new(&self.path).args(["--no-defaults", "--version"]).output().at("cannot run", &self.path)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_once("Ver ").and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned).ok_or_else(
            || {
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                Error::new(format!("{} tells no version: {text}{error}", self.path.display()))
            },
        )
    }
}

/// The server of `release` that the environment names.
pub(crate) fn named(release: Release) -> Option<PathBuf> {
    let value = env::var_os(MYSQLD).filter(|value| !value.is_empty() && release == Release::MySql97);
    value.map(PathBuf::from)
}

/// What the directory of `release` in the cache is called, with its version behind.
pub(crate) fn cache_name(release: Release) -> &'static str {
    match release {
        Release::MySql97 => "mysql",
        _ => release.id(),
    }
}

/// Looks where programs are, and where Debian puts servers, which a user's PATH may leave out.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}
