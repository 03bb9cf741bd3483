//! Copying the executable to a host: whole and checked, or not at all.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::executable::Executable;
use super::shell::{Heard, PATIENCE, Script, unique};
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::SshSession;

/// The directory, the name, a name for the time being, the size and the hash; the bytes come by standard input. When the
/// coordinator is gone, they end early and the size is wrong. Others may do the same at the same time: each has a
/// temporary name of its own, and the last to rename wins with the same bytes.
const SCRIPT: &str = "umask 077; t=$3; no() { rm -f \"$t\"; say \"$1\" \"$2\"; exit 1; }; trap \"exit 1\" 1 2 13 15; \
    mkdir -p \"$1\" && chmod 700 \"$1\" && cd \"$1\" && true >\"$t\" || no refused; trap \"rm -f $t\" 0; say go; \
    cat >\"$t\" || no refused; n=$(($(wc -c <\"$t\"))); h=$(sum <\"$t\"); h=${h%% *}; \
    case \"$n $h\" in \"$4 $5\"|\"$4 -\");; *) no differs \"$n $h\";; esac; \
    chmod 700 \"$t\" && mv -f \"$t\" \"$2\" || no refused; say placed";

const PIECE: usize = 64 << 10;

/// Copies the executable into `dir`, and returns its path there.
pub(super) async fn place(session: &SshSession, dir: &str, executable: &Executable) -> Result<String> {
    let (name, size) = (executable.name(), executable.bytes.len().to_string());
    let temporary = format!(".{name}-{}", unique());
    let mut script = Script::start(session, SCRIPT, &[dir, &name, &temporary, &size, &executable.hash]).await?;
    let mut heard = script.hear(&["go", "refused"], PATIENCE).await?;
    if heard.get("refused").is_none() && heard.get("go").is_some() {
        heard = feed(&mut script, &executable.bytes).await?;
    }
    if heard.get("placed").is_some() {
        return Ok(format!("{dir}/{name}"));
    }
    Err(match heard.get("differs") {
        Some(differs) => Error::new(
            ErrorKind::Preflight,
            format!(
                "the executable did not arrive as it is ({} in the place of {size} {}): does something at the login \
                 read the standard input? Install dbgraft on the host and say agent-path=FILE in the ssh:// URL",
                Printable(differs),
                executable.hash
            ),
        ),
        None => refused(&mut script, dir, &heard).await,
    })
}

/// Sends the bytes, and hears what becomes of them; a host that gives up before their end is heard at once.
async fn feed(script: &mut Script, bytes: &[u8]) -> Result<Heard> {
    let mut stdin = std::mem::replace(&mut script.process.stdin, Box::new(tokio::io::sink()));
    let sending = async {
        for piece in bytes.chunks(PIECE) {
            timeout(PATIENCE, stdin.write_all(piece)).await??;
        }
        timeout(PATIENCE, stdin.shutdown()).await?
    };
    let outcomes = ["placed", "refused", "differs"];
    tokio::select! {
        biased;
        heard = script.hear(&outcomes, Duration::MAX) => heard,
        sent = sending => match sent {
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                let message = format!("the host has taken nothing for {} seconds", PATIENCE.as_secs());
                Err(Error::new(ErrorKind::Connection, message).retryable())
            }
            // Other errors of sending have their reason at the host, which tells it.
            _ => script.hear(&outcomes, PATIENCE).await,
        },
    }
}

async fn refused(script: &mut Script, dir: &str, heard: &Heard) -> Error {
    let words = match heard.words() {
        Some(words) => words,
        None if script.is_cut_off().await => {
            return Error::new(ErrorKind::Connection, "the connection broke").retryable();
        }
        None => "the host did not say why".to_owned(),
    };
    let message = format!(
        "cannot put the executable of the agent into `{}`: {words}. See to that, or install dbgraft elsewhere on the \
         host and say agent-path=FILE in the ssh:// URL",
        Printable(dir)
    );
    Error::new(ErrorKind::Preflight, message)
}
