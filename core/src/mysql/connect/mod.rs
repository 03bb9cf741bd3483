//! A connection to a server: login, statements, small results, `LOAD DATA LOCAL`, and raw packets for the bulk reader.

#[cfg(test)]
mod hostile_tests;
mod login;
#[cfg(test)]
mod multi_statement_tests;
mod packet_stream;
mod password_disclosure;
mod response;
mod server_address;
mod stall_detector;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use mysql_common::constants::CapabilityFlags;

pub(super) use packet_stream::PacketStream;
pub(super) use response::{OkPacket, Row, is_result_end, malformed_packet, parse_column_count, server_error};
pub(crate) use server_address::{PemFile, ServerAddress, ServerRole, TlsMode, TlsOptions};

use self::response::{is_eof, parse_column_name, parse_ok_packet, parse_text_row};
use super::capability::{self, Capability};
use crate::catalog::{Flavor, Server};
use crate::dial::TrafficClass;
use crate::error::{Error, ErrorKind, Result};

const COM_QUERY: u8 = 0x03;
const COM_SET_OPTION: u8 = 0x1b;
/// The options of `COM_SET_OPTION` that allow several statements in one `COM_QUERY`, and forbid them.
const MULTI_STATEMENTS_ON: [u8; 2] = [0, 0];
const MULTI_STATEMENTS_OFF: [u8; 2] = [1, 0];
/// The length of the packets that carry the file of `LOAD DATA`. Every server's `max_allowed_packet` is larger.
const LOAD_PACKET_LENGTH: usize = 512 << 10;
/// The longest packet of a response, rows on a memory lease aside. All rows of a small result have four times as much.
const MAX_PACKET_LENGTH: usize = 256 << 20;

/// A logged-in connection. Dropping it closes the socket. A statement that still runs must be killed over another
/// connection.
pub(super) struct Conn {
    pub(super) stream: PacketStream,
    /// The server's number of this connection, for inspections. It may belong to another connection, so `KILL` must not
    /// use it.
    id: u32,
    pub(super) server: Server,
    /// Whether an EOF packet follows the definitions of columns, as in MySQL before 5.7.5 and MariaDB before 10.2.
    sends_eof: bool,
    /// Whether the session takes several statements in one packet.
    takes_multi_statements: bool,
    /// The user-level lock by which another connection identifies this one to kill it.
    pub(super) lock: Option<String>,
}

impl Conn {
    /// Connects, logs in, and runs the statement `session`, which sets up the session.
    pub(super) async fn open(address: &ServerAddress, traffic: TrafficClass, session: &str) -> Result<Self> {
        let mut conn = Self::connect(address, traffic).await?;
        conn.stream.stall_detector.enable_inspection(address, traffic, conn.id);
        conn.exec(session).await?;
        Ok(conn)
    }

