//! The location of an archive: an `s3://` or `file://` URL.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::url::unknown_parameter;
use crate::error::{Error, Result};
use crate::store::{DirectoryStore, ObjectStore, S3Location, S3Store};
use crate::url_syntax::{percent_decode, query_parameters, require_value};

/// The location of one archive.
#[derive(Debug, Clone)]
pub(super) enum ArchiveLocation {
    S3(S3Location),
    Directory(PathBuf),
}

impl ArchiveLocation {
    /// Parses the URL of an archive.
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
        match scheme {
            "s3" => Ok(Self::S3(parse_s3(url)?)),
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
                Ok(Self::Directory(path))
            }
            other => Err(Error::usage(format!("{other}:// cannot hold an archive: say s3:// or file://"))),
        }
    }

    /// Opens the store at the location, from this host.
    pub(super) fn open(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(match self {
            Self::S3(location) => Arc::new(S3Store::open(location.clone())?),
            Self::Directory(path) => Arc::new(DirectoryStore::open(path.clone())?),
        })
    }

    /// The location in S3, which other hosts reach too; `None` for a directory of this host.
    pub(super) fn s3(&self) -> Option<&S3Location> {
        match self {
            Self::S3(location) => Some(location),
            Self::Directory(_) => None,
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
        region: None,
        endpoint: None,
    };
    if location.bucket.is_empty() {
        return Err(Error::usage("an s3:// URL names its bucket: s3://bucket/prefix"));
    }
    for (name, value) in query_parameters(url)? {
        let value = Some(require_value(&name, value)?);
        match name.as_str() {
            "region" => location.region = value,
            "endpoint" => location.endpoint = value,
            other => return Err(unknown_parameter(other, "s3", "region, endpoint")),
        }
    }
    Ok(location)
}
