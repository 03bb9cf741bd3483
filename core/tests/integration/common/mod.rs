//! What the tests share: servers of both families, databases of each test's own, and an independent comparison.

pub mod comparing;
#[cfg(feature = "cli")]
pub mod follower;
pub mod region;
pub mod seeded_random;

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dbgraft::{CloneJob, CloneOptions, Encryption, Event, Phase, Report};
use dbgraft_testkit::{
    Database, Flavor, Release, Server, ServerOptions, ServerPair, Tls, compare, pair_of, s3, source_of, target_of,
};
pub use dbgraft_testkit::{HANG_GUARD, becomes_true, no_hang, wait_until};

/// A short `--lock-wait` in seconds, which outlasts the locks of other tests: snapshots hold up all statements that
/// change a shared server, and on a busy machine for seconds.
pub const LOCK_WAIT: u64 = 5;

/// The condition that a row of PROCESSLIST waits for a lock or a flush. A commit that writes the log has a state with
/// `waiting for` too.
pub const WAITS_FOR_LOCK: &str = "(STATE LIKE 'Waiting for%lock' OR STATE = 'Waiting for table flush')";

pub const FLAVORS: [Flavor; 2] = [Flavor::MySql, Flavor::MariaDb];

/// The families on which a test runs whose subject does not depend on the family: see [`sampled`].
pub fn sampled_flavors() -> &'static [Flavor] {
    sampled(&FLAVORS)
}

/// The ways that a test takes. `make test` sets `DBGRAFT_TEST_SAMPLE`: one, which the test's name decides. Otherwise all.
pub fn sampled<T>(ways: &[T]) -> &[T] {
    let thread = std::thread::current();
    // A test runs on a thread of its name, on the main thread if there is one test at a time.
    match thread.name() {
        Some(test) if test.contains("::") && is_sampled() => {
            let first = test.bytes().map(usize::from).sum::<usize>() % ways.len();
            &ways[first..=first]
        }
        _ => ways,
    }
}

/// Whether tests run in one of several ways only.
pub fn is_sampled() -> bool {
    std::env::var_os("DBGRAFT_TEST_SAMPLE").is_some()
}

/// Runs a test on the sampled families, as [`on_each_flavor`] does.
pub fn on_sampled_flavors(test: impl AsyncFn(Flavor) + Sync) {
    on_flavors(sampled_flavors(), test);
}

/// Runs a test on each family, at the same time: most of it waits for servers. Each has a runtime of its own, so that one
/// may block.
pub fn on_each_flavor(test: impl AsyncFn(Flavor) + Sync) {
    on_flavors(&FLAVORS, test);
}

