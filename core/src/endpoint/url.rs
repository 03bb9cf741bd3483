//! What the URL of an endpoint says.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::shelf::Shelf;
use crate::error::{Error, Result};
use crate::mysql::{Address, Pem, TlsMode, TlsOptions, straight};
use crate::store::{S3Location, unique_name};

/// What a URL names.
pub(super) enum Location {
    MySql(Box<Address>),
    Archive(Shelf),
}

/// Whether a password for this endpoint could only come from the person at the terminal: a `mysql://` URL without one,
/// and none in the environment or in `~/.my.cnf`.
pub fn needs_password(url: &str, variable: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    is_mysql(&url)
        && url.password().is_none()
        && std::env::var_os(variable).is_none()
        && client_file().password.is_none()
}

fn parse(text: &str) -> Result<Url> {
    // The text is not repeated: it may hold a password.
    Url::parse(text).map_err(|error| {
        let known = "an endpoint is a URL: mysql://user@host:3306/database, s3://bucket/prefix or file:///dir";
        Error::usage(known).caused_by(error)
    })
}

fn is_mysql(url: &Url) -> bool {
    matches!(url.scheme(), "mysql" | "mariadb")
}

/// What the URL of an endpoint names.
pub(super) fn locate(text: &str, variable: &str, password: Option<SecretString>) -> Result<Location> {
    let url = parse(text)?;
    if is_mysql(&url) {
        return Ok(Location::MySql(Box::new(address(&url, variable, password)?)));
    }
    shelf(&url).map(Location::Archive)
}

/// What the URL of an archive names, with a place of its own below it: two clones through one location must not meet.
pub(super) fn staging(text: &str) -> Result<Shelf> {
    let mut url = parse(text)?;
    if is_mysql(&url) {
        return Err(Error::usage("--via takes an archive location, s3://bucket/prefix or file:///dir"));
    }
    let own = format!("{}/dbgraft-{}", url.path().trim_end_matches('/'), unique_name());
    url.set_path(&own);
    shelf(&url)
}

fn shelf(url: &Url) -> Result<Shelf> {
    if url.username() != "" || url.password().is_some() {
        return Err(Error::usage(format!(
            "{}:// takes no user or password; S3 keys come from the AWS environment",
            url.scheme()
        )));
    }
    match url.scheme() {
        "s3" => {
            let mut location = S3Location {
                bucket: url.host_str().unwrap_or_default().to_owned(),
                prefix: decoded("prefix", url.path().trim_matches('/'))?,
                region: None,
                endpoint: None,
            };
            if location.bucket.is_empty() {
                return Err(Error::usage("an s3:// URL names its bucket: s3://bucket/prefix"));
            }
            for (name, value) in url.query_pairs() {
                match &*name {
                    "region" => location.region = Some(value.into_owned()),
                    "endpoint" => location.endpoint = Some(value.into_owned()),
                    other => return Err(unknown(other, "s3", "region, endpoint")),
                }
            }
            Ok(Shelf::S3(location))
        }
        "file" => {
            if let Some((name, _)) = url.query_pairs().next() {
                return Err(unknown(&name, "file", "none"));
            }
            let path =
                url.to_file_path().map_err(|()| Error::usage("a file:// URL is an absolute path: file:///dir"))?;
            Ok(Shelf::Directory(path))
        }
        other => Err(Error::usage(format!("{other}:// is unknown: an endpoint is mysql://, s3:// or file://"))),
    }
}

fn unknown(name: &str, scheme: &str, known: &str) -> Error {
    Error::usage(format!("unknown parameter `{name}` in a {scheme}:// URL (known: {known})"))
}

fn decoded(what: &str, text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded
        .map_err(|error| Error::usage(format!("the {what} in the URL is not UTF-8")).caused_by(error))?
        .into_owned())
}

fn address(url: &Url, variable: &str, password: Option<SecretString>) -> Result<Address> {
    let path = url.path().trim_start_matches('/');
    if path.is_empty() || path.contains('/') {
        return Err(Error::usage(
            "a mysql:// URL names its database: mysql://user@host:3306/database (a / in the name is %2F)",
        ));
    }
    let file = client_file();
    let user = match url.username() {
        "" => file.user.or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".to_owned()),
        user => decoded("user", user)?,
    };
    let password = match url.password() {
        Some(given) => decoded("password", given)?.into(),
        None => password
            .or_else(|| std::env::var(variable).ok().map(SecretString::from))
            .or(file.password)
            .unwrap_or_else(|| SecretString::from("")),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
    let mut address = Address {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(3306),
        socket: None,
        user,
        password,
        database: decoded("database", path)?,
        tls: TlsOptions::default(),
        dial: straight(),
    };
    let (mut mode, mut ca, mut cert, mut key) = (None, None, None, None);
    for (name, value) in url.query_pairs() {
        match &*name {
            "ssl-mode" => mode = Some(tls_mode(&value)?),
            "ssl-ca" => ca = Some(value),
            "ssl-cert" => cert = Some(value),
            "ssl-key" => key = Some(value),
            "socket" => address.socket = Some(PathBuf::from(&*value)),
            other => return Err(unknown(other, "mysql", "ssl-mode, ssl-ca, ssl-cert, ssl-key, socket")),
        }
    }
    let mode = checked_mode(ca.is_some(), cert.is_some(), key.is_some(), mode)?;
    let pem = |parameter: &str, path: Option<Cow<'_, str>>| {
        path.map(|path| Pem::read(parameter, Path::new(&*path))).transpose()
    };
    address.tls = TlsOptions { mode, ca: pem("ssl-ca", ca)?, cert: pem("ssl-cert", cert)?, key: pem("ssl-key", key)? };
    Ok(address)
}

