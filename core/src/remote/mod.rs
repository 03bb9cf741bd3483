//! Agents on other sites, as the coordinator uses them: a source and a sink whose work runs on an agent.

mod batch_frame;
mod client;
mod control;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod lane;
mod launch;
mod sink;
mod source;

pub(crate) mod frame;
pub(crate) mod message;

use std::time::Duration;

pub(crate) use batch_frame::BatchFrame;
pub(crate) use client::AgentClient;
pub(crate) use sink::RemoteSink;
pub(crate) use source::RemoteSource;

/// The version of the messages in [`message`]. It increases with every change of their names or fields.
const PROTOCOL: u32 = 4;

/// The beginning of the handshake: the first line that an agent writes, after any output of the login.
/// [`handshake_version`] and a newline follow.
pub(crate) const HANDSHAKE_PREFIX: &str = "\ndbgraft agent ";

/// The version in the handshake, which must be equal on both sides: `0.1.0 protocol 4`.
pub(crate) fn handshake_version() -> String {
    format!("{} protocol {PROTOCOL}", env!("CARGO_PKG_VERSION"))
}

/// How often each side sends a keep-alive message.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A side that sends no message for this long is considered lost.
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the transfer of one message may take.
pub(crate) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(600);
