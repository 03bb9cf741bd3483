use std::io::Write as _;

use bytes::Bytes;

/// Level 1 shrinks row text to about a quarter. Higher levels cost more time than the smaller transfer saves.
const ZSTD_LEVEL: i32 = 1;

/// Compresses a batch into one zstd frame that contains the length and a checksum.
pub(crate) fn compress(data: &[u8]) -> std::io::Result<Bytes> {
    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(data).map(Bytes::from)
}

/// Compresses several parts into one such frame.
pub(crate) fn compress_parts(parts: &[&[u8]]) -> std::io::Result<Bytes> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(length as u64))?;
    parts.iter().try_for_each(|part| encoder.write_all(part))?;
    encoder.finish().map(Bytes::from)
}

/// Decompresses a frame of [`compress`] or [`compress_parts`].
///
/// # Errors
/// `InvalidData` if the frame is damaged or does not hold exactly `length` bytes.
pub(crate) fn decompress(frame: &[u8], length: usize) -> std::io::Result<Bytes> {
    let data = zstd::bulk::decompress(frame, length)?;
    if data.len() == length {
        return Ok(Bytes::from(data));
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        format!("{} bytes where {length} were expected", data.len()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_survives_compression_and_damage_is_detected() {
        let data = b"1\tone\n2\ttwo\n".repeat(1000);
        let parts = compress_parts(&[&data[..7], b"", &data[7..]]).unwrap();
        assert_eq!(decompress(&parts, data.len()).unwrap(), data);
        let frame = compress(&data).unwrap();
        assert_eq!(decompress(&frame, data.len()).unwrap(), data);
        assert!(decompress(&frame, data.len() + 1).is_err());
        for at in [10, frame.len() / 2, frame.len() - 1] {
            let mut broken = frame.to_vec();
            broken[at] ^= 1;
            assert!(decompress(&broken, data.len()).is_err(), "byte {at}");
        }
    }
}
