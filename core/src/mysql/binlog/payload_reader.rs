//! Reads the events inside a compressed transaction, one by one, from the parts of its packet as they arrive: neither the
//! packet nor what it decompresses to is held as a whole.
//! Source: `Transaction_payload_event` (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Transaction__payload__event.html>).

use zstd::stream::raw;
use zstd::zstd_safe::DParameter;

use super::byte_cursor::{ByteCursor, little_endian};
use super::event::{CHECKSUM_LENGTH, Checksum, Event, EventError, HEADER_LENGTH};
use super::rows_event::holds_rows;

/// The longest event, as outside of a compressed transaction.
const MAX_EVENT_LENGTH: u64 = (1 << 30) + (1 << 24);
/// The largest window of zstd that is accepted, as a power of two: that of its highest level.
const MAX_WINDOW_LOG: u32 = 27;
/// How much is decompressed at a time: a block of zstd.
const STEP: usize = 128 << 10;
const FIELD_END: u64 = 0;
const FIELD_LENGTH: u64 = 1;
const FIELD_ALGORITHM: u64 = 2;
const ALGORITHM_ZSTD: u64 = 0;
const ALGORITHM_NONE: u64 = 255;

/// The events of a compressed transaction.
pub(super) struct PayloadReader {
    /// The position in the log file after the transaction, as in the header of its event.
    pub(super) log_position: u32,
    decoder: Decoder,
    /// The bytes of the event that have arrived, without its checksum.
    arrived: usize,
    /// Where the compressed bytes begin and end.
    start: usize,
    end: usize,
    /// The compressed bytes of the last part, and how many of them are decompressed.
    input: Vec<u8>,
    consumed: usize,
    /// The event that is being decompressed.
    event: Vec<u8>,
    /// A whole event. One without rows is held until the next one is there, or the checksum is known to be right, so that a
    /// transaction is never committed by bytes that were changed on the way.
    held: Option<Vec<u8>>,
    computed: crc32fast::Hasher,
    stored: Option<Vec<u8>>,
    is_over: bool,
}

enum Decoder {
    Stored,
    Zstd {
        decoder: raw::Decoder<'static>,
        /// Whether all that was put in has come out.
        is_drained: bool,
        is_frame_complete: bool,
    },
}

