//! Scripts that start programs with the libraries and files that were fetched with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{Context, Result};

/// Writes the script `name` into the directory `bin` of `root`. It runs `command` with `options` in front of its own
/// arguments; both are shell words, in which `$root` stands for the directory.
pub(super) fn write(root: &Path, name: &str, command: &str, options: &str) -> Result<()> {
    let bin = root.join("bin");
    fs::create_dir_all(&bin).at("cannot create", &bin)?;
    // Some first arguments must stay first, --no-defaults and --defaults-file among them.
    let script = format!(
        "#!/bin/sh\nroot=$(dirname \"$(dirname \"$(readlink -f \"$0\")\")\")\n\
         first=\ncase $1 in --no-defaults|--defaults-*|--print-defaults|--login-path=*) first=$1; shift ;; esac\n\
         exec {command} ${{first:+\"$first\"}} {options} \"$@\"\n"
    );
    let path = bin.join(name);
    fs::write(&path, script).at("cannot write", &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).at("cannot make executable", &path)
}

/// Puts the statements that a server's `--bootstrap` reads beside its script: `files`, one after the other.
pub(super) fn write_bootstrap_script(root: &Path, share: &Path, files: &[&str]) -> Result<()> {
    let mut script = b"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n".to_vec();
    for file in files {
        let path = share.join(file);
        script.extend(fs::read(&path).at("cannot read", &path)?);
    }
    let path = root.join("bin/bootstrap.sql");
    fs::write(&path, script).at("cannot write", &path)
}
