//! Packets of the MySQL protocol over any stream of bytes.
//! Source: MySQL Internals, "MySQL Packets" (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>).

use std::ops::Range;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stall_detector::{StallDetector, TransferDirection};
use crate::catalog::Printable;
use crate::dial::Duplex;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryLease;

const HEADER_LENGTH: usize = 4;
/// The longest payload of a packet. The next packet continues a payload of this length.
const MAX_PAYLOAD_LENGTH: usize = 0xFF_FFFF;
/// The buffer for long results. Large reads make millions of small rows cheap.
const BULK_BUFFER_LENGTH: usize = 1 << 20;
/// The longest row that is accepted: the largest `max_allowed_packet`, and some more.
const MAX_ROW_LENGTH: usize = (1 << 30) + MAX_PAYLOAD_LENGTH;
/// The longest packet that is accepted before the end of the login.
const MAX_LOGIN_PACKET_LENGTH: usize = 1 << 20;

#[derive(Debug, Clone, Copy)]
struct PartialPacket {
    left: usize,
    /// Whether no further packet continues it.
    is_last: bool,
}

/// Reads and writes packets over a byte stream.
pub(crate) struct PacketStream {
    io: Box<dyn Duplex>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// A packet that is larger than the buffer.
    large: Vec<u8>,
    /// What is left of a packet that is read in parts.
    partial: Option<PartialPacket>,
    sequence: u8,
    /// The longest packet that is accepted without a memory lease.
    pub(super) max_length: usize,
    pub(super) stall_detector: StallDetector,
}

impl PacketStream {
    pub(crate) fn new(io: Box<dyn Duplex>, stall_timeout: Duration) -> Self {
        Self {
            io,
            buffer: vec![0; 16 << 10],
            start: 0,
            end: 0,
            large: Vec::new(),
            partial: None,
            sequence: 0,
            max_length: MAX_LOGIN_PACKET_LENGTH,
            stall_detector: StallDetector::new(stall_timeout),
        }
    }

    /// Returns the byte stream, for TLS. The buffer must be empty.
    pub(crate) fn into_inner(self) -> Box<dyn Duplex> {
        self.io
    }

    /// The sequence number of the next packet. It continues from the stream without TLS to the one with TLS.
    pub(crate) fn sequence(&self) -> u8 {
        self.sequence
    }

    pub(crate) fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// Enlarges the buffer for a long result.
    pub(crate) fn enlarge_buffer(&mut self) {
        if self.buffer.len() < BULK_BUFFER_LENGTH {
            // The allocator has zeroed memory; `resize` would write all of it.
            let mut larger = vec![0; BULK_BUFFER_LENGTH];
            larger.split_at_mut(self.buffer.len()).0.copy_from_slice(&self.buffer);
            self.buffer = larger;
        }
    }

    /// From now on, the server sends something at all times.
    pub(crate) fn expect_heartbeats(&mut self) {
        self.stall_detector.expect_heartbeats();
    }

    /// Sends a command. Its packets are numbered from 0.
    pub(crate) async fn send_command(&mut self, command: u8, payload: &[u8]) -> Result<()> {
        self.sequence = 0;
        self.stall_detector.restart();
        let mut packet = Vec::with_capacity(payload.len() + 1);
        packet.push(command);
        packet.extend_from_slice(payload);
        self.send(&packet).await?;
        self.flush().await
    }

