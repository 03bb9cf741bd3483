//! The URLs of endpoints.

use url::Url;

use crate::error::{Error, Result};
use crate::url_syntax;

/// Parses the URL of an endpoint.
pub(super) fn parse_url(text: &str) -> Result<Url> {
    let form = "an endpoint is a URL: mysql://user@host:3306/database, s3://bucket/prefix or file:///dir";
    let known = "an endpoint is mysql:// (or mariadb://), s3:// or file://";
    match url_syntax::scheme(text).filter(|_| text.contains("://")).as_deref() {
        None | Some("mysql" | "mariadb" | "s3" | "file") => url_syntax::parse(text, form),
        Some("ssh") => Err(Error::usage(format!(
            "ssh:// is no source and no target: {known}; a host on the way to a server is named by --source-tunnel, \
             --target-tunnel, --source-agent or --target-agent"
        ))),
        Some(web @ ("http" | "https")) => Err(Error::usage(format!(
            "{web}:// is no source and no target: {known}; a store with the interface of S3 is \
             s3://bucket/prefix?endpoint={web}://host"
        ))),
        Some(other) => Err(Error::usage(format!("{other}:// is unknown: {known}"))),
    }
}

/// Whether the URL names a server.
pub(super) fn is_mysql(url: &Url) -> bool {
    matches!(url.scheme(), "mysql" | "mariadb")
}

/// The error for a parameter that the scheme does not have.
pub(super) fn unknown_parameter(name: &str, scheme: &str, known: &str) -> Error {
    Error::usage(format!("unknown parameter `{name}` in a {scheme}:// URL (known: {known}); a `?` in a name is %3F"))
}