impl PayloadReader {
    /// Begins with the first bytes of the event, which [`feed`](Self::feed) gets again. `None` if they are malformed.
    pub(super) fn open(start: &[u8], checksum: Checksum) -> Option<Self> {
        let (event, total) = Event::parse_start(start)?;
        let mut rest = ByteCursor(event.body);
        let (mut length, mut algorithm) = (None, ALGORITHM_ZSTD);
        loop {
            let field = rest.packed_integer()?;
            if field == FIELD_END {
                break;
            }
            let size = rest.packed_length()?;
            let value = ByteCursor(rest.take(size)?).packed_integer();
            match field {
                FIELD_LENGTH => length = value,
                FIELD_ALGORITHM => algorithm = value?,
                _ => {}
            }
        }
        let decoder = match algorithm {
            ALGORITHM_NONE => Decoder::Stored,
            ALGORITHM_ZSTD => {
                let mut decoder = raw::Decoder::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).ok()?;
                Decoder::Zstd { decoder, is_drained: true, is_frame_complete: false }
            }
            _ => return None,
        };
        let (begin, has_checksum) = (start.len() - rest.len(), checksum == Checksum::Crc32);
        let end = total.checked_sub(if has_checksum { CHECKSUM_LENGTH } else { 0 })?;
        let compressed = end.checked_sub(begin)?;
        if length.is_some_and(|length| length != compressed as u64) {
            return None;
        }
        Some(Self {
            log_position: event.log_position,
            decoder,
            arrived: 0,
            start: begin,
            end,
            input: Vec::new(),
            consumed: 0,
            event: Vec::new(),
            held: None,
            computed: crc32fast::Hasher::new(),
            stored: has_checksum.then(Vec::new),
            is_over: false,
        })
    }

    /// Takes the next part of the event, once [`next_event`](Self::next_event) needs it.
    pub(super) fn feed(&mut self, part: &[u8]) -> Result<(), EventError> {
        let (content, stored) = part.split_at(part.len().min(self.end - self.arrived.min(self.end)));
        let passed = content.len().min(self.start.saturating_sub(self.arrived));
        self.arrived += content.len();
        self.computed.update(content);
        self.input.clear();
        self.consumed = 0;
        self.input.extend_from_slice(content.get(passed..).unwrap_or_default());
        match &mut self.stored {
            Some(checksum) if checksum.len() + stored.len() <= CHECKSUM_LENGTH => checksum.extend_from_slice(stored),
            _ if stored.is_empty() => {}
            _ => return Err(EventError::Malformed),
        }
        Ok(())
    }

    /// Checks that the event is whole, and that its checksum is right, after the last part.
    pub(super) fn finish(&mut self) -> Result<(), EventError> {
        let is_decompressed = match &self.decoder {
            Decoder::Stored => true,
            Decoder::Zstd { is_frame_complete, .. } => *is_frame_complete,
        };
        let is_whole = self.arrived == self.end && self.consumed == self.input.len() && self.event.is_empty();
        if !is_whole || !is_decompressed {
            return Err(EventError::Malformed);
        }
        let computed = self.computed.clone().finalize().to_le_bytes();
        match &self.stored {
            Some(stored) if stored.len() != CHECKSUM_LENGTH => return Err(EventError::Malformed),
            Some(stored) if *stored != computed => return Err(EventError::WrongChecksum),
            _ => {}
        }
        self.is_over = true;
        Ok(())
    }

    /// Whether there are no more events.
    pub(super) fn is_over(&self) -> bool {
        self.is_over && self.held.is_none()
    }

    /// Returns the next event inside; `None` if it needs another part, or [`finish`](Self::finish).
    pub(super) fn next_event(&mut self) -> Result<Option<Vec<u8>>, EventError> {
        loop {
            if self.is_over || self.held.as_ref().and_then(|event| event.get(4)).is_some_and(|kind| holds_rows(*kind)) {
                return Ok(self.held.take());
            }
            let Some(event) = self.decompress_event()? else { return Ok(None) };
            if let Some(earlier) = self.held.replace(event) {
                return Ok(Some(earlier));
            }
        }
    }

    /// Decompresses up to the end of an event, and no further.
    fn decompress_event(&mut self) -> Result<Option<Vec<u8>>, EventError> {
        loop {
            let wanted = event_length(&self.event)?;
            let filled = self.event.len();
            if filled == wanted {
                return Ok(Some(std::mem::take(&mut self.event)));
            }
            self.event.resize(filled + STEP.min(wanted - filled), 0);
            let input = self.input.get(self.consumed..).unwrap_or_default();
            let output = self.event.get_mut(filled..).unwrap_or_default();
            let (read, written) = self.decoder.decompress(input, output).ok_or(EventError::Malformed)?;
            self.event.truncate(filled + written);
            self.consumed += read;
            if (read, written) == (0, 0) {
                return Ok(None);
            }
        }
    }
}

/// The length of an event, or of its header as long as this is not whole.
fn event_length(event: &[u8]) -> Result<usize, EventError> {
    let Some(length) = event.get(9..13).filter(|_| event.len() >= HEADER_LENGTH) else { return Ok(HEADER_LENGTH) };
    let length = Some(little_endian(length)).filter(|length| *length <= MAX_EVENT_LENGTH);
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.filter(|length| *length >= HEADER_LENGTH).ok_or(EventError::Malformed)
}

impl Decoder {
    /// Decompresses into `output`, at most until it is full. Returns how many bytes were read and written; nothing of both if
    /// more input is needed.
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Option<(usize, usize)> {
        match self {
            Self::Stored => {
                let count = input.len().min(output.len());
                output.get_mut(..count)?.copy_from_slice(input.get(..count)?);
                Some((count, count))
            }
            Self::Zstd { is_drained: true, .. } if input.is_empty() => Some((0, 0)),
            Self::Zstd { decoder, is_drained, is_frame_complete } => {
                let status = raw::Operation::run_on_buffers(decoder, input, output).ok()?;
                *is_drained = status.bytes_written < output.len();
                if status.bytes_read + status.bytes_written > 0 {
                    *is_frame_complete = status.remaining == 0;
                }
                Some((status.bytes_read, status.bytes_written))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::event::kind;
    use super::super::event::tests::event_bytes;
    use super::*;

    /// A compressed transaction, with its checksum.
    fn packet(compressed: &[u8]) -> Vec<u8> {
        let length = u32::try_from(compressed.len()).unwrap().to_le_bytes();
        let fields = [&[2, 1, 0, 1, 4, 253], &length[..3], &[0]].concat();
        event_bytes(kind::TRANSACTION_PAYLOAD, &[&fields, compressed].concat(), 0)
    }

    fn compressed(events: &[Vec<u8>]) -> Vec<u8> {
        zstd::stream::encode_all(&events.concat()[..], 3).unwrap()
    }

    /// Reads the events of a packet that arrives in parts of this size, up to the first error.
    fn read(packet: &[u8], part: usize) -> (Vec<Vec<u8>>, Result<(), EventError>) {
        let mut events = Vec::new();
        let Some(mut reader) = PayloadReader::open(packet, Checksum::Crc32) else {
            return (events, Err(EventError::Malformed));
        };
        let mut parts = packet.chunks(part);
        let result = loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) if reader.is_over() => break Ok(()),
                Ok(None) => {
                    let fed = match parts.next() {
                        Some(part) => reader.feed(part),
                        None => reader.finish(),
                    };
                    if fed.is_err() {
                        break fed;
                    }
                }
                Err(error) => break Err(error),
            }
        };
        (events, result)
    }

