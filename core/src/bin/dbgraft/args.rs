//! The command line arguments, and their conversion to the library's options.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use dbgraft::{AgentCredentials, CloneOptions, Definer, Error, IfExists, OnUnsupported, Result, Verify};

#[derive(Parser)]
#[command(name = "dbgraft", version, about = "Clones MySQL and MariaDB databases, directly or through S3")]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Clone SOURCE into TARGET
    #[command(after_long_help = ENDPOINTS)]
    Clone {
        #[command(flatten)]
        request: Box<CloneArgs>,
        /// Write nothing, like `dbgraft plan`
        #[arg(long, help_heading = OUTPUT)]
        dry_run: bool,
    },
    /// Show what a clone would do and all problems that would prevent it; write nothing
    #[command(after_long_help = ENDPOINTS)]
    Plan {
        #[command(flatten)]
        request: Box<CloneArgs>,
    },
    /// Compare the rows of SOURCE with those of TARGET; change neither
    #[command(after_long_help = ENDPOINTS)]
    Verify {
        #[command(flatten)]
        common: Box<CommonArgs>,
        /// How to compare: counts or checksum
        #[arg(long, value_name = "HOW", default_value = "checksum", help_heading = HOW, value_parser = comparison())]
        verify: Verify,
    },
    /// Show how far the clone into TARGET is: running, or killed, of what, since when
    #[command(after_long_help = ENDPOINTS)]
    Status {
        #[command(flatten)]
        target: Box<TargetArgs>,
        /// Write the result as JSON to standard output
        #[arg(long, help_heading = OUTPUT)]
        json: bool,
    },
    /// Remove what a killed clone has left in TARGET, its staged archive too; what was there before stays
    #[command(after_long_help = ENDPOINTS)]
    Abandon {
        #[command(flatten)]
        target: Box<TargetArgs>,
    },
    /// Run the agent of a clone on this host; a coordinator starts it over SSH
    Agent,
}

/// Whether `option` takes a value that is not a URL.
pub(crate) fn takes_text(option: &str) -> bool {
    let Some(name) = option.strip_prefix("--") else { return false };
    let command = Cli::command();
    let mut all = command.get_subcommands().flat_map(clap::Command::get_arguments);
    !takes_url(option) && all.any(|argument| argument.get_long() == Some(name) && argument.get_action().takes_values())
}

/// Whether `option` takes a URL.
pub(crate) fn takes_url(option: &str) -> bool {
    option == "--via" || (option.starts_with("--") && (option.ends_with("-tunnel") || option.ends_with("-agent")))
}

const WHAT: &str = "What is cloned";
const HOW: &str = "How";
const MEANS: &str = "With what means";
const WHERE: &str = "Where the work runs";
const OUTPUT: &str = "Output";

const ENDPOINTS: &str = "\
Endpoints:
  mysql://user@host:3306/database
      ssl-mode=disabled|preferred|required|verify-ca|verify-identity
      ssl-ca=FILE, ssl-cert=FILE, ssl-key=FILE, socket=FILE
      server-public-key=FILE, cleartext-password=allow
  s3://bucket/prefix
      region=NAME, endpoint=URL; keys come from the AWS environment
  file:///dir
      a directory in the place of S3

Passwords are best left out of a URL. Then DBGRAFT_SOURCE_PASSWORD and
DBGRAFT_TARGET_PASSWORD are used, or the [client] group of ~/.my.cnf, or you
are asked on the terminal.

Exit codes: 0 done; 1 failed, `plan` found a problem, or a comparison found a
difference; 2 wrong usage, nothing was touched; 130 cancelled.

Example:
  dbgraft clone mysql://root@db1/shop mysql://root@db2/copy --via s3://bucket/tmp";

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
    /// Read without a consistent snapshot
    #[arg(long, help_heading = MEANS)]
    no_consistency: bool,
    /// Maximum wait for a lock of another session: 60, 5m
    #[arg(long, value_name = "SECONDS", default_value = "60", help_heading = MEANS, value_parser = dbgraft::parse_seconds)]
    lock_wait: u64,
    /// Do not request the global read lock while a statement has run at the source for this long; 0 disables the check
    #[arg(long, value_name = "SECONDS", default_value = "2", help_heading = MEANS, value_parser = dbgraft::parse_seconds)]
    lock_guard: u64,

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

