//! The user's key of an encrypted archive.

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

/// The key that the user gives. Its serialized form is not encrypted, and travels over SSH only.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "ExposedKey", into = "ExposedKey")]
pub(crate) enum ArchiveKey {
    Passphrase(SecretString),
    /// The 32 bytes of a key file.
    File(SecretSlice<u8>),
}

/// The serialized form of an [`ArchiveKey`].
#[derive(Serialize, Deserialize)]
enum ExposedKey {
    Passphrase(String),
    File(Vec<u8>),
}

impl From<ArchiveKey> for ExposedKey {
    fn from(key: ArchiveKey) -> Self {
        match key {
            ArchiveKey::Passphrase(passphrase) => Self::Passphrase(passphrase.expose_secret().to_owned()),
            ArchiveKey::File(bytes) => Self::File(bytes.expose_secret().to_vec()),
        }
    }
}

impl From<ExposedKey> for ArchiveKey {
    fn from(key: ExposedKey) -> Self {
        match key {
            ExposedKey::Passphrase(passphrase) => Self::Passphrase(passphrase.into()),
            ExposedKey::File(bytes) => Self::File(bytes.into()),
        }
    }
}
