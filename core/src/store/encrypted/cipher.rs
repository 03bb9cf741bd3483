//! Encrypts and decrypts the objects of one archive. No I/O.
//!
//! An object is the magic number, a random salt, the encrypted bytes, and the tag of AES-256-GCM. HKDF-SHA256 derives
//! the key of the object from the archive's key and the salt. No other object has this key, so the nonce is zero. The
//! associated data is the magic number and the object's name.

use bytes::{Buf as _, Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretBox};

/// The first bytes of every encrypted object; the last of them is the version of the format.
const MAGIC: &[u8; 8] = b"dbgraft\x01";
const SALT_BYTES: usize = 32;
/// The bytes before the encrypted ones.
const PREFIX_BYTES: usize = MAGIC.len() + SALT_BYTES;
/// How many bytes longer an object is than its content.
pub(super) const OVERHEAD_BYTES: usize = PREFIX_BYTES + MAX_TAG_LEN;

/// Whether these are the bytes of an encrypted object.
pub(crate) fn is_encrypted(object: &[u8]) -> bool {
    object.starts_with(MAGIC)
}

/// Encrypts and decrypts the objects of one archive.
#[derive(Debug)]
pub(super) struct ObjectCipher {
    key: SecretBox<[u8; 32]>,
}

impl ObjectCipher {
    /// Derives the key of the archive's objects.
    pub(super) fn derive(prk: &Prk) -> Result<Self, Unspecified> {
        let mut key = SecretBox::default();
        fill(prk, b"dbgraft archive objects", &mut key)?;
        Ok(Self { key })
    }

    /// Encrypts the content of the object of this name.
    pub(super) fn encrypt(&self, name: &str, content: &[u8]) -> Result<Bytes, Unspecified> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt)?;
        let mut object = BytesMut::with_capacity(content.len() + OVERHEAD_BYTES);
        object.extend_from_slice(MAGIC);
        object.extend_from_slice(&salt);
        object.extend_from_slice(content);
        let plain = object.get_mut(PREFIX_BYTES..).ok_or(Unspecified)?;
        let tag = self.object_key(&salt)?.seal_in_place_separate_tag(zero_nonce(), associated_data(name), plain)?;
        object.extend_from_slice(tag.as_ref());
        Ok(object.freeze())
    }

    /// Decrypts the object of this name.
    ///
    /// # Errors
    /// When [`encrypt`](Self::encrypt) of this archive has not returned these bytes for this name.
    pub(super) fn decrypt(&self, name: &str, object: Bytes) -> Result<Bytes, Unspecified> {
        if !is_encrypted(&object) {
            return Err(Unspecified);
        }
        let key = self.object_key(object.get(MAGIC.len()..PREFIX_BYTES).ok_or(Unspecified)?)?;
        let mut object = BytesMut::from(object);
        let encrypted = object.get_mut(PREFIX_BYTES..).ok_or(Unspecified)?;
        let length = key.open_in_place(zero_nonce(), associated_data(name), encrypted)?.len();
        object.advance(PREFIX_BYTES);
        object.truncate(length);
        Ok(object.freeze())
    }

    /// Derives the key of the object with this salt.
    fn object_key(&self, salt: &[u8]) -> Result<LessSafeKey, Unspecified> {
        let prk = Salt::new(HKDF_SHA256, salt).extract(self.key.expose_secret());
        let info = [b"dbgraft object".as_slice()];
        Ok(LessSafeKey::new(UnboundKey::from(prk.expand(&info, &AES_256_GCM)?)))
    }
}

/// Fills a key with bytes that are derived for a purpose.
fn fill(prk: &Prk, purpose: &[u8], key: &mut SecretBox<[u8; 32]>) -> Result<(), Unspecified> {
    use secrecy::ExposeSecretMut as _;
    prk.expand(&[purpose], HKDF_SHA256)?.fill(key.expose_secret_mut())
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn associated_data(name: &str) -> Aad<Vec<u8>> {
    Aad::from([MAGIC.as_slice(), name.as_bytes()].concat())
}
