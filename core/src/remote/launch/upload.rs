//! Uploads the executable to a host, whole and verified, or not at all.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::executable::AgentExecutable;
use super::shell::{HOST_TIMEOUT, RemoteScript, ScriptOutput, random_name};
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::SshSession;

/// Arguments: directory, file name, temporary file name, size, SHA-256. The bytes come on standard input. If the
/// coordinator is lost, the input ends early and the size is wrong. Concurrent uploads use different temporary names,
/// and each renames the same bytes.
const SCRIPT: &str = "umask 077; t=$3; fail() { rm -f \"$t\"; say \"$1\" \"$2\"; exit 1; }; trap \"exit 1\" 1 2 13 15; \
    mkdir -p \"$1\" && chmod 700 \"$1\" && cd \"$1\" && true >\"$t\" || fail refused; trap \"rm -f $t\" 0; say ready; \
    cat >\"$t\" || fail refused; n=$(($(wc -c <\"$t\"))); h=$(sum <\"$t\"); h=${h%% *}; \
    case \"$n $h\" in \"$4 $5\"|\"$4 -\");; *) fail differs \"$n $h\";; esac; \
    chmod 700 \"$t\" && mv -f \"$t\" \"$2\" || fail refused; say stored";

/// The number of bytes in one write to the script.
const WRITE_BYTES: usize = 64 << 10;

/// Uploads the executable into `dir`, and returns its path.
pub(super) async fn upload(session: &SshSession, dir: &str, executable: &AgentExecutable) -> Result<String> {
    let (name, size) = (executable.file_name(), executable.bytes.len().to_string());
    let temporary = format!(".{name}-{}", random_name());
    let mut script = RemoteScript::start(session, SCRIPT, &[dir, &name, &temporary, &size, &executable.hash]).await?;
    let mut output = script.wait_for(&["ready", "refused"], HOST_TIMEOUT).await?;
    if output.value("refused").is_none() && output.value("ready").is_some() {
        output = send_bytes(&mut script, &executable.bytes).await?;
    }
    if output.value("stored").is_some() {
        return Ok(format!("{dir}/{name}"));
    }
    Err(match output.value("differs") {
        Some(differs) => Error::new(
            ErrorKind::Preflight,
            format!(
                "the executable arrived damaged ({} in the place of {size} {}): does something at the login read the \
                 standard input? Install dbgraft on the host and say agent-path=FILE in the ssh:// URL",
                Printable(differs),
                executable.hash
            ),
        ),
        None => refusal_error(&mut script, dir, &output).await,
    })
}

/// Sends the bytes and waits for the result. Returns at once when the script fails before the end of the bytes.
async fn send_bytes(script: &mut RemoteScript, bytes: &[u8]) -> Result<ScriptOutput> {
    let mut stdin = std::mem::replace(&mut script.process.stdin, Box::new(tokio::io::sink()));
    let sending = async {
        for part in bytes.chunks(WRITE_BYTES) {
            timeout(HOST_TIMEOUT, stdin.write_all(part)).await??;
        }
        timeout(HOST_TIMEOUT, stdin.shutdown()).await?
    };
    let outcomes = ["stored", "refused", "differs"];
    tokio::select! {
        biased;
        output = script.wait_for(&outcomes, Duration::MAX) => output,
        sent = sending => match sent {
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                let message = format!("the host has accepted no bytes for {} seconds", HOST_TIMEOUT.as_secs());
                Err(Error::new(ErrorKind::Connection, message).retryable())
            }
            // For every other error the script reports the cause.
            _ => script.wait_for(&outcomes, HOST_TIMEOUT).await,
        },
    }
}

/// The error for a directory or a disk that refused the upload.
async fn refusal_error(script: &mut RemoteScript, dir: &str, output: &ScriptOutput) -> Error {
    let why = match output.first_program_line() {
        Some(line) => line,
        None if script.is_disconnected().await => {
            return Error::new(ErrorKind::Connection, "the connection broke").retryable();
        }
        None => "the host gave no reason".to_owned(),
    };
    let message = format!(
        "cannot put the executable of the agent into `{}`: {why}. Correct that, or install dbgraft elsewhere on the \
         host and say agent-path=FILE in the ssh:// URL",
        Printable(dir)
    );
    Error::new(ErrorKind::Preflight, message)
}