    /// A connection that is logged in, over these bytes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn from_stream(io: Box<dyn crate::dial::Duplex>, server: Server, sends_eof: bool) -> Self {
        let mut stream = PacketStream::new(io, Duration::from_secs(60));
        stream.max_length = MAX_PACKET_LENGTH;
        Self { stream, id: 1, server, sends_eof, takes_multi_statements: false, lock: None }
    }

    /// Opens a connection that inspects others, with the server's own settings. It is never inspected itself.
    async fn open_for_inspection(address: &ServerAddress) -> Result<Self> {
        Self::connect(address, TrafficClass::Control).await
    }

    /// Connects and logs in.
    async fn connect(address: &ServerAddress, traffic: TrafficClass) -> Result<Self> {
        let (mut stream, handshake) = login::log_in(address, traffic).await?;
        let server = Self::server_of_version(&handshake.version);
        if let Some(message) = capability::too_old(&server, address.role) {
            return Err(Error::new(ErrorKind::Unsupported, message).with(address.role.name(), address));
        }
        stream.max_length = MAX_PACKET_LENGTH;
        let sends_eof = !handshake.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        Ok(Self { stream, id: handshake.connection_id, server, sends_eof, takes_multi_statements: false, lock: None })
    }

    /// The server that announces this version.
    pub(super) fn server_of_version(version: &str) -> Server {
        let flavor = if version.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql };
        // MariaDB adds a prefix to its version for old replicas.
        Server::new(flavor, version.strip_prefix("5.5.5-").unwrap_or(version))
    }

    /// Sets the time without data after which a second connection inspects the statement; at most the address's time.
    pub(super) fn set_stall_timeout(&mut self, address: &ServerAddress, stall_timeout: Duration) {
        self.stream.stall_detector.set_timeout(stall_timeout.min(address.stall_timeout));
    }

    /// Runs a statement, and discards its rows if it returns any.
    pub(super) async fn exec(&mut self, sql: &str) -> Result<OkPacket> {
        self.exec_bytes(sql.as_bytes()).await
    }

    /// Runs a statement in a character set other than UTF-8.
    pub(super) async fn exec_bytes(&mut self, sql: &[u8]) -> Result<OkPacket> {
        self.stream.send_command(COM_QUERY, sql).await?;
        let packet = self.stream.read_packet().await?;
        match packet.first() {
            Some(0x00) => parse_ok_packet(packet),
            Some(0xFF) => Err(server_error(packet)),
            _ => {
                let columns = parse_column_count(packet)?;
                self.read_result(columns, false).await?;
                Ok(OkPacket::default())
            }
        }
    }

    /// Sets whether the session takes several statements in one packet. Servers let every account do that. A proxy may not:
    /// then it takes one.
    pub(super) async fn set_multi_statements(&mut self, allowed: bool) -> Result<()> {
        let option = if allowed { MULTI_STATEMENTS_ON } else { MULTI_STATEMENTS_OFF };
        self.stream.send_command(COM_SET_OPTION, &option).await?;
        let packet = self.stream.read_packet().await?;
        self.takes_multi_statements = match packet.first() {
            // An EOF packet, or the OK packet that replaces it.
            Some(0x00 | 0xFE) => allowed,
            Some(0xFF) => false,
            _ => return Err(malformed_packet()),
        };
        Ok(())
    }

    /// Whether the session takes several statements in one packet.
    pub(super) fn takes_multi_statements(&self) -> bool {
        self.takes_multi_statements
    }

    /// Runs `count` statements without rows, which are separated by semicolons, and adds the response to each of them to
    /// `done`. After an error, which belongs to the next statement, the server runs none of the others.
    pub(super) async fn exec_together(&mut self, sql: &[u8], count: usize, done: &mut Vec<OkPacket>) -> Result<()> {
        self.stream.send_command(COM_QUERY, sql).await?;
        for number in 1..=count {
            let packet = self.stream.read_packet().await?;
            let ok = match packet.first() {
                Some(0x00) => parse_ok_packet(packet)?,
                Some(0xFF) => return Err(server_error(packet)),
                _ => return Err(malformed_packet()),
            };
            if ok.has_more_results != (number < count) {
                return Err(malformed_packet());
            }
            done.push(ok);
        }
        Ok(())
    }

    /// Runs each of the statements, and ignores the errors that the server reports. Only a broken connection is an
    /// error.
    pub(super) async fn try_exec_each(&mut self, statements: &[&str]) -> Result<()> {
        for sql in statements {
            match self.exec(sql).await {
                Err(error) if error.code().is_none() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets session variables, and skips those that the server does not have or does not let the account set.
    pub(super) async fn try_set_each(&mut self, settings: &[&str]) -> Result<()> {
        match self.exec(&format!("SET SESSION {}", settings.join(", SESSION "))).await {
            Err(error) if error.code().is_none() => Err(error),
            Err(_) => {
                let statements: Vec<String> = settings.iter().map(|setting| format!("SET SESSION {setting}")).collect();
                self.try_exec_each(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await
            }
            Ok(_) => Ok(()),
        }
    }

    /// Runs a statement and returns the number of its result's columns; `None` if it has no result.
    async fn start_query(&mut self, sql: &str) -> Result<Option<usize>> {
        self.stream.send_command(COM_QUERY, sql.as_bytes()).await?;
        let packet = self.stream.read_packet().await?;
        match packet.first() {
            Some(0x00) => Ok(None),
            Some(0xFF) => Err(server_error(packet)),
            _ => parse_column_count(packet).map(Some),
        }
    }

    /// Runs a statement and returns all its rows.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        let Some(columns) = self.start_query(sql).await? else { return Ok(Vec::new()) };
        self.read_result(columns, true).await
    }

    /// Reads a result to its end, and returns its rows if `keep_rows`.
    async fn read_result(&mut self, columns: usize, keep_rows: bool) -> Result<Vec<Row>> {
        for _ in 0..columns {
            self.stream.read_packet().await?;
        }
        self.read_rows(columns, keep_rows).await
    }

    /// Reads a result after the definitions of its columns.
    async fn read_rows(&mut self, columns: usize, keep_rows: bool) -> Result<Vec<Row>> {
        self.end_columns().await?;
        let (mut rows, mut bytes, longest) = (Vec::new(), 0, 4 * self.stream.max_length);
        loop {
            let packet = self.stream.read_packet().await?;
            match packet.first() {
                Some(0xFF) => return Err(server_error(packet)),
                Some(0xFE) if is_result_end(packet) => return Ok(rows),
                _ => {}
            }
            // Each value costs memory beside its bytes.
            bytes += packet.len() + 48 * columns;
            if bytes > longest {
                let mib = longest >> 20;
                let message = format!("the server sends a result of more than {mib} MiB where a short one is expected");
                return Err(Error::new(ErrorKind::Connection, message));
            }
            if keep_rows {
                rows.push(parse_text_row(packet, columns)?);
            }
        }
    }

    /// Reads the packet that older servers send after the definitions of columns.
    pub(super) async fn end_columns(&mut self) -> Result<()> {
        if self.sends_eof && !is_eof(self.stream.read_packet().await?) {
            return Err(malformed_packet());
        }
        Ok(())
    }

    /// Runs a statement and returns the first row, if there is one.
    pub(super) async fn row(&mut self, sql: &str) -> Result<Option<Row>> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// The table that lists the sessions of the server.
    ///
    /// MySQL's table in `information_schema` has texts in utf8mb3: it cannot be read (error 3854) while a session runs a
    /// statement with a four-byte character. The other one is empty if `performance_schema` is off.
    pub(super) async fn process_list(&mut self) -> Result<&'static str> {
        let is_enabled = capability::has(&self.server, Capability::ProcessListTable)
            && self.row("SELECT @@performance_schema").await?.is_some_and(|row| row.number(0) == 1);
        Ok(if is_enabled { "performance_schema.processlist" } else { "information_schema.PROCESSLIST" })
    }

    /// Runs a statement and returns one column of its rows, for results whose columns differ between releases.
    ///
    /// # Errors
    /// `Unsupported` if the result has rows and no such column.
    pub(super) async fn column(&mut self, sql: &str, name: &str) -> Result<Vec<Option<String>>> {
        let Some(columns) = self.start_query(sql).await? else { return Ok(Vec::new()) };
        let mut found = None;
        for index in 0..columns {
            if parse_column_name(self.stream.read_packet().await?)?.eq_ignore_ascii_case(name.as_bytes()) {
                found = Some(index);
            }
        }
        let rows = self.read_rows(columns, true).await?;
        let missing = || Error::new(ErrorKind::Unsupported, format!("the result of {sql} has no column {name}"));
        let index = found.or(rows.is_empty().then_some(0)).ok_or_else(missing)?;
        Ok(rows.iter().map(|row| row.text(index)).collect())
    }

    /// Runs a `LOAD DATA LOCAL INFILE` statement with `data` as its file.
    pub(super) async fn load(&mut self, sql: &str, data: &Bytes) -> Result<OkPacket> {
        self.stream.send_command(COM_QUERY, sql.as_bytes()).await?;
        let packet = self.stream.read_packet().await?;
        match packet.first() {
            Some(0xFB) => {}
            Some(0xFF) => return Err(server_error(packet)),
            _ => return Err(Error::new(ErrorKind::Internal, "the server did not ask for the file of LOAD DATA")),
        }
        for piece in data.chunks(LOAD_PACKET_LENGTH) {
            self.stream.send(piece).await?;
        }
        self.stream.send(&[]).await?;
        self.stream.flush().await?;
        let packet = self.stream.read_packet().await?;
        match packet.first() {
            Some(0x00) => parse_ok_packet(packet),
            _ => Err(server_error(packet)),
        }
    }
}
