//! Gets the key of encrypted archives: from a key file, or a passphrase from the caller, the environment or the user.

use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use super::server::secret_from_environment;
use crate::bounded_file;
use crate::error::{Error, Result};
use crate::options::{CloneOptions, Encryption};
use crate::ssh::PromptCallback;
use crate::store::ArchiveKey;

/// The environment variable of the passphrase.
const VARIABLE: &str = "DBGRAFT_ARCHIVE_PASSPHRASE";
/// The maximum size of a key file.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;
const KEY_BYTES: usize = 32;

/// Gets the key that the options name; `None` if archives are not encrypted. Asks for a passphrase twice if an archive of
/// it is kept: a typing error would lose the archive.
///
/// # Errors
/// `Usage` for a key file that cannot be read or has another form, without a passphrase, and for one without a use.
pub(super) async fn archive_key(
    options: &CloneOptions,
    passphrase: Option<SecretString>,
    ask: Option<PromptCallback>,
    is_kept: bool,
) -> Result<Option<Arc<ArchiveKey>>> {
    let key = match &options.encrypt {
        Some(Encryption::Passphrase) => read_passphrase(passphrase, ask, is_kept).await.map(ArchiveKey::Passphrase)?,
        _ if passphrase.is_some() => {
            return Err(Error::usage("the passphrase of an archive has no effect without --encrypt passphrase"));
        }
        Some(Encryption::KeyFile(path)) => read_key_file(path).map(ArchiveKey::File)?,
        None => return Ok(None),
    };
    Ok(Some(Arc::new(key)))
}

/// Gets the passphrase of the caller, of the environment or of the user.
async fn read_passphrase(
    given: Option<SecretString>,
    ask: Option<PromptCallback>,
    is_kept: bool,
) -> Result<SecretString> {
    let given = given.map_or_else(|| secret_from_environment(VARIABLE), |given| Ok(Some(given)))?;
    let passphrase = match given {
        Some(given) => given,
        None => ask_twice(ask, is_kept).await?,
    };
    if passphrase.expose_secret().is_empty() {
        return Err(Error::usage("--encrypt passphrase: the passphrase is empty"));
    }
    Ok(passphrase)
}

/// Asks the user for a passphrase, twice with `repeated`.
async fn ask_twice(ask: Option<PromptCallback>, repeated: bool) -> Result<SecretString> {
    let missing = || Error::usage(format!("--encrypt passphrase: there is no passphrase: set {VARIABLE}"));
    let ask = ask.ok_or_else(missing)?;
    let work = move || {
        let passphrase = ask("Passphrase of the archive: ").ok_or_else(missing)?;
        if repeated {
            let again = ask("The same passphrase again: ").ok_or_else(missing)?;
            if again.expose_secret() != passphrase.expose_secret() {
                return Err(Error::usage("--encrypt passphrase: the two passphrases differ"));
            }
        }
        Ok(passphrase)
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| missing().caused_by(error))?
}

/// Reads a key file: 32 bytes, or a line of 64 hexadecimal digits among comments that begin with `#`.
fn read_key_file(path: &Path) -> Result<SecretSlice<u8>> {
    let wrong = |why: &str| Error::usage(format!("--encrypt key-file={}: {why}", path.display()));
    let content = bounded_file::read_within(path, MAX_KEY_FILE_BYTES);
    let content = SecretSlice::from(content.map_err(|error| wrong("it cannot be read").caused_by(error))?);
    if content.expose_secret().len() == KEY_BYTES {
        return Ok(content);
    }
    let text = std::str::from_utf8(content.expose_secret()).unwrap_or_default();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = lines.next().filter(|_| lines.next().is_none()).and_then(decode_hexadecimal);
    key.filter(|key| key.expose_secret().len() == KEY_BYTES).ok_or_else(|| {
        wrong("it holds neither 32 bytes nor 64 hexadecimal digits: openssl rand -hex 32 prints such a key")
    })
}

/// Decodes hexadecimal digits.
fn decode_hexadecimal(text: &str) -> Option<SecretSlice<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>().map(SecretSlice::from)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::ErrorKind;
    use crate::store::temporary_name;

    fn read(content: &[u8]) -> Result<Vec<u8>> {
        let path = std::env::temp_dir().join(temporary_name("key"));
        std::fs::write(&path, content).unwrap();
        let key = read_key_file(&path);
        std::fs::remove_file(&path).unwrap();
        key.map(|key| key.expose_secret().to_vec())
    }

    #[test]
    fn a_key_file_holds_bytes_or_digits() {
        let bytes: Vec<u8> = (100..132).collect();
        let digits = hex::encode(&bytes);
        assert_eq!(read(&bytes).unwrap(), bytes);
        assert_eq!(read(digits.as_bytes()).unwrap(), bytes);
        assert_eq!(read(format!("# shop\n\n{}\r\n", digits.to_uppercase()).as_bytes()).unwrap(), bytes);
        let wrong =
            [&bytes[..31], b"", b"secret\n", &digits.as_bytes()[..62], format!("{digits}\n{digits}").as_bytes()]
                .map(|content| read(content).unwrap_err());
        for error in wrong {
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("neither 32 bytes nor 64 hexadecimal digits"), "{error}");
        }
        let missing = read_key_file(Path::new("/nowhere/key")).unwrap_err().to_string();
        assert!(missing.starts_with("--encrypt key-file=/nowhere/key: it cannot be read: "), "{missing}");
        assert!(read_key_file(Path::new("/dev/zero")).is_err());
    }

    /// Asks with these answers, and returns the passphrase and the number of questions.
    async fn asked(answers: &[&'static str], is_kept: bool) -> (Result<String>, usize) {
        let left = Arc::new(Mutex::new(answers.to_vec()));
        let given = left.clone();
        let ask: PromptCallback = Arc::new(move |_: &str| {
            let mut left = given.lock().unwrap();
            (!left.is_empty()).then(|| left.remove(0).into())
        });
        let passphrase = read_passphrase(None, Some(ask), is_kept).await;
        let passphrase = passphrase.map(|passphrase| passphrase.expose_secret().to_owned());
        let left = left.lock().unwrap().len();
        (passphrase, answers.len() - left)
    }

    #[tokio::test]
    async fn the_passphrase_of_a_kept_archive_is_asked_for_twice() {
        assert!(std::env::var_os(VARIABLE).is_none(), "this test needs an environment without {VARIABLE}");
        let (once, twice) = (asked(&["a", "b"], false).await, asked(&["a", "a"], true).await);
        assert_eq!((once.0.unwrap(), once.1), ("a".to_owned(), 1));
        assert_eq!((twice.0.unwrap(), twice.1), ("a".to_owned(), 2));
        let error = asked(&["a", "b"], true).await.0.unwrap_err();
        assert_eq!(error.to_string(), "--encrypt passphrase: the two passphrases differ");
        for (answers, why) in [(&[""][..], "is empty"), (&[], "set DBGRAFT_ARCHIVE_PASSPHRASE")] {
            let error = asked(answers, false).await.0.unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && error.to_string().contains(why), "{error}");
        }
    }
}
