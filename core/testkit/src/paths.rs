//! The cache directory, and the temporary directories of servers.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Context, Error, Result};
use crate::random;

/// The path of a Unix socket has at most 107 bytes; a server appends to its directory.
const LONGEST_RUN_DIR: usize = 80;

/// The directory of downloads and data directory templates: `$XDG_CACHE_HOME/dbgraft-testkit`.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => env::var_os("HOME")
            .map(|home| PathBuf::from(home).join(".cache"))
            .ok_or_else(|| Error::new("neither XDG_CACHE_HOME nor HOME is set: no place for the cache"))?,
    };
    let dir = base.join("dbgraft-testkit");
    fs::create_dir_all(&dir).at("cannot create", &dir)?;
    Ok(dir)
}

/// Locks `<name>.lock` in the cache until dropped, so that only one process creates a file.
pub(crate) fn lock(name: &str) -> Result<File> {
    let path = cache_dir()?.join(format!("{name}.lock"));
    let file = File::create(&path).at("cannot create", &path)?;
    file.lock().at("cannot lock", &path)?;
    Ok(file)
}

/// Creates a private directory for one server, below the directory of this process.
///
/// The guard of the server removes it, and the guard of the last server removes the directory of the process.
pub(crate) fn new_server_dir(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let dir = run_dir()?.join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    // Between making the parent and the child, another server's guard may remove an empty parent.
    for _ in 0..5 {
        match private().recursive(true).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.at("cannot create", &dir).map(|()| dir),
        }
    }
    Err(Error::new(format!("cannot create {}: it vanishes", dir.display())))
}

pub(crate) fn new_dir(dir: &Path) -> Result<()> {
    private().create(dir).at("cannot create", dir)
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

fn run_dir() -> Result<&'static PathBuf> {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    if let Some(dir) = DIR.get() {
        return Ok(dir);
    }
    let name = format!("dbgraft-testkit-{}-{}", std::process::id(), random::token(6)?);
    let mut dir = env::temp_dir().join(&name);
    if dir.as_os_str().len() > LONGEST_RUN_DIR {
        dir = Path::new("/tmp").join(&name);
    }
    Ok(DIR.get_or_init(|| dir))
}
