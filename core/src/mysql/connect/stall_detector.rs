//! Detects a server that neither sends nor accepts data, and whose statement does not run.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Conn;
use super::response::connection_closed;
use super::server_address::ServerAddress;
use crate::dial::TrafficClass;
use crate::error::{Error, ErrorKind, Result};

/// The number of bytes that count as progress. A healthy connection moves as many within the timeout.
const PROGRESS_BYTES: usize = 4 << 10;
/// The states in the process list of a statement that sends to its client: MySQL's and MariaDB's.
const SENDING: [&str; 2] = ["Sending to client", "Writing to net"];
/// The states in the process list of a statement that reads from its client: MySQL's and MariaDB's.
const RECEIVING: [&str; 2] = ["Receiving from client", "Reading from net"];
/// The connection is dead after so many inspections in which both sides wait for each other.
const MAX_STUCK: u32 = 2;
/// The same after this side has sent everything: the data may still be on its way over a slow line.
const MAX_STUCK_AFTER_SENDING: u32 = 4;
/// The connection is given up after so many inspections in a row without a result, if its statements are short.
const MAX_UNKNOWN_CONTROL: u32 = 6;
/// The same for a connection whose statements may take long, like the building of an index.
const MAX_UNKNOWN_BULK: u32 = 180;

/// The direction in which bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferDirection {
    Receive,
    Send,
}

/// Bounds every wait of one connection. Only the time spent in [`wait`](Self::wait) counts: a reader may pause for
/// long.
pub(super) struct StallDetector {
    timeout: Duration,
    /// The rest of the timeout since the last progress.
    remaining: Duration,
    moved_bytes: usize,
    /// The number of inspections since the last progress that found both sides waiting for each other.
    stuck: u32,
    /// The number of inspections in a row without a result, and its limit.
    unknown: u32,
    max_unknown: u32,
    /// Whether the server sends something within the timeout at all times, so that a silent one is gone.
    has_heartbeats: bool,
    /// The server and the connection's number; `None` before the login.
    connection: Option<(Box<ServerAddress>, u32)>,
}

/// The state of the statement, as a second connection finds it in the process list.
enum StatementState {
    Running,
    /// The server accepts no second connection, or a proxy has connection numbers of its own.
    Unknown,
    Sending,
    Receiving,
    /// The connection is idle, or no longer exists.
    NotRunning,
}

