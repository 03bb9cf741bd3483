//! Parses `mysql://` URLs.

use std::env::VarError;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::option_file::OptionFile;
use super::url::unknown_parameter;
use crate::error::{Error, Result};
use crate::mysql::{PemFile, ServerAddress, ServerRole, TlsMode, TlsOptions};
use crate::url_syntax::{percent_decode, query_parameters, require_value};

/// The maximum length of a database name in both families, in characters.
const MAX_NAME_LENGTH: usize = 64;
const PARAMETERS: &str = "ssl-mode, ssl-ca, ssl-cert, ssl-key, socket, server-public-key, cleartext-password";

/// Parses the address of a server. The password is that of the URL, of the argument, of the environment variable, or of
/// the option file, in this order.
pub(super) fn parse_server(
    url: &Url,
    role: ServerRole,
    variable: &str,
    password: Option<SecretString>,
) -> Result<ServerAddress> {
    let path = url.path().strip_prefix('/').unwrap_or_default();
    if path.is_empty() || path.contains('/') {
        return Err(Error::usage(
            "a mysql:// URL names its database: mysql://user@host:3306/database (a / in the name is %2F)",
        ));
    }
    let password = match url.password() {
        Some(given) => Some(percent_decode("password", given)?.into()),
        None => match password {
            Some(given) => Some(given),
            None => secret_from_environment(variable)?,
        },
    };
    let named = url.host_str().filter(|host| !host.is_empty()).map(|host| host.trim_matches(['[', ']']).to_owned());
    // A file that supplies nothing may have errors.
    let is_wanted = url.username().is_empty() || password.is_none() || named.is_none();
    let mut file = if is_wanted { OptionFile::read()? } else { OptionFile::default() };
    let user = match url.username() {
        "" => file.user.take().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".to_owned()),
        user => percent_decode("user", user)?,
    };
    let password = password.or(file.password.take()).unwrap_or_else(|| SecretString::from(""));
    // Where the URL names no server, the option file may.
    let (port, socket) = match named {
        Some(_) => (None, None),
        None => (file.port, file.socket.take().filter(|_| url.port().is_none() && file.host.is_none())),
    };
    let place = named.clone().or(file.host.take()).unwrap_or_else(|| "localhost".to_owned());
    let place = (place.as_str(), url.port().or(port).unwrap_or(3306));
    let mut address = ServerAddress::new(role, place, (user, password), database_name(path)?);
    address.socket = socket;
    let (mut mode, mut ca, mut cert, mut key) = (None, None, None, None);
    for (name, value) in query_parameters(url)? {
        let value = require_value(&name, value)?;
        match name.as_str() {
            "ssl-mode" => mode = Some(parse_tls_mode(&value)?),
            "ssl-ca" => ca = Some(value),
            "ssl-cert" => cert = Some(value),
            "ssl-key" => key = Some(value),
            "socket" => address.socket = Some(PathBuf::from(value)),
            "server-public-key" => address.server_key = Some(PemFile::read_server_key(Path::new(&value))?),
            "cleartext-password" if value == "allow" => address.cleartext_password = true,
            "cleartext-password" => {
                return Err(Error::usage(format!(
                    "cleartext-password: `{value}` is not known; say allow, or leave it out"
                )));
            }
            other => return Err(unknown_parameter(other, "mysql", PARAMETERS)),
        }
    }
    let mode = check_tls_mode(ca.is_some(), cert.is_some(), key.is_some(), mode)?;
    // With verify-identity the host's name is compared with the certificate.
    let unused_host = named.filter(|host| mode != TlsMode::VerifyIdentity && !ServerAddress::is_loopback(host));
    if let (Some(socket), true) = (&address.socket, unused_host.is_some() || url.port().is_some()) {
        let what = unused_host.map_or_else(|| format!("port {}", address.port), |host| format!("host `{host}`"));
        return Err(Error::usage(format!(
            "the {what} of the URL is not used beside socket={}: say mysql://user@localhost/database?socket=FILE",
            socket.display()
        )));
    }
    let pem =
        |parameter: &str, path: Option<String>| path.map(|path| PemFile::read(parameter, Path::new(&path))).transpose();
    address.tls = TlsOptions { mode, ca: pem("ssl-ca", ca)?, cert: pem("ssl-cert", cert)?, key: pem("ssl-key", key)? };
    Ok(address)
}

