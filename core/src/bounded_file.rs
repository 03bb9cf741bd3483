//! Reads whole small files up to a size limit, since a path may name an endless device such as `/dev/zero`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The size limit in bytes of keys, certificates, option files and `known_hosts` files.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a file of at most 16 MiB.
///
/// # Errors
/// I/O errors, and `FileTooLarge`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, MAX_BYTES)
}

/// Reads a file of at most `max_bytes` bytes.
///
/// # Errors
/// I/O errors, and `FileTooLarge`.
pub(crate) fn read_within(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let message = format!("the file is longer than {} MiB", max_bytes >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Reads a UTF-8 text file of at most 16 MiB.
///
/// # Errors
/// I/O errors, `FileTooLarge`, and `InvalidData` for text that is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_an_error() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
        assert!(read_text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap().contains("[package]"));
    }
}
