//! Reads the events inside a compressed transaction, one by one.
//! Source: `Transaction_payload_event` (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Transaction__payload__event.html>).

use std::io::{BufRead, Cursor, Read};

use super::byte_cursor::{ByteCursor, little_endian};
use super::event::HEADER_LENGTH;
use crate::memory::MemoryLease;

/// The longest event, as outside of a compressed transaction.
const MAX_EVENT_LENGTH: u64 = (1 << 30) + (1 << 24);
/// The largest window of zstd that is accepted, as a power of two: that of its highest level.
const MAX_WINDOW_LOG: u32 = 27;
const FIELD_END: u64 = 0;
const FIELD_LENGTH: u64 = 1;
const FIELD_ALGORITHM: u64 = 2;
const ALGORITHM_ZSTD: u64 = 0;
const ALGORITHM_NONE: u64 = 255;

/// The events of a compressed transaction.
pub(super) struct PayloadReader {
    events: Box<dyn BufRead + Send>,
    /// The reservation of the compressed bytes.
    _lease: MemoryLease,
}

impl PayloadReader {
    /// Opens the transaction; `None` if the event is malformed.
    pub(super) fn open(body: &[u8], lease: MemoryLease) -> Option<Self> {
        let mut rest = ByteCursor(body);
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
        if length.is_some_and(|length| length != rest.len() as u64) {
            return None;
        }
        let compressed = Cursor::new(rest.take_rest().to_vec());
        let events: Box<dyn BufRead + Send> = match algorithm {
            ALGORITHM_NONE => Box::new(compressed),
            ALGORITHM_ZSTD => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed).ok()?;
                decoder.window_log_max(MAX_WINDOW_LOG).ok()?;
                Box::new(std::io::BufReader::new(decoder))
            }
            _ => return None,
        };
        Some(Self { events, _lease: lease })
    }

    /// Reads the next event; `Ok(None)` at the end.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub(super) fn next_event(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let mut event = Vec::with_capacity(HEADER_LENGTH);
        (&mut self.events).take(HEADER_LENGTH as u64).read_to_end(&mut event).map_err(drop)?;
        if event.is_empty() {
            return Ok(None);
        }
        let length = little_endian(event.get(9..13).ok_or(())?);
        let rest = length.checked_sub(HEADER_LENGTH as u64).filter(|_| length <= MAX_EVENT_LENGTH).ok_or(())?;
        (&mut self.events).take(rest).read_to_end(&mut event).map_err(drop)?;
        if event.len() as u64 == length { Ok(Some(event)) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::kind;
    use super::super::event::tests::event_bytes;
    use super::*;
    use crate::memory::MemoryBudget;

    fn payload(events: &[u8]) -> Vec<u8> {
        let compressed = zstd::stream::encode_all(events, 3).unwrap();
        let length = u16::try_from(compressed.len()).unwrap().to_le_bytes();
        [&[2, 1, 0, 1, 3, 252], &length[..], &[0], &compressed].concat()
    }

    async fn open(body: &[u8]) -> Option<PayloadReader> {
        PayloadReader::open(body, MemoryBudget::new(1 << 20, 1).reserve(0).await)
    }

    #[tokio::test]
    async fn events_are_read_one_by_one() {
        let events = [event_bytes(kind::QUERY, b"a", 0), event_bytes(kind::XID, b"bb", 0)];
        let mut reader = open(&payload(&events.concat())).await.unwrap();
        for event in &events {
            assert_eq!(reader.next_event().unwrap().unwrap(), *event);
        }
        assert_eq!(reader.next_event(), Ok(None));
    }

    #[tokio::test]
    async fn cut_payloads_and_wrong_lengths_are_errors() {
        let event = event_bytes(kind::QUERY, &[b'x'; 100], 0);
        let mut cut = open(&payload(&event[..50])).await.unwrap();
        assert_eq!(cut.next_event(), Err(()));
        let mut huge = event.clone();
        huge[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(open(&payload(&huge)).await.unwrap().next_event(), Err(()));
        let body = payload(&event);
        for length in 0..body.len() {
            assert!(open(&body[..length]).await.is_none(), "{length} bytes");
        }
        let mut noise = body;
        noise.iter_mut().skip(12).for_each(|byte| *byte ^= 0x55);
        assert_eq!(open(&noise).await.unwrap().next_event(), Err(()));
    }
}
