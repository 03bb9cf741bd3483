//! The `dbgraft` command: arguments in, progress and a summary out. All the work is the library's.

mod args;
mod comparison;
mod overview;
mod password;
mod progress;
mod report_file;
mod secrets;
mod signals;
mod summary;
mod text;

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use clap::Parser;
use dbgraft::{CancellationToken, CloneJob, CloneOptions, Error, ErrorKind, Report, Result, Severity};
use tokio::fs::File;

use crate::args::{Cli, Command, Common};
use crate::progress::Progress;
use crate::report_file::ReportFile;
use crate::secrets::Secrets;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const CANCELLED: u8 = 130;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tell(&format!("this is a bug of dbgraft: {message} ({place})"));
    }));
    match std::panic::catch_unwind(run) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            tell(&text::error(&error));
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
    let (arguments, secrets) = secrets::hide()?;
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version come this way too. A closed terminal is no reason to fail.
            let _ = error.print();
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE)));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::Internal, "cannot start the threads that do the work").caused_by(error)
    })?;
    let code = runtime.block_on(execute(cli.command, secrets));
    runtime.shutdown_background();
    code
}

async fn execute(command: Command, mut secrets: Secrets) -> Result<ExitCode> {
    let (common, mut options) = match &command {
        Command::Clone { request, .. } | Command::Plan { request } => (&request.common, request.options()?),
        Command::Verify { common, verify } => (&**common, CloneOptions { verify: *verify, ..common.options()? }),
        Command::Agent => return agent().await.map(|()| ExitCode::SUCCESS),
    };
    let report = ReportFile::open(common)?;
    let CloneOptions { via, source_tunnel, target_tunnel, source_agent, target_agent, .. } = &mut options;
    for url in [via, source_tunnel, target_tunnel, source_agent, target_agent].into_iter().flatten() {
        *url = secrets.restored(url);
    }
    if options.agent_binary.is_none() {
        options.agent_binary = std::env::current_exe().ok();
    }
    let job = job(common, options, &mut secrets)?;
    let progress = Progress::start(common.progress);
    let cancellation = CancellationToken::new();
    signals::cancel(&cancellation, &progress)?;
    let job = job.on_event(progress.listener()).on_question(progress.asker()).cancellation(cancellation);
    match command {
        Command::Clone { dry_run: true, .. } | Command::Plan { .. } => {
            let planned = job.plan().await;
            progress.end();
            let overview = planned?;
            show(common, &overview::render(&overview));
            report.write(&overview)?;
            Ok(failed_if(overview.findings.iter().any(|finding| finding.severity == Severity::Error)))
        }
        Command::Clone { .. } => {
            let cloned = job.run().await;
            progress.end();
            // A clone that was found different, or is incomplete, has its report too.
            if let Some(done) = cloned.as_ref().map_or_else(Report::of, Some) {
                show(common, &summary::render(done));
                report.write(done)?;
            }
            cloned.map(|_| ExitCode::SUCCESS)
        }
        Command::Verify { .. } => {
            let compared = job.verify().await;
            progress.end();
            let comparison = compared?;
            show(common, &comparison::render(&comparison));
            report.write(&comparison)?;
            Ok(failed_if(!comparison.verification.differences.is_empty()))
        }
        Command::Agent => Ok(ExitCode::SUCCESS),
    }
}

/// Serves the dbgraft at the other end of standard input and output.
async fn agent() -> Result<()> {
    let duplicated = |stream: BorrowedFd<'_>| stream.try_clone_to_owned().map(|stream| File::from_std(stream.into()));
    let opened = duplicated(io::stdin().as_fd()).and_then(|input| Ok((input, duplicated(io::stdout().as_fd())?)));
    let (input, output) = opened.map_err(|error| Error::usage("there is no coordinator").caused_by(error))?;
    dbgraft::serve_agent(input, output).await
}

fn failed_if(failed: bool) -> ExitCode {
    if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

/// The job that was asked for, with the passwords that only a person can give.
fn job(common: &Common, options: CloneOptions, secrets: &mut Secrets) -> Result<CloneJob> {
    let (source, target) = (secrets.restored(&common.source), secrets.restored(&common.target));
    let source_password = password::ask(&source, &common.source, "DBGRAFT_SOURCE_PASSWORD")?;
    let target_password = password::ask(&target, &common.target, "DBGRAFT_TARGET_PASSWORD")?;
    let mut job = CloneJob::new(source, target).options(options);
    if let Some(password) = source_password {
        job = job.source_password(password);
    }
    if let Some(password) = target_password {
        job = job.target_password(password);
    }
    Ok(job)
}

/// Results are for standard output, unless that carries JSON.
fn show(common: &Common, results: &str) {
    // The work is done; a reader that went away does not undo it.
    let _ = if common.stdout_is_json() {
        io::stderr().write_all(results.as_bytes())
    } else {
        io::stdout().write_all(results.as_bytes())
    };
}

/// Says something to the person at the terminal.
fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "dbgraft: {message}");
}
