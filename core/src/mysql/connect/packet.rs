//! Packets of the MySQL protocol over any stream of bytes.
//! Source: MySQL Internals, "MySQL Packets" (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>).

use std::ops::Range;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::patience::{Patience, Way};
use crate::catalog::Printable;
use crate::dial::Duplex;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryLease;

const HEADER: usize = 4;
/// A packet of this length is continued in the next one.
const FULL: usize = 0xFF_FFFF;
/// Large reads are what makes reading millions of small rows cheap.
const BUFFER: usize = 1 << 20;
/// No row is longer: the largest `max_allowed_packet`, and some more.
const LONGEST_ROW: usize = (1 << 30) + FULL;
/// Nothing before the end of the login is longer.
const LONGEST_OF_LOGIN: usize = 1 << 20;

/// Reads and writes packets.
pub(crate) struct PacketStream {
    io: Box<dyn Duplex>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// A packet that does not fit the buffer.
    large: Vec<u8>,
    sequence: u8,
    /// How long a packet may be that is no row on a lease.
    pub(super) longest: usize,
    pub(super) patience: Patience,
}

impl PacketStream {
    pub(crate) fn new(io: Box<dyn Duplex>, silence: Duration) -> Self {
        Self {
            io,
            buffer: vec![0; 16 << 10],
            start: 0,
            end: 0,
            large: Vec::new(),
            sequence: 0,
            longest: LONGEST_OF_LOGIN,
            patience: Patience::new(silence),
        }
    }

    /// Takes the stream back, to lay TLS over it. Nothing must be buffered.
    pub(crate) fn into_inner(self) -> Box<dyn Duplex> {
        self.io
    }

    /// Continues the numbering of packets of another stream (the one under TLS).
    pub(crate) fn sequence(&self) -> u8 {
        self.sequence
    }

    pub(crate) fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// Gets ready for a long result.
    pub(crate) fn widen(&mut self) {
        if self.buffer.len() < BUFFER {
            self.buffer.resize(BUFFER, 0);
        }
    }

    /// Begins a new command: its packets are numbered from 0.
    pub(crate) async fn command(&mut self, command: u8, payload: &[u8]) -> Result<()> {
        self.sequence = 0;
        self.patience.restart();
        let mut packet = Vec::with_capacity(payload.len() + 1);
        packet.push(command);
        packet.extend_from_slice(payload);
        self.send(&packet).await?;
        self.flush().await
    }

