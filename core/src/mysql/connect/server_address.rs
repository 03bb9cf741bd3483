//! The server, account and connection options of a `mysql://` URL.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mysql_common::crypto::rsa::PublicKey;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bounded_file;
use crate::dial::{Dial, DirectDialer};
use crate::error::{Error, Result};
use crate::options::CloneOptions;

/// The modes of `ssl-mode`, as MySQL's own clients know them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsMode {
    /// Uses no TLS.
    Disabled,
    /// Uses TLS if the server offers it, and accepts any certificate.
    #[default]
    Preferred,
    /// Requires TLS, and accepts any certificate.
    Required,
    /// Requires TLS, and a certificate of a trusted authority for any host name.
    VerifyCa,
    /// Requires TLS, and a certificate of a trusted authority for this host name.
    VerifyIdentity,
}

/// The TLS options of a `mysql://` URL.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TlsOptions {
    pub(crate) mode: TlsMode,
    /// The trusted authorities; `None` stands for the public ones.
    pub(crate) ca: Option<PemFile>,
    /// The client's certificate chain.
    pub(crate) cert: Option<PemFile>,
    /// The client's key.
    pub(crate) key: Option<PemFile>,
}

/// The content of a PEM file. It is read where the URL is parsed: an agent may open the connection on another machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PemFile {
    /// The file's path, for messages.
    pub(crate) path: PathBuf,
    #[serde(serialize_with = "serialize_secret", deserialize_with = "deserialize_secret")]
    pub(crate) text: SecretString,
}

impl PemFile {
    /// Reads the server's RSA public key.
    pub(crate) fn read_server_key(path: &Path) -> Result<Self> {
        let pem = Self::read("server-public-key", path)?;
        match PublicKey::from_pem(pem.text.expose_secret()) {
            Ok(_) => Ok(pem),
            Err(error) => {
                let message = format!(
                    "server-public-key: {} holds no RSA key in PEM form, as the server's public_key.pem does",
                    path.display()
                );
                Err(Error::usage(message).caused_by(error))
            }
        }
    }

    /// Reads the file that the URL's `parameter` names.
    pub(crate) fn read(parameter: &str, path: &Path) -> Result<Self> {
        let text = bounded_file::read_text(path)
            .map_err(|error| Error::usage(format!("{parameter}: cannot use {}", path.display())).caused_by(error))?;
        Ok(Self { path: path.to_owned(), text: text.into() })
    }
}

/// The role of a server in a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServerRole {
    Source,
    Target,
    /// A replica of the target.
    Replica,
}

impl ServerRole {
    /// The role's name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Replica => "replica",
        }
    }
}

/// A parsed `mysql://` URL: the server, the account, the database and the connection's options.
///
/// It may be sent to the machine that opens the connection, password included, over an encrypted connection only.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ServerAddress {
    pub(crate) role: ServerRole,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// A Unix socket, used instead of host and port.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: String,
    #[serde(serialize_with = "serialize_secret", deserialize_with = "deserialize_secret")]
    pub(crate) password: SecretString,
    pub(crate) database: String,
    pub(crate) tls: TlsOptions,
    /// The server's RSA public key, which encrypts the password.
    pub(crate) server_key: Option<PemFile>,
    /// Whether an unverified server may receive the password.
    pub(crate) cleartext_password: bool,
    /// The replica of a target whose lag pauses the clone.
    pub(crate) replica: Option<Box<ServerAddress>>,
    /// Opens the byte stream to the server.
    #[serde(skip, default = "direct_dialer")]
    pub(crate) dial: Arc<dyn Dial>,
    /// The time without data after which a second connection inspects the statement.
    #[serde(skip, default = "default_stall_timeout")]
    pub(crate) stall_timeout: Duration,
    /// The number of seconds that a statement waits for a lock of another session.
    #[serde(skip, default = "default_lock_wait")]
    pub(crate) lock_wait: u64,
}

/// The default of [`ServerAddress::stall_timeout`]. Only tests use another value.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(20);

fn default_stall_timeout() -> Duration {
    STALL_TIMEOUT
}

fn default_lock_wait() -> u64 {
    CloneOptions::default().lock_wait
}

impl ServerAddress {
    /// Creates the address of a URL without parameters.
    pub(crate) fn new(role: ServerRole, place: (&str, u16), account: (String, SecretString), database: String) -> Self {
        Self {
            role,
            host: place.0.to_owned(),
            port: place.1,
            socket: None,
            user: account.0,
            password: account.1,
            database,
            tls: TlsOptions::default(),
            server_key: None,
            cleartext_password: false,
            replica: None,
            dial: direct_dialer(),
            stall_timeout: STALL_TIMEOUT,
            lock_wait: default_lock_wait(),
        }
    }

    /// Whether the host name always means this machine.
    pub(crate) fn is_loopback(host: &str) -> bool {
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

fn direct_dialer() -> Arc<dyn Dial> {
    Arc::new(DirectDialer)
}

fn serialize_secret<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn deserialize_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

impl fmt::Display for ServerAddress {
    /// Writes the URL without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "mysql://{}@{host}:{}", self.user, self.port)?;
        if !self.database.is_empty() {
            write!(f, "/{}", crate::catalog::Printable(&self.database))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerAddress({self})")
    }
}