/// The arguments of `clone` and `plan`.
#[derive(Args)]
pub(crate) struct CloneArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    /// Clone triggers, also in a partial clone
    #[arg(long, help_heading = WHAT, conflicts_with = "no_triggers")]
    triggers: bool,
    /// Clone no triggers, also in a full clone
    #[arg(long, help_heading = WHAT)]
    no_triggers: bool,
    /// Clone functions, procedures and packages, also in a partial clone
    #[arg(long, help_heading = WHAT, conflicts_with = "no_routines")]
    routines: bool,
    /// Clone no functions, procedures and packages, also in a full clone
    #[arg(long, help_heading = WHAT)]
    no_routines: bool,
    /// Clone events, also in a partial clone
    #[arg(long, help_heading = WHAT, conflicts_with = "no_events")]
    events: bool,
    /// Clone no events, also in a full clone
    #[arg(long, help_heading = WHAT)]
    no_events: bool,
    /// Clone definitions only
    #[arg(long, help_heading = WHAT)]
    schema_only: bool,
    /// Clone rows only, into existing tables
    #[arg(long, help_heading = WHAT)]
    data_only: bool,

    /// What to do with a table that already exists
    #[arg(long, value_name = "WHAT", default_value = "fail", help_heading = HOW, value_parser = if_exists())]
    if_exists: IfExists,
    /// Drop the target database and create it again
    #[arg(long, help_heading = HOW)]
    recreate_database: bool,
    /// The definer of views, routines, triggers and events: strip, keep or USER@HOST
    #[arg(long, default_value = "strip", help_heading = HOW)]
    definer: Definer,
    /// What to do with objects that the target does not support: refuse, skip or degrade
    #[arg(long, value_name = "WHAT", default_value = "refuse", help_heading = HOW, value_parser = on_unsupported())]
    on_unsupported: OnUnsupported,
    /// Compare the clone with what was read: none, counts or checksum
    #[arg(long, value_name = "HOW", default_value = "none", help_heading = HOW, value_parser = verify())]
    verify: Verify,
    /// Do not write the target's binary log; its replicas do not get the clone
    #[arg(long, help_heading = HOW)]
    skip_binlog: bool,
    /// Remove the whole clone when the target refuses an index, a foreign key, a view, a routine, a trigger or an event
    #[arg(long, help_heading = HOW)]
    all_or_nothing: bool,

    /// Go on with a clone that was killed, by the same source, target and options
    #[arg(long, help_heading = HOW)]
    resume: bool,

    /// Stage the rows through s3://bucket/prefix or file:///dir; removed at the end
    #[arg(long, value_name = "URL", help_heading = MEANS)]
    via: Option<String>,
    /// Keep the staged archive, after success and after failure
    #[arg(long, help_heading = MEANS)]
    keep_archive: bool,
}

/// The arguments of `status` and `abandon`.
#[derive(Args)]
pub(crate) struct TargetArgs {
    /// The target: a mysql://, s3:// or file:// URL
    pub(crate) target: String,

    /// Maximum wait for a lock of another session: 60, 5m
    #[arg(long, value_name = "SECONDS", default_value = "60", help_heading = MEANS, value_parser = dbgraft::parse_seconds)]
    lock_wait: u64,

    /// Connect to the target through this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    target_tunnel: Option<String>,
    /// Run the work on this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    target_agent: Option<String>,
    /// The dbgraft executable to copy to an agent's host; default: this one
    #[arg(long, value_name = "FILE", help_heading = WHERE)]
    agent_binary: Option<PathBuf>,
    /// Accept any SSH host key
    #[arg(long, help_heading = WHERE)]
    insecure_accept_any_host_key: bool,
}

