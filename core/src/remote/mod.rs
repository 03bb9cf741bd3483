//! The work of one end on another site: what an agent is told and tells, and a source and a sink that ask one.

mod client;
mod lane;
mod launch;
mod line;
mod parcel;
mod sink;
mod source;

pub(crate) mod message;
pub(crate) mod wire;

use std::time::Duration;

pub(crate) use client::Agent;
pub(crate) use parcel::{pack, unpack};
pub(crate) use sink::RemoteSink;
pub(crate) use source::RemoteSource;

/// The first line that an agent writes, after whatever else was printed at login; its version and a newline follow.
pub(crate) const GREETING: &str = "\ndbgraft agent ";

/// How often each side says that it is still there.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so long without a word the other side is taken for lost.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);
/// How long one message may be on its way.
pub(crate) const LONGEST_MESSAGE: Duration = Duration::from_secs(600);
