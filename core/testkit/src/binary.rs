//! Finds the `testkit` executable for a library user that is another program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::error::{Context, Error, Result};

/// Names the `testkit` executable; `testkit run` sets it for its command.
pub(crate) const VARIABLE: &str = "DBGRAFT_TESTKIT_BIN";

/// The executable: that of this process, the one named in the environment, or one that cargo builds.
pub(crate) fn path() -> Result<PathBuf> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let own = env::current_exe().context("cannot find this process's executable")?;
    if own.file_stem().is_some_and(|name| name == "testkit") {
        return Ok(own);
    }
    if let Some(named) = env::var_os(VARIABLE).map(PathBuf::from).filter(|path| path.is_file()) {
        return Ok(named);
    }
    let mut built = BUILT.lock().map_err(|_| Error::new("building testkit failed before"))?;
    if let Some(path) = &*built {
        return Ok(path.clone());
    }
    // A test runs from target/<profile>/deps, an example or a binary from a directory nearby.
    let target = own
        .ancestors()
        .find(|dir| dir.join(".cargo-lock").is_file() || dir.join("deps").is_dir())
        .ok_or_else(|| Error::new(format!("the testkit executable is not known: name it in {VARIABLE}")))?;
    build(target)?;
    let path = target.join("testkit");
    *built = Some(path.clone());
    Ok(path)
}

/// Takes no time if it is up to date. Cargo does not hold its lock while it runs tests, so this does not deadlock.
fn build(target: &Path) -> Result<()> {
    let profile = match target.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let root = target.parent().unwrap_or(target);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The environment variables of the outer cargo would make the inner one rebuild everything.
    for (name, _) in env::vars_os() {
        let of_package = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_BIN_"];
        if name.to_str().is_some_and(|name| of_package.iter().any(|start| name.starts_with(start))) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--package", "dbgraft-testkit", "--bin", "testkit", "--profile", profile])
        .arg("--target-dir")
        .arg(root)
        .output()
        .context("cannot run cargo")?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::new(format!("cannot build the testkit executable: {error}")))
}
