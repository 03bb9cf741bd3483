//! The location of an endpoint: a server or an archive.

use secrecy::SecretString;

use super::archive_location::ArchiveLocation;
use super::option_file::OptionFile;
use super::server::parse_server;
use super::url::{is_mysql, parse_url};
use crate::error::{Error, Result};
use crate::mysql::{ServerAddress, ServerRole};
use crate::store::unique_name;

/// What the URL of an endpoint names.
pub(super) enum EndpointLocation {
    Server(Box<ServerAddress>),
    Archive(ArchiveLocation),
}

/// Whether the user must type the password of this endpoint: a `mysql://` URL without one, and none in the environment
/// variable or in `~/.my.cnf`. Not where that file is wrong: the job then fails with an error that names the line.
pub fn needs_password(url: &str, variable: &str) -> bool {
    let Ok(url) = parse_url(url) else { return false };
    is_mysql(&url)
        && url.password().is_none()
        && std::env::var_os(variable).is_none()
        && OptionFile::read().is_ok_and(|file| file.password.is_none())
}

/// Parses the URL of an endpoint; `variable` is the environment variable of a server's password.
pub(super) fn parse_location(
    text: &str,
    role: ServerRole,
    variable: &str,
    password: Option<SecretString>,
) -> Result<EndpointLocation> {
    let url = parse_url(text)?;
    if is_mysql(&url) {
        return Ok(EndpointLocation::Server(Box::new(parse_server(&url, role, variable, password)?)));
    }
    ArchiveLocation::from_url(&url).map(EndpointLocation::Archive)
}

/// Parses the URL of `--via`, and returns a random location below it: concurrent clones must not share one.
pub(super) fn staging_location(text: &str) -> Result<(String, ArchiveLocation)> {
    let mut url = parse_url(text)?;
    if is_mysql(&url) {
        return Err(Error::usage("--via takes an archive location, s3://bucket/prefix or file:///dir"));
    }
    ArchiveLocation::from_url(&url)?;
    let path = format!("{}/dbgraft-{}", url.path().trim_end_matches('/'), unique_name());
    url.set_path(&path);
    Ok((url.to_string(), ArchiveLocation::from_url(&url)?))
}

/// Opens the archive at the URL that an earlier process recorded.
pub(super) fn recorded_location(text: &str) -> Result<ArchiveLocation> {
    ArchiveLocation::from_url(&parse_url(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_message(text: &str) -> String {
        parse_location(text, ServerRole::Source, "DBGRAFT_NO_SUCH_VARIABLE", None)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn every_part_of_a_url_is_used_or_refused() {
        for (url, part) in [
            ("s3://b:9000/x", ":9000"),
            ("s3://b/x?region=a&region=b", "`region` stands twice"),
            ("s3://b/x?region=", "`region` needs a value"),
            ("s3://b/x%2", "%25"),
            ("file:///tmp/%zz", "%25"),
            ("file:///tmp/%00", "NUL"),
            ("s3://b//x", "`//`"),
            ("s3://b/x//", "`//`"),
            ("s3://b/x#2026", "`#2026`"),
            ("s3://k@b/x", "no user"),
            ("s3://b/x?sse=kms", "`kms` is not one of AES256, aws:kms, aws:kms:dsse"),
            ("s3://b/x?sse=AES256&sse-kms-key-id=k", "sse=aws:kms"),
            ("s3://b/x?sse-kms-key-id=k", "sse=aws:kms"),
            ("file://tmp/x", "`tmp`"),
            ("file:///x?a=1", "`a`"),
            ("postgres://u@h/d", "an endpoint is mysql://"),
            ("ssh://u@h", "--source-agent"),
            ("https://h/b", "s3://bucket/prefix?endpoint=https://host"),
        ] {
            assert!(error_message(url).contains(part), "{url}: {}", error_message(url));
            assert!(staging_location(url).is_err(), "{url}");
        }
        for valid in [
            "s3://b",
            "s3://b/",
            "s3://b/x/",
            "s3://b/x//y",
            "s3://b/x?sse=AES256",
            "s3://b?sse=aws:kms&sse-kms-key-id=arn:aws:kms:eu-central-1:111122223333:key/a-b",
            "file:///x/",
            "file:///",
            "file://localhost/x",
        ] {
            assert!(
                parse_location(valid, ServerRole::Source, "", None).is_ok() && staging_location(valid).is_ok(),
                "{valid}"
            );
        }
    }
}