    #[test]
    fn events_are_read_one_by_one_from_parts_of_any_size() {
        let rows = event_bytes(kind::WRITE_ROWS, &[b'r'; 300_000], 0);
        let events = [event_bytes(kind::QUERY, b"a", 0), rows, event_bytes(kind::XID, b"bb", 0)];
        let packet = packet(&compressed(&events));
        for part in [1, 3, 20, 64, packet.len()] {
            assert_eq!(read(&packet, part), (events.to_vec(), Ok(())), "parts of {part}");
        }
    }

    #[test]
    fn the_end_of_a_transaction_waits_for_the_checksum() {
        let events = [event_bytes(kind::QUERY, b"a", 0), event_bytes(kind::WRITE_ROWS, b"rows", 0)];
        let with_end = [&events[..], &[event_bytes(kind::XID, b"bb", 0)]].concat();
        let mut packet = packet(&compressed(&with_end));
        *packet.last_mut().unwrap() ^= 1;
        for part in [1, packet.len()] {
            assert_eq!(read(&packet, part), (events.to_vec(), Err(EventError::WrongChecksum)));
        }
    }

    #[test]
    fn a_huge_transaction_is_decompressed_no_further_than_to_the_next_event() {
        const COUNT: usize = 32 << 10;
        let row = event_bytes(kind::WRITE_ROWS, &[b'x'; 8 << 10], 0);
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        (0..COUNT).for_each(|_| encoder.write_all(&row).unwrap());
        let packet = packet(&encoder.finish().unwrap());
        assert!(packet.len() < COUNT * row.len() / 100, "{} bytes", packet.len());
        let mut reader = PayloadReader::open(&packet, Checksum::Crc32).unwrap();
        reader.feed(&packet).unwrap();
        for _ in 0..COUNT {
            assert_eq!(reader.next_event().unwrap().unwrap(), row);
            let ahead = reader.event.capacity() + reader.held.as_ref().map_or(0, Vec::capacity);
            assert!(ahead <= 2 * row.len(), "{ahead} bytes");
        }
        assert_eq!(reader.next_event(), Ok(None));
        reader.finish().unwrap();
        assert!(reader.is_over());
    }

    #[test]
    fn cut_payloads_and_wrong_lengths_are_errors() {
        let event = event_bytes(kind::QUERY, &[b'x'; 100], 0);
        let wrong = (Vec::new(), Err(EventError::Malformed));
        assert_eq!(read(&packet(&compressed(&[event[..50].to_vec()])), 9), wrong);
        let mut huge = event.clone();
        huge[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&packet(&compressed(&[huge])), 9), wrong);
        let compressed = compressed(&[event]);
        assert_eq!(read(&packet(&compressed[..compressed.len() - 1]), 9), wrong);
        assert_eq!(read(&packet(&[&compressed[..], b"more"].concat()), 9), wrong);
        let packet = packet(&compressed);
        for length in 0..packet.len() {
            assert_eq!(read(&packet[..length], 9), wrong, "{length} bytes");
        }
        let mut noise = packet.clone();
        noise.iter_mut().skip(HEADER_LENGTH + 12).for_each(|byte| *byte ^= 0x55);
        assert_eq!(read(&noise, 9), wrong);
        assert_eq!(read(&[&packet[..], b"x"].concat(), 9), wrong);
    }
}
