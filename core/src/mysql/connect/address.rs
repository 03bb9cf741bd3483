use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

/// How the connection is protected: the modes of MySQL's own clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// Never.
    Disabled,
    /// Where the server offers it; the certificate is not checked.
    #[default]
    Preferred,
    /// Always; the certificate is not checked.
    Required,
    /// Always, with a certificate signed by a trusted authority, whatever name it bears.
    VerifyCa,
    /// Always, with a certificate signed by a trusted authority that bears the host's name.
    VerifyIdentity,
}

/// TLS as a `mysql://` URL asks for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsOptions {
    pub(crate) mode: TlsMode,
    /// A PEM file of trusted authorities; the usual public ones without it.
    pub(crate) ca: Option<PathBuf>,
    /// A PEM file with the client's certificate chain.
    pub(crate) cert: Option<PathBuf>,
    /// A PEM file with the client's key.
    pub(crate) key: Option<PathBuf>,
}

/// Where a database is and who we are there: a parsed `mysql://` URL.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// A Unix socket, in the place of host and port.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: String,
    pub(crate) password: SecretString,
    pub(crate) database: String,
    pub(crate) tls: TlsOptions,
}

impl fmt::Display for Address {
    /// As a URL, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "mysql://{}@{host}:{}", self.user, self.port)?;
        if !self.database.is_empty() {
            write!(f, "/{}", crate::catalog::Printable(&self.database))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