    /// Writes one payload, as several packets if it is long. The caller flushes.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let (part, tail) = rest.split_at(rest.len().min(MAX_PAYLOAD_LENGTH));
            let length = u32::try_from(part.len()).unwrap_or_default().to_le_bytes();
            let [a, b, c, _] = length;
            self.write(&[a, b, c, self.sequence]).await?;
            self.write(part).await?;
            self.sequence = self.sequence.wrapping_add(1);
            rest = tail;
            if part.len() < MAX_PAYLOAD_LENGTH {
                return Ok(());
            }
        }
    }

    /// Writes all bytes.
    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.stall_detector.wait(TransferDirection::Send, self.io.write(bytes)).await? {
                0 => return Err(self.stall_detector.closed()),
                written => bytes = bytes.get(written..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        let io = &mut self.io;
        self.stall_detector.wait(TransferDirection::Send, async { io.flush().await.map(|()| 0) }).await.map(drop)
    }

    /// Returns the next packet if it is in the buffer as a whole, without waiting.
    pub(crate) fn buffered_packet(&mut self) -> Option<&[u8]> {
        let range = self.take_buffered()?;
        self.buffer.get(range)
    }

    /// Reads the next packet.
    pub(crate) async fn read_packet(&mut self) -> Result<&[u8]> {
        self.read_packet_with_lease(None).await
    }

    /// Reads the handshake packet, which a server sends first.
    ///
    /// # Errors
    /// `Connection` if another protocol answers, with the first line of its response.
    pub(super) async fn read_handshake(&mut self, max_length: usize) -> Result<&[u8]> {
        while self.header().is_none() {
            self.fill().await?;
        }
        if self.header().is_some_and(|(length, sequence)| sequence == 0 && length <= max_length) {
            return self.read_packet().await;
        }
        let said = String::from_utf8_lossy(self.buffer.get(self.start..self.end).unwrap_or_default());
        let line: String = said.lines().next().unwrap_or_default().chars().take(40).collect();
        let message =
            format!("what answers there is no MySQL or MariaDB server: it begins with `{}`", Printable(&line));
        Err(Error::new(ErrorKind::Connection, message).retryable())
    }

    /// Reads the next packet. The lease grows with a large one.
    pub(crate) async fn read_packet_with_lease(
        &mut self,
        mut lease: Option<(&mut MemoryLease, usize)>,
    ) -> Result<&[u8]> {
        if self.large.capacity() > 0 {
            self.large = Vec::new();
        }
        loop {
            if let Some(range) = self.take_buffered() {
                return self.buffer.get(range).ok_or_else(buffer_out_of_range);
            }
            match self.header() {
                Some((length, _)) if length + HEADER_LENGTH > self.buffer.len() => {
                    self.read_large(&mut lease).await?;
                    return Ok(&self.large);
                }
                Some((length, sequence)) if self.end - self.start >= length + HEADER_LENGTH => {
                    return Err(wrong_sequence_number(sequence, self.sequence));
                }
                _ => self.fill().await?,
            }
        }
    }

    /// Returns the first `count` bytes of the next packet, or all bytes of a shorter one, and takes none of them. They must fit
    /// into the buffer.
    pub(crate) async fn peek(&mut self, count: usize) -> Result<&[u8]> {
        self.large = Vec::new();
        loop {
            if let Some((length, _)) = self.header() {
                let from = self.start + HEADER_LENGTH;
                let to = from + length.min(count);
                if to <= self.end {
                    return self.buffer.get(from..to).ok_or_else(buffer_out_of_range);
                }
            }
            self.fill().await?;
        }
    }

    /// Reads the next part of the next packet, however long the packet is; `None` at its end, once.
    pub(crate) async fn read_part(&mut self) -> Result<Option<&[u8]>> {
        loop {
            match self.partial {
                None => self.partial = Some(self.begin_part().await?),
                Some(PartialPacket { left: 0, is_last }) => {
                    self.partial = None;
                    if is_last {
                        return Ok(None);
                    }
                }
                Some(_) if self.start == self.end => self.fill().await?,
                Some(PartialPacket { left, is_last }) => {
                    let from = self.start;
                    self.start += left.min(self.end - from);
                    self.partial = Some(PartialPacket { left: left - (self.start - from), is_last });
                    return self.buffer.get(from..self.start).map(Some).ok_or_else(buffer_out_of_range);
                }
            }
        }
    }

    /// Takes the header of a packet whose payload is read in parts.
    async fn begin_part(&mut self) -> Result<PartialPacket> {
        while self.header().is_none() {
            self.fill().await?;
        }
        let (length, sequence) = self.header().ok_or_else(buffer_out_of_range)?;
        if sequence != self.sequence {
            return Err(wrong_sequence_number(sequence, self.sequence));
        }
        self.start += HEADER_LENGTH;
        self.sequence = sequence.wrapping_add(1);
        Ok(PartialPacket { left: length, is_last: length < MAX_PAYLOAD_LENGTH })
    }

    /// The range of the next packet's payload, if all of it is in the buffer.
    fn take_buffered(&mut self) -> Option<Range<usize>> {
        let (length, sequence) = self.header()?;
        let from = self.start + HEADER_LENGTH;
        if length == MAX_PAYLOAD_LENGTH || from + length > self.end || !self.is_expected(from, sequence) {
            return None;
        }
        self.sequence = sequence.wrapping_add(1);
        self.start = from + length;
        Some(from..self.start)
    }

    /// Whether the packet at `from` has the expected sequence number. An error packet may have the number 0 at any
    /// time: a server that shuts down sends it unasked.
    fn is_expected(&self, from: usize, sequence: u8) -> bool {
        sequence == self.sequence || (sequence == 0 && self.buffer.get(from) == Some(&0xFF))
    }

    /// The length and sequence number of the next packet, if its header is in the buffer.
    fn header(&self) -> Option<(usize, u8)> {
        let header: [u8; HEADER_LENGTH] = self.buffer.get(self.start..self.end)?.first_chunk().copied()?;
        let [a, b, c, sequence] = header;
        Some((usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16, sequence))
    }

    /// Reads a packet that is larger than the buffer, or continued in further packets. `lease` grows to the bytes that
    /// the caller holds plus twice the packet: once for the packet, once for the text that is encoded from it.
    async fn read_large(&mut self, lease: &mut Option<(&mut MemoryLease, usize)>) -> Result<()> {
        loop {
            while self.header().is_none() {
                self.fill().await?;
            }
            let (length, sequence) = self.header().ok_or_else(buffer_out_of_range)?;
            if sequence != self.sequence {
                return Err(wrong_sequence_number(sequence, self.sequence));
            }
            let longest = if lease.is_some() { MAX_ROW_LENGTH } else { self.max_length };
            if self.large.len() + length > longest {
                let message =
                    format!("the server sends a packet of more than {} MiB, which makes no sense", longest >> 20);
                return Err(Error::new(ErrorKind::Connection, message));
            }
            self.start += HEADER_LENGTH;
            self.sequence = sequence.wrapping_add(1);
            if let Some((lease, held)) = lease {
                lease.grow(*held + 2 * (self.large.len() + length)).await;
            }
            self.large.reserve_exact(length);
            let here = length.min(self.end - self.start);
            self.large.extend_from_slice(self.buffer.get(self.start..self.start + here).unwrap_or_default());
            self.start += here;
            let mut rest = (&mut self.io).take((length - here) as u64);
            while rest.limit() > 0 {
                if self.stall_detector.wait(TransferDirection::Receive, rest.read_buf(&mut self.large)).await? == 0 {
                    return Err(self.stall_detector.closed());
                }
            }
            if length < MAX_PAYLOAD_LENGTH {
                return Ok(());
            }
        }
    }

    /// Reads more bytes into the buffer.
    async fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = self.stall_detector.wait(TransferDirection::Receive, self.io.read(space)).await?;
        if read == 0 {
            return Err(self.stall_detector.closed());
        }
        self.end += read;
        Ok(())
    }
}

