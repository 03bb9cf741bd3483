//! The `dbgraft` command: arguments in, progress and a summary out. All the work is the library's.

mod args;
mod overview;
mod password;
mod progress;
mod report_file;
mod secrets;
mod signals;
mod summary;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use dbgraft::{CancellationToken, CloneJob, Error, ErrorKind, Result, Severity};

use crate::args::{Cli, Command, Request};
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
    let (request, dry_run) = match command {
        Command::Clone { request, dry_run } => (request, dry_run),
        Command::Plan { request } => (request, true),
    };
    let report = ReportFile::open(&request)?;
    let job = job(&request, &mut secrets)?;
    let progress = Progress::start(request.progress);
    let cancellation = CancellationToken::new();
    signals::cancel(&cancellation, &progress)?;
    let job = job.on_event(progress.listener()).cancellation(cancellation);
    if dry_run {
        let planned = job.plan().await;
        progress.end();
        let overview = planned?;
        show(&request, &overview::render(&overview));
        report.write(&overview)?;
        let refused = overview.findings.iter().any(|finding| finding.severity == Severity::Error);
        Ok(if refused { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    } else {
        let cloned = job.run().await;
        progress.end();
        let done = cloned?;
        show(&request, &summary::render(&done));
        report.write(&done)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The job that was asked for, with the passwords that only a person can give.
fn job(request: &Request, secrets: &mut Secrets) -> Result<CloneJob> {
    let mut options = request.options()?;
    options.via = options.via.map(|url| secrets.restored(&url));
    let (source, target) = (secrets.restored(&request.source), secrets.restored(&request.target));
    let source_password = password::ask(&source, &request.source, "DBGRAFT_SOURCE_PASSWORD")?;
    let target_password = password::ask(&target, &request.target, "DBGRAFT_TARGET_PASSWORD")?;
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
fn show(request: &Request, results: &str) {
    // The work is done; a reader that went away does not undo it.
    let _ = if request.stdout_is_json() {
        io::stderr().write_all(results.as_bytes())
    } else {
        io::stdout().write_all(results.as_bytes())
    };
}

/// Says something to the person at the terminal.
fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "dbgraft: {message}");
}
