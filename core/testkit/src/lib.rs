//! Starts and stops the real servers that dbgraft's tests, demo and benchmarks use: MySQL, MariaDB, S3, SSH.
//!
//! ```no_run
//! let server = dbgraft_testkit::MySql::start()?;
//! assert_eq!(server.sql("SELECT 1")?, "1");
//! # Ok::<(), dbgraft_testkit::Error>(())
//! ```
//!
//! Tests with default servers share them: [`mysql_pair`], [`mariadb_pair`], [`s3`], [`sshd`]. The
//! handle of any other server owns it: when the handle is dropped or the process ends, even by SIGKILL, the server is
//! stopped and its files are removed. The `testkit` executable does the same for programs in other languages.
//!
//! `testkit install` installs what a Debian machine needs for this.

mod binary;
mod certificates;
mod client;
mod compare;
mod database;
mod error;
mod flavor;
mod greeting;
mod guard;
mod hang_guard;
mod install;
mod paths;
mod port;
mod programs;
mod proxy;
mod random;
mod release;
mod running;
mod s3;
mod sample;
mod script;
mod server;
mod shared;
mod sshd;
mod template;

pub use client::Session;
pub use compare::{CompareOptions, Dump, compare, compare_with, dump};
pub use database::Database;
pub use error::{Error, Result};
pub use flavor::Flavor;
pub use hang_guard::{HANG_GUARD, becomes_true, no_hang, wait_until};
pub use install::install;
pub use paths::cache_dir;
pub use programs::MYSQLD;
pub use proxy::Proxy;
pub use release::Release;
pub use running::{RunningServers, ServerPair, ServerSelection, Servers};
pub use s3::{Bucket, S3};
pub use sample::{SampleSize, sample};
pub use server::{MariaDb, MySql, Server, ServerOptions, Tls};
pub use shared::{mariadb_pair, mysql_pair, pair_of, s3, source_of, sshd, target_of};
pub use sshd::{SshHost, Sshd, SshdOptions};
