//! Stores objects as files below a directory.

use std::fs;
use std::io::{self, ErrorKind as IoKind, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{ObjectStore, temporary_name, too_long};
use crate::error::{Error, ErrorKind, Result};

/// The files below a directory. The first object creates the directory; the removal of the last one removes the
/// directories that the store created.
#[derive(Debug, Clone)]
pub(crate) struct DirectoryStore {
    root: PathBuf,
    /// The deepest directory that existed before: the store never removes it nor those above it.
    existing_ancestor: Arc<Mutex<PathBuf>>,
}

impl DirectoryStore {
    /// Opens a store below `root`, which need not exist.
    ///
    /// # Errors
    /// `Usage` when `root` is not absolute or contains `..`.
    pub(crate) fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if !root.is_absolute() || root.components().any(|part| part == Component::ParentDir) {
            return Err(Error::usage(format!("`{}` is no absolute path without `..`", root.display())));
        }
        Ok(Self { existing_ancestor: Arc::new(Mutex::new(root.clone())), root })
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        let plain = !key.is_empty() && key.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if plain && Path::new(key).components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(key));
        }
        Err(Error::new(ErrorKind::Internal, format!("`{key}` is no key of an object")))
    }

    /// Runs blocking work on this store and names the object in its error.
    async fn run_blocking<T: Send + 'static>(
        &self,
        action: &str,
        key: &str,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let outcome =
            tokio::task::spawn_blocking(move || work(&this)).await.unwrap_or_else(|e| Err(io::Error::other(e)));
        outcome.map_err(|error| {
            let kind = match error.kind() {
                IoKind::PermissionDenied | IoKind::ReadOnlyFilesystem => ErrorKind::Permission,
                _ => ErrorKind::Storage,
            };
            Error::new(kind, format!("cannot {action} {}", self.url(key))).caused_by(error)
        })
    }

    /// Creates a directory. Remembers the deepest existing one if the root does not exist.
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        if !self.root.exists() {
            let found = self.root.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(&self.root);
            let mut existing = self.existing_ancestor.lock().unwrap_or_else(PoisonError::into_inner);
            if *existing == self.root {
                *existing = found.to_path_buf();
            }
        }
        fs::create_dir_all(directory)
    }

    /// Writes a temporary file and renames it: a file with an object's name is always whole.
    fn write(&self, path: &Path, data: &[u8], cancelled: &CancellationToken) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.root);
        self.create_directory(directory)?;
        let temporary = directory.join(temporary_name("put"));
        let written = (|| {
            let mut file = fs::File::create_new(&temporary)?;
            file.write_all(data)?;
            file.sync_all()?;
            if cancelled.is_cancelled() {
                return Err(io::Error::from(IoKind::Interrupted));
            }
            fs::rename(&temporary, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            self.remove_empty_directories(directory);
        }
        written.and_then(|()| sync_directory(directory))
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if !matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => return Err(error),
            _ => {}
        }
        path.parent().into_iter().for_each(|directory| self.remove_empty_directories(directory));
        Ok(())
    }

    /// Removes a directory and its parents while they are empty, up to the deepest one that existed before.
    fn remove_empty_directories(&self, directory: &Path) {
        let existing = self.existing_ancestor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for directory in directory.ancestors().take_while(|above| **above != *existing && above.starts_with(&existing))
        {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() != IoKind::NotFound => break,
                _ => {}
            }
        }
    }
}

#[async_trait]
impl ObjectStore for DirectoryStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let path = self.path(key)?;
        let cancelled = CancellationToken::new();
        let _guard = cancelled.clone().drop_guard();
        self.run_blocking("write", key, move |this| this.write(&path, &data, &cancelled)).await
    }

    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        let found = self.run_blocking("read", key, move |_| match read_file(&path, limit) {
            Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => Ok(None),
            read => read.map(Some),
        });
        match found.await? {
            Some(data) if data.len() as u64 > limit => Err(too_long(&self.url(key), limit)),
            found => Ok(found.map(Bytes::from)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let wanted_prefix = prefix.to_owned();
        self.run_blocking("list", prefix, move |this| {
            let mut keys = Vec::new();
            collect_keys(&this.root, "", &wanted_prefix, &mut keys)?;
            Ok(keys)
        })
        .await
    }

    async fn last_modified(&self) -> Result<Option<SystemTime>> {
        self.run_blocking("list", "", |this| {
            let mut keys = Vec::new();
            collect_keys(&this.root, "", "", &mut keys)?;
            let modified = |key: &String| fs::metadata(this.root.join(key)).and_then(|file| file.modified()).ok();
            Ok(keys.iter().filter_map(modified).max())
        })
        .await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            let path = self.path(key)?;
            self.run_blocking("remove", key, move |this| this.delete(&path)).await?;
        }
        Ok(())
    }

    fn url(&self, key: &str) -> String {
        let root = self.root.display();
        if key.is_empty() { format!("file://{root}") } else { format!("file://{root}/{key}") }
    }
}

/// Reads a file, and at most one byte more than `limit`. A symbolic link may point to a device or a pipe that never
/// ends.
fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut data = Vec::new();
    fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut data)?;
    Ok(data)
}

/// Collects the keys below `directory` that start with `prefix`; `base` is the directory's own key with a slash.
fn collect_keys(directory: &Path, base: &str, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == IoKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // The store creates only names in UTF-8.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = format!("{base}{name}");
        if !entry.file_type()?.is_dir() {
            keys.extend(Some(key).filter(|key| key.starts_with(prefix)));
            continue;
        }
        let below = format!("{key}/");
        if below.starts_with(prefix) || prefix.starts_with(&below) {
            collect_keys(&entry.path(), &below, prefix, keys)?;
        }
    }
    Ok(())
}

/// Makes a rename durable: writes its directory to the disk.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