fn on_flavors(flavors: &[Flavor], test: impl AsyncFn(Flavor) + Sync) {
    std::thread::scope(|scope| {
        let run = |flavor| {
            let test = &test;
            scope.spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(test(flavor)))
        };
        let runs: Vec<_> = flavors.iter().copied().map(run).collect();
        for run in runs {
            run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// A pair of servers and names of databases that no other test uses.
pub struct Bench {
    pub pair: &'static ServerPair,
    pub from: String,
    pub to: String,
}

impl Bench {
    /// Databases for one test; the source's is made of these statements.
    pub fn new(flavor: Flavor, statements: &str) -> Self {
        let bench = Self::names(flavor);
        bench.pair.source.sql(&format!("CREATE DATABASE {}", quoted(&bench.from))).unwrap();
        bench.pair.source.sql_in(&bench.from, statements).unwrap();
        bench
    }

    /// An empty database for one test, to go from a server of one release to one of another.
    pub fn between(from: Release, to: Release) -> Self {
        let pair = ServerPair { source: source_of(from).clone(), target: target_of(to).clone() };
        let unique = unique();
        // The servers stay until the process ends, and such tests are few.
        let bench =
            Self { pair: Box::leak(Box::new(pair)), from: format!("from_{unique}"), to: format!("to_{unique}") };
        bench.pair.source.sql(&format!("CREATE DATABASE {}", quoted(&bench.from))).unwrap();
        bench
    }

    /// Names for databases of one test; nothing is made yet.
    pub fn names(flavor: Flavor) -> Self {
        let unique = unique();
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
        let key = std::env::var("AWS_SECRET_ACCESS_KEY");
        assert!(key.is_ok(), "S3 keys come from the environment only: run the tests by `testkit run -- cargo test`");
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

/// A file with a random key for archives; dropping it removes it.
pub struct KeyFile {
    path: PathBuf,
    digits: String,
}

impl KeyFile {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("dbgraft-key-{}", unique()));
        let digits = (0..4).map(|_| format!("{:016x}", RandomState::new().hash_one(&path))).collect::<String>();
        std::fs::write(&path, &digits).unwrap();
        Self { path, digits }
    }

    /// The key in hexadecimal digits.
    pub fn digits(&self) -> String {
        self.digits.clone()
    }

    /// The encryption by this key.
    pub fn encryption(&self) -> Encryption {
        Encryption::KeyFile(self.path.clone())
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the event says that rows were read.
pub fn rows_flow(event: &Event) -> bool {
    matches!(event, Event::Progress { phase: Phase::Rows, amount, .. } if amount.rows > 0)
}

/// A part of a name that no other test has.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// `name` as an identifier in SQL.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

pub fn exists(server: &Database, name: &str) -> bool {
    let name = name.replace('\\', "\\\\").replace('\'', "''");
    let sql = format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'");
    server.sql(&sql).unwrap().trim() == "1"
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.pair.source.sql(&format!("DROP DATABASE IF EXISTS {}", quoted(&self.from)));
        let _ = self.pair.target.sql(&format!("DROP DATABASE IF EXISTS {}", quoted(&self.to)));
    }
}

/// An account of one test, removed with it; it separates the test's connections from all others.
pub struct Account {
    server: Database,
    pub name: String,
}

impl Account {
    /// An account with these rights: `SELECT ON a.*, RELOAD ON *.*`.
    pub fn new(server: &Database, grants: &[&str]) -> Self {
        let name = format!("u{}", unique());
        server.sql(&format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'Secret-{name}'")).unwrap();
        for grant in grants {
            server.sql(&format!("GRANT {grant} TO '{name}'@'%'")).unwrap();
        }
        Self { server: server.clone(), name }
    }

    /// The server as this account sees it.
    pub fn server(&self) -> Database {
        self.server.with_account(&self.name, &format!("Secret-{}", self.name))
    }

    /// What the account's connections are doing, also if nothing.
    pub fn processes(&self) -> Vec<String> {
        let list = self.server.process_list();
        let sql = format!(
            "SELECT CONCAT(ID, ' ', COMMAND, ' ', COALESCE(STATE, ''), ' ', COALESCE(LEFT(INFO, 60), '')) \
             FROM {list} WHERE USER = '{}'",
            self.name
        );
        self.server.sql(&sql).unwrap().lines().map(str::to_owned).collect()
    }

    /// The account's connections with a statement that nobody has killed. A killed one is listed until its server has
    /// cleaned up; `performance_schema` does not tell it from others, this statement does.
    pub fn running(&self) -> Vec<String> {
        let list = self.server.sql("SHOW PROCESSLIST").unwrap();
        let is_running = |line: &&str| {
            let columns: Vec<&str> = line.split('\t').collect();
            columns.get(1) == Some(&self.name.as_str()) && !matches!(columns.get(4), Some(&"Sleep" | &"Killed"))
        };
        list.lines().filter(is_running).map(str::to_owned).collect()
    }

    /// Waits until the account has no connection left.
    pub fn assert_gone(&self) {
        let gone = wait_until(|| self.processes().is_empty());
        assert!(gone, "left on {}: {:?}", self.server.flavor, self.processes());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = self.server.sql(&format!("DROP USER '{}'@'%'", self.name));
    }
}

/// A command whose signals have their default actions. A shell's background job ignores SIGINT, and so would every child
/// of a test that a script starts.
pub fn with_default_signals(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal", program]);
    command
}

/// The limits of the pause after each round of a [`BackgroundLoop`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Repeats a step in a thread of its own until it is dropped. It pauses for four times as long as each step took, within
/// limits, so that the processors are free for what is tested.
pub struct BackgroundLoop {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl BackgroundLoop {
    /// Calls `round` with 0, 1, 2, … again and again; it says whether the round worked.
    pub fn new(mut round: impl FnMut(u32) -> bool + Send + 'static) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, counted) = (stop.clone(), rounds.clone());
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                if round(number) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                number += 1;
                std::thread::sleep((4 * begun.elapsed()).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
            }
        });
        Self { stop, rounds, thread: Some(thread) }
    }

    /// How many rounds worked.
    pub fn rounds(&self) -> u32 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits until the rounds have begun to work.
    pub fn assert_begun(&self) {
        assert!(wait_until(|| self.rounds() > 1), "no round works");
    }

    /// A listener that holds up its job, once rows flow, until some more rounds have worked: they fall into the job.
    pub fn listener(&self) -> impl Fn(Event) + Send + Sync + 'static {
        let (rounds, held) = (self.rounds.clone(), AtomicBool::new(false));
        move |event| {
            if rows_flow(&event) && !held.swap(true, Ordering::Relaxed) {
                let before = rounds.load(Ordering::Relaxed);
                assert!(wait_until(|| rounds.load(Ordering::Relaxed) > before + 3), "no round works meanwhile");
            }
        }
    }
}

impl Drop for BackgroundLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
