//! Transfers the messages of a control connection, and makes the connection again when it breaks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::REATTACH_TIMEOUT;
use super::frame::{FrameReader, FrameWriter};
use super::lane::{BatchLane, unexpected_response};
use super::launch::{AgentLauncher, AgentProcess};
use super::message::{AgentMessage, CoordinatorMessage, LaneAddress, LaneRequest, LaneResponse};
use super::outbox::{Outbox, read_message, write_messages};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventEmitter};
use crate::retry::RetryPolicy;
use crate::ssh::RemoteProcess;

/// How long to wait for the exit status of an agent whose output has ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an agent may take to exit after the last message.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The most warnings that are kept for the report.
const MAX_WARNINGS: usize = 100;

/// The warnings about connections to an agent that were made again.
#[derive(Default)]
pub(super) struct ConnectionWarnings {
    /// Gets each warning as an event.
    pub(super) events: OnceLock<EventEmitter>,
    log: Mutex<Vec<String>>,
}

impl ConnectionWarnings {
    fn add(&self, message: String) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() < MAX_WARNINGS {
            log.push(message.clone());
        }
        drop(log);
        if let Some(events) = self.events.get() {
            events.emit(Event::Warning { message });
        }
    }

    /// The first warnings, in order.
    pub(super) fn to_vec(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The task of a control connection.
pub(super) struct ControlTask {
    pub(super) launcher: Arc<AgentLauncher>,
    pub(super) host: String,
    pub(super) lane_address: LaneAddress,
    pub(super) outbox: Arc<Outbox<CoordinatorMessage>>,
    pub(super) warnings: Arc<ConnectionWarnings>,
    /// Cancelled when nobody uses the connection any more.
    pub(super) dropped: CancellationToken,
    /// The attempts to make the connection again.
    pub(super) attempts: AtomicU64,
}

/// The streams to an agent.
pub(super) struct AgentStreams {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
    /// Dropping it closes the SSH connection.
    pub(super) process: AgentProcess,
    /// Whether the process is the agent itself; if not, it relays a lane to it.
    pub(super) is_agent: bool,
    /// The number of the last message that the agent has received.
    pub(super) sent: u64,
}

impl ControlTask {
    /// Transfers messages until the agent has ended or cannot be reached any more. Returns why.
    pub(super) async fn run(self, mut streams: AgentStreams, handle: impl Fn(AgentMessage, Bytes)) -> String {
        loop {
            let error = self.transfer(&mut streams, &handle).await;
            if !error.is_retryable() {
                return error.to_string();
            }
            let (has_ended, why) = describe_end(&mut streams.process.process, &error).await;
            if has_ended && streams.is_agent || self.outbox.is_closed() {
                return why;
            }
            drop(streams);
            let broken_at = Instant::now();
            streams = match self.attach_with_retries().await {
                Ok(attached) => attached,
                Err(error) => return format!("{why}, and it cannot be reached again: {error}"),
            };
            let (host, seconds) = (&self.host, broken_at.elapsed().as_secs_f64());
            let message = format!(
                "the control connection to the agent on {host} broke ({why}) and was made again after {seconds:.1} s"
            );
            self.warnings.add(message);
        }
    }

    /// Reads and writes until one of them fails, or until the agent should have ended.
    async fn transfer(&self, streams: &mut AgentStreams, handle: impl Fn(AgentMessage, Bytes)) -> Error {
        let AgentStreams { reader, writer, sent, .. } = streams;
        let read = async {
            loop {
                match read_message(reader, &self.outbox).await {
                    Ok((message, body)) => handle(message, body),
                    Err(error) => return error,
                }
            }
        };
        let write = async {
            match write_messages(&self.outbox, writer, *sent).await {
                Ok(()) => sleep(SHUTDOWN_TIMEOUT).await,
                // The reader finds out why.
                Err(_) => std::future::pending().await,
            }
            Error::new(ErrorKind::Connection, "it does not end")
        };
        tokio::select! {
            error = read => error,
            error = write => error,
            error = self.outbox.wait_for_overflow() => error,
        }
    }

    async fn attach_with_retries(&self) -> Result<AgentStreams> {
        let last = Mutex::new(None);
        let keep = |error: &Error| *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        let policy = RetryPolicy::for_reattachment();
        let attached = tokio::select! {
            attached = timeout(REATTACH_TIMEOUT, policy.run(|| self.attach(), keep)) => attached,
            () = self.dropped.cancelled() => return Err(Error::new(ErrorKind::Cancelled, "the job has ended")),
        };
        attached.unwrap_or_else(|_| {
            let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
            let last = last.map(|last| format!(": {last}")).unwrap_or_default();
            let message = format!("no connection within {} s{last}", REATTACH_TIMEOUT.as_secs());
            Err(Error::new(ErrorKind::Connection, message))
        })
    }

    /// Opens a lane to the agent and makes it the control connection.
    async fn attach(&self) -> Result<AgentStreams> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let mut lane = BatchLane::open(self.launcher.start().await?, self.lane_address.clone()).await?;
        let request = LaneRequest::Attach { attempt, received: self.outbox.received() };
        let exchange = async {
            lane.send(&request, &[]).await?;
            lane.receive().await
        };
        match exchange.await {
            Ok((LaneResponse::Attached { received }, _)) => {
                self.outbox.acknowledge(received)?;
                let (reader, writer, process) = lane.into_parts();
                Ok(AgentStreams { reader, writer, process, is_agent: false, sent: received })
            }
            Ok(_) => Err(unexpected_response()),
            Err(error) => match timeout(EXIT_TIMEOUT, lane.exit_code()).await {
                // The relay has found no agent.
                Ok(Some(1..)) => Err(Error::new(ErrorKind::Connection, "it has ended")),
                _ => Err(error),
            },
        }
    }
}

/// Whether the process has ended, and how it or its connection did, with the last line of its standard error.
async fn describe_end(process: &mut RemoteProcess, error: &Error) -> (bool, String) {
    let ended = timeout(EXIT_TIMEOUT, process.exit_status()).await.ok();
    let stderr = process.stderr();
    let last_line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let (has_ended, how) = match ended.as_ref().map(|ended| (&ended.signal, ended.code)) {
        Some((Some(signal), _)) => (true, format!("it was ended by the signal {signal}")),
        Some((None, Some(code))) => (true, format!("it ended with exit code {code}")),
        Some((None, None)) => (false, "the connection to it broke".to_owned()),
        None => (false, error.to_string()),
    };
    (has_ended, if last_line.is_empty() { how } else { format!("{how}: {last_line}") })
}

/// Describes how a process ended that never became an agent.
pub(super) async fn describe_exit(process: &mut RemoteProcess) -> String {
    describe_end(process, &Error::new(ErrorKind::Connection, "it has closed its output")).await.1
}
