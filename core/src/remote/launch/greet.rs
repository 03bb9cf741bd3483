//! Starting the executable, and hearing whether it is the right agent.

use std::io::Cursor;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::shell::{self, PATIENCE, last_line};
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::GREETING;
use crate::ssh::{ExitStatus, RemoteProcess, SshSession};

/// What a login may print before the agent greets, in bytes.
const NOISE: usize = 64 << 10;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Starts the executable at `path`, and waits for its greeting. The output of the process then begins after it.
pub(super) async fn start(session: &SshSession, path: &str) -> Result<RemoteProcess> {
    // By `sh`: its exit codes say what was wrong, which those of fish and csh do not.
    let mut process = session.exec(&shell::command("exec \"$1\" agent", &[path])?).await?;
    let Ok(greeting) = timeout(PATIENCE, greeting(&mut process.stdout)).await else {
        let message =
            format!("the agent has not greeted for {} seconds{}", PATIENCE.as_secs(), last(&process.stderr()));
        return Err(Error::new(ErrorKind::Connection, message).with("path", Printable(path)).retryable());
    };
    match greeting {
        Greeting::Heard { version, rest } if version == VERSION => {
            let output = std::mem::replace(&mut process.stdout, Box::new(tokio::io::empty()));
            process.stdout = Box::new(Cursor::new(rest).chain(output));
            Ok(process)
        }
        Greeting::Heard { version, .. } => {
            let message = format!(
                "`{}` is dbgraft {}, this is {VERSION}: an agent must be of the same version. Give one of {VERSION}, by \
                 --agent-binary FILE or agent-path=FILE",
                Printable(path),
                Printable(&version)
            );
            Err(Error::new(ErrorKind::Preflight, message))
        }
        Greeting::Drowned => {
            let message = format!("the login prints more than {} KiB, and no agent greeted meanwhile", NOISE >> 10);
            Err(Error::new(ErrorKind::Preflight, message).with("path", Printable(path)))
        }
        Greeting::Ended => {
            let broken = ExitStatus { code: None, signal: None };
            let ended = timeout(Duration::from_secs(5), process.exit_status()).await.unwrap_or(broken);
            Err(early_end(&ended, &process.stderr(), path))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Greeting {
    /// The agent's version, and what it has written since.
    Heard { version: String, rest: Vec<u8> },
    /// There is too much noise.
    Drowned,
    /// The output has ended before.
    Ended,
}

async fn greeting(output: &mut (impl AsyncRead + Unpin)) -> Greeting {
    let mut heard = Vec::with_capacity(8 << 10);
    loop {
        if let Some(at) = memmem::find(&heard, GREETING.as_bytes()) {
            let begin = at + GREETING.len();
            let version = heard.get(begin..).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', version) {
                let version = String::from_utf8_lossy(version.get(..length).unwrap_or_default()).into_owned();
                return Greeting::Heard { version, rest: heard.split_off(begin + length + 1) };
            }
        }
        if heard.len() > NOISE + GREETING.len() {
            return Greeting::Drowned;
        }
        if !matches!(output.read_buf(&mut heard).await, Ok(1..)) {
            return Greeting::Ended;
        }
    }
}

/// Why an agent ended that never greeted.
fn early_end(ended: &ExitStatus, stderr: &str, path: &str) -> Error {
    let last = last(stderr);
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
            let message = "the connection broke before the agent greeted";
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

/// The last words on standard error, in brackets.
fn last(stderr: &str) -> String {
    last_line(stderr).map(|line| format!(" ({line})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(mut output: &[u8]) -> Greeting {
        greeting(&mut output).await
    }

    fn version(version: &str, rest: &[u8]) -> Greeting {
        Greeting::Heard { version: version.to_owned(), rest: rest.to_vec() }
    }

    #[tokio::test]
    async fn a_greeting_is_found_in_any_noise_and_nothing_after_it_is_lost() {
        assert_eq!(
            heard(b"\ndbgraft agent 1.2.3\n\0\n\ndbgraft agent 9\n").await,
            version("1.2.3", b"\0\n\ndbgraft agent 9\n")
        );
        assert_eq!(heard(b"Welcome\r\nno newline\ndbgraft agent 1.2.3\n").await, version("1.2.3", b""));
        assert_eq!(heard(b"\ndbgraft agen\xff\n\n\ndbgraft agent 1\nx").await, version("1", b"x"));
        assert_eq!(heard(b"dbgraft agent 1.2.3\n").await, Greeting::Ended);
        assert_eq!(heard(b"\ndbgraft agent 1.2.3").await, Greeting::Ended);
        let noise = |length: usize| [vec![b'x'; length], b"\ndbgraft agent 1\n".to_vec()].concat();
        assert_eq!(heard(&noise(NOISE)).await, version("1", b""));
        assert_eq!(heard(&noise(4 * NOISE)).await, Greeting::Drowned);
    }

    #[tokio::test]
    async fn a_greeting_may_come_in_pieces() {
        let (mut agent, mut here) = tokio::io::duplex(1);
        let written = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut agent, b"motd\ndbgraft agent 1.2.3\nAB").await.unwrap();
        });
        assert_eq!(greeting(&mut here).await, version("1.2.3", b""));
        let mut rest = Vec::new();
        here.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"AB");
        written.await.unwrap();
    }

    #[test]
    fn an_agent_that_never_greeted_is_told_from_every_other() {
        let told = |code: Option<u32>, signal: Option<&str>, stderr: &str| {
            let ended = ExitStatus { code, signal: signal.map(str::to_owned) };
            early_end(&ended, stderr, "/cache/dbgraft-1").to_string()
        };
        assert!(told(Some(126), None, "motd\ndbgraft: 1: exec: Permission denied\n").contains("noexec"));
        assert!(told(Some(126), None, "motd\nPermission denied\n\n").contains("(Permission denied)"));
        assert!(told(Some(127), None, "not found").contains("make agent"));
        let glibc = "/cache/dbgraft-1: /lib/libc.so.6: version `GLIBC_2.34' not found (required by /cache/dbgraft-1)";
        assert!(told(Some(1), None, glibc).contains("static"));
        assert!(told(Some(127), None, "error while loading shared libraries: libm.so.6").contains("static"));
        assert!(told(None, Some("ILL"), "").contains("processor"));
        assert!(told(Some(137), None, "").contains("signal 9"));
        assert!(told(Some(3), None, "a\nthe last line\n").ends_with("exit code 3 (the last line)"));
        let broken = early_end(&ExitStatus { code: None, signal: None }, "", "/cache/dbgraft-1");
        assert!(broken.is_retryable() && broken.kind() == ErrorKind::Connection, "{broken}");
    }
}