fn wrong_sequence_number(found: u8, expected: u8) -> Error {
    let message = format!("the server sends packet {found} where packet {expected} is expected");
    Error::new(ErrorKind::Connection, message).retryable()
}

fn buffer_out_of_range() -> Error {
    Error::new(ErrorKind::Internal, "the packet buffer's range is out of bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a payload through a pipe with a small buffer, and returns the payload that arrives, read at once or in parts.
    async fn send_through_pipe(payload: Vec<u8>, in_parts: bool) -> Vec<u8> {
        let (near, far) = tokio::io::duplex(70_000);
        let (sent, sent_start) = (payload.clone(), payload.iter().take(5).copied().collect::<Vec<_>>());
        let writer = tokio::spawn(async move {
            let mut stream = PacketStream::new(Box::new(near), Duration::from_secs(60));
            stream.send(&sent).await.unwrap();
            stream.send(b"next").await.unwrap();
            stream.flush().await.unwrap();
        });
        let mut stream = PacketStream::new(Box::new(far), Duration::from_secs(60));
        stream.max_length = usize::MAX;
        let mut arrived = Vec::new();
        if in_parts {
            assert_eq!(stream.peek(5).await.unwrap(), &sent_start[..]);
            while let Some(part) = stream.read_part().await.unwrap() {
                assert!(!part.is_empty() && part.len() <= 16 << 10, "{} bytes", part.len());
                arrived.extend_from_slice(part);
            }
        } else {
            arrived.extend_from_slice(stream.read_packet().await.unwrap());
        }
        assert_eq!(stream.read_packet().await.unwrap(), b"next");
        writer.await.unwrap();
        arrived
    }

    #[tokio::test]
    async fn another_protocol_is_reported_with_its_first_line() {
        for (answer, names) in
            [("SSH-2.0-OpenSSH_9.2\r\n", "`SSH-2.0-OpenSSH_9.2`"), ("HTTP/1.1 400", "`HTTP/1.1 400`")]
        {
            let (near, mut far) = tokio::io::duplex(1 << 10);
            far.write_all(answer.as_bytes()).await.unwrap();
            let mut stream = PacketStream::new(Box::new(near), Duration::from_secs(60));
            let message = stream.read_handshake(4 << 10).await.unwrap_err().to_string();
            assert!(message.contains("no MySQL or MariaDB server") && message.contains(names), "{message}");
        }
    }

    #[tokio::test]
    async fn payloads_of_every_size_arrive_complete() {
        for size in [
            0,
            1,
            16 << 10,
            16 << 20,
            MAX_PAYLOAD_LENGTH - 1,
            MAX_PAYLOAD_LENGTH,
            MAX_PAYLOAD_LENGTH + 1,
            2 * MAX_PAYLOAD_LENGTH,
        ] {
            let payload: Vec<u8> = (0..=250).cycle().take(size).collect();
            for in_parts in [false, true] {
                let arrived = send_through_pipe(payload.clone(), in_parts).await;
                assert!(arrived == payload, "{size} bytes, in parts: {in_parts}");
            }
        }
    }
}
