//! What dbgraft promises, on real servers: one module for each promise. One executable, so that the tests of all
//! modules run side by side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]
#![allow(clippy::indexing_slicing, reason = "an index that is not there fails the test")]
#![allow(unreachable_pub, reason = "what modules share is public")]

mod across;
mod between;
mod cancel;
mod chunks;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod cli_servers;
mod common;
mod conformance;
mod digests;
mod examples;
mod generated;
mod if_exists;
mod keys;
mod launch;
mod memory;
mod moment;
mod names;
mod objects;
mod ours;
mod regions;
mod resume;
mod retry;
mod sizes;
mod soak;
mod ssh;
mod tls;
mod told;
mod values;
mod verify;
mod verify_ends;
mod versions;
mod whole;
