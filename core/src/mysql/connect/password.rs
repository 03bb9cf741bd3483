//! Which server may get the password itself. A proof that one knows it is for every server.
//!
//! `mysql_clear_password` sends it as it is; the SHA-2 plugins send it inside TLS, or encrypted with the server's RSA key.
//! Somebody in between, or in the server's place, would have it. So the server must be known: by its certificate, by a
//! local socket, by the SSH connection to its host, or by its RSA key; at a loopback address, where nobody is in
//! between, the key that it shows is taken.

use mysql_common::packets::AuthPlugin;
use secrecy::ExposeSecret as _;

use super::address::{Address, TlsMode};
use crate::error::{Error, ErrorKind};

/// Whether the password may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disclosure {
    Allowed,
    /// Once a login without TLS has given it, encrypted with the server's RSA key.
    AfterRsa,
    Refused,
}

/// One try to log in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    pub(super) encrypted: bool,
    /// Whether this server has had the password by RSA just before.
    pub(super) after_rsa: bool,
}

impl Channel {
    /// Whether this plugin may give the password of `address` to whoever is at the other end.
    pub(super) fn disclosure(self, address: &Address, plugin: &AuthPlugin<'_>) -> Disclosure {
        let verified = self.encrypted && matches!(address.tls.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity);
        let known = verified || address.socket.is_some() || address.dial.is_encrypted() || address.cleartext_password;
        if known || address.password.expose_secret().is_empty() {
            return Disclosure::Allowed;
        }
        let loopback = Address::is_loopback(&address.host);
        let by_rsa = loopback || address.server_key.is_some();
        match plugin {
            AuthPlugin::MysqlClearPassword => Disclosure::Refused,
            _ if !by_rsa => Disclosure::Refused,
            // The servers know no RSA within TLS.
            _ if self.encrypted && !self.after_rsa => Disclosure::AfterRsa,
            // Another than the owner of the key may hold this connection.
            _ if self.encrypted && !loopback => Disclosure::Refused,
            _ => Disclosure::Allowed,
        }
    }
}

/// The error of a login that would give the password away.
pub(super) fn refused(address: &Address, plugin: &AuthPlugin<'_>) -> Error {
    let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
    let clear = matches!(plugin, AuthPlugin::MysqlClearPassword);
    let key = if clear { "" } else { "server-public-key=FILE (the server's public_key.pem), " };
    let tls = if address.tls.mode == TlsMode::Disabled { "TLS is off" } else { "nobody has checked its certificate" };
    Error::new(
        ErrorKind::Authentication,
        format!(
            "the server asks for the password itself, for a login by `{name}`, and {tls}: say ssl-mode=verify-ca&ssl-ca=FILE \
             in the URL, {key}or go over a socket or an SSH tunnel; cleartext-password=allow gives it to whoever answers"
        ),
    )
}
