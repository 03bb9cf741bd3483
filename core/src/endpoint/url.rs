//! What the URL of an endpoint names.

use secrecy::SecretString;
use url::Url;

use super::option_file::OptionFile;
use super::server::address;
use super::shelf::Shelf;
use crate::error::{Error, Result};
use crate::mysql::{Address, ServerRole};
use crate::store::{S3Location, unique_name};
use crate::url_syntax::{self, percent_decode, query_parameters, require_value};

/// What a URL names.
pub(super) enum Location {
    MySql(Box<Address>),
    Archive(Shelf),
}

/// Whether a password for this endpoint could only come from the person at the terminal: a `mysql://` URL without one,
/// and none in the environment or in `~/.my.cnf`.
pub fn needs_password(url: &str, variable: &str) -> bool {
    let Ok(url) = parse(url) else { return false };
    is_mysql(&url)
        && url.password().is_none()
        && std::env::var_os(variable).is_none()
        && OptionFile::read().password.is_none()
}

/// Parses the URL of an endpoint.
pub(super) fn parse(text: &str) -> Result<Url> {
    let form = "an endpoint is a URL: mysql://user@host:3306/database, s3://bucket/prefix or file:///dir";
    let known = "an endpoint is mysql:// (or mariadb://), s3:// or file://";
    match url_syntax::scheme(text).filter(|_| text.contains("://")).as_deref() {
        None | Some("mysql" | "mariadb" | "s3" | "file") => url_syntax::parse(text, form),
        Some("ssh") => Err(Error::usage(format!(
            "ssh:// is no source and no target: {known}; a host on the way to a server is named by --source-tunnel, \
             --target-tunnel, --source-agent or --target-agent"
        ))),
        Some(web @ ("http" | "https")) => Err(Error::usage(format!(
            "{web}:// is no source and no target: {known}; a store with the interface of S3 is s3://bucket/prefix?endpoint={web}://host"
        ))),
        Some(other) => Err(Error::usage(format!("{other}:// is unknown: {known}"))),
    }
}

fn is_mysql(url: &Url) -> bool {
    matches!(url.scheme(), "mysql" | "mariadb")
}

/// What the URL of an endpoint names.
pub(super) fn locate(text: &str, role: ServerRole, variable: &str, password: Option<SecretString>) -> Result<Location> {
    let url = parse(text)?;
    if is_mysql(&url) {
        return Ok(Location::MySql(Box::new(address(&url, role, variable, password)?)));
    }
    shelf(&url).map(Location::Archive)
}

/// What the URL of an archive names, with a place of its own below it: two clones through one location must not meet.
pub(super) fn staging(text: &str) -> Result<Shelf> {
    let mut url = parse(text)?;
    if is_mysql(&url) {
        return Err(Error::usage("--via takes an archive location, s3://bucket/prefix or file:///dir"));
    }
    shelf(&url)?;
    let own = format!("{}/dbgraft-{}", url.path().trim_end_matches('/'), unique_name());
    url.set_path(&own);
    shelf(&url)
}

fn shelf(url: &Url) -> Result<Shelf> {
    let scheme = url.scheme();
    if url.username() != "" || url.password().is_some() {
        return Err(Error::usage(format!(
            "{scheme}:// takes no user or password; S3 keys come from the AWS environment"
        )));
    }
    if let Some(port) = url.port() {
        return Err(Error::usage(format!(
            "{scheme}:// takes no port (:{port}); the address of a store is s3://bucket/prefix?endpoint=http://host:{port}"
        )));
    }
    match scheme {
        "s3" => Ok(Shelf::S3(s3(url)?)),
        "file" => {
            if let Some((name, _)) = query_parameters(url)?.first() {
                return Err(unknown(name, scheme, "none"));
            }
            let path = url.to_file_path().map_err(|()| {
                let host = url.host_str().unwrap_or_default();
                Error::usage(format!("a file:// URL is an absolute path, file:///dir: `{host}` is taken for a host"))
            })?;
            Ok(Shelf::Directory(path))
        }
        other => Err(Error::usage(format!("{other}:// is no place for an archive: say s3:// or file://"))),
    }
}

fn s3(url: &Url) -> Result<S3Location> {
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
            other => return Err(unknown(other, "s3", "region, endpoint")),
        }
    }
    Ok(location)
}

pub(super) fn unknown(name: &str, scheme: &str, known: &str) -> Error {
    Error::usage(format!("unknown parameter `{name}` in a {scheme}:// URL (known: {known}); a `?` in a name is %3F"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        locate(text, ServerRole::Source, "DBGRAFT_NO_SUCH_VARIABLE", None)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn every_part_of_a_url_is_used_or_refused() {
        for (url, names) in [
            ("s3://b:9000/x", ":9000"),
            ("s3://b/x?region=a&region=b", "`region` stands twice"),
            ("s3://b/x?region=", "`region` needs a value"),
            ("s3://b//x", "`//`"),
            ("s3://b/x//", "`//`"),
            ("s3://b/x#2026", "`#2026`"),
            ("s3://k@b/x", "no user"),
            ("file://tmp/x", "`tmp`"),
            ("file:///x?a=1", "`a`"),
            ("postgres://u@h/d", "an endpoint is mysql://"),
            ("ssh://u@h", "--source-agent"),
            ("https://h/b", "s3://bucket/prefix?endpoint=https://host"),
        ] {
            assert!(message(url).contains(names), "{url}: {}", message(url));
            assert!(staging(url).is_err(), "{url}");
        }
        for right in ["s3://b", "s3://b/", "s3://b/x/", "s3://b/x//y", "file:///x/", "file:///", "file://localhost/x"] {
            assert!(locate(right, ServerRole::Source, "", None).is_ok() && staging(right).is_ok(), "{right}");
        }
    }
}