/// The name of the database.
///
/// # Errors
/// `Usage` for a name that no server of either family accepts. Without this check, the first statement that writes would
/// fail, or use another name.
fn database_name(path: &str) -> Result<String> {
    let name = percent_decode("database", path)?;
    let wrong = |why: &str| Err(Error::usage(format!("no server can have a database `{name}`: {why}")));
    if name.ends_with(' ') {
        return wrong("its name ends with a space");
    }
    if name.chars().count() > MAX_NAME_LENGTH {
        return wrong("its name is longer than 64 characters");
    }
    if name.chars().any(|c| c.len_utf8() > 3) {
        return wrong("its name holds a character beyond U+FFFF");
    }
    if ["information_schema", "performance_schema"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(Error::usage(format!("{name} is the server's own view of itself, and no database to clone")));
    }
    Ok(name)
}

/// The secret in a variable of the environment, if it is set.
///
/// # Errors
/// `Usage` if it is not UTF-8: it must not count as missing.
pub(super) fn secret_from_environment(variable: &str) -> Result<Option<SecretString>> {
    match std::env::var(variable) {
        Ok(secret) => Ok(Some(SecretString::from(secret))),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Error::usage(format!("{variable} in the environment is not UTF-8"))),
    }
}

fn parse_tls_mode(text: &str) -> Result<TlsMode> {
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

/// Determines the TLS mode, and refuses parameters that would have no effect.
fn check_tls_mode(ca: bool, cert: bool, key: bool, mode: Option<TlsMode>) -> Result<TlsMode> {
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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::url::parse_url;
    use super::*;

    /// Any existing file.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    fn parse_text(text: &str) -> Result<ServerAddress> {
        parse_server(&parse_url(text)?, ServerRole::Source, "DBGRAFT_NO_SUCH_VARIABLE", None)
    }

    fn error_message(text: &str) -> String {
        parse_text(text).unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_parsed_and_its_password_is_never_displayed() {
        let address = parse_text("mysql://a%40b:s%2Fcret@[::1]:3307/d%2Fb?ssl-mode=required").unwrap();
        assert_eq!((address.user.as_str(), address.host.as_str(), address.port), ("a@b", "::1", 3307));
        assert_eq!((address.database.as_str(), address.tls.mode), ("d/b", TlsMode::Required));
        assert_eq!(address.password.expose_secret(), "s/cret");
        assert!(!format!("{address} {address:?}").contains("cret"));
    }

    #[test]
    fn wrong_urls_are_refused_by_name() {
        assert!(error_message("mysql://u@h/").contains("names its database"));
        assert!(error_message("mysql://u@h//d").contains("names its database"));
        assert!(error_message("mysql://u@h/d%20").contains("ends with a space"));
        assert!(error_message(&format!("mysql://u@h/{}", "é".repeat(65))).contains("longer than 64"));
        assert!(error_message("mysql://u@h/%F0%9F%98%80").contains("U+FFFF"));
        assert!(error_message("mysql://u@h/Information_Schema").contains("no database to clone"));
        assert!(error_message("mysql://u:50%off@h/d").contains("%25"));
        assert!(
            parse_text(&format!("mysql://u@h/{}", "é".repeat(64))).is_ok() && parse_text("mysql://u@h/%20d").is_ok()
        );
        assert!(error_message("mysql://u@h/d?sslmode=x").contains("`sslmode`"));
        assert!(error_message("mysql://u@h/d?ssl-mode=on").contains("`on`"));
        assert!(error_message(&format!("mysql://u@h/d?ssl-mode=required&ssl-ca={FILE}")).contains("no effect"));
        assert!(error_message(&format!("mysql://u@h/d?ssl-cert={FILE}")).contains("go together"));
        assert!(error_message("mysql://u@h/d?ssl-ca=/nowhere/ca.pem").contains("ssl-ca: cannot use /nowhere/ca.pem"));
        assert!(error_message("mysql://u@h/d?ssl-ca=/dev/zero").contains("longer than"));
        assert!(error_message("mysql://u@h/d?ssl-ca=").contains("`ssl-ca` needs a value"));
        assert!(error_message("mysql://u@h/d?ssl-mode=required&ssl-mode=disabled").contains("`ssl-mode` stands twice"));
        assert!(error_message("mysql://u@h/d?cleartext-password=yes").contains("`yes`"));
        assert!(error_message("mysql://u@h/d?socket=/s").contains("host `h`"));
        assert!(error_message("mysql://u@localhost:3306/d?socket=/s").contains("port 3306"));
        assert!(parse_text("mysql://u@localhost/d?socket=/s").is_ok() && parse_text("mysql:///d?socket=/s").is_ok());
        assert!(!error_message("mysql:/u:secret@h:99999/d").contains("secret"));
    }

    #[test]
    fn a_ca_file_alone_enables_verify_ca() {
        assert_eq!(parse_text(&format!("mysql://u@h/d?ssl-ca={FILE}")).unwrap().tls.mode, TlsMode::VerifyCa);
    }
}
