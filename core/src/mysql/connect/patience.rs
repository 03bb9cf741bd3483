//! How long a connection waits for a server that neither sends nor takes anything.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::address::Address;
use super::{Conn, closed};
use crate::dial::TrafficClass;
use crate::error::{Error, ErrorKind, Result};

/// A statement that is alive moves as many bytes within the silence that is allowed; one that drips does not.
const ENOUGH: usize = 4 << 10;
/// What the servers say of a statement that sends to its client, or reads from it, in both families.
const SENDING: [&str; 2] = ["Sending to client", "Writing to net"];
const RECEIVING: [&str; 2] = ["Receiving from client", "Reading from net"];
/// After so many looks at a statement that waits for us, as we wait for it, the line is dead.
const DEAD: u32 = 2;
/// The same where all was handed to the system and may still be on its way over a slow line.
const DEAD_AFTER_SENDING: u32 = 4;

/// After so many looks in a row that see nothing, a statement that has no reason to take long is given up; and one that
/// may, like the building of an index.
const UNSEEN_CONTROL: u32 = 6;
const UNSEEN_BULK: u32 = 180;

/// Which way bytes are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// Bounds every wait of one connection. The time that nobody waits does not count: a reader may pause for long.
pub(super) struct Patience {
    silence: Duration,
    /// What is left of the silence since enough has moved.
    left: Duration,
    moved: usize,
    /// How many looks in a row have found the server waiting for us.
    stuck: u32,
    /// How many looks in a row have seen nothing, and how many may.
    unseen: u32,
    most_unseen: u32,
    /// The connection, once it is logged in.
    connection: Option<(Box<Address>, u32)>,
}

/// What a second connection sees of the statement.
enum Seen {
    Runs,
    /// Nobody can tell: the server takes no other connection, or a proxy has numbers of its own.
    Nothing,
    /// It sends, or waits for what we send.
    Sends,
    Receives,
    /// Nothing runs on the connection, or it is not there.
    Over,
}

impl Patience {
    pub(super) fn new(silence: Duration) -> Self {
        Self { silence, left: silence, moved: 0, stuck: 0, unseen: 0, most_unseen: UNSEEN_CONTROL, connection: None }
    }

    /// Allows another silence from now on.
    pub(super) fn allow(&mut self, silence: Duration) {
        self.silence = silence;
        self.restart();
    }

    /// Lets a second connection look what this one does, before it is given up.
    pub(super) fn watch(&mut self, address: &Address, traffic: TrafficClass, id: u32) {
        self.connection = Some((Box::new(address.clone()), id));
        self.most_unseen = if traffic == TrafficClass::Control { UNSEEN_CONTROL } else { UNSEEN_BULK };
    }

    /// Begins anew with each statement.
    pub(super) fn restart(&mut self) {
        (self.left, self.moved, self.stuck, self.unseen) = (self.silence, 0, 0, 0);
    }

    /// Waits until `work` has moved some bytes.
    ///
    /// # Errors
    /// `Connection`, retryable, if the connection breaks, or is silent and its statement does not run any more.
    pub(super) async fn wait(&mut self, way: Way, work: impl Future<Output = io::Result<usize>>) -> Result<usize> {
        let mut work = pin!(work);
        loop {
            let begun = Instant::now();
            if let Ok(moved) = timeout(self.left, &mut work).await {
                let moved = moved.map_err(|error| self.lost(error))?;
                self.moved += moved;
                self.left = self.left.saturating_sub(begun.elapsed());
                if self.moved >= ENOUGH {
                    self.restart();
                }
                return Ok(moved);
            }
            let looks = match (self.look().await?, way) {
                (Seen::Runs, _) => {
                    self.restart();
                    continue;
                }
                (Seen::Nothing, _) => {
                    self.left = self.silence;
                    self.unseen += 1;
                    if self.unseen >= self.most_unseen {
                        return Err(self.silent("and nobody can see whether it still runs the statement"));
                    }
                    continue;
                }
                (Seen::Receives, Way::In) => DEAD_AFTER_SENDING,
                (Seen::Sends | Seen::Receives, _) => DEAD,
                (Seen::Over, _) => 1,
            };
            self.left = self.silence;
            self.stuck += 1;
            // The answer may have been on its way. One that drips gets this time only once.
            if self.stuck == looks
                && let Ok(moved) = timeout(self.silence / 4, &mut work).await
            {
                return moved.map_err(|error| self.lost(error));
            }
            if self.stuck >= looks {
                return Err(self.silent("and it does not run the statement any more"));
            }
        }
    }

    async fn look(&self) -> Result<Seen> {
        let Some((address, id)) = &self.connection else { return Err(self.silent("while it logs us in")) };
        let nobody = || self.silent("and a second connection gets no answer either");
        // Without a second look at the second connection.
        let look = Box::pin(look(address, *id));
        match timeout(self.silence / 2, look).await {
            Ok(Ok(seen)) => Ok(seen),
            // The server is there: too many connections, for example.
            Ok(Err(error)) if error.code().is_some() => Ok(Seen::Nothing),
            Ok(Err(error)) => Err(nobody().caused_by(error)),
            Err(_) => Err(nobody()),
        }
    }

    fn silent(&self, why: &str) -> Error {
        let seconds = self.silence.as_secs() * u64::from(self.unseen.max(1));
        self.broken(format!("the server has sent and taken next to nothing for {seconds} s, {why}"))
    }

    fn lost(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.closed();
        }
        self.broken("the connection to the server broke".to_owned()).caused_by(error)
    }

    /// The error of a connection that the server has closed.
    pub(super) fn closed(&self) -> Error {
        self.named(closed())
    }

    fn broken(&self, message: String) -> Error {
        self.named(Error::new(ErrorKind::Connection, message).retryable())
    }

    /// Says which server it is; during the login somebody else does.
    fn named(&self, error: Error) -> Error {
        match &self.connection {
            Some((address, _)) => error.with(address.role.server(), address),
            None => error,
        }
    }
}

async fn look(address: &Address, id: u32) -> Result<Seen> {
    let mut conn = Conn::logged_in(address).await?;
    let rows = conn
        .rows(&format!("SELECT ID, COMMAND, STATE FROM information_schema.PROCESSLIST WHERE ID IN ({id}, {})", conn.id))
        .await?;
    let row = |id: u32| rows.iter().find(|row| row.number(0) == u64::from(id));
    Ok(match (row(conn.id), row(id)) {
        (None, _) => Seen::Nothing,
        (_, None) => Seen::Over,
        (_, Some(row)) if row.string(1) == "Sleep" => Seen::Over,
        (_, Some(row)) if SENDING.contains(&row.string(2).as_str()) => Seen::Sends,
        (_, Some(row)) if RECEIVING.contains(&row.string(2).as_str()) => Seen::Receives,
        _ => Seen::Runs,
    })
}
