//! One connection to a server: login, statements, small results, `LOAD DATA LOCAL`, and raw packets for the bulk reader.

mod address;
#[cfg(test)]
mod hostile_tests;
mod login;
mod packet;
mod password;
mod patience;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{CommonOkPacket, OkPacketDeserializer};
use mysql_common::proto::MyDeserialize;

pub(crate) use address::{Address, Pem, ServerRole, TlsMode, TlsOptions};
pub(super) use packet::PacketStream;

use crate::catalog::{Flavor, Server};
use crate::dial::TrafficClass;
use crate::error::{Error, ErrorKind, Result};

const COM_QUERY: u8 = 0x03;
/// The server bounds a packet by its `max_allowed_packet`, which is at least this on every server that runs.
const LOAD_PIECE: usize = 512 << 10;
/// No packet of an answer is longer but a row on a lease, and all rows of an answer are not longer than four.
const LONGEST_PACKET: usize = 256 << 20;
/// No table and no view has more columns.
const MOST_COLUMNS: usize = 4096;

/// What a statement without rows said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) affected: u64,
    pub(super) warnings: u16,
    /// For example `Records: 2  Deleted: 0  Skipped: 0  Warnings: 0`.
    pub(super) info: String,
}

/// One row of a small result: each column as text, or `None` for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(Vec<Option<Vec<u8>>>);

impl Row {
    /// The column as text; NULL and a missing column are `None`.
    pub(super) fn text(&self, index: usize) -> Option<String> {
        self.0.get(index)?.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The column as text; NULL and a missing column are empty.
    pub(super) fn string(&self, index: usize) -> String {
        self.text(index).unwrap_or_default()
    }

    /// The column's bytes.
    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        self.0.get(index).and_then(Option::as_deref).unwrap_or_default()
    }

    /// The column as text, which must be UTF-8: for what is written back, and must not be changed.
    pub(super) fn exact(&self, index: usize) -> Result<String> {
        String::from_utf8(self.bytes(index).to_vec())
            .map_err(|error| Error::new(ErrorKind::Unsupported, "a definition is not valid text").caused_by(error))
    }

    /// The column as a number; anything else is 0.
    pub(super) fn number(&self, index: usize) -> u64 {
        self.text(index).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A logged-in connection. Dropping it closes the socket; a statement that still runs must be killed from another.
pub(super) struct Conn {
    pub(super) stream: PacketStream,
    /// The server's number of this connection, for a look at it; it proves nothing, so it is not for `KILL`.
    id: u32,
    pub(super) server: Server,
    /// The user-level lock by which another connection finds this one, to kill it.
    pub(super) lock: Option<String>,
}

impl Conn {
    /// Connects, logs in and sets up the session by one statement.
    pub(super) async fn open(address: &Address, traffic: TrafficClass, session: &str) -> Result<Self> {
        let mut conn = Self::begin(address, traffic).await?;
        conn.stream.patience.watch(address, traffic, conn.id);
        conn.exec(session).await?;
        Ok(conn)
    }

    /// A connection with the server's own settings, for a look at others. Nobody looks at this one.
    async fn logged_in(address: &Address) -> Result<Self> {
        Self::begin(address, TrafficClass::Control).await
    }

    async fn begin(address: &Address, traffic: TrafficClass) -> Result<Self> {
        let (mut stream, greeting) = login::login(address, traffic).await?;
        if !greeting.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
            let message =
                format!("the server's version {} is too old: MySQL 8.0 or MariaDB 10.6 at least", greeting.version);
            return Err(Error::new(ErrorKind::Unsupported, message).with(address.role.server(), address));
        }
        let flavor = if greeting.version.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql };
        // MariaDB puts a prefix before its version for the sake of old replicas.
        let version = greeting.version.strip_prefix("5.5.5-").unwrap_or(&greeting.version).to_owned();
        stream.longest = LONGEST_PACKET;
        Ok(Self { stream, id: greeting.connection_id, server: Server::new(flavor, version), lock: None })
    }

    /// Allows the server to be silent for so long before a second connection asks what it does; never longer than the
    /// address says.
    pub(super) fn allow_silence(&mut self, address: &Address, silence: Duration) {
        self.stream.patience.allow(silence.min(address.silence));
    }

    /// Runs a statement that gives no rows.
    pub(super) async fn exec(&mut self, sql: &str) -> Result<Done> {
        self.exec_bytes(sql.as_bytes()).await
    }

    /// Runs a statement that is written in another character set than UTF-8.
    pub(super) async fn exec_bytes(&mut self, sql: &[u8]) -> Result<Done> {
        self.stream.command(COM_QUERY, sql).await?;
        let packet = self.stream.packet().await?;
        match packet.first() {
            Some(0x00) => done(packet),
            Some(0xFF) => Err(server_error(packet)),
            _ => {
                let columns = column_count(packet)?;
                self.result(columns, false).await?;
                Ok(Done::default())
            }
        }
    }

