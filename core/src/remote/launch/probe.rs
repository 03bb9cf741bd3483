//! The one look at a host before an agent starts there.

use super::executable::Executable;
use super::shell::{Heard, PATIENCE, Script};
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::SshSession;

/// `$1`: the name of the executable. A relative `XDG_CACHE_HOME` is to be ignored, says its standard.
const CACHED: &str = "say system \"$(uname -sm)\"; \
    case ${XDG_CACHE_HOME:-} in /*) d=$XDG_CACHE_HOME/dbgraft;; *) d=$HOME/.cache/dbgraft;; esac; say dir \"$d\"; f=$d/$1; \
    if [ -f \"$f\" ] && [ -x \"$f\" ]; then say found \"$(wc -c <\"$f\") $(sum <\"$f\")\"; fi; say end";

/// `$1`: what `agent-path=` says.
const INSTALLED: &str = "case $1 in \
    /*) p=$1;; \"~/\"*) p=$HOME/${1#??};; */*) p=$PWD/$1;; *) p=$(command -v \"$1\");; esac; \
    if [ -f \"$p\" ] && [ -x \"$p\" ]; then say path \"$p\"; elif [ -e \"$p\" ]; then say denied \"$p\"; fi; say end";

/// A host, and whether the executable is there.
pub(super) struct Found {
    /// What `uname -sm` says: `Linux x86_64`.
    pub(super) system: String,
    /// Where executables are kept between clones.
    pub(super) dir: String,
    /// Whether the executable is there, whole.
    pub(super) complete: bool,
}

/// Looks at the host, and for the executable in its cache.
pub(super) async fn cached(session: &SshSession, executable: &Executable) -> Result<Found> {
    let heard = ask(session, CACHED, &executable.name()).await?;
    let told = |key| heard.get(key).filter(|value| !value.is_empty());
    let (Some(system), Some(dir)) = (told("system"), told("dir")) else { return Err(failed(&heard)) };
    let complete = heard.get("found").is_some_and(|found| is_whole(found, executable.bytes.len(), &executable.hash));
    Ok(Found { system: system.to_owned(), dir: dir.to_owned(), complete })
}

/// The whole path of the executable that is installed at the host; `path` may begin with `~/`, or be a name alone.
pub(super) async fn installed(session: &SshSession, path: &str) -> Result<String> {
    let heard = ask(session, INSTALLED, path).await?;
    if let Some(path) = heard.get("path") {
        return Ok(path.to_owned());
    }
    let wrong = if heard.get("denied").is_some() {
        "is there, but no executable file, or its filesystem is mounted noexec"
    } else {
        "does not exist there, as far as the account can see"
    };
    let message = format!("agent-path `{}` {wrong}", Printable(path));
    Err(Error::new(ErrorKind::Preflight, message))
}

async fn ask(session: &SshSession, script: &str, argument: &str) -> Result<Heard> {
    let mut script = Script::start(session, script, &[argument]).await?;
    let heard = script.hear(&["end"], PATIENCE).await?;
    if heard.get("end").is_some() { Ok(heard) } else { Err(failed(&heard)) }
}

fn failed(heard: &Heard) -> Error {
    let words = heard.words().unwrap_or_else(|| "it ended without a word".to_owned());
    Error::new(ErrorKind::Preflight, format!("the look at the host failed: {words}"))
}

/// Whether a file's size and hash, as `wc` and `sha256sum` print them, are these. `-`: the host cannot compute a hash.
fn is_whole(found: &str, size: usize, hash: &str) -> bool {
    let mut found = found.split_whitespace();
    found.next() == Some(size.to_string().as_str()) && found.next().is_some_and(|found| found == hash || found == "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_executable_is_whole_by_size_and_hash() {
        assert!(is_whole("12 abc  -", 12, "abc"));
        assert!(is_whole("      12 -", 12, "abc"));
        assert!(!is_whole("12 abd  -", 12, "abc"));
        assert!(!is_whole("11 abc  -", 12, "abc"));
        // The hash could not be had, though the host has the program.
        assert!(!is_whole("12 ", 12, "abc"));
        assert!(!is_whole("", 0, ""));
    }
}
