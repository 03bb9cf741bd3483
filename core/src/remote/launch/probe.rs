//! Probes a host before an agent starts: its platform, and whether it has the executable.

use super::executable::AgentExecutable;
use super::shell::{HOST_TIMEOUT, RemoteScript, ScriptOutput};
use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::SshSession;

/// Argument: the file name of the executable. The XDG specification requires to ignore a relative `XDG_CACHE_HOME`.
const PROBE_SCRIPT: &str = "say system \"$(uname -sm)\"; \
    case ${XDG_CACHE_HOME:-} in /*) d=$XDG_CACHE_HOME/dbgraft;; *) d=$HOME/.cache/dbgraft;; esac; say dir \"$d\"; f=$d/$1; \
    if [ -f \"$f\" ] && [ -x \"$f\" ]; then say found \"$(wc -c <\"$f\") $(sum <\"$f\")\"; fi; say end";

/// Argument: the value of `agent-path=`.
const INSTALLED_SCRIPT: &str = "case $1 in \
    /*) p=$1;; \"~/\"*) p=$HOME/${1#??};; */*) p=$PWD/$1;; *) p=$(command -v \"$1\");; esac; \
    if [ -f \"$p\" ] && [ -x \"$p\" ]; then say path \"$p\"; elif [ -e \"$p\" ]; then say denied \"$p\"; fi; say end";

/// What the probe found on a host.
pub(super) struct HostProbe {
    /// The output of `uname -sm`: `Linux x86_64`.
    pub(super) system: String,
    /// The directory that keeps executables between clones.
    pub(super) cache_dir: String,
    /// Whether the directory holds the executable, undamaged.
    pub(super) has_executable: bool,
}

/// Probes the host, and looks for the executable in its cache.
pub(super) async fn probe_host(session: &SshSession, executable: &AgentExecutable) -> Result<HostProbe> {
    let output = run_script(session, PROBE_SCRIPT, &executable.file_name()).await?;
    let value = |key| output.value(key).filter(|value| !value.is_empty());
    let (Some(system), Some(dir)) = (value("system"), value("dir")) else { return Err(probe_failed(&output)) };
    let (size, hash) = (executable.bytes.len(), &executable.hash);
    let has_executable = output.value("found").is_some_and(|found| has_size_and_hash(found, size, hash));
    Ok(HostProbe { system: system.to_owned(), cache_dir: dir.to_owned(), has_executable })
}

/// Returns the absolute path of an executable that is installed on the host. `path` may begin with `~/`, or be a name
/// to look up in `PATH`.
pub(super) async fn find_installed(session: &SshSession, path: &str) -> Result<String> {
    let output = run_script(session, INSTALLED_SCRIPT, path).await?;
    if let Some(path) = output.value("path") {
        return Ok(path.to_owned());
    }
    let wrong = if output.value("denied").is_some() {
        "is there, but no executable file, or its filesystem is mounted noexec"
    } else {
        "does not exist there, as far as the account can see"
    };
    let message = format!("agent-path `{}` {wrong}", Printable(path));
    Err(Error::new(ErrorKind::Preflight, message))
}

/// Runs a script to its end.
async fn run_script(session: &SshSession, script: &str, argument: &str) -> Result<ScriptOutput> {
    let mut script = RemoteScript::start(session, script, &[argument]).await?;
    let output = script.wait_for(&["end"], HOST_TIMEOUT).await?;
    if output.value("end").is_some() { Ok(output) } else { Err(probe_failed(&output)) }
}

fn probe_failed(output: &ScriptOutput) -> Error {
    let why = output.first_program_line().unwrap_or_else(|| "the script ended without output".to_owned());
    Error::new(ErrorKind::Preflight, format!("the probe of the host failed: {why}"))
}

/// Whether the output of `wc` and `sha256sum` for a file shows this size and hash. The hash `-` means that the host
/// cannot compute one.
fn has_size_and_hash(found: &str, size: usize, hash: &str) -> bool {
    let mut found = found.split_whitespace();
    found.next() == Some(size.to_string().as_str()) && found.next().is_some_and(|found| found == hash || found == "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_executable_is_checked_by_size_and_hash() {
        assert!(has_size_and_hash("12 abc  -", 12, "abc"));
        assert!(has_size_and_hash("      12 -", 12, "abc"));
        assert!(!has_size_and_hash("12 abd  -", 12, "abc"));
        assert!(!has_size_and_hash("11 abc  -", 12, "abc"));
        // The host has `sha256sum`, but it failed.
        assert!(!has_size_and_hash("12 ", 12, "abc"));
        assert!(!has_size_and_hash("", 0, ""));
    }
}