    /// Runs statements that a server may refuse without harm; only a broken connection is an error.
    pub(super) async fn try_each(&mut self, statements: &[&str]) -> Result<()> {
        for sql in statements {
            match self.exec(sql).await {
                Err(error) if error.code().is_none() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets session variables that a server may not have, or not let the account set: at once, or else one by one.
    pub(super) async fn set_each(&mut self, settings: &[&str]) -> Result<()> {
        match self.exec(&format!("SET SESSION {}", settings.join(", SESSION "))).await {
            Err(error) if error.code().is_none() => Err(error),
            Err(_) => {
                let statements: Vec<String> = settings.iter().map(|setting| format!("SET SESSION {setting}")).collect();
                self.try_each(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await
            }
            Ok(_) => Ok(()),
        }
    }

    /// Runs a statement and gives all its rows.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.stream.command(COM_QUERY, sql.as_bytes()).await?;
        let packet = self.stream.packet().await?;
        let columns = match packet.first() {
            Some(0x00) => return Ok(Vec::new()),
            Some(0xFF) => return Err(server_error(packet)),
            _ => column_count(packet)?,
        };
        self.result(columns, true).await
    }

    /// Reads a result to its end, and keeps its rows where they are wanted.
    async fn result(&mut self, columns: usize, wanted: bool) -> Result<Vec<Row>> {
        for _ in 0..columns {
            self.stream.packet().await?;
        }
        let (mut rows, mut bytes, longest) = (Vec::new(), 0, 4 * self.stream.longest);
        loop {
            let packet = self.stream.packet().await?;
            match packet.first() {
                Some(0xFF) => return Err(server_error(packet)),
                Some(0xFE) if is_end(packet) => return Ok(rows),
                _ => {}
            }
            // What each value costs beside its bytes counts too.
            bytes += packet.len() + 48 * columns;
            if bytes > longest {
                let mib = longest >> 20;
                let message = format!("the server sends a result of more than {mib} MiB where a short one is to come");
                return Err(Error::new(ErrorKind::Connection, message));
            }
            if wanted {
                rows.push(text_row(packet, columns)?);
            }
        }
    }

    /// The first row of a result, if any.
    pub(super) async fn row(&mut self, sql: &str) -> Result<Option<Row>> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// Runs a `LOAD DATA LOCAL INFILE` statement with `data` as its file.
    pub(super) async fn load(&mut self, sql: &str, data: &Bytes) -> Result<Done> {
        self.stream.command(COM_QUERY, sql.as_bytes()).await?;
        let packet = self.stream.packet().await?;
        match packet.first() {
            Some(0xFB) => {}
            Some(0xFF) => return Err(server_error(packet)),
            _ => return Err(Error::new(ErrorKind::Internal, "the server did not ask for the file of LOAD DATA")),
        }
        for piece in data.chunks(LOAD_PIECE) {
            self.stream.send(piece).await?;
        }
        self.stream.send(&[]).await?;
        self.stream.flush().await?;
        let packet = self.stream.packet().await?;
        match packet.first() {
            Some(0x00) => done(packet),
            _ => Err(server_error(packet)),
        }
    }
}

/// Whether a packet that begins with 0xFE ends a result: a row may begin so too, but then it is a huge one.
pub(super) fn is_end(packet: &[u8]) -> bool {
    packet.len() < 0xFF_FFFF
}

pub(super) fn column_count(packet: &[u8]) -> Result<usize> {
    if packet.first() == Some(&0xFB) {
        let message = "the server asks for a file where no file is to be sent: it is none of the family, or somebody is in between";
        return Err(Error::new(ErrorKind::Connection, message));
    }
    let mut rest = ParseBuf(packet);
    let count = rest.checked_eat_lenenc_int().filter(|_| rest.is_empty()).ok_or_else(garbled)?;
    usize::try_from(count).ok().filter(|count| (1..=MOST_COLUMNS).contains(count)).ok_or_else(garbled)
}

fn text_row(packet: &[u8], columns: usize) -> Result<Row> {
    let mut rest = ParseBuf(packet);
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        if rest.0.first() == Some(&0xFB) {
            rest.skip(1);
            values.push(None);
        } else {
            values.push(Some(rest.checked_eat_lenenc_str().ok_or_else(garbled)?.to_vec()));
        }
    }
    Ok(Row(values))
}

fn done(packet: &[u8]) -> Result<Done> {
    let capabilities = CapabilityFlags::CLIENT_PROTOCOL_41;
    let ok = OkPacketDeserializer::<CommonOkPacket>::deserialize(capabilities, &mut ParseBuf(packet))
        .map_err(|error| garbled().caused_by(error))?
        .into_inner();
    let info = ok.info_str().unwrap_or_default().into_owned();
    Ok(Done { affected: ok.affected_rows(), warnings: ok.warnings(), info })
}

pub(super) fn garbled() -> Error {
    Error::new(ErrorKind::Connection, "the server sent a packet that makes no sense")
}

fn closed() -> Error {
    Error::new(ErrorKind::Connection, "the server closed the connection").retryable()
}

/// The error that an error packet tells of.
pub(super) fn server_error(packet: &[u8]) -> Error {
    // Before the login there is no SQL state.
    let (code, text) = match packet {
        [0xFF, low, high, b'#', _, _, _, _, _, text @ ..] | [0xFF, low, high, text @ ..] => {
            (u16::from_le_bytes([*low, *high]), String::from_utf8_lossy(text).into_owned())
        }
        _ => return garbled(),
    };
    let kind = match code {
        1045 | 1129 | 1130 | 1698 | 1251 | 2059 | 3118 | 4151 => ErrorKind::Authentication,
        1044 | 1142 | 1143 | 1227 | 1290 | 1370 | 1410 | 1419 => ErrorKind::Permission,
        1040 | 1053 | 1077 | 1079 | 1927 | 3169 | 1203 | 1226 => ErrorKind::Connection,
        1412 => ErrorKind::Changed,
        _ => ErrorKind::Server,
    };
    let failure = Error::new(kind, text).with_code(code);
    // Too many connections, shutdown, lock waits and deadlocks, killed connections: another try may pass.
    match code {
        1040 | 1053 | 1077 | 1079 | 1203 | 1205 | 1213 | 1927 | 3058 => failure.retryable(),
        _ => failure,
    }
}
