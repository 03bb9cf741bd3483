//! Private key files, and signing with their keys or by the ssh-agent.

use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::Signer as RusshSigner;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey, PublicKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::UnixStream;

use crate::bounded_file;

/// A private key file, possibly encrypted with a passphrase.
#[derive(Clone)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    text: SecretString,
    /// The public key, which the host is asked about before the user is asked for the passphrase. Some old formats need
    /// a `.pub` file for it.
    pub(super) public: Option<PublicKey>,
    /// The decrypted key, of a file without a passphrase.
    pub(super) decrypted: Option<Arc<PrivateKey>>,
}

impl KeyFile {
    /// Reads a key file; `None` if it does not exist.
    ///
    /// # Errors
    /// The reason, as the end of a sentence that begins with the file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == NotFound => return Ok(Self::public_only(path, &with_suffix(path, ".pub"))),
            metadata => metadata.map_err(|error| format!("cannot be read: {error}"))?,
        };
        if let Some(file) = Self::public_only(path, path) {
            return Ok(Some(file));
        }
        if is_open_to_others(&metadata) {
            return Err(format!("is not used, since others can read it: chmod 600 {}", path.display()));
        }
        let text = bounded_file::read_text(path).map_err(|error| format!("cannot be read: {error}"))?;
        let text = SecretString::from(text);
        let parsed = PrivateKey::from_openssh(text.expose_secret()).ok();
        let mut file = Self { path: path.to_owned(), text, public: None, decrypted: None };
        if parsed.as_ref().is_some_and(PrivateKey::is_encrypted) || file.text.expose_secret().contains("ENCRYPTED") {
            let from_pub_file = || read_public(&with_suffix(path, ".pub"));
            file.public = parsed.map(|key| key.public_key().clone()).or_else(from_pub_file);
        } else {
            let key = decode_secret_key(file.text.expose_secret(), None);
            let key = key.map_err(|error| format!("is not a private key that can be used: {error}"))?;
            file.public = Some(key.public_key().clone());
            file.decrypted = Some(Arc::new(key));
        }
        Ok(Some(file))
    }

    /// Reads a public key file; the ssh-agent may hold the private key.
    fn public_only(path: &Path, public: &Path) -> Option<Self> {
        let public = read_public(public)?;
        Some(Self { path: path.to_owned(), text: SecretString::default(), public: Some(public), decrypted: None })
    }

    pub(super) fn is_public_only(&self) -> bool {
        self.text.expose_secret().is_empty()
    }

    /// Decrypts the key on a blocking thread, since key derivation is slow. `None` for a wrong passphrase.
    pub(super) async fn decrypt(&self, passphrase: &SecretString) -> Option<Arc<PrivateKey>> {
        let (text, passphrase) = (self.text.clone(), passphrase.clone());
        let work = move || decode_secret_key(text.expose_secret(), Some(passphrase.expose_secret())).ok();
        tokio::task::spawn_blocking(work).await.ok().flatten().map(Arc::new)
    }
}

/// Reads the public key from the first line of a file that is not a comment.
fn read_public(path: &Path) -> Option<PublicKey> {
    let text = bounded_file::read_text(path).ok()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    PublicKey::from_openssh(line).ok()
}

/// Whether other accounts can read a file of this account. `ssh` refuses such keys.
#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let is_own = fs::metadata("/proc/self").map_or(true, |process| process.uid() == metadata.uid());
    is_own && metadata.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A connection to the ssh-agent.
pub(super) type AgentConnection = AgentClient<UnixStream>;

/// Signs a login request.
pub(super) enum IdentitySigner<'a> {
    Agent(&'a mut AgentConnection),
    Key(Arc<PrivateKey>),
    /// The key must be decrypted first.
    Locked,
}

/// The error of signing.
#[derive(Debug)]
pub(super) enum SignError {
    Locked,
    /// The SSH connection broke.
    Broken,
    Failed(String),
}

impl From<russh::SendError> for SignError {
    fn from(_: russh::SendError) -> Self {
        Self::Broken
    }
}

impl RusshSigner for IdentitySigner<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let failed = |error: &dyn std::fmt::Display| SignError::Failed(error.to_string());
        match self {
            Self::Agent(agent) => agent.sign_request(identity, hash, data).await.map_err(|error| failed(&error)),
            Self::Key(key) => {
                let signature = sign(key, hash, &data).map_err(|error| failed(&error))?;
                signature.encode_prefixed(&mut data).map_err(|error| failed(&error))?;
                Ok(data)
            }
            Self::Locked => Err(SignError::Locked),
        }
    }
}

fn sign(key: &PrivateKey, hash: Option<HashAlg>, data: &[u8]) -> Result<Signature, russh::keys::signature::Error> {
    match key.key_data() {
        KeypairData::Rsa(key) => (key, hash).try_sign(data),
        _ => key.try_sign(data),
    }
}
