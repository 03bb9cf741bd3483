//! Servers for one command.

use std::process::{Command, ExitCode};

use dbgraft_testkit::{ServerSelection, Servers};
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

/// Runs `command` with the servers in its environment and returns its exit code.
///
/// The terminal sends Ctrl-C to the command itself; SIGTERM is forwarded. The servers stop when the command has ended.
pub(crate) fn run(wanted: ServerSelection, command: &[String]) -> Result<ExitCode, Failure> {
    let servers = Servers::start(wanted)?;
    // If this process is killed, the kernel ends the command too.
    let mut child = Command::new("setpriv")
        // A shell's background job ignores SIGINT, and so would all its children.
        .args(["--pdeathsig", "TERM", "--", "env", "--default-signal"])
        .args(command)
        .env("DBGRAFT_TESTKIT_BIN", std::env::current_exe()?)
        .envs(servers.running().environment()?)
        .spawn()?;
    let pid = child.id().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut ends = tokio::task::spawn_blocking(move || child.wait());
        loop {
            tokio::select! {
                status = &mut ends => return Ok::<_, Failure>(status??),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {
                    Command::new("kill").args(["-TERM", &pid]).status()?;
                }
            }
        }
    })?;
    drop(servers);
    // Like a shell: 128 + the number of the signal that ended the command.
    let code = status.code().unwrap_or_else(|| {
        use std::os::unix::process::ExitStatusExt;
        128 + status.signal().unwrap_or_default()
    });
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
