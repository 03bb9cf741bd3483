//! Reads the bytes of an event. Every read checks the length, as a server may send anything.

/// The rest of a slice that is read from its front.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ByteCursor<'a>(pub(super) &'a [u8]);

impl<'a> ByteCursor<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Takes an unsigned little-endian integer of up to eight bytes.
    pub(super) fn little_endian(&mut self, bytes: usize) -> Option<u64> {
        Some(little_endian(self.take(bytes)?))
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        u16::try_from(self.little_endian(2)?).ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.little_endian(4)?).ok()
    }

    /// Takes a little-endian integer of up to eight bytes that is a length or a number.
    pub(super) fn length(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.little_endian(bytes)?).ok()
    }

    /// Takes a length-encoded integer.
    pub(super) fn packed_integer(&mut self) -> Option<u64> {
        match self.byte()? {
            first @ 0..=250 => Some(u64::from(first)),
            252 => self.little_endian(2),
            253 => self.little_endian(3),
            254 => self.little_endian(8),
            _ => None,
        }
    }

    /// Takes a length-encoded integer that is a length or a number.
    pub(super) fn packed_length(&mut self) -> Option<usize> {
        usize::try_from(self.packed_integer()?).ok()
    }

    /// Takes an array of bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}

/// The value of up to eight little-endian bytes.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The value of up to eight big-endian bytes.
pub(super) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Whether the bit is set in a bitmap whose first byte holds the first eight bits.
pub(super) fn has_bit(bitmap: &[u8], bit: usize) -> bool {
    bitmap.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_beyond_the_end_take_nothing() {
        let mut cursor = ByteCursor(&[1, 2, 3]);
        assert_eq!(cursor.take(4), None);
        assert_eq!(cursor.little_endian(2), Some(0x0201));
        assert_eq!(cursor.u16(), None);
        assert_eq!(cursor.byte(), Some(3));
        assert_eq!((cursor.byte(), cursor.is_empty()), (None, true));
    }

    #[test]
    fn packed_integers_of_every_width_are_read() {
        let packed = |bytes: &[u8]| ByteCursor(bytes).packed_integer();
        assert_eq!(packed(&[250]), Some(250));
        assert_eq!(packed(&[252, 1, 2]), Some(0x0201));
        assert_eq!(packed(&[253, 1, 2, 3]), Some(0x03_0201));
        assert_eq!(packed(&[254, 1, 0, 0, 0, 0, 0, 0, 0x80]), Some(1 << 63 | 1));
        assert_eq!((packed(&[251]), packed(&[253, 1])), (None, None));
    }
}
