//! Tests on real servers: one module for each subject. One executable, so that the tests of all
//! modules run in parallel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]
#![allow(clippy::indexing_slicing, reason = "an index that is not there fails the test")]
#![allow(unreachable_pub, reason = "what modules share is public")]

#[cfg(feature = "cli")]
mod abandon;
mod cancel;
mod chunks;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod cli_servers;
mod coexistence;
mod common;
mod conformance;
mod cross_family_conformance;
mod cross_family_values;
#[cfg(feature = "cli")]
mod database_lock;
mod digests;
mod encrypted_archives;
#[cfg(feature = "cli")]
mod encrypted_remains;
mod examples;
mod follow;
mod follow_back;
mod follow_custom;
#[cfg(feature = "cli")]
mod follow_ddl;
#[cfg(feature = "cli")]
mod follow_filters;
mod follow_replica;
#[cfg(feature = "cli")]
mod follow_rows;
#[cfg(feature = "cli")]
mod follow_sites;
#[cfg(feature = "cli")]
mod follow_verify;
mod follow_xa;
mod if_exists;
#[cfg(feature = "cli")]
mod journal;
mod keys;
#[cfg(feature = "cli")]
mod kills;
mod launch;
#[cfg(feature = "cli")]
mod lost_regions;
mod memory;
mod names;
mod objects;
mod pauses;
mod random_tables;
mod regions;
mod reported_differences;
#[cfg(feature = "cli")]
mod resume;
#[cfg(feature = "cli")]
mod resume_accounts;
#[cfg(feature = "cli")]
mod resume_agents;
#[cfg(feature = "cli")]
mod resume_catch_up;
#[cfg(feature = "cli")]
mod resume_exports;
#[cfg(feature = "cli")]
mod resume_moments;
#[cfg(feature = "cli")]
mod resume_refusals;
mod retry;
mod sample_database;
mod sizes;
mod snapshot_consistency;
mod ssh;
mod tls;
mod unfinished_clones;
mod values;
mod verify;
mod verify_endpoints;
mod versions;
