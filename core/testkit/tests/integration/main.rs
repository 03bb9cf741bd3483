//! Tests of the test kit: servers start, serve and leave nothing behind, and comparisons find every difference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test, helpers included")]

mod compare;
mod nothing_left;
mod s3_and_sshd;
mod servers;
