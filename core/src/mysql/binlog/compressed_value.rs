//! Decompresses what MariaDB compresses by zlib: the values of COMPRESSED columns, and the bodies of compressed events.
//! Sources: `compress_zlib` in `field.cc` and `binlog_buf_compress` in `log_event.cc` of MariaDB.

use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::byte_cursor::{ByteCursor, big_endian};

/// The longest value of a column, and the longest event.
const MAX_LENGTH: u64 = 1 << 30;
/// The method in the first byte of a value that is not compressed, and of one that is.
const METHOD_NONE: u8 = 0;
const METHOD_ZLIB: u8 = 8;
/// The value has no header of zlib.
const RAW_DEFLATE: u8 = 8;

/// The value of a COMPRESSED column.
pub(super) fn decompress_value(raw: &[u8]) -> Option<Vec<u8>> {
    let mut rest = ByteCursor(raw);
    let Some(first) = rest.byte() else { return Some(Vec::new()) };
    match first >> 4 {
        METHOD_NONE => Some(rest.0.to_vec()),
        METHOD_ZLIB => {
            let length = big_endian(rest.take(usize::from(first & 7))?);
            match first & RAW_DEFLATE {
                0 => read_exactly(ZlibDecoder::new(rest.0), length),
                _ => read_exactly(DeflateDecoder::new(rest.0), length),
            }
        }
        _ => None,
    }
}

/// The decompressed part of an event.
pub(super) fn decompress_event(raw: &[u8]) -> Option<Vec<u8>> {
    let (length, compressed) = event_length(raw)?;
    read_exactly(ZlibDecoder::new(compressed), length)
}

/// The length of the decompressed part of an event, and its compressed bytes.
pub(super) fn event_length(raw: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = ByteCursor(raw);
    let first = rest.byte()?;
    // The only algorithm is zlib, with the number 0.
    if first & 0x80 == 0 || first & 0x70 != 0 {
        return None;
    }
    let length = big_endian(rest.take(usize::from(first & 7))?);
    (length <= MAX_LENGTH).then_some((length, rest.0))
}

/// Reads all bytes; `None` if there are not exactly `length`.
fn read_exactly(compressed: impl Read, length: u64) -> Option<Vec<u8>> {
    if length > MAX_LENGTH {
        return None;
    }
    let mut bytes = Vec::new();
    compressed.take(length + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn values_and_events_are_bounded_by_their_stated_length() {
        let compressed = zlib(&[b'x'; 1000]);
        let stated = |first: u8, length: u16| [&[first], &length.to_be_bytes()[..], &compressed].concat();
        assert_eq!(decompress_value(&stated(0x82, 1000)).unwrap(), [b'x'; 1000]);
        assert_eq!(decompress_event(&stated(0x82, 1000)).unwrap(), [b'x'; 1000]);
        for wrong in [999, 1001] {
            assert_eq!(decompress_value(&stated(0x82, wrong)), None);
            assert_eq!(decompress_event(&stated(0x82, wrong)), None);
        }
        assert_eq!(decompress_event(&[&[0x87], &[0xFF; 7][..], &compressed].concat()), None);
        assert_eq!(decompress_value(&[0, 1, 2]).unwrap(), [1, 2]);
        assert_eq!(decompress_value(&[]).unwrap(), [0; 0]);
    }
}
