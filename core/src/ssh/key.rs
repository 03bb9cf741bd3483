use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::Signer as Sign;
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

/// A file with a private key, which may be locked by a passphrase.
#[derive(Clone)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    text: SecretString,
    /// What is offered to the host before anybody is asked for the passphrase. Some old formats need a file beside.
    pub(super) public: Option<PublicKey>,
    pub(super) open: Option<Arc<PrivateKey>>,
}

impl KeyFile {
    /// Reads a file. `None` if there is none.
    ///
    /// # Errors
    /// In words: what is wrong with the file.
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
        let sealed = PrivateKey::from_openssh(text.expose_secret()).ok();
        let mut file = Self { path: path.to_owned(), text, public: None, open: None };
        if sealed.as_ref().is_some_and(PrivateKey::is_encrypted) || file.text.expose_secret().contains("ENCRYPTED") {
            let beside = || read_public(&with_suffix(path, ".pub"));
            file.public = sealed.map(|key| key.public_key().clone()).or_else(beside);
        } else {
            let key = decode_secret_key(file.text.expose_secret(), None);
            let key = key.map_err(|error| format!("is not a private key that can be used: {error}"))?;
            file.public = Some(key.public_key().clone());
            file.open = Some(Arc::new(key));
        }
        Ok(Some(file))
    }

    /// A public key, whose private half an agent may have.
    fn public_only(path: &Path, public: &Path) -> Option<Self> {
        let public = read_public(public)?;
        Some(Self { path: path.to_owned(), text: SecretString::default(), public: Some(public), open: None })
    }

    pub(super) fn is_public_only(&self) -> bool {
        self.text.expose_secret().is_empty()
    }

    /// Unlocks the key, which takes a while on purpose. `None` if this is not its passphrase.
    pub(super) async fn unlock(&self, passphrase: &SecretString) -> Option<Arc<PrivateKey>> {
        let (text, passphrase) = (self.text.clone(), passphrase.clone());
        let work = move || decode_secret_key(text.expose_secret(), Some(passphrase.expose_secret())).ok();
        tokio::task::spawn_blocking(work).await.ok().flatten().map(Arc::new)
    }
}

/// The public key in a file; its first line that is no comment holds it.
fn read_public(path: &Path) -> Option<PublicKey> {
    let text = bounded_file::read_text(path).ok()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    PublicKey::from_openssh(line).ok()
}

/// `ssh` refuses a key of one's own that others can read.
#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let mine = fs::metadata("/proc/self").map_or(true, |process| process.uid() == metadata.uid());
    mine && metadata.mode() & 0o077 != 0
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

pub(super) type Agent = AgentClient<UnixStream>;

/// Proves that a key is ours.
pub(super) enum Signer<'a> {
    Agent(&'a mut Agent),
    Key(Arc<PrivateKey>),
    /// The key needs its passphrase first.
    Locked,
}

/// Why nothing was signed.
#[derive(Debug)]
pub(super) enum NotSigned {
    Locked,
    /// The connection broke.
    Broken,
    Failed(String),
}

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self::Broken
    }
}

impl Sign for Signer<'_> {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        let failed = |error: &dyn std::fmt::Display| NotSigned::Failed(error.to_string());
        match self {
            Self::Agent(agent) => agent.sign_request(identity, hash, data).await.map_err(|error| failed(&error)),
            Self::Key(key) => {
                let signature = sign(key, hash, &data).map_err(|error| failed(&error))?;
                signature.encode_prefixed(&mut data).map_err(|error| failed(&error))?;
                Ok(data)
            }
            Self::Locked => Err(NotSigned::Locked),
        }
    }
}

fn sign(key: &PrivateKey, hash: Option<HashAlg>, data: &[u8]) -> Result<Signature, russh::keys::signature::Error> {
    match key.key_data() {
        KeypairData::Rsa(key) => (key, hash).try_sign(data),
        _ => key.try_sign(data),
    }
}