    /// Writes one payload, as several packets where it is long. The caller flushes.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let (part, tail) = rest.split_at(rest.len().min(FULL));
            let length = u32::try_from(part.len()).unwrap_or_default().to_le_bytes();
            let [a, b, c, _] = length;
            self.write(&[a, b, c, self.sequence]).await?;
            self.write(part).await?;
            self.sequence = self.sequence.wrapping_add(1);
            rest = tail;
            if part.len() < FULL {
                return Ok(());
            }
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.patience.wait(Way::Out, self.io.write(bytes)).await? {
                0 => return Err(self.patience.closed()),
                written => bytes = bytes.get(written..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        let io = &mut self.io;
        self.patience.wait(Way::Out, async { io.flush().await.map(|()| 0) }).await.map(drop)
    }

    /// The next packet if it is already here, without waiting. Large packets are never reported.
    pub(crate) fn buffered(&mut self) -> Option<&[u8]> {
        let range = self.take_buffered()?;
        self.buffer.get(range)
    }

    /// The next packet.
    pub(crate) async fn packet(&mut self) -> Result<&[u8]> {
        self.packet_within(None).await
    }

    /// The packet with which a server begins.
    ///
    /// # Errors
    /// `Connection` where something else answers, with the first line that it says.
    pub(super) async fn greeting(&mut self, longest: usize) -> Result<&[u8]> {
        while self.header().is_none() {
            self.fill().await?;
        }
        if self.header().is_some_and(|(length, sequence)| sequence == 0 && length <= longest) {
            return self.packet().await;
        }
        let said = String::from_utf8_lossy(self.buffer.get(self.start..self.end).unwrap_or_default());
        let line: String = said.lines().next().unwrap_or_default().chars().take(40).collect();
        let message =
            format!("what answers there is no MySQL or MariaDB server: it begins with `{}`", Printable(&line));
        Err(Error::new(ErrorKind::Connection, message).retryable())
    }

    /// The next packet, letting the lease grow with it when it is large.
    pub(crate) async fn packet_within(&mut self, mut lease: Option<(&mut MemoryLease, usize)>) -> Result<&[u8]> {
        if self.large.capacity() > 0 {
            self.large = Vec::new();
        }
        loop {
            if let Some(range) = self.take_buffered() {
                return self.buffer.get(range).ok_or_else(out_of_step);
            }
            match self.header() {
                Some((length, _)) if length + HEADER > self.buffer.len() => {
                    self.read_large(&mut lease).await?;
                    return Ok(&self.large);
                }
                Some((length, sequence)) if self.end - self.start >= length + HEADER => {
                    return Err(out_of_order(sequence, self.sequence));
                }
                _ => self.fill().await?,
            }
        }
    }

    fn take_buffered(&mut self) -> Option<Range<usize>> {
        let (length, sequence) = self.header()?;
        let from = self.start + HEADER;
        if length == FULL || from + length > self.end || !self.is_next(from, sequence) {
            return None;
        }
        self.sequence = sequence.wrapping_add(1);
        self.start = from + length;
        Some(from..self.start)
    }

    /// Whether the packet that begins at `from` is the one to come now. An error may come out of turn: the server says
    /// good-bye also where it was not asked.
    fn is_next(&self, from: usize, sequence: u8) -> bool {
        sequence == self.sequence || (sequence == 0 && self.buffer.get(from) == Some(&0xFF))
    }

    /// Length and number of the packet that comes next, once its header is here.
    fn header(&self) -> Option<(usize, u8)> {
        let header: [u8; HEADER] = self.buffer.get(self.start..self.end)?.first_chunk().copied()?;
        let [a, b, c, sequence] = header;
        Some((usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16, sequence))
    }

    /// Reads a packet that is longer than the buffer, or continued. `lease` grows to what the caller holds already plus
    /// twice the packet: the packet and the text made of it.
    async fn read_large(&mut self, lease: &mut Option<(&mut MemoryLease, usize)>) -> Result<()> {
        loop {
            while self.header().is_none() {
                self.fill().await?;
            }
            let (length, sequence) = self.header().ok_or_else(out_of_step)?;
            if sequence != self.sequence {
                return Err(out_of_order(sequence, self.sequence));
            }
            let longest = if lease.is_some() { LONGEST_ROW } else { self.longest };
            if self.large.len() + length > longest {
                let message =
                    format!("the server sends a packet of more than {} MiB, which makes no sense", longest >> 20);
                return Err(Error::new(ErrorKind::Connection, message));
            }
            self.start += HEADER;
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
                if self.patience.wait(Way::In, rest.read_buf(&mut self.large)).await? == 0 {
                    return Err(self.patience.closed());
                }
            }
            if length < FULL {
                return Ok(());
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = self.patience.wait(Way::In, self.io.read(space)).await?;
        if read == 0 {
            return Err(self.patience.closed());
        }
        self.end += read;
        Ok(())
    }
}

fn out_of_order(found: u8, expected: u8) -> Error {
    let message = format!("the server sends packet {found} where packet {expected} is to come");
    Error::new(ErrorKind::Connection, message).retryable()
}

fn out_of_step() -> Error {
    Error::new(ErrorKind::Internal, "the packet buffer lost its place")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a payload through a pipe with small pieces and gives what arrives.
    async fn through(payload: Vec<u8>) -> Vec<u8> {
        let (near, far) = tokio::io::duplex(70_000);
        let sent = payload.clone();
        let writer = tokio::spawn(async move {
            let mut stream = PacketStream::new(Box::new(near), Duration::from_secs(60));
            stream.send(&sent).await.unwrap();
            stream.send(b"next").await.unwrap();
            stream.flush().await.unwrap();
        });
        let mut stream = PacketStream::new(Box::new(far), Duration::from_secs(60));
        stream.longest = usize::MAX;
        let arrived = stream.packet().await.unwrap().to_vec();
        assert_eq!(stream.packet().await.unwrap(), b"next");
        writer.await.unwrap();
        arrived
    }

    #[tokio::test]
    async fn what_is_no_server_is_told_by_its_first_line() {
        for (answer, names) in
            [("SSH-2.0-OpenSSH_9.2\r\n", "`SSH-2.0-OpenSSH_9.2`"), ("HTTP/1.1 400", "`HTTP/1.1 400`")]
        {
            let (near, mut far) = tokio::io::duplex(1 << 10);
            far.write_all(answer.as_bytes()).await.unwrap();
            let mut stream = PacketStream::new(Box::new(near), Duration::from_secs(60));
            let message = stream.greeting(4 << 10).await.unwrap_err().to_string();
            assert!(message.contains("no MySQL or MariaDB server") && message.contains(names), "{message}");
        }
    }

    #[tokio::test]
    async fn payloads_of_every_size_arrive_whole() {
        for size in [0, 1, 16 << 10, 16 << 20, FULL - 1, FULL, FULL + 1, 2 * FULL] {
            let payload: Vec<u8> = (0..=250).cycle().take(size).collect();
            assert!(through(payload.clone()).await == payload, "{size} bytes");
        }
    }
}
