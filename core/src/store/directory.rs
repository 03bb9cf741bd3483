//! Objects as files below a directory.

use std::fs;
use std::io::{self, ErrorKind as IoKind, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{Store, temporary_name};
use crate::error::{Error, ErrorKind, Result};

/// A directory as a store. It is created with the first object, and what was created goes when it becomes empty again.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
    /// The lowest directory that was there before us: it and those above it are never removed.
    ground: Arc<Mutex<PathBuf>>,
}

impl Directory {
    /// A store below `root`, which need not exist yet.
    ///
    /// # Errors
    /// `Usage` when `root` is not absolute or contains `..`.
    pub(crate) fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if !root.is_absolute() || root.components().any(|part| part == Component::ParentDir) {
            return Err(Error::usage(format!("`{}` is no absolute path without `..`", root.display())));
        }
        Ok(Self { ground: Arc::new(Mutex::new(root.clone())), root })
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        let plain = !key.is_empty() && key.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if plain && Path::new(key).components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(key));
        }
        Err(Error::new(ErrorKind::Internal, format!("`{key}` is no key of an object")))
    }

    /// Runs blocking work on this store and names the object in its error.
    async fn run<T: Send + 'static>(
        &self,
        doing: &str,
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
            Error::new(kind, format!("cannot {doing} {}", self.url(key))).caused_by(error)
        })
    }

    /// Creates a directory, and remembers where the ground was if the root had to be created.
    fn create(&self, directory: &Path) -> io::Result<()> {
        if !self.root.exists() {
            let there = self.root.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(&self.root);
            let mut ground = self.ground.lock().unwrap_or_else(PoisonError::into_inner);
            if *ground == self.root {
                *ground = there.to_path_buf();
            }
        }
        fs::create_dir_all(directory)
    }

    /// Writes beside the file, then renames: a file under its own name is always whole.
    fn write(&self, path: &Path, data: &[u8], dropped: &CancellationToken) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.root);
        self.create(directory)?;
        let temporary = directory.join(temporary_name("put"));
        let written = (|| {
            let mut file = fs::File::create_new(&temporary)?;
            file.write_all(data)?;
            file.sync_all()?;
            if dropped.is_cancelled() {
                return Err(io::Error::from(IoKind::Interrupted));
            }
            fs::rename(&temporary, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            self.prune(directory);
        }
        written.and_then(|()| sync_directory(directory))
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if !matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => return Err(error),
            _ => {}
        }
        path.parent().into_iter().for_each(|directory| self.prune(directory));
        Ok(())
    }

    /// Removes a directory and those above it that are empty, down to the ground.
    fn prune(&self, directory: &Path) {
        let ground = self.ground.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for directory in directory.ancestors().take_while(|above| **above != *ground && above.starts_with(&ground)) {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() != IoKind::NotFound => break,
                _ => {}
            }
        }
    }
}

#[async_trait]
impl Store for Directory {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let path = self.path(key)?;
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        self.run("write", key, move |this| this.write(&path, &data, &dropped)).await
    }

    async fn find(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        self.run("read", key, move |_| match read_regular(&path) {
            Ok(data) => Ok(Some(Bytes::from(data))),
            Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let wanted = prefix.to_owned();
        self.run("list", prefix, move |this| {
            let mut keys = Vec::new();
            walk(&this.root, "", &wanted, &mut keys)?;
            Ok(keys)
        })
        .await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            let path = self.path(key)?;
            self.run("remove", key, move |this| this.delete(&path)).await?;
        }
        Ok(())
    }

    fn url(&self, key: &str) -> String {
        let root = self.root.display();
        if key.is_empty() { format!("file://{root}") } else { format!("file://{root}/{key}") }
    }
}

/// Collects the keys below `directory` that start with `prefix`; `base` is the directory's own key with a slash.
fn walk(directory: &Path, base: &str, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == IoKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 is none of ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = format!("{base}{name}");
        if !entry.file_type()?.is_dir() {
            keys.extend(Some(key).filter(|key| key.starts_with(prefix)));
            continue;
        }
        let below = format!("{key}/");
        if below.starts_with(prefix) || prefix.starts_with(&below) {
            walk(&entry.path(), &below, prefix, keys)?;
        }
    }
    Ok(())
}

/// The bytes of a regular file: a device or a pipe, also behind a link, may have no end.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(IoKind::InvalidData, "it is no regular file"));
    }
    fs::read(path)
}

/// A rename lasts once its directory is on the disk.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
