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

/// How the connection is protected: the modes of MySQL's own clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TlsOptions {
    pub(crate) mode: TlsMode,
    /// Trusted authorities; the usual public ones without it.
    pub(crate) ca: Option<Pem>,
    /// The client's certificate chain.
    pub(crate) cert: Option<Pem>,
    /// The client's key.
    pub(crate) key: Option<Pem>,
}

/// A PEM file that was read here: the connection may be made on another machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pem {
    /// For messages.
    pub(crate) path: PathBuf,
    #[serde(serialize_with = "expose", deserialize_with = "secret")]
    pub(crate) text: SecretString,
}

impl Pem {
    /// Reads the server's own public key.
    pub(crate) fn server_key(path: &Path) -> Result<Self> {
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

/// Which end of a clone a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServerRole {
    Source,
    Target,
}

impl ServerRole {
    /// What its server is called in messages.
    pub(crate) fn server(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// Where a database is, how it is reached, and who we are there: a parsed `mysql://` URL.
///
/// It may travel to the machine that makes the connection, password included: only over a line that is encrypted.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) role: ServerRole,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// A Unix socket, in the place of host and port.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: String,
    #[serde(serialize_with = "expose", deserialize_with = "secret")]
    pub(crate) password: SecretString,
    pub(crate) database: String,
    pub(crate) tls: TlsOptions,
    /// The server's own key, to encrypt the password with.
    pub(crate) server_key: Option<Pem>,
    /// Whether a server that nobody has verified may get the password.
    pub(crate) cleartext_password: bool,
    /// The way to the server.
    #[serde(skip, default = "straight")]
    pub(crate) dial: Arc<dyn Dial>,
    /// How long the server may be silent before a second connection asks what it does.
    #[serde(skip, default = "silence")]
    pub(crate) silence: Duration,
    /// How many seconds a statement waits for a lock of another session.
    #[serde(skip, default = "lock_wait")]
    pub(crate) lock_wait: u64,
}

/// As [`Address::silence`], everywhere but in tests.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);

fn silence() -> Duration {
    SILENCE
}

fn lock_wait() -> u64 {
    CloneOptions::default().lock_wait
}

impl Address {
    /// A server at a port, reached as the URL says that says nothing else.
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
            dial: straight(),
            silence: SILENCE,
            lock_wait: lock_wait(),
        }
    }

    /// Whether the name can only mean the machine itself.
    pub(crate) fn is_loopback(host: &str) -> bool {
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

/// The way without anybody between.
fn straight() -> Arc<dyn Dial> {
    Arc::new(DirectDialer::default())
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
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
