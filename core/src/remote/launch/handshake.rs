//! Starts the executable and checks its handshake.

use std::io::Cursor;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::shell::{self, HOST_TIMEOUT, last_line};
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::{HANDSHAKE_PREFIX, handshake_version};
use crate::ssh::{ExitStatus, RemoteProcess, SshSession};

/// The maximum output of a login before the handshake, in bytes.
const MAX_LOGIN_OUTPUT: usize = 64 << 10;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Starts the executable at `path` and waits for its handshake. The output of the returned process begins after the
/// handshake.
pub(super) async fn start(session: &SshSession, path: &str) -> Result<RemoteProcess> {
    // Run it by `sh`: unlike fish and csh, `sh` reports by exit code why a program did not start.
    let mut process = session.exec(&shell::command_line("exec \"$1\" agent", &[path])?).await?;
    let Ok(handshake) = timeout(HOST_TIMEOUT, read_handshake(&mut process.stdout)).await else {
        let last = quoted_last_line(&process.stderr());
        let message = format!("the agent has sent no handshake for {} seconds{last}", HOST_TIMEOUT.as_secs());
        return Err(Error::new(ErrorKind::Connection, message).with("path", Printable(path)).retryable());
    };
    match handshake {
        Handshake::Received { version, rest } if version == handshake_version() => {
            let output = std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty()));
            process.stdout = Box::new(Cursor::new(rest).chain(output));
            Ok(process)
        }
        Handshake::Received { version, .. } => {
            let message = format!(
                "`{}` is dbgraft {}, this is {}: an agent must be of the same version. Give one of {VERSION}, by \
                 --agent-binary FILE or agent-path=FILE",
                Printable(path),
                Printable(&version),
                handshake_version()
            );
            Err(Error::new(ErrorKind::Preflight, message))
        }
        Handshake::TooMuchOutput => {
            let limit = MAX_LOGIN_OUTPUT >> 10;
            let message = format!("the login prints more than {limit} KiB before the agent's handshake");
            Err(Error::new(ErrorKind::Preflight, message).with("path", Printable(path)))
        }
        Handshake::Missing => {
            let broken = ExitStatus { code: None, signal: None };
            let ended = timeout(Duration::from_secs(5), process.exit_status()).await.unwrap_or(broken);
            Err(exit_error(&ended, &process.stderr(), path))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Handshake {
    /// The agent's version, and the output after the handshake that was read with it.
    Received { version: String, rest: Vec<u8> },
    /// The login printed too much before a handshake.
    TooMuchOutput,
    /// The output ended before a handshake.
    Missing,
}

async fn read_handshake(output: &mut (impl AsyncRead + Unpin)) -> Handshake {
    let mut read = Vec::with_capacity(8 << 10);
    loop {
        if let Some(at) = memmem::find(&read, HANDSHAKE_PREFIX.as_bytes()) {
            let begin = at + HANDSHAKE_PREFIX.len();
            let version = read.get(begin..).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', version) {
                let version = String::from_utf8_lossy(version.get(..length).unwrap_or_default()).into_owned();
                return Handshake::Received { version, rest: read.split_off(begin + length + 1) };
            }
        }
        if read.len() > MAX_LOGIN_OUTPUT + HANDSHAKE_PREFIX.len() {
            return Handshake::TooMuchOutput;
        }
        if !matches!(output.read_buf(&mut read).await, Ok(1..)) {
            return Handshake::Missing;
        }
    }
}

