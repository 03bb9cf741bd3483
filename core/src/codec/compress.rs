use bytes::Bytes;

/// Level 1 is the fastest of those that shrink row text to about a quarter; higher levels cost more than the line saves.
const LEVEL: i32 = 1;

/// Compresses a batch as one zstd frame, with its length and a checksum in the frame.
pub(crate) fn compress(data: &[u8]) -> std::io::Result<Bytes> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(data).map(Bytes::from)
}

/// Undoes [`compress`]; `length` is the number of bytes expected.
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
    fn what_was_compressed_comes_back_and_a_changed_byte_is_noticed() {
        let data = b"1\tone\n2\ttwo\n".repeat(1000);
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
