//! The work of one end on another site: what an agent is told and tells, and a source and a sink that ask one.

mod launch;

pub(crate) use launch::{Launched, Launcher};

/// The first line that an agent writes, after whatever else was printed at login; its version and a newline follow.
pub(crate) const GREETING: &str = "\ndbgraft agent ";
