//! What the tests share: servers of both families, databases of each test's own, and an independent comparison.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::atomic::{AtomicU32, Ordering};

use dbgraft::{CloneJob, CloneOptions, Report};
use dbgraft_testkit::{Database, Flavor, Pair, Server, ServerOptions, Tls, compare, pair_of, s3};

pub const FLAVORS: [Flavor; 2] = [Flavor::MySql, Flavor::MariaDb];

/// A pair of servers and names of databases that no other test uses.
pub struct Bench {
    pub pair: &'static Pair,
    pub from: String,
    pub to: String,
}

impl Bench {
    /// Databases for one test; the source's is made of these statements.
    pub fn new(flavor: Flavor, statements: &str) -> Self {
        let bench = Self::names(flavor);
        bench.pair.source.sql(&format!("CREATE DATABASE `{}`", bench.from)).unwrap();
        bench.pair.source.sql_in(&bench.from, statements).unwrap();
        bench
    }

    /// Names for databases of one test; nothing is made yet.
    pub fn names(flavor: Flavor) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { pair: pair_of(flavor), from: format!("from_{unique}"), to: format!("to_{unique}") }
    }

    pub fn source_url(&self) -> String {
        self.pair.source.url_of(&self.from)
    }

    pub fn target_url(&self) -> String {
        self.pair.target.url_of(&self.to)
    }

    /// An archive location in the test bucket.
    pub fn s3(&self, prefix: &str) -> String {
        let told = std::env::var("AWS_SECRET_ACCESS_KEY");
        assert!(told.is_ok(), "S3 keys come from the environment only: run the tests by `testkit run -- cargo test`");
        format!("{}?endpoint={}", s3().url_of(prefix), s3().endpoint)
    }

    pub fn source(&self, sql: &str) -> String {
        self.pair.source.sql_in(&self.from, sql).unwrap().trim_end().to_owned()
    }

    pub fn target(&self, sql: &str) -> String {
        self.pair.target.sql_in(&self.to, sql).unwrap().trim_end().to_owned()
    }

    pub fn job(&self, options: CloneOptions) -> CloneJob {
        CloneJob::new(self.source_url(), self.target_url()).options(options)
    }

    pub async fn clone(&self, options: CloneOptions) -> dbgraft::Result<Report> {
        self.job(options).run().await
    }

    /// Compares source and target by a tool that knows nothing of the engine.
    pub fn assert_equal(&self) {
        compare(&self.pair.source, &self.from, &self.pair.target, &self.to).unwrap_or_else(|error| panic!("{error}"));
    }

    pub fn target_exists(&self) -> bool {
        exists(&self.pair.target, &self.to)
    }
}

/// A server of one test's own, with an empty database `tls`.
pub fn started(flavor: Flavor, tls: Tls) -> Server {
    let server = ServerOptions::new(flavor).tls(tls).start().unwrap();
    server.sql("CREATE DATABASE tls").unwrap();
    server
}

pub fn exists(server: &Database, name: &str) -> bool {
    let sql = format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'");
    server.sql(&sql).unwrap().trim() == "1"
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.pair.source.sql(&format!("DROP DATABASE IF EXISTS `{}`", self.from));
        let _ = self.pair.target.sql(&format!("DROP DATABASE IF EXISTS `{}`", self.to));
    }
}
