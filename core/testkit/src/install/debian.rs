//! Servers from other suites of Debian, with all the libraries they need, beside the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt_source::{self, Source};
use super::{advice, run, wrapper};
use crate::error::{Context, Error, Result};

/// What to take from a suite.
pub(super) struct Origin {
    suite: &'static str,
    /// A snapshot of the archive that surely has the suite: current ones lose old suites.
    snapshot: Option<&'static str>,
    packages: &'static [&'static str],
    /// The files of the server's messages and character sets.
    share: &'static str,
    server: &'static str,
    clients: &'static [&'static str],
    /// The statements in `share` that make a data directory; none where the server makes it by itself.
    bootstrap: &'static [&'static str],
}

pub(super) const MYSQL: Origin = Origin {
    suite: "sid",
    snapshot: None,
    packages: &["mysql-server-core", "mysql-client-core"],
    share: "usr/share/mysql",
    server: "mysqld",
    clients: &["mysql", "mysqldump"],
    bootstrap: &[],
};

pub(super) const MARIADB_105: Origin = Origin {
    suite: "bullseye",
    snapshot: Some("20250601T000000Z"),
    packages: &["mariadb-server-core-10.5"],
    share: "usr/share/mysql",
    server: "mariadbd",
    clients: &[],
    bootstrap: &[
        "mysql_system_tables.sql",
        "mysql_performance_tables.sql",
        "mysql_system_tables_data.sql",
        "maria_add_gis_sp_bootstrap.sql",
    ],
};

pub(super) const MARIADB_118: Origin = Origin {
    suite: "trixie",
    snapshot: None,
    packages: &["mariadb-server-core"],
    share: "usr/share/mariadb",
    server: "mariadbd",
    clients: &[],
    bootstrap: &[
        "mariadb_system_tables.sql",
        "mariadb_performance_tables.sql",
        "mariadb_system_tables_data.sql",
        "maria_add_gis_sp_bootstrap.sql",
    ],
};

/// What the packages depend on and the programs do not: Perl scripts, documentation, Debian's own tools.
const UNUSED: [&str; 6] = ["perl", "libperl", "libgdbm", "debconf", "dpkg", "tar_"];

/// Downloads into `work` and returns the directory to keep.
pub(super) fn fetch(work: &Path, origin: &Origin) -> Result<PathBuf> {
    let packages = download_from_somewhere(work, origin).map_err(advice)?;
    let root = work.join("root");
    for package in &packages {
        run(Command::new("dpkg").arg("-x").arg(package).arg(&root))?;
    }
    write_wrappers(&root, origin)?;
    Ok(root)
}

fn download_from_somewhere(work: &Path, origin: &Origin) -> Result<Vec<PathBuf>> {
    let source = apt_source::derive(origin.suite)?;
    let found = download(work, &source, origin.packages);
    let Err(error) = found else { return found };
    // The machine may be pinned to a snapshot of the archive in which the packages are not yet, or no longer.
    let today = run(Command::new("date").args(["-u", "+%Y%m%dT000000Z"]))?;
    let others = [Some(today.trim()), origin.snapshot].into_iter().flatten();
    let others = others.filter_map(|moment| apt_source::at_moment(&source, moment));
    others.map(|moved| download(work, &moved, origin.packages)).find(Result::is_ok).unwrap_or(Err(error))
}

/// Lets apt resolve and download in a directory of its own, as if nothing were installed.
fn download(work: &Path, source: &Source, names: &[&str]) -> Result<Vec<PathBuf>> {
    let list = work.join("apt").with_extension(source.extension);
    let (lists, cache, status) = (work.join("lists"), work.join("cache"), work.join("status"));
    let archives = cache.join("archives");
    for dir in [lists.join("partial"), archives.join("partial")] {
        fs::create_dir_all(&dir).at("cannot create", &dir)?;
    }
    fs::write(&status, "").at("cannot write", &status)?;
    fs::write(&list, &source.text).at("cannot write", &list)?;
    let apt = || {
        let mut command = Command::new("apt-get");
        let mut set = |name: &str, value: &Path| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        set("Dir::State::Lists", &lists);
        set("Dir::State::status", &status);
        set("Dir::Cache", &cache);
        set("Dir::Etc::SourceList", &list);
        set("Dir::Etc::SourceParts", Path::new("/dev/null"));
        set("Dir::Etc::Preferences", Path::new("/dev/null"));
        set("Dir::Etc::PreferencesParts", Path::new("/dev/null"));
        set("Acquire::Languages", Path::new("none"));
        set("Acquire::Check-Valid-Until", Path::new("false")); // a snapshot's date is past by nature
        set("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", Path::new("false"));
        set("APT::Update::Error-Mode", Path::new("any"));
        command
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "-y", "--no-install-recommends", "--download-only"]).args(names))?;
    let packages = fs::read_dir(&archives)
        .at("cannot list", &archives)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb") && !is_unused(path))
        .collect();
    Ok(packages)
}

fn is_unused(package: &Path) -> bool {
    let name = package.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    UNUSED.iter().any(|start| name.starts_with(start))
}

/// Scripts in `bin` that start the programs with their own loader and libraries.
fn write_wrappers(root: &Path, origin: &Origin) -> Result<()> {
    let (triplet, loader) = match std::env::consts::ARCH {
        "x86_64" => ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
        "aarch64" => ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
        other => return Err(Error::new(format!("no package of a server is known for {other}"))),
    };
    // Debian 11 has libraries in both; later suites in the second.
    let libraries = ["lib", "usr/lib"].map(|dir| format!("{dir}/{triplet}"));
    let home = libraries.iter().find(|dir| root.join(dir).join(loader).exists());
    let home = home.ok_or_else(|| Error::new(format!("the packages of {} have no {loader}", origin.suite)))?;
    let search = libraries.iter().map(|dir| format!("$root/{dir}")).collect::<Vec<_>>().join(":");
    let start = |path: &str| format!("\"$root/{home}/{loader}\" --library-path \"{search}\" \"$root/{path}\"");
    let share = origin.share;
    let client_options =
        format!("--character-sets-dir=\"$root/{share}/charsets\" --plugin-dir=\"$root/usr/lib/mysql/plugin\"");
    let server_options = format!("--lc-messages-dir=\"$root/{share}\" {client_options}");
    wrapper::write(root, origin.server, &start(&format!("usr/sbin/{}", origin.server)), &server_options)?;
    for client in origin.clients {
        wrapper::write(root, client, &start(&format!("usr/bin/{client}")), &client_options)?;
    }
    match origin.bootstrap {
        [] => Ok(()),
        files => wrapper::write_bootstrap_script(root, &root.join(share), files),
    }
}
