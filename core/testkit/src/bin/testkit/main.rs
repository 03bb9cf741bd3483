//! The test kit for programs in any language.

mod proxy;
mod run;
mod s3;
mod up;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use dbgraft_testkit::{Database, Release, SampleSize, ServerSelection};

#[derive(Parser)]
#[command(name = "testkit", about = "Starts and stops the real servers of dbgraft's tests and demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install MariaDB, sshd and MySQL on this Debian machine, and the further releases that are asked for
    Install {
        #[command(flatten)]
        releases: ReleaseFlags,
    },
    /// Start servers and print their addresses on one line; stop them at the end of standard input, SIGINT or SIGTERM
    Up {
        #[command(flatten)]
        servers: ServerFlags,
        /// Print JSON, the only format
        #[arg(long, required = true)]
        json: bool,
    },
    /// Start servers, run a command with their addresses in its environment, stop them
    Run {
        #[command(flatten)]
        servers: ServerFlags,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Create a database on a server and fill it with a small shop
    Sample {
        /// mysql://user:password@host:port
        url: String,
        /// The name of the new database
        #[arg(default_value = "shop")]
        database: String,
        /// About 16,000 rows in place of 300,000
        #[arg(long)]
        small: bool,
    },
    /// Compare two databases and print the differences; exit code 1 if there is one
    Compare {
        /// mysql://user:password@host:port/database
        first: String,
        /// mysql://user:password@host:port/database
        second: String,
    },
    /// Simulate network links to servers, with latency and a rate limit. Prints the URLs of the links, and for each
    /// line of standard input the bytes sent to and received from each server so far
    Proxy {
        /// URLs with host and port: ssh://…, mysql://…
        #[arg(required = true)]
        urls: Vec<String>,
        /// The round-trip time in milliseconds
        #[arg(long, default_value_t = 0)]
        round_trip: u64,
        /// The bytes per second of each link and direction; 0: no limit
        #[arg(long, default_value_t = 0)]
        rate: u64,
    },
    /// Serve a directory by the S3 protocol; the keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[command(hide = true)]
    S3 {
        /// The TCP port on 127.0.0.1
        port: u16,
        /// Each directory in it is a bucket
        root: PathBuf,
    },
}

/// Releases beside those that every test uses.
#[derive(Args)]
struct ReleaseFlags {
    /// A server of MySQL 5.6
    #[arg(long)]
    mysql56: bool,
    /// A server of MariaDB 10.5
    #[arg(long)]
    mariadb105: bool,
    /// A server of MariaDB 11.8
    #[arg(long)]
    mariadb118: bool,
}

impl ReleaseFlags {
    fn wanted(&self) -> Vec<Release> {
        let flags = [self.mysql56, self.mariadb105, self.mariadb118];
        Release::EXTRA.into_iter().zip(flags).filter_map(|(release, wanted)| wanted.then_some(release)).collect()
    }
}

/// Without any flag, MySQL, MariaDB, S3 and SSH.
#[derive(Args)]
struct ServerFlags {
    /// Two MySQL servers, source and target
    #[arg(long)]
    mysql: bool,
    /// Two MariaDB servers, source and target
    #[arg(long)]
    mariadb: bool,
    #[command(flatten)]
    releases: ReleaseFlags,
    /// An S3 server with a bucket
    #[arg(long)]
    s3: bool,
    /// Two SSH servers, source and target
    #[arg(long)]
    sshd: bool,
    /// Database servers flush their files to the disk, as they do by default: for benchmarks
    #[arg(long)]
    fsync: bool,
}

impl ServerFlags {
    fn wanted(&self) -> ServerSelection {
        let Self { mysql, mariadb, s3, sshd, fsync, .. } = *self;
        let extra = self.releases.wanted();
        if mysql || mariadb || s3 || sshd || !extra.is_empty() {
            ServerSelection { mysql, mariadb, extra, s3, sshd, fsync }
        } else {
            ServerSelection { fsync, ..ServerSelection::all() }
        }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Install { releases } => install(&releases.wanted()).map(|()| ExitCode::SUCCESS),
        Command::Up { servers, .. } => up::up(servers.wanted()).map(|()| ExitCode::SUCCESS),
        Command::Run { servers, command } => run::run(servers.wanted(), &command),
        Command::Sample { url, database, small } => sample(&url, &database, small).map(|()| ExitCode::SUCCESS),
        Command::Compare { first, second } => compare(&first, &second).map(|()| ExitCode::SUCCESS),
        Command::Proxy { urls, round_trip, rate } => proxy::serve(&urls, round_trip, rate).map(|()| ExitCode::SUCCESS),
        Command::S3 { port, root } => s3::serve(port, &root).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "testkit: {error}");
        ExitCode::FAILURE
    })
}

fn install(extra: &[Release]) -> Result<(), Failure> {
    Ok(dbgraft_testkit::install(extra, print_message)?)
}

fn sample(url: &str, name: &str, small: bool) -> Result<(), Failure> {
    let size = if small { SampleSize::Small } else { SampleSize::Full };
    Ok(dbgraft_testkit::sample(&Database::from_url(url)?, name, size)?)
}

fn compare(first: &str, second: &str) -> Result<(), Failure> {
    let (a, name_a) = Database::from_database_url(first)?;
    let (b, name_b) = Database::from_database_url(second)?;
    Ok(dbgraft_testkit::compare(&a, &name_a, &b, &name_b)?)
}

/// An error with a message.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn print_message(line: &str) {
    let _ = writeln!(io::stderr(), "testkit: {line}");
}
