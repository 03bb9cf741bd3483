//! MySQL from Debian's unstable suite into the cache, with all the libraries it needs, beside the system.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::advice;
use super::apt_source::{self, Source};
use crate::error::{Context, Error, Result, missing_is_fine};
use crate::flavor::Flavor;
use crate::paths;
use crate::programs::{MYSQLD, Programs, fetched_mysql};

const PACKAGES: [&str; 2] = ["mysql-server-core", "mysql-client-core"];

/// What the packages depend on and the programs do not: Perl scripts, documentation.
const UNUSED: [&str; 3] = ["perl", "libperl", "libgdbm"];

pub(super) fn install(say: &mut impl FnMut(&str)) -> Result<()> {
    if std::env::var_os(MYSQLD).is_some_and(|value| !value.is_empty()) {
        let version = Programs::find(Flavor::MySql)?.version()?;
        say(&format!("MySQL {version}: named by {MYSQLD}"));
        return Ok(());
    }
    let _lock = paths::lock("mysql")?;
    if fetched_mysql()?.is_some() {
        let version = Programs::find(Flavor::MySql)?.version()?;
        say(&format!("MySQL {version}: already here"));
        return Ok(());
    }
    say("fetching MySQL from Debian's unstable suite");
    let work = paths::cache_dir()?.join("fetching");
    missing_is_fine(fs::remove_dir_all(&work)).at("cannot remove", &work)?;
    let result = fetch(&work);
    missing_is_fine(fs::remove_dir_all(&work)).at("cannot remove", &work)?;
    let root = result.map_err(advice)?;
    say(&format!("MySQL {}: in {}", Programs::find(Flavor::MySql)?.version()?, root.display()));
    Ok(())
}

/// Downloads into `work`, unpacks there, and moves the whole to its place in one step.
fn fetch(work: &Path) -> Result<PathBuf> {
    fs::create_dir_all(work).at("cannot create", work)?;
    let source = apt_source::derive()?;
    let packages = match download(work, &source) {
        Ok(packages) => packages,
        Err(error) => {
            // The machine is pinned to an older snapshot of the archive. The current archive has the packages.
            let today = run(Command::new("date").args(["-u", "+%Y%m%dT000000Z"]))?;
            let moved = apt_source::at_moment(&source, today.trim()).ok_or(error)?;
            download(work, &moved)?
        }
    };
    let root = work.join("root");
    for package in &packages {
        run(Command::new("dpkg").arg("-x").arg(package).arg(&root))?;
    }
    let version = packages.iter().find_map(|path| version_of(path)).unwrap_or_else(|| "unknown".to_owned());
    write_wrappers(&root)?;
    run(Command::new(root.join("bin/mysqld")).args(["--no-defaults", "--version"]))?;
    let place = paths::cache_dir()?.join(format!("mysql-{version}"));
    fs::rename(&root, &place).at("cannot rename to", &place)?;
    Ok(place)
}

/// Lets apt resolve and download in a directory of its own, as if nothing were installed.
fn download(work: &Path, source: &Source) -> Result<Vec<PathBuf>> {
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
    run(apt().args(["install", "-y", "--no-install-recommends", "--download-only"]).args(PACKAGES))?;
    let packages = fs::read_dir(&archives)
        .at("cannot list", &archives)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb") && !is_unused(path))
        .collect();
    Ok(packages)
}

fn file_name(package: &Path) -> &str {
    package.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_unused(package: &Path) -> bool {
    UNUSED.iter().any(|name| file_name(package).starts_with(name))
}

/// `mysql-server-core_9.7.4-2_amd64.deb` is of version 9.7.4-2.
fn version_of(package: &Path) -> Option<String> {
    let rest = file_name(package).strip_prefix("mysql-server-core_")?;
    Some(rest.split('_').next()?.replace("%3a", "."))
}

/// Scripts in `bin` that start the programs with their own loader and libraries.
fn write_wrappers(root: &Path) -> Result<()> {
    let (loader, libraries) = match std::env::consts::ARCH {
        "x86_64" => ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
        "aarch64" => ("usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
        other => return Err(Error::new(format!("no MySQL package is known for {other}"))),
    };
    let bin = root.join("bin");
    fs::create_dir_all(&bin).at("cannot create", &bin)?;
    let server_options = "--lc-messages-dir=\"$root/usr/share/mysql\" \
                          --character-sets-dir=\"$root/usr/share/mysql/charsets\" \
                          --plugin-dir=\"$root/usr/lib/mysql/plugin\"";
    let client_options = "--character-sets-dir=\"$root/usr/share/mysql/charsets\" \
                          --plugin-dir=\"$root/usr/lib/mysql/plugin\"";
    for (name, path, options) in [
        ("mysqld", "usr/sbin/mysqld", server_options),
        ("mysql", "usr/bin/mysql", client_options),
        ("mysqldump", "usr/bin/mysqldump", client_options),
    ] {
        // Some first arguments must stay first, --no-defaults and --defaults-file among them.
        let script = format!(
            "#!/bin/sh\nroot=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")\n\
             first=\ncase $1 in --no-defaults|--defaults-*|--print-defaults|--login-path=*) first=$1; shift ;; esac\n\
             exec \"$root/{loader}\" --library-path \"$root/{libraries}\" \"$root/{path}\" \
             ${{first:+\"$first\"}} {options} \"$@\"\n"
        );
        let path = bin.join(name);
        fs::write(&path, script).at("cannot write", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).at("cannot make executable", &path)?;
    }
    Ok(())
}

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
