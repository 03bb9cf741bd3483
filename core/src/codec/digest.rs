use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

/// The digest of a multiset of rows: the number of rows, and the sum of their 128-bit XXH3 hashes.
///
/// It is independent of the order of the rows and counts duplicates. The digest of a table is the sum of the digests of
/// its chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// The number of rows.
    pub rows: u64,
    sum: u128,
}

/// Hashes the text of one row, or a part of it.
pub(crate) fn hash_row(text: &[u8]) -> u128 {
    xxh3_128(text)
}

impl Digest {
    /// A digest that holds only the number of rows, for comparisons by counts.
    pub(crate) fn from_count(rows: u64) -> Self {
        Self { rows, sum: 0 }
    }

    /// Computes the digest of row text; each row ends with a newline.
    pub fn from_text(text: &[u8]) -> Self {
        let mut digest = Self::default();
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (row, tail) = rest.split_at(end);
            digest.add_row(row);
            rest = tail.get(1..).unwrap_or_default();
        }
        digest
    }

    /// Adds one row, given as its text without the newline.
    pub fn add_row(&mut self, row: &[u8]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash_row(row));
    }

    /// Replaces a row by another one.
    pub(crate) fn replace_row(&mut self, old: &[u8], new: &[u8]) {
        self.sum = self.sum.wrapping_sub(hash_row(old)).wrapping_add(hash_row(new));
    }

    /// Adds the rows of another digest.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// Serializes as `rows:hash`, with the hash in hexadecimal, since JSON numbers are exact only up to 2^53.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{:032x}", self.rows, self.sum))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = || {
            let (rows, sum) = text.split_once(':')?;
            Some(Self { rows: rows.parse().ok()?, sum: u128::from_str_radix(sum, 16).ok()? })
        };
        parse().ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a digest")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[&str]) -> Digest {
        let mut digest = Digest::default();
        rows.iter().for_each(|row| digest.add_row(row.as_bytes()));
        digest
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_number_does() {
        assert_eq!(digest(&["a", "b"]), digest(&["b", "a"]));
        assert_ne!(digest(&["a", "a"]), digest(&["a"]));
        assert_ne!(digest(&["a", "a"]), digest(&["b", "b"]));
    }

    #[test]
    fn text_has_the_digest_of_its_rows() {
        assert_eq!(Digest::from_text(b""), Digest::default());
        assert_eq!(Digest::from_text(b"a\n\nb\\n\n"), digest(&["a", "", "b\\n"]));
    }

    #[test]
    fn a_digest_survives_json() {
        let before = digest(&["a", "b"]);
        let after: Digest = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        assert_eq!(before, after);
        assert!(serde_json::from_str::<Digest>("\"12\"").is_err());
    }
}
