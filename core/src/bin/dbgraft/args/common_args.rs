//! The arguments that `clone`, `plan` and `verify` share, and their conversion to the library's options.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use dbgraft::{AgentCredentials, CloneOptions, Encryption, Error, Result};

use super::{HOW, MEANS, OUTPUT, WHAT, WHERE};

/// The arguments of `clone`, `plan` and `verify`.
#[derive(Args)]
pub(crate) struct CommonArgs {
    /// The source: a mysql://, s3:// or file:// URL
    pub(crate) source: String,
    /// The target: a mysql://, s3:// or file:// URL
    pub(crate) target: String,

    /// Clone only objects of this name, or kind:name (`view:v_*`)
    #[arg(long, value_name = "GLOB", help_heading = WHAT)]
    include: Vec<String>,
    /// Leave out the objects of this name, or kind:name
    #[arg(long, value_name = "GLOB", help_heading = WHAT)]
    exclude: Vec<String>,
    /// Clone only rows of TABLE that match the SQL CONDITION
    #[arg(long = "where", value_name = "TABLE=CONDITION", help_heading = WHAT)]
    filters: Vec<String>,

    /// List the keys of rows that differ
    #[arg(long, help_heading = HOW)]
    list_rows: bool,

    /// Number of reading connections, and of loading connections
    #[arg(long, value_name = "N", default_value_t = CloneOptions::default().threads, help_heading = MEANS)]
    threads: usize,
    /// Maximum bytes of rows in flight: 256M, 1G
    #[arg(long, value_name = "SIZE", default_value = "256M", help_heading = MEANS, value_parser = dbgraft::parse_size)]
    memory: u64,
    /// Maximum bytes of rows read per second: 10M
    #[arg(long, value_name = "BYTES", help_heading = MEANS, value_parser = dbgraft::parse_size)]
    max_rate: Option<u64>,
    /// Pause while more threads run statements at the source or the target, this clone's own aside
    #[arg(long, value_name = "THREADS", help_heading = MEANS)]
    max_load: Option<u64>,
    /// Read without a consistent snapshot
    #[arg(long, help_heading = MEANS)]
    no_consistency: bool,
    /// Maximum wait for a lock of another session: 60, 5m
    #[arg(long, value_name = "SECONDS", default_value = "60", help_heading = MEANS, value_parser = dbgraft::parse_seconds)]
    lock_wait: u64,
    /// Do not request the global read lock while a statement has run at the source for this long; 0 disables the check
    #[arg(long, value_name = "SECONDS", default_value = "2", help_heading = MEANS, value_parser = dbgraft::parse_seconds)]
    lock_guard: u64,

    /// Encrypt and decrypt archives: by a passphrase, which is asked for, or by key-file=FILE
    #[arg(long, value_name = "HOW", help_heading = MEANS)]
    encrypt: Option<Encryption>,

    /// Connect to the source through this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    source_tunnel: Option<String>,
    /// Connect to the target through this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    target_tunnel: Option<String>,
    /// Run the source's work on this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    source_agent: Option<String>,
    /// Run the target's work on this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    target_agent: Option<String>,
    /// The dbgraft executable to copy to an agent's host; default: this one
    #[arg(long, value_name = "FILE", help_heading = WHERE)]
    agent_binary: Option<PathBuf>,
    /// How agents get access to S3: presigned or inherit (the host's own role)
    #[arg(long, value_name = "HOW", default_value = "presigned", help_heading = WHERE, value_parser = credentials())]
    agent_credentials: AgentCredentials,
    /// Accept any SSH host key
    #[arg(long, help_heading = WHERE)]
    insecure_accept_any_host_key: bool,

    /// How to show progress; json is one event a line on standard output, all else is on standard error
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto", help_heading = OUTPUT)]
    pub(crate) progress: ProgressMode,
    /// Write the report as JSON to FILE, - for standard output (then the summary is on standard error)
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) report: Option<PathBuf>,
}

/// The display of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, plain lines elsewhere
    Auto,
    /// Bars
    Bar,
    /// Lines, one every few seconds
    Plain,
    /// Events as JSON, one a line, on standard output
    Json,
    /// Nothing
    None,
}

impl CommonArgs {
    /// Converts the arguments to the library's options.
    pub(crate) fn options(&self) -> Result<CloneOptions> {
        let mut options = CloneOptions {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            encrypt: self.encrypt.clone(),
            source_tunnel: self.source_tunnel.clone(),
            target_tunnel: self.target_tunnel.clone(),
            source_agent: self.source_agent.clone(),
            target_agent: self.target_agent.clone(),
            agent_binary: self.agent_binary.clone(),
            agent_credentials: self.agent_credentials,
            insecure_accept_any_host_key: self.insecure_accept_any_host_key,
            list_rows: self.list_rows,
            threads: self.threads,
            memory: self.memory,
            max_rate: self.max_rate,
            max_load: self.max_load,
            no_consistency: self.no_consistency,
            lock_wait: self.lock_wait,
            lock_guard: self.lock_guard,
            ..CloneOptions::default()
        };
        for filter in &self.filters {
            let (table, condition) = parse_filter(filter)?;
            if options.filters.insert(table.to_owned(), condition.to_owned()).is_some() {
                return Err(Error::usage(format!(
                    "--where {filter}: table {table} has a condition already; join them by AND"
                )));
            }
        }
        Ok(options)
    }

    /// Whether standard output carries JSON only.
    pub(crate) fn stdout_is_json(&self) -> bool {
        self.progress == ProgressMode::Json || self.report.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }
}

fn parse_filter(text: &str) -> Result<(&str, &str)> {
    match text.split_once('=').map(|(table, condition)| (table.trim(), condition.trim())) {
        None => Err(Error::usage(format!("--where {text}: the `=` of TABLE=CONDITION is missing"))),
        Some(("", _)) => Err(Error::usage(format!("--where {text}: the table before the `=` is missing"))),
        Some((_, "")) => Err(Error::usage(format!("--where {text}: the condition after the `=` is missing"))),
        Some(parts) => Ok(parts),
    }
}

fn credentials() -> impl TypedValueParser<Value = AgentCredentials> {
    PossibleValuesParser::new(["presigned", "inherit"]).try_map(|text| text.parse::<AgentCredentials>())
}
