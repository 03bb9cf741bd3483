//! The header of an encrypted archive: what a reader needs to derive the archive's keys from the user's key.

use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use serde::{Deserialize, Serialize};

use super::cipher::ObjectCipher;
use super::key::ArchiveKey;
use crate::error::{Error, ErrorKind, Result};

/// The key of the header, the only object that is not encrypted.
pub(crate) const HEADER: &str = "encryption.json";
/// The maximum size of a header.
pub(super) const MAX_HEADER_BYTES: u64 = 64 << 10;
/// The format that this version writes and reads: AES-256-GCM, HKDF-SHA256, Argon2id.
const FORMAT: u32 = 1;

/// The header as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    parameters: Parameters,
    /// HMAC-SHA256 over the parameters, by a key that is derived with them. A wrong key and an edited header have another.
    mac: [u8; 32],
}

/// What the keys depend on, beside the user's key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The random ID of the archive.
    archive: [u8; 32],
    key: KeyDerivation,
}

/// How the user's key becomes 32 bytes.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum KeyDerivation {
    /// By Argon2id, with the ID of the archive as the salt.
    Passphrase { memory_kib: u32, passes: u32, lanes: u32 },
    /// The key file holds them.
    KeyFile,
}

/// The costs for a new archive: the second choice of RFC 9106, for hosts without 2 GiB to spare.
const PASSPHRASE: KeyDerivation = KeyDerivation::Passphrase { memory_kib: 64 << 10, passes: 3, lanes: 4 };
/// The maximum costs that a reader pays: an edited header may ask for any.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 64;

/// Creates the header of a new archive.
pub(super) fn create(key: &ArchiveKey) -> Result<(Bytes, ObjectCipher)> {
    let derivation = match key {
        ArchiveKey::Passphrase(_) => PASSPHRASE,
        ArchiveKey::File(_) => KeyDerivation::KeyFile,
    };
    let mut archive = [0; 32];
    SystemRandom::new().fill(&mut archive).map_err(|_| internal("there are no random numbers"))?;
    let parameters = Parameters { archive, key: derivation };
    let (mac_key, cipher) = parameters.derive_keys(key)?;
    let tag = hmac::sign(&mac_key, &parameters.to_bytes()?);
    let mac = tag.as_ref().try_into().map_err(|_| internal("a MAC has another length"))?;
    let header = serde_json::to_vec(&Header { format: FORMAT, parameters, mac });
    Ok((header.map_err(|error| internal("the header cannot be written").caused_by(error))?.into(), cipher))
}

/// Opens the header of the archive at `archive_url`.
///
/// # Errors
/// `Authentication` for another key than that of the archive and for an edited header, `Usage` for a passphrase in the
/// place of a key file and the other way round, `Data` for a damaged header, `Unsupported` for one of another version.
pub(super) fn open(header: &[u8], key: &ArchiveKey, archive_url: &str) -> Result<ObjectCipher> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let damaged = |why: &str| Error::new(ErrorKind::Data, format!("{archive_url}/{HEADER} is damaged: {why}"));
    let malformed = |error| damaged("it is no header of an encrypted archive").caused_by(error);
    let Head { format } = serde_json::from_slice(header).map_err(malformed)?;
    if format != FORMAT {
        let message = format!(
            "{archive_url}/{HEADER} has format {format}, and this dbgraft reads {FORMAT}: read the archive with the \
             version that wrote it"
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let Header { parameters, mac, .. } = serde_json::from_slice(header).map_err(malformed)?;
    let (given, remedy) = match (parameters.key, key) {
        (KeyDerivation::KeyFile, ArchiveKey::Passphrase(_)) => {
            let message =
                format!("the archive at {archive_url} is encrypted by a key file: say --encrypt key-file=FILE");
            return Err(Error::usage(message));
        }
        (KeyDerivation::Passphrase { .. }, ArchiveKey::File(_)) => {
            let message =
                format!("the archive at {archive_url} is encrypted by a passphrase: say --encrypt passphrase");
            return Err(Error::usage(message));
        }
        (KeyDerivation::Passphrase { memory_kib, passes, lanes }, _) => {
            if memory_kib > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > MAX_LANES {
                return Err(damaged("its passphrase would cost more memory or time than any dbgraft asks for"));
            }
            ("passphrase", "give the passphrase of the export")
        }
        (KeyDerivation::KeyFile, _) => ("key file", "name the key file of the export"),
    };
    let (mac_key, cipher) = parameters.derive_keys(key)?;
    hmac::verify(&mac_key, &parameters.to_bytes()?, &mac).map_err(|_| {
        let message = format!(
            "the {given} is not that of the archive at {archive_url}, or its {HEADER} was changed: {remedy}, or \
             restore {HEADER}"
        );
        Error::new(ErrorKind::Authentication, message)
    })?;
    Ok(cipher)
}

impl Parameters {
    /// The bytes that the MAC is over.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| internal("the header cannot be written").caused_by(error))
    }

    /// Derives the key of the MAC and that of the objects. Takes long for a passphrase.
    fn derive_keys(&self, key: &ArchiveKey) -> Result<(hmac::Key, ObjectCipher)> {
        let failed = |_| internal("a key cannot be derived");
        let prk = self.extract(key)?;
        let mac_key = prk.expand(&[b"dbgraft archive header"], HMAC_SHA256).map_err(failed)?.into();
        Ok((mac_key, ObjectCipher::derive(&prk).map_err(failed)?))
    }

    fn extract(&self, key: &ArchiveKey) -> Result<Prk> {
        let salt = Salt::new(HKDF_SHA256, &self.archive);
        match (self.key, key) {
            (KeyDerivation::Passphrase { memory_kib, passes, lanes }, ArchiveKey::Passphrase(passphrase)) => {
                let failed = |error: argon2::Error| internal(&format!("Argon2id refuses the header's costs: {error}"));
                let costs = Params::new(memory_kib, passes, lanes, Some(32)).map_err(failed)?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs);
                let mut derived = SecretBox::<[u8; 32]>::default();
                let passphrase = passphrase.expose_secret().as_bytes();
                argon2.hash_password_into(passphrase, &self.archive, derived.expose_secret_mut()).map_err(failed)?;
                Ok(salt.extract(derived.expose_secret()))
            }
            (KeyDerivation::KeyFile, ArchiveKey::File(bytes)) => Ok(salt.extract(bytes.expose_secret())),
            _ => Err(internal("the key is of another kind than the header's")),
        }
    }
}

fn internal(why: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("cannot encrypt an archive: {why}"))
}
