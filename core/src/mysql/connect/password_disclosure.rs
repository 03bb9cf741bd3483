//! Decides which server may receive the password itself. A scramble, which only proves knowledge of it, may go to any.
//!
//! `mysql_clear_password` sends the password in plain text; the SHA-2 plugins send it inside TLS, or encrypted with the
//! server's RSA key. An attacker between the two, or in the server's place, would read it. So the server must be
//! verified: by its certificate, by a local socket, by the SSH connection to its host, or by its RSA key. At a loopback
//! address, which excludes such an attacker, the key that the server sends is accepted.

use mysql_common::packets::AuthPlugin;
use secrecy::ExposeSecret as _;

use super::server_address::{ServerAddress, TlsMode};
use crate::error::{Error, ErrorKind};

/// Whether the password may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordDisclosure {
    Allowed,
    /// Allowed after a login without TLS that has sent the password encrypted with the server's RSA key.
    AllowedAfterRsa,
    Refused,
}

/// The security of one login attempt's transport.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransportSecurity {
    pub(super) encrypted: bool,
    /// Whether the login before this one has sent the password to this server by RSA.
    pub(super) after_rsa: bool,
}

impl TransportSecurity {
    /// Whether this plugin may send the password of `address` to the other end of the transport.
    pub(super) fn password_disclosure(self, address: &ServerAddress, plugin: &AuthPlugin<'_>) -> PasswordDisclosure {
        let verified = self.encrypted && matches!(address.tls.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity);
        let trusted = verified || address.socket.is_some() || address.dial.is_encrypted() || address.cleartext_password;
        if trusted || address.password.expose_secret().is_empty() {
            return PasswordDisclosure::Allowed;
        }
        let loopback = ServerAddress::is_loopback(&address.host);
        let rsa_possible = loopback || address.server_key.is_some();
        match plugin {
            AuthPlugin::MysqlClearPassword => PasswordDisclosure::Refused,
            _ if !rsa_possible => PasswordDisclosure::Refused,
            // Servers do not use RSA within TLS.
            _ if self.encrypted && !self.after_rsa => PasswordDisclosure::AllowedAfterRsa,
            // The other end may not be the owner of the key.
            _ if self.encrypted && !loopback => PasswordDisclosure::Refused,
            _ => PasswordDisclosure::Allowed,
        }
    }
}

/// The error of a login that would send the password to an unverified server.
pub(super) fn disclosure_refused(address: &ServerAddress, plugin: &AuthPlugin<'_>) -> Error {
    let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
    let plain_text = matches!(plugin, AuthPlugin::MysqlClearPassword);
    let key = if plain_text { "" } else { "server-public-key=FILE (the server's public_key.pem), " };
    let tls = if address.tls.mode == TlsMode::Disabled { "TLS is off" } else { "its certificate is not verified" };
    Error::new(
        ErrorKind::Authentication,
        format!(
            "the server asks for the password itself, for a login by `{name}`, and {tls}: say ssl-mode=verify-ca&ssl-ca=FILE \
             in the URL, {key}or go over a socket or an SSH tunnel; cleartext-password=allow sends it to an unverified server"
        ),
    )
}
