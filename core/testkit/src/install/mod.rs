//! Makes a fresh Debian machine ready, and does nothing on one that is.

mod apt_source;
mod debian;
mod npm;
mod packages;
mod wrapper;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result, missing_is_fine};
use crate::paths;
use crate::programs::{ServerProgram, cache_name, named};
use crate::release::Release;

/// Installs MariaDB and sshd, and fetches MySQL and the releases of `extra`. `say` has the result of each step, for a
/// terminal.
pub fn install(extra: &[Release], mut say: impl FnMut(&str)) -> Result<()> {
    packages::install(&mut say)?;
    let wanted = |release: &Release| *release == Release::MySql97 || extra.contains(release);
    Release::ALL.into_iter().filter(wanted).try_for_each(|release| provide(release, &mut say))
}

/// Fetches a release into the cache, unless it is there.
fn provide(release: Release, say: &mut impl FnMut(&str)) -> Result<()> {
    if let Some(path) = named(release) {
        let version = ServerProgram::find(release)?.version()?;
        say(&format!("{} {version}: {}, as {} says", release.flavor(), path.display(), crate::MYSQLD));
        return Ok(());
    }
    let _lock = paths::lock(cache_name(release))?;
    if let Some(program) = ServerProgram::fetched(release)? {
        say(&format!("{release} ({}): already here", program.version()?));
        return Ok(());
    }
    say(&format!("fetching {release}"));
    let work = paths::cache_dir()?.join(format!("fetching-{}", release.id()));
    missing_is_fine(fs::remove_dir_all(&work)).at("cannot remove", &work)?;
    let result = fetch(release, &work);
    missing_is_fine(fs::remove_dir_all(&work)).at("cannot remove", &work)?;
    let place = result?;
    say(&format!("{release}: in {}", place.display()));
    Ok(())
}

/// Downloads into `work`, unpacks there, and moves the whole to its place in one step.
fn fetch(release: Release, work: &Path) -> Result<PathBuf> {
    fs::create_dir_all(work).at("cannot create", work)?;
    let root = match release {
        Release::MySql56 => npm::fetch(work)?,
        Release::MySql97 => debian::fetch(work, &debian::MYSQL)?,
        Release::MariaDb105 => debian::fetch(work, &debian::MARIADB_105)?,
        Release::MariaDb118 => debian::fetch(work, &debian::MARIADB_118)?,
        Release::MariaDb1011 => return Err(Error::new("MariaDB 10.11 is the machine's own")),
    };
    let version = ServerProgram::within(&root, release).version()?;
    let place = paths::cache_dir()?.join(format!("{}-{version}", cache_name(release)));
    fs::rename(&root, &place).at("cannot rename to", &place)?;
    Ok(place)
}

fn advice(failed: impl std::fmt::Display) -> Error {
    Error::new(format!(
        "{failed}\n\
         `testkit install` works where apt reaches a Debian archive. Elsewhere install mariadb-server and \
         openssh-server yourself, name the mysqld of a MySQL 8.0 or newer in {}, and servers of further releases in \
         DBGRAFT_TEST_MYSQL56 and the like.",
        crate::MYSQLD
    ))
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().at("cannot run", &program)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::new(format!(
        "{} failed ({}): {}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