/// The error for an agent that ended before its handshake.
fn exit_error(ended: &ExitStatus, stderr: &str, path: &str) -> Error {
    let last = quoted_last_line(stderr);
    let path = Printable(path);
    let elsewhere = "install dbgraft elsewhere on the host and say agent-path=FILE in the ssh:// URL";
    let libraries = stderr.contains("GLIBC") || stderr.contains("shared librar") || stderr.contains("symbol not found");
    let signal = match (&ended.signal, ended.code) {
        (Some(signal), _) => Some(signal.clone()),
        (None, Some(code @ 129..)) => Some((code - 128).to_string()),
        _ => None,
    };
    let message = match (signal, ended.code) {
        _ if libraries => format!(
            "`{path}` needs libraries that the host does not have{last}. Make a static executable by `make agent`, and \
             say --agent-binary target/agent/dbgraft"
        ),
        (Some(signal), _) => {
            let why = match signal.as_str() {
                "ILL" | "4" => ": it was built for a newer processor than the host's",
                "KILL" | "9" => ": the host may be short of memory",
                _ => "",
            };
            format!("`{path}` was ended by signal {signal} at its start{why}{last}")
        }
        (_, None) => {
            let message = "the connection broke before the agent's handshake";
            return Error::new(ErrorKind::Connection, message).with("path", path).retryable();
        }
        (_, Some(126)) => format!(
            "`{path}` may not be executed{last}: the filesystem of its directory may be mounted noexec, or the account \
             has no right to; {elsewhere}"
        ),
        (_, Some(127)) => format!(
            "`{path}` cannot be started{last}: it is gone, or it is no static executable and the host has not the \
             loader that it asks for. Make one by `make agent`, and say --agent-binary target/agent/dbgraft"
        ),
        (_, Some(code)) => format!("`{path}` ended at its start with exit code {code}{last}"),
    };
    Error::new(ErrorKind::Preflight, message)
}

/// The last line of standard error, in parentheses.
fn quoted_last_line(stderr: &str) -> String {
    last_line(stderr).map(|line| format!(" ({line})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(mut output: &[u8]) -> Handshake {
        read_handshake(&mut output).await
    }

    fn received(version: &str, rest: &[u8]) -> Handshake {
        Handshake::Received { version: version.to_owned(), rest: rest.to_vec() }
    }

    #[tokio::test]
    async fn a_handshake_is_found_after_any_output_and_loses_nothing_after_it() {
        assert_eq!(
            parse(b"\ndbgraft agent 1.2.3\n\0\n\ndbgraft agent 9\n").await,
            received("1.2.3", b"\0\n\ndbgraft agent 9\n")
        );
        assert_eq!(parse(b"Welcome\r\nno newline\ndbgraft agent 1.2.3\n").await, received("1.2.3", b""));
        assert_eq!(parse(b"\ndbgraft agen\xff\n\n\ndbgraft agent 1\nx").await, received("1", b"x"));
        assert_eq!(parse(b"dbgraft agent 1.2.3\n").await, Handshake::Missing);
        assert_eq!(parse(b"\ndbgraft agent 1.2.3").await, Handshake::Missing);
        let noise = |length: usize| [vec![b'x'; length], b"\ndbgraft agent 1\n".to_vec()].concat();
        assert_eq!(parse(&noise(MAX_LOGIN_OUTPUT)).await, received("1", b""));
        assert_eq!(parse(&noise(4 * MAX_LOGIN_OUTPUT)).await, Handshake::TooMuchOutput);
    }

    #[tokio::test]
    async fn a_handshake_may_arrive_in_fragments() {
        let (mut agent, mut here) = tokio::io::duplex(1);
        let written = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut agent, b"motd\ndbgraft agent 1.2.3\nAB").await.unwrap();
        });
        assert_eq!(read_handshake(&mut here).await, received("1.2.3", b""));
        let mut rest = Vec::new();
        here.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"AB");
        written.await.unwrap();
    }

    #[test]
    fn the_error_without_a_handshake_names_the_cause() {
        let message = |code: Option<u32>, signal: Option<&str>, stderr: &str| {
            let ended = ExitStatus { code, signal: signal.map(str::to_owned) };
            exit_error(&ended, stderr, "/cache/dbgraft-1").to_string()
        };
        assert!(message(Some(126), None, "motd\ndbgraft: 1: exec: Permission denied\n").contains("noexec"));
        assert!(message(Some(126), None, "motd\nPermission denied\n\n").contains("(Permission denied)"));
        assert!(message(Some(127), None, "not found").contains("make agent"));
        let glibc = "/cache/dbgraft-1: /lib/libc.so.6: version `GLIBC_2.34' not found (required by /cache/dbgraft-1)";
        assert!(message(Some(1), None, glibc).contains("static"));
        assert!(message(Some(127), None, "error while loading shared libraries: libm.so.6").contains("static"));
        assert!(message(None, Some("ILL"), "").contains("processor"));
        assert!(message(Some(137), None, "").contains("signal 9"));
        assert!(message(Some(3), None, "a\nthe last line\n").ends_with("exit code 3 (the last line)"));
        let broken = exit_error(&ExitStatus { code: None, signal: None }, "", "/cache/dbgraft-1");
        assert!(broken.is_retryable() && broken.kind() == ErrorKind::Connection, "{broken}");
    }
}