fn tls_mode(text: &str) -> Result<TlsMode> {
    Ok(match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "disabled" => TlsMode::Disabled,
        "preferred" => TlsMode::Preferred,
        "required" => TlsMode::Required,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-identity" => TlsMode::VerifyIdentity,
        _ => {
            let known = "disabled, preferred, required, verify-ca, verify-identity";
            return Err(Error::usage(format!("ssl-mode: `{text}` is none of {known}")));
        }
    })
}

/// Refuses settings that would look like protection and give none.
fn checked_mode(ca: bool, cert: bool, key: bool, mode: Option<TlsMode>) -> Result<TlsMode> {
    if cert != key {
        return Err(Error::usage("ssl-cert and ssl-key go together: give both"));
    }
    match (mode, ca) {
        (None, true) => Ok(TlsMode::VerifyCa),
        (Some(TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required), true) => {
            Err(Error::usage("ssl-ca has no effect with this ssl-mode: say ssl-mode=verify-ca or verify-identity"))
        }
        (Some(TlsMode::Disabled), false) if cert => Err(Error::usage("ssl-cert has no effect with ssl-mode=disabled")),
        (mode, _) => Ok(mode.unwrap_or_default()),
    }
}

/// What `~/.my.cnf` says for all clients.
#[derive(Default)]
struct ClientFile {
    user: Option<String>,
    password: Option<SecretString>,
}

fn client_file() -> ClientFile {
    let Some(home) = std::env::var_os("HOME") else { return ClientFile::default() };
    std::fs::read_to_string(PathBuf::from(home).join(".my.cnf")).map(|text| client_section(&text)).unwrap_or_default()
}

/// Reads `user` and `password` of the `[client]` section of an option file
/// (<https://dev.mysql.com/doc/refman/8.4/en/option-files.html>).
fn client_section(text: &str) -> ClientFile {
    let mut found = ClientFile::default();
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            inside = line == "[client]";
        } else if let Some((name, value)) = line.split_once('=').filter(|_| inside) {
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote));
            let value = quoted.unwrap_or(value);
            match name.trim() {
                "user" => found.user = Some(value.to_owned()),
                "password" => found.password = Some(value.into()),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    /// Any file that is there.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    fn parsed(text: &str) -> Result<Address> {
        address(&parse(text)?, "DBGRAFT_NO_SUCH_VARIABLE", None)
    }

    fn message(text: &str) -> String {
        parsed(text).unwrap_err().to_string()
    }

    #[test]
    fn a_url_gives_its_parts_and_never_shows_its_password() {
        let address = parsed("mysql://a%40b:s%2Fcret@[::1]:3307/d%2Fb?ssl-mode=required").unwrap();
        assert_eq!((address.user.as_str(), address.host.as_str(), address.port), ("a@b", "::1", 3307));
        assert_eq!((address.database.as_str(), address.tls.mode), ("d/b", TlsMode::Required));
        assert_eq!(address.password.expose_secret(), "s/cret");
        assert!(!format!("{address} {address:?}").contains("cret"));
    }

    #[test]
    fn wrong_urls_are_refused_by_name() {
        assert!(message("mysql://u@h/").contains("names its database"));
        assert!(message("mysql://u@h/d?sslmode=x").contains("`sslmode`"));
        assert!(message("mysql://u@h/d?ssl-mode=on").contains("`on`"));
        assert!(message(&format!("mysql://u@h/d?ssl-mode=required&ssl-ca={FILE}")).contains("no effect"));
        assert!(message(&format!("mysql://u@h/d?ssl-cert={FILE}")).contains("go together"));
        assert!(message("mysql://u@h/d?ssl-ca=/nowhere/ca.pem").contains("ssl-ca: cannot use /nowhere/ca.pem"));
        assert!(!message("mysql:/u:secret@h:99999/d").contains("secret"));
    }

    #[test]
    fn a_ca_file_alone_asks_for_verification() {
        assert_eq!(parsed(&format!("mysql://u@h/d?ssl-ca={FILE}")).unwrap().tls.mode, TlsMode::VerifyCa);
    }

    #[test]
    fn the_client_section_of_an_option_file_is_read() {
        let found = client_section("[mysqld]\nuser=x\n[client]\n# c\nuser = me\npassword=\"p#w\"\n[mysql]\nuser=y\n");
        assert_eq!(found.user.as_deref(), Some("me"));
        assert_eq!(found.password.unwrap().expose_secret(), "p#w");
    }
}