impl StallDetector {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            remaining: timeout,
            moved_bytes: 0,
            stuck: 0,
            unknown: 0,
            max_unknown: MAX_UNKNOWN_CONTROL,
            has_heartbeats: false,
            connection: None,
        }
    }

    /// Changes the timeout, which begins anew.
    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
        self.restart();
    }

    /// Lets a second connection inspect this one before it is given up.
    pub(super) fn enable_inspection(&mut self, address: &ServerAddress, traffic: TrafficClass, id: u32) {
        self.connection = Some((Box::new(address.clone()), id));
        self.max_unknown = if traffic == TrafficClass::Control { MAX_UNKNOWN_CONTROL } else { MAX_UNKNOWN_BULK };
    }

    /// Takes every byte for progress, and silence for a lost connection.
    pub(super) fn expect_heartbeats(&mut self) {
        self.has_heartbeats = true;
    }

    /// Begins the timeout anew. Each statement does so.
    pub(super) fn restart(&mut self) {
        (self.remaining, self.moved_bytes, self.stuck, self.unknown) = (self.timeout, 0, 0, 0);
    }

    /// Waits until `work` has moved some bytes.
    ///
    /// # Errors
    /// `Connection`, retryable, if the connection breaks, or is silent and its statement does not run any more.
    pub(super) async fn wait(
        &mut self,
        direction: TransferDirection,
        work: impl Future<Output = io::Result<usize>>,
    ) -> Result<usize> {
        let mut work = pin!(work);
        loop {
            let start = Instant::now();
            if let Ok(moved) = timeout(self.remaining, &mut work).await {
                let moved = moved.map_err(|error| self.broken_by(error))?;
                self.moved_bytes += moved;
                self.remaining = self.remaining.saturating_sub(start.elapsed());
                if self.moved_bytes >= PROGRESS_BYTES || self.has_heartbeats {
                    self.restart();
                }
                return Ok(moved);
            }
            if self.has_heartbeats {
                return Err(self.stalled("and it sends something each second while the connection is good"));
            }
            let max_stuck = match (self.inspect().await?, direction) {
                (StatementState::Running, _) => {
                    self.restart();
                    continue;
                }
                (StatementState::Unknown, _) => {
                    self.remaining = self.timeout;
                    self.unknown += 1;
                    if self.unknown >= self.max_unknown {
                        return Err(self.stalled("and nobody can see whether it still runs the statement"));
                    }
                    continue;
                }
                (StatementState::Receiving, TransferDirection::Receive) => MAX_STUCK_AFTER_SENDING,
                (StatementState::Sending | StatementState::Receiving, _) => MAX_STUCK,
                (StatementState::NotRunning, _) => 1,
            };
            self.remaining = self.timeout;
            self.stuck += 1;
            // The response may have been on its way. A connection that drips gets this extra time only once.
            if self.stuck == max_stuck
                && let Ok(moved) = timeout(self.timeout / 4, &mut work).await
            {
                return moved.map_err(|error| self.broken_by(error));
            }
            if self.stuck >= max_stuck {
                return Err(self.stalled("and it does not run the statement any more"));
            }
        }
    }

    /// Asks a second connection for the state of this one's statement.
    async fn inspect(&self) -> Result<StatementState> {
        let Some((address, id)) = &self.connection else { return Err(self.stalled("while it logs us in")) };
        let unreachable = || self.stalled("and a second connection gets no answer either");
        // The second connection is not inspected itself.
        let inspection = Box::pin(statement_state(address, *id));
        match timeout(self.timeout / 2, inspection).await {
            Ok(Ok(state)) => Ok(state),
            // The server answers, with "too many connections" for example.
            Ok(Err(error)) if error.code().is_some() => Ok(StatementState::Unknown),
            Ok(Err(error)) => Err(unreachable().caused_by(error)),
            Err(_) => Err(unreachable()),
        }
    }

    fn stalled(&self, why: &str) -> Error {
        let seconds = self.timeout.as_secs() * u64::from(self.unknown.max(1));
        self.connection_error(format!("the server has sent and taken next to nothing for {seconds} s, {why}"))
    }

    fn broken_by(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.closed();
        }
        self.connection_error("the connection to the server broke".to_owned()).caused_by(error)
    }

    /// The error of a connection that the server has closed.
    pub(super) fn closed(&self) -> Error {
        self.with_address(connection_closed())
    }

    fn connection_error(&self, message: String) -> Error {
        self.with_address(Error::new(ErrorKind::Connection, message).retryable())
    }

    /// Adds the server's address. During the login the caller adds it.
    fn with_address(&self, error: Error) -> Error {
        match &self.connection {
            Some((address, _)) => error.with(address.role.name(), address),
            None => error,
        }
    }
}

/// Opens a connection and looks up connection `id` in the process list.
async fn statement_state(address: &ServerAddress, id: u32) -> Result<StatementState> {
    let mut conn = Conn::open_for_inspection(address).await?;
    let list = conn.process_list().await?;
    let rows = conn.rows(&format!("SELECT ID, COMMAND, STATE FROM {list} WHERE ID IN ({id}, {})", conn.id)).await?;
    let row = |id: u32| rows.iter().find(|row| row.number(0) == u64::from(id));
    Ok(match (row(conn.id), row(id)) {
        // The list shows not even the second connection: the numbers are a proxy's.
        (None, _) => StatementState::Unknown,
        (_, None) => StatementState::NotRunning,
        (_, Some(row)) if row.string(1) == "Sleep" => StatementState::NotRunning,
        (_, Some(row)) if SENDING.contains(&row.string(2).as_str()) => StatementState::Sending,
        (_, Some(row)) if RECEIVING.contains(&row.string(2).as_str()) => StatementState::Receiving,
        _ => StatementState::Running,
    })
}