impl TargetArgs {
    /// Converts the arguments to the library's options.
    pub(crate) fn options(&self) -> CloneOptions {
        CloneOptions {
            lock_wait: self.lock_wait,
            target_tunnel: self.target_tunnel.clone(),
            target_agent: self.target_agent.clone(),
            agent_binary: self.agent_binary.clone(),
            insecure_accept_any_host_key: self.insecure_accept_any_host_key,
            ..CloneOptions::default()
        }
    }
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

impl CloneArgs {
    /// Converts the arguments to the library's options.
    pub(crate) fn options(&self) -> Result<CloneOptions> {
        Ok(CloneOptions {
            via: self.via.clone(),
            keep_archive: self.keep_archive,
            triggers: yes_or_no(self.triggers, self.no_triggers),
            routines: yes_or_no(self.routines, self.no_routines),
            events: yes_or_no(self.events, self.no_events),
            schema_only: self.schema_only,
            data_only: self.data_only,
            if_exists: self.if_exists,
            recreate_database: self.recreate_database,
            definer: self.definer.clone(),
            on_unsupported: self.on_unsupported,
            verify: self.verify,
            skip_binlog: self.skip_binlog,
            all_or_nothing: self.all_or_nothing,
            resume: self.resume,
            ..self.common.options()?
        })
    }
}

fn yes_or_no(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

fn parse_filter(text: &str) -> Result<(&str, &str)> {
    match text.split_once('=').map(|(table, condition)| (table.trim(), condition.trim())) {
        None => Err(Error::usage(format!("--where {text}: the `=` of TABLE=CONDITION is missing"))),
        Some(("", _)) => Err(Error::usage(format!("--where {text}: the table before the `=` is missing"))),
        Some((_, "")) => Err(Error::usage(format!("--where {text}: the condition after the `=` is missing"))),
        Some(parts) => Ok(parts),
    }
}

fn if_exists() -> impl TypedValueParser<Value = IfExists> {
    PossibleValuesParser::new(["fail", "drop", "truncate", "skip"]).try_map(|text| text.parse::<IfExists>())
}

fn on_unsupported() -> impl TypedValueParser<Value = OnUnsupported> {
    PossibleValuesParser::new(["refuse", "skip", "degrade"]).try_map(|text| text.parse::<OnUnsupported>())
}

fn verify() -> impl TypedValueParser<Value = Verify> {
    PossibleValuesParser::new(["none", "counts", "checksum"]).try_map(|text| text.parse::<Verify>())
}

fn credentials() -> impl TypedValueParser<Value = AgentCredentials> {
    PossibleValuesParser::new(["presigned", "inherit"]).try_map(|text| text.parse::<AgentCredentials>())
}

fn comparison() -> impl TypedValueParser<Value = Verify> {
    PossibleValuesParser::new(["counts", "checksum"]).try_map(|text| text.parse::<Verify>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    fn options(arguments: &[&str]) -> Result<CloneOptions> {
        let start = ["dbgraft", "clone", "mysql://a/b", "mysql://c/d"];
        let cli =
            Cli::try_parse_from(start.iter().chain(arguments)).map_err(|error| Error::usage(error.to_string()))?;
        match cli.command {
            Command::Clone { request, .. } | Command::Plan { request } => request.options(),
            Command::Verify { common, .. } => common.options(),
            Command::Status { target, .. } | Command::Abandon { target } => Ok(target.options()),
            Command::Agent => Ok(CloneOptions::default()),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(options(&[]).unwrap(), CloneOptions::default());
    }

    #[test]
    fn every_option_has_a_flag_and_every_flag_an_option() {
        let known = serde_json::to_value(CloneOptions::default()).unwrap();
        let known: BTreeSet<String> = known.as_object().unwrap().keys().map(|key| key.replace('_', "-")).collect();
        let command = Cli::command();
        let clone = command.get_subcommands().find(|command| command.get_name() == "clone").unwrap();
        let flags: BTreeSet<String> =
            clone.get_arguments().filter_map(|flag| flag.get_long()).map(str::to_owned).collect();
        assert_eq!(known.difference(&flags).next(), None);
        let of_the_command = ["dry-run", "progress", "report", "no-triggers", "no-routines", "no-events", "help"];
        assert_eq!(flags.difference(&known).find(|flag| !of_the_command.contains(&flag.as_str())), None);
    }

    #[test]
    fn a_filter_is_split_at_its_first_equals_sign() {
        let filters = options(&["--where", "orders=id = 3", "--where", "a b = x"]).unwrap().filters;
        assert_eq!(
            filters.into_iter().collect::<Vec<_>>(),
            [("a b".into(), "x".into()), ("orders".into(), "id = 3".into())]
        );
        for wrong in ["orders", "=1", "orders=", "a=1 --where a=2"] {
            let words: Vec<&str> = wrong.split(" --where ").flat_map(|filter| ["--where", filter]).collect();
            assert!(options(&words).unwrap_err().to_string().starts_with("--where "));
        }
    }

    #[test]
    fn flags_select_kinds() {
        assert_eq!(options(&["--triggers", "--no-events"]).unwrap().triggers, Some(true));
        assert_eq!(options(&["--triggers", "--no-events"]).unwrap().events, Some(false));
        assert_eq!(options(&["--triggers"]).unwrap().routines, None);
        assert!(options(&["--triggers", "--no-triggers"]).is_err());
    }

    #[test]
    fn values_of_every_type_are_parsed() {
        let all =
            ["--if-exists=drop", "--definer=app@%", "--memory=1G", "--max-rate=10M", "--threads=8", "--via=s3://b/p"];
        let options = options(&all).unwrap();
        assert_eq!((options.if_exists, options.definer.to_string().as_str()), (IfExists::Drop, "app@%"));
        assert_eq!((options.memory, options.max_rate, options.threads), (1 << 30, Some(10 << 20), 8));
        assert_eq!(options.via.as_deref(), Some("s3://b/p"));
    }
}
