//! Random passwords and names from the kernel.

use std::fs::File;
use std::io::Read;

use crate::error::{Context, Result};

/// `length` random letters and digits: safe in a URL, in SQL and in a file name.
pub(crate) fn token(length: usize) -> Result<String> {
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.into_iter().map(letter).collect())
}

/// One of 32 equally likely characters; without i, l, o and u, which are easily confused.
fn letter(byte: u8) -> char {
    const CHARACTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    CHARACTERS.get(usize::from(byte % 32)).map_or('0', |character| char::from(*character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_plain_and_different() {
        let (one, other) = (token(20).unwrap(), token(20).unwrap());
        assert_eq!(one.len(), 20);
        assert!(one.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(one, other);
    }
}
