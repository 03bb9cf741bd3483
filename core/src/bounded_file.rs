//! Reads small files whole, and never more than their kind may hold: a path may name a device without an end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// No key, certificate, option file or list of hosts is longer.
const LONGEST: u64 = 16 << 20;

/// The bytes of the file.
///
/// # Errors
/// Those of reading, and `FileTooLarge`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, LONGEST)
}

/// The same for a file of at most so many bytes.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_within(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let message = format!("the file is longer than {} MiB", longest >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The file's text, which must be UTF-8.
///
/// # Errors
/// Those of [`read`], and `InvalidData`.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_an_error() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
        assert!(read_text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap().contains("[package]"));
    }
}
