//! A data directory, initialised once per machine and version, then copied for every server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result, missing_is_fine};
use crate::paths;
use crate::programs::{ServerProgram, on_path};
use crate::release::{Initialisation, Release};

/// Raised when a template is made differently, so that old ones are not used.
const GENERATION: u32 = 2;

/// Options that a server must already have when it initialises its data directory.
const AT_INITIALISATION: [&str; 4] =
    ["lower-case-table-names", "innodb-page-size", "innodb-data-file-path", "innodb-undo-tablespaces"];

/// Makes `data_dir` a fresh data directory whose root account has no password.
pub(crate) fn copy_to(data_dir: &Path, release: Release, server: &ServerProgram, args: &[String]) -> Result<()> {
    let template = find_or_make(release, server, args)?;
    run(Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(&template).arg(data_dir))
}

fn find_or_make(release: Release, server: &ServerProgram, args: &[String]) -> Result<PathBuf> {
    let at_initialisation: Vec<&String> = args.iter().filter(|arg| is_initialisation_option(arg)).collect();
    let mut name = format!("template-{GENERATION}-{}-{}", release.flavor(), server.version()?);
    for arg in &at_initialisation {
        name.extend(arg.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }));
    }
    let template = paths::cache_dir()?.join(&name);
    if template.is_dir() {
        return Ok(template);
    }
    let _lock = paths::lock(&name)?;
    if template.is_dir() {
        return Ok(template);
    }
    let [initialised, unfinished] =
        [template.with_file_name(format!("{name}.initialised")), template.with_file_name(format!("{name}.unfinished"))];
    let remove = |dir: &Path| missing_is_fine(fs::remove_dir_all(dir)).at("cannot remove", dir);
    remove(&initialised)?;
    remove(&unfinished)?;
    match release.profile().initialisation {
        Initialisation::Insecure => initialise(&initialised, server, &at_initialisation)?,
        Initialisation::InstallDb => install_db(&initialised, &at_initialisation)?,
        Initialisation::Bootstrap => bootstrap(&initialised, release, server, &at_initialisation)?,
    }
    // Every copy must draw an identity of its own.
    let identity = initialised.join("auto.cnf");
    missing_is_fine(fs::remove_file(&identity)).at("cannot remove", &identity)?;
    // Most of the files is zeros. As holes they are neither copied nor written to the disk for each server.
    run(Command::new("cp").args(["-a", "--sparse=always", "--"]).arg(&initialised).arg(&unfinished))?;
    remove(&initialised)?;
    fs::rename(&unfinished, &template).at("cannot rename", &unfinished)?;
    Ok(template)
}

/// Whether `--name=value` has to be known at initialisation. Dashes and underscores are the same.
fn is_initialisation_option(arg: &str) -> bool {
    let name = arg.split('=').next().unwrap_or_default();
    let name = name.trim_start_matches('-').replace('_', "-");
    AT_INITIALISATION.contains(&name.as_str())
}

fn initialise(dir: &Path, server: &ServerProgram, arguments: &[&String]) -> Result<()> {
    run(Command::new(&server.path)
        .args(["--no-defaults", "--initialize-insecure", "--innodb-redo-log-capacity=8M"])
        .args(as_user())
        .arg(format!("--datadir={}", dir.display()))
        .args(arguments))
}

fn install_db(dir: &Path, arguments: &[&String]) -> Result<()> {
    let program = on_path("mariadb-install-db")
        .ok_or_else(|| Error::new("mariadb-install-db is not here: run `testkit install`"))?;
    paths::new_dir(dir)?;
    run(Command::new(program)
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .args(as_user())
        .arg(format!("--datadir={}", dir.display()))
        .args(arguments))
}

fn bootstrap(dir: &Path, release: Release, server: &ServerProgram, arguments: &[&String]) -> Result<()> {
    paths::new_dir(dir)?;
    let script = server.bootstrap_script();
    run(Command::new(&server.path)
        .args(["--no-defaults", "--bootstrap", "--innodb-log-file-size=8M"])
        .args(release.profile().unsynced)
        .args(as_user())
        .arg(format!("--datadir={}", dir.display()))
        .arg(format!("--tmpdir={}", dir.display()))
        .args(arguments)
        .stdin(File::open(&script).at("cannot open", &script)?))
}

/// A database server refuses to run as root unless told so in words.
pub(crate) fn as_user() -> Option<&'static str> {
    is_root().then_some("--user=root")
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn run(command: &mut Command) -> Result<()> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().at("cannot run", &program)?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(Error::new(format!("{} failed ({}):\n{}", program.display(), output.status, String::from_utf8_lossy(&text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialisation_options_are_recognised_in_both_spellings() {
        assert!(is_initialisation_option("--lower_case_table_names=1"));
        assert!(is_initialisation_option("--innodb-page-size=4k"));
        assert!(!is_initialisation_option("--local-infile=0"));
    }
}
