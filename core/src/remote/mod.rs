//! Agents on other sites, as the coordinator uses them: a source and a sink whose work runs on an agent.

mod applier;
mod batch_frame;
mod change_frame;
mod client;
mod control;
mod control_task;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lane;
mod launch;
mod offers;
mod sink;
mod source;

pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod outbox;

use std::time::Duration;

pub(crate) use batch_frame::BatchFrame;
pub(crate) use change_frame::ChangeFrame;
pub(crate) use client::AgentClient;
pub(crate) use sink::RemoteSink;
pub(crate) use source::RemoteSource;

/// The version of the messages in [`message`]. It increases with every change of their names or fields.
const PROTOCOL: u32 = 7;

/// The beginning of the handshake: the first line that an agent writes, after any output of the login.
/// [`handshake_version`] and a newline follow.
pub(crate) const HANDSHAKE_PREFIX: &str = "\ndbgraft agent ";

/// The version in the handshake, which must be equal on both sides: `0.1.0 protocol 7`.
pub(crate) fn handshake_version() -> String {
    format!("{} protocol {PROTOCOL}", env!("CARGO_PKG_VERSION"))
}

/// How often each side sends a keep-alive message.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A connection over which no message arrives for this long is considered broken.
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long each side waits for a new control connection after one broke.
pub(crate) const REATTACH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the transfer of one message may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(600);
/// The intended size of a batch, or of changes, on a lane, in bytes. Small ones keep the network busy from the start to the
/// end.
pub(crate) const LANE_BATCH_BYTES: usize = 4 << 20;
