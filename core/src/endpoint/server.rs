//! What a `mysql://` URL says.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::option_file::OptionFile;
use super::url::unknown;
use crate::error::{Error, Result};
use crate::mysql::{Address, Pem, ServerRole, TlsMode, TlsOptions};
use crate::url_syntax::{percent_decode, query_parameters, require_value};

const KNOWN: &str = "ssl-mode, ssl-ca, ssl-cert, ssl-key, socket, server-public-key, cleartext-password";

/// The server that the URL names; `variable` may hold its password.
pub(super) fn address(url: &Url, role: ServerRole, variable: &str, password: Option<SecretString>) -> Result<Address> {
    let path = url.path().strip_prefix('/').unwrap_or_default();
    if path.is_empty() || path.contains('/') {
        return Err(Error::usage(
            "a mysql:// URL names its database: mysql://user@host:3306/database (a / in the name is %2F)",
        ));
    }
    let mut file = OptionFile::read();
    let user = match url.username() {
        "" => file.user.take().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".to_owned()),
        user => percent_decode("user", user)?,
    };
    let password = match url.password() {
        Some(given) => percent_decode("password", given)?.into(),
        None => password
            .or_else(|| std::env::var(variable).ok().map(SecretString::from))
            .or(file.password.take())
            .unwrap_or_else(|| SecretString::from("")),
    };
    let named = url.host_str().filter(|host| !host.is_empty()).map(|host| host.trim_matches(['[', ']']).to_owned());
    // Where the URL names no server, the option file may.
    let (port, socket) = match named {
        Some(_) => (None, None),
        None => (file.port, file.socket.take().filter(|_| url.port().is_none() && file.host.is_none())),
    };
    let place = named.clone().or(file.host.take()).unwrap_or_else(|| "localhost".to_owned());
    let place = (place.as_str(), url.port().or(port).unwrap_or(3306));
    let mut address = Address::new(role, place, (user, password), percent_decode("database", path)?);
    address.socket = socket;
    let (mut mode, mut ca, mut cert, mut key) = (None, None, None, None);
    for (name, value) in query_parameters(url)? {
        let value = require_value(&name, value)?;
        match name.as_str() {
            "ssl-mode" => mode = Some(tls_mode(&value)?),
            "ssl-ca" => ca = Some(value),
            "ssl-cert" => cert = Some(value),
            "ssl-key" => key = Some(value),
            "socket" => address.socket = Some(PathBuf::from(value)),
            "server-public-key" => address.server_key = Some(Pem::server_key(Path::new(&value))?),
            "cleartext-password" if value == "allow" => address.cleartext_password = true,
            "cleartext-password" => {
                return Err(Error::usage(format!(
                    "cleartext-password: `{value}` is not known; say allow, or leave it out"
                )));
            }
            other => return Err(unknown(other, "mysql", KNOWN)),
        }
    }
    let mode = checked_mode(ca.is_some(), cert.is_some(), key.is_some(), mode)?;
    // With verify-identity the certificate is to bear the host's name.
    let unused = named.filter(|host| mode != TlsMode::VerifyIdentity && !Address::is_loopback(host));
    if let (Some(socket), true) = (&address.socket, unused.is_some() || url.port().is_some()) {
        let what = unused.map_or_else(|| format!("port {}", address.port), |host| format!("host `{host}`"));
        return Err(Error::usage(format!(
            "the {what} of the URL is not used beside socket={}: say mysql://user@localhost/database?socket=FILE",
            socket.display()
        )));
    }
    let pem =
        |parameter: &str, path: Option<String>| path.map(|path| Pem::read(parameter, Path::new(&path))).transpose();
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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::url::parse;
    use super::*;

    /// Any file that is there.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    fn parsed(text: &str) -> Result<Address> {
        address(&parse(text)?, ServerRole::Source, "DBGRAFT_NO_SUCH_VARIABLE", None)
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
        assert!(message("mysql://u@h//d").contains("names its database"));
        assert!(message("mysql://u@h/d?sslmode=x").contains("`sslmode`"));
        assert!(message("mysql://u@h/d?ssl-mode=on").contains("`on`"));
        assert!(message(&format!("mysql://u@h/d?ssl-mode=required&ssl-ca={FILE}")).contains("no effect"));
        assert!(message(&format!("mysql://u@h/d?ssl-cert={FILE}")).contains("go together"));
        assert!(message("mysql://u@h/d?ssl-ca=/nowhere/ca.pem").contains("ssl-ca: cannot use /nowhere/ca.pem"));
        assert!(message("mysql://u@h/d?ssl-ca=/dev/zero").contains("longer than"));
        assert!(message("mysql://u@h/d?ssl-ca=").contains("`ssl-ca` needs a value"));
        assert!(message("mysql://u@h/d?ssl-mode=required&ssl-mode=disabled").contains("`ssl-mode` stands twice"));
        assert!(message("mysql://u@h/d?cleartext-password=yes").contains("`yes`"));
        assert!(message("mysql://u@h/d?socket=/s").contains("host `h`"));
        assert!(message("mysql://u@localhost:3306/d?socket=/s").contains("port 3306"));
        assert!(parsed("mysql://u@localhost/d?socket=/s").is_ok() && parsed("mysql:///d?socket=/s").is_ok());
        assert!(!message("mysql:/u:secret@h:99999/d").contains("secret"));
    }

    #[test]
    fn a_ca_file_alone_asks_for_verification() {
        assert_eq!(parsed(&format!("mysql://u@h/d?ssl-ca={FILE}")).unwrap().tls.mode, TlsMode::VerifyCa);
    }
}
