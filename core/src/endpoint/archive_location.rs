//! The location of an archive: an `s3://` or `file://` URL.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::url::unknown_parameter;
use crate::error::{Error, Result};
use crate::store::{ArchiveKey, DirectoryStore, EncryptedStore, ObjectStore, S3Location, S3Store};
use crate::url_syntax::{percent_decode, query_parameters, require_value};

/// The location of one archive, and its key.
#[derive(Debug, Clone)]
pub(super) struct ArchiveLocation {
    place: ArchivePlace,
    /// The key of an encrypted archive.
    pub(super) key: Option<Arc<ArchiveKey>>,
}

/// The place of an archive's objects.
#[derive(Debug, Clone)]
enum ArchivePlace {
    S3(S3Location),
    Directory(PathBuf),
}

impl ArchiveLocation {
    /// Parses the URL of an archive that is not encrypted.
    pub(super) fn from_url(url: &Url) -> Result<Self> {
        let scheme = url.scheme();
        if url.username() != "" || url.password().is_some() {
            return Err(Error::usage(format!(
                "{scheme}:// takes no user or password; S3 keys come from the AWS environment"
            )));
        }
        if let Some(port) = url.port() {
            return Err(Error::usage(format!(
                "{scheme}:// takes no port (:{port}); the address of a store is \
                 s3://bucket/prefix?endpoint=http://host:{port}"
            )));
        }
        let place = match scheme {
            "s3" => ArchivePlace::S3(parse_s3(url)?),
            "file" => {
                if let Some((name, _)) = query_parameters(url)?.first() {
                    return Err(unknown_parameter(name, scheme, "none"));
                }
                percent_decode("path", url.path())?;
                let path = url.to_file_path().map_err(|()| {
                    let host = url.host_str().unwrap_or_default();
                    Error::usage(format!(
                        "a file:// URL is an absolute path, file:///dir: `{host}` is taken for a host"
                    ))
                })?;
                ArchivePlace::Directory(path)
            }
            other => return Err(Error::usage(format!("{other}:// cannot hold an archive: say s3:// or file://"))),
        };
        Ok(Self { place, key: None })
    }

    /// Opens the store at the location, from this host. It encrypts and decrypts the objects of an encrypted archive.
    pub(super) fn open(&self) -> Result<Arc<dyn ObjectStore>> {
        let store = self.open_raw()?;
        Ok(match &self.key {
            Some(key) => Arc::new(EncryptedStore::new(store, key.clone())),
            None => store,
        })
    }

    /// Opens the store at the location, from this host. It returns objects as they are stored.
    pub(super) fn open_raw(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(match &self.place {
            ArchivePlace::S3(location) => Arc::new(S3Store::open(location.clone())?),
            ArchivePlace::Directory(path) => Arc::new(DirectoryStore::open(path.clone())?),
        })
    }

    /// The location in S3, which other hosts reach too; `None` for a directory of this host.
    pub(super) fn s3(&self) -> Option<&S3Location> {
        match &self.place {
            ArchivePlace::S3(location) => Some(location),
            ArchivePlace::Directory(_) => None,
        }
    }
}

fn parse_s3(url: &Url) -> Result<S3Location> {
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let prefix = path.strip_suffix('/').unwrap_or(path);
    if prefix.starts_with('/') || prefix.ends_with('/') {
        return Err(Error::usage("the prefix of an s3:// URL begins or ends with `//`: say s3://bucket/prefix"));
    }
    let mut location = S3Location {
        bucket: percent_decode("bucket", url.host_str().unwrap_or_default())?,
        prefix: percent_decode("prefix", prefix)?,
        ..S3Location::default()
    };
    if location.bucket.is_empty() {
        return Err(Error::usage("an s3:// URL names its bucket: s3://bucket/prefix"));
    }
    for (name, value) in query_parameters(url)? {
        let value = Some(require_value(&name, value)?);
        match name.as_str() {
            "region" => location.region = value,
            "endpoint" => location.endpoint = value,
            "sse" => location.sse = value,
            "sse-kms-key-id" => location.sse_kms_key_id = value,
            other => return Err(unknown_parameter(other, "s3", "region, endpoint, sse, sse-kms-key-id")),
        }
    }
    check_sse(location.sse.as_deref(), location.sse_kms_key_id.is_some())?;
    Ok(location)
}

/// Checks how the server is to encrypt the objects.
fn check_sse(sse: Option<&str>, has_key: bool) -> Result<()> {
    match sse {
        Some("aws:kms" | "aws:kms:dsse") => Ok(()),
        None | Some("AES256") if has_key => Err(Error::usage("sse-kms-key-id is for sse=aws:kms: give both")),
        None | Some("AES256") => Ok(()),
        Some(other) => Err(Error::usage(format!("sse: `{other}` is not one of AES256, aws:kms, aws:kms:dsse"))),
    }
}
