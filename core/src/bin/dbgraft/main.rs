//! The `dbgraft` command: parses arguments, runs a job of the library and prints progress and results.

mod args;
mod clone_report;
mod comparison;
mod hidden_passwords;
mod password;
mod plan_report;
mod progress;
mod report_file;
mod sections;
mod signals;
mod target_command;
mod text;

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use clap::Parser;
use dbgraft::{CancellationToken, CloneJob, CloneOptions, Error, ErrorKind, Report, Result, Severity};
use tokio::fs::File;

use crate::args::{Cli, Command, CommonArgs};
use crate::hidden_passwords::{HiddenPasswords, hide_passwords};
use crate::progress::ProgressDisplay;
use crate::report_file::ReportFile;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const CANCELLED: u8 = 130;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        print_message(&format!("this is a bug of dbgraft: {message} ({location})"));
    }));
    match std::panic::catch_unwind(run) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            print_message(&text::error(&error));
            ExitCode::from(match error.kind() {
                ErrorKind::Usage => WRONG_USAGE,
                ErrorKind::Cancelled => CANCELLED,
                _ => FAILED,
            })
        }
        Err(_) => ExitCode::from(FAILED),
    }
}

fn run() -> Result<ExitCode> {
    let (arguments, passwords) = hide_passwords()?;
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors of clap too. A closed terminal is not an error.
            let _ = error.print();
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE)));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the worker threads").caused_by(error))?;
    let code = runtime.block_on(execute(cli.command, passwords));
    runtime.shutdown_background();
    code
}

async fn execute(command: Command, mut passwords: HiddenPasswords) -> Result<ExitCode> {
    let (common, mut options) = match &command {
        Command::Status { target, json } => return target_command::show_status(target, *json, passwords).await,
        Command::Abandon { target } => return target_command::abandon(target, passwords).await,
        Command::CutOver { target, max_lag, timeout, verify } => {
            return target_command::cut_over(target, *max_lag, *timeout, *verify, passwords).await;
        }
        Command::Follow { common, definer, skip_binlog, on_ddl, .. } => {
            let (definer, skip_binlog, on_ddl) = (definer.clone(), *skip_binlog, *on_ddl);
            (&**common, CloneOptions { definer, skip_binlog, on_ddl, ..common.options()? })
        }
        Command::Clone { request, .. } | Command::Plan { request } => (&request.common, request.options()?),
        Command::Verify { common, verify } => (&**common, CloneOptions { verify: *verify, ..common.options()? }),
        Command::Agent => return serve_agent().await.map(|()| ExitCode::SUCCESS),
    };
    let report = ReportFile::open(common)?;
    complete_options(&mut options, &mut passwords);
    let job = create_job(common, options, &mut passwords)?;
    let progress = ProgressDisplay::start(common.progress);
    let cancellation = CancellationToken::new();
    signals::cancel_on_signals(&cancellation, &progress)?;
    signals::pause_on_signals(job.control())?;
    let job = job.on_event(progress.listener()).on_question(progress.prompter()).cancellation(cancellation);
    match command {
        Command::Clone { dry_run: true, .. } | Command::Plan { .. } => {
            let planned = job.plan().await;
            progress.finish();
            let planned = planned?;
            print_result(common, &plan_report::render(&planned));
            report.write(&planned)?;
            Ok(exit_code(planned.findings.iter().any(|finding| finding.severity == Severity::Error)))
        }
        Command::Clone { .. } => {
            let cloned = job.run().await;
            progress.finish();
            // An error of kind `Different` or `Incomplete` carries a report too.
            if let Some(done) = cloned.as_ref().map_or_else(Report::from_error, Some) {
                print_result(common, &clone_report::render(done));
                report.write(done)?;
            }
            cloned.map(|_| ExitCode::SUCCESS)
        }
        Command::Verify { .. } => {
            let compared = job.verify().await;
            progress.finish();
            let comparison = compared?;
            print_result(common, &comparison::render(&comparison));
            report.write(&comparison)?;
            Ok(exit_code(!comparison.verification.differences.is_empty()))
        }
        Command::Follow { ref skip_ddl, from_cutover, .. } => {
            let job = match skip_ddl {
                Some(place) => job.skip_statement(place)?,
                None => job,
            };
            let followed = match from_cutover {
                true => job.follow_from_cutover().await,
                false => job.follow().await,
            };
            progress.finish();
            let followed = followed?;
            print_result(common, &clone_report::render_followed(&followed));
            report.write(&followed)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Agent | Command::Status { .. } | Command::Abandon { .. } | Command::CutOver { .. } => {
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Restores the passwords of URLs, and names this executable as the agents'.
fn complete_options(options: &mut CloneOptions, passwords: &mut HiddenPasswords) {
    let CloneOptions { via, replica, source_tunnel, target_tunnel, source_agent, target_agent, .. } = options;
    for (option, url) in [
        ("--via", via),
        ("--replica", replica),
        ("--source-tunnel", source_tunnel),
        ("--target-tunnel", target_tunnel),
        ("--source-agent", source_agent),
        ("--target-agent", target_agent),
    ] {
        if let Some(url) = url {
            *url = passwords.restore_url(option, url);
        }
    }
    if options.agent_binary.is_none() {
        options.agent_binary = std::env::current_exe().ok();
    }
}

/// Serves the coordinator at the other end of standard input and output.
async fn serve_agent() -> Result<()> {
    let duplicated = |stream: BorrowedFd<'_>| stream.try_clone_to_owned().map(|stream| File::from_std(stream.into()));
    let opened = duplicated(io::stdin().as_fd()).and_then(|input| Ok((input, duplicated(io::stdout().as_fd())?)));
    let (input, output) = opened.map_err(|error| Error::usage("there is no coordinator").caused_by(error))?;
    // A signal for the coordinator that reaches its agents too does nothing there.
    let _signals = signals::listen_for_pauses()?;
    dbgraft::serve_agent(input, output).await
}

fn exit_code(failed: bool) -> ExitCode {
    if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

/// Creates the job. Asks the user for missing passwords.
fn create_job(common: &CommonArgs, options: CloneOptions, passwords: &mut HiddenPasswords) -> Result<CloneJob> {
    let (source, target) = (passwords.restore_url("", &common.source), passwords.restore_url("", &common.target));
    let source_password = password::prompt_for_url(&source, &common.source, "DBGRAFT_SOURCE_PASSWORD")?;
    let target_password = password::prompt_for_url(&target, &common.target, "DBGRAFT_TARGET_PASSWORD")?;
    let replica_password = match &options.replica {
        Some(url) => password::prompt_for_url(url, "the replica", "DBGRAFT_REPLICA_PASSWORD")?,
        None => None,
    };
    let mut job = CloneJob::new(source, target).options(options);
    if let Some(password) = replica_password {
        job = job.replica_password(password);
    }
    if let Some(password) = source_password {
        job = job.source_password(password);
    }
    if let Some(password) = target_password {
        job = job.target_password(password);
    }
    Ok(job)
}

/// Prints a result on standard output, or on standard error if standard output carries JSON.
fn print_result(common: &CommonArgs, results: &str) {
    // Ignores a closed pipe, since the job is done.
    let _ = if common.stdout_is_json() {
        io::stderr().write_all(results.as_bytes())
    } else {
        io::stdout().write_all(results.as_bytes())
    };
}

/// Prints a message on standard error.
fn print_message(message: &str) {
    let _ = writeln!(io::stderr(), "dbgraft: {message}");
}
