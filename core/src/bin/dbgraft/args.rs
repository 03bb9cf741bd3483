//! The command line arguments, and their conversion to the library's options.

mod clone_args;
mod common_args;
mod target_args;
#[cfg(test)]
mod tests;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory as _, Parser, Subcommand};
use dbgraft::{Definer, OnDdl, Verify};

pub(crate) use self::clone_args::CloneArgs;
pub(crate) use self::common_args::{CommonArgs, ProgressMode};
pub(crate) use self::target_args::TargetArgs;

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
    /// Apply the changes of SOURCE to TARGET, which `dbgraft clone --follow` has made, until `dbgraft cutover`
    #[command(after_long_help = ENDPOINTS)]
    Follow {
        #[command(flatten)]
        common: Box<CommonArgs>,
        /// The definer of triggers and events, as at the clone: strip, keep or USER@HOST
        #[arg(long, default_value = "strip", help_heading = HOW)]
        definer: Definer,
        /// Do not write the target's binary log, as at the clone
        #[arg(long, help_heading = HOW)]
        skip_binlog: bool,
        /// Carry the changes of SOURCE back to TARGET, whose place it has taken by `dbgraft cutover`
        #[arg(long, help_heading = HOW, conflicts_with = "skip_ddl")]
        from_cutover: bool,
        /// Go on after the statement at this place of the log, which was run at the target by hand
        #[arg(long, value_name = "FILE:OFFSET", help_heading = HOW)]
        skip_ddl: Option<String>,
        /// What to do with a statement that changes a definition: stop or apply
        #[arg(long, value_name = "WHAT", default_value = "stop", help_heading = HOW, value_parser = on_ddl())]
        on_ddl: OnDdl,
    },
    /// Let the process that follows into TARGET apply what the source has committed, make triggers and events, and end
    #[command(name = "cutover", after_long_help = ENDPOINTS)]
    CutOver {
        #[command(flatten)]
        target: Box<TargetArgs>,
        /// Refuse if the target is further behind: 5s, 1m
        #[arg(long, value_name = "SECONDS", help_heading = HOW, value_parser = dbgraft::parse_seconds)]
        max_lag: Option<u64>,
        /// Withdraw the request if the rest is not applied in this time
        #[arg(long, value_name = "SECONDS", default_value = "60", help_heading = HOW, value_parser = dbgraft::parse_seconds)]
        timeout: u64,
        /// Compare before, and cut over only if nothing differs: none, counts or checksum
        #[arg(long, value_name = "HOW", default_value = "none", help_heading = HOW, value_parser = clone_args::verify())]
        verify: Verify,
    },
    /// Show how far the clone into TARGET is: running, killed or following, of what, since when
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
    matches!(option, "--via" | "--replica")
        || (option.starts_with("--") && (option.ends_with("-tunnel") || option.ends_with("-agent")))
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
      region=NAME, endpoint=URL, sse=AES256|aws:kms|aws:kms:dsse,
      sse-kms-key-id=ID; keys come from the AWS environment
  file:///dir
      a directory in the place of S3

Passwords are best left out of a URL. Then DBGRAFT_SOURCE_PASSWORD and
DBGRAFT_TARGET_PASSWORD are used (DBGRAFT_REPLICA_PASSWORD for --replica), or
the [client] group of ~/.my.cnf, or you are asked on the terminal. So with
DBGRAFT_ARCHIVE_PASSPHRASE for --encrypt.

Signals: SIGUSR1 pauses, SIGUSR2 goes on; SIGINT, SIGTERM and SIGHUP cancel.

Exit codes: 0 done; 1 failed, `plan` found a problem, or a comparison found a
difference; 2 wrong usage, nothing was touched; 130 cancelled.

Example:
  dbgraft clone mysql://root@db1/shop mysql://root@db2/copy --via s3://bucket/tmp";

fn comparison() -> impl TypedValueParser<Value = Verify> {
    PossibleValuesParser::new(["counts", "checksum"]).try_map(|text| text.parse::<Verify>())
}

fn on_ddl() -> impl TypedValueParser<Value = OnDdl> {
    PossibleValuesParser::new(["stop", "apply"]).try_map(|text| text.parse::<OnDdl>())
}
