//! Runs scripts in a host's `sh` whatever the login shell of the account is, and separates their output from that of
//! the login.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::{RemoteProcess, SshSession};

/// How long a host may be silent.
pub(super) const HOST_TIMEOUT: Duration = Duration::from_secs(20);
/// The maximum output of a script and its login, in bytes.
const MAX_OUTPUT: usize = 256 << 10;
/// The beginning of every script. `say` prints a key and a value between two marks; all other output comes from the
/// login or from the programs that the script runs. The command contains the mark in two halves, so that a host that
/// only prints the command does not print the mark.
const PROLOGUE: &str = "m=$1$2; shift 2; say() { printf \"%s\" \"$m$1 $2$m\"; }; LC_ALL=C; export LC_ALL; exec 2>&1; \
                        sum() { if command -v sha256sum >/dev/null; then sha256sum; else echo -; fi; }; say begin; ";

/// Returns a random name of 16 hexadecimal digits.
pub(super) fn random_name() -> String {
    // The standard library seeds every `RandomState` anew. The name is unique, not secret.
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Quotes `text` as one word of a command for sh, bash, zsh, ksh, fish and csh.
///
/// # Errors
/// `Unsupported` on control characters: no quoting passes a newline through every shell.
pub(super) fn quote(text: &str) -> Result<String> {
    let mut word = String::from("'");
    for c in text.chars() {
        match c {
            // Within quotes `\` is special in fish and `!` in csh; outside of quotes a `\` escapes both in every shell.
            '\'' | '\\' | '!' => word.extend(["'\\", c.encode_utf8(&mut [0; 4]), "'"]),
            c if c.is_control() => {
                let message = format!("`{}` has a control character, which no shell accepts", Printable(text));
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            c => word.push(c),
        }
    }
    word.push('\'');
    Ok(word)
}

/// Builds the command line that replaces the login shell by `sh` and runs `script`, which is one line.
pub(super) fn command_line(script: &str, arguments: &[&str]) -> Result<String> {
    let mut command = format!("exec sh -c {} dbgraft", quote(script)?);
    for argument in arguments {
        command.push(' ');
        command.push_str(&quote(argument)?);
    }
    Ok(command)
}

/// The output of a script so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ScriptOutput {
    /// The keys and values that the script printed by `say`.
    values: Vec<(String, String)>,
    /// The output of the login before the script began.
    login: String,
    /// The output of the programs that the script ran.
    programs: String,
}

impl ScriptOutput {
    fn parse(bytes: &[u8], mark: &str) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut output = Self::default();
        let parts: Vec<&str> = text.split(mark).collect();
        for (index, part) in parts.iter().enumerate() {
            if index == 0 {
                output.login = (*part).to_owned();
            } else if index % 2 == 0 {
                output.programs.push_str(part);
            } else if index + 1 < parts.len() {
                // Without the second mark the value is incomplete.
                let (key, value) = part.split_once(' ').unwrap_or((part, ""));
                output.values.push((key.to_owned(), value.to_owned()));
            }
        }
        output
    }

    /// The value that the script printed for this key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The first line that a program of the script printed, for an error message.
    pub(super) fn first_program_line(&self) -> Option<String> {
        first_line(&self.programs)
    }
}

/// The first line that is not empty, for an error message.
fn first_line(text: &str) -> Option<String> {
    text.lines().find_map(printable_line)
}

/// The last line that is not empty, for an error message.
pub(super) fn last_line(text: &str) -> Option<String> {
    text.lines().rev().find_map(printable_line)
}

fn printable_line(text: &str) -> Option<String> {
    let short: String = text.trim().chars().take(300).collect();
    (!short.is_empty()).then(|| Printable(&short).to_string())
}

/// A script that runs on a host.
pub(super) struct RemoteScript {
    pub(super) process: RemoteProcess,
    mark: String,
    output: Vec<u8>,
}

impl RemoteScript {
    /// Starts a script, which is one line. Its arguments are `$1` and so on; it may use `say KEY VALUE` and `sum`, and
    /// its standard error goes to its standard output.
    pub(super) async fn start(session: &SshSession, script: &str, arguments: &[&str]) -> Result<Self> {
        let halves = [random_name(), random_name()];
        let [first, second] = &halves;
        let arguments: Vec<&str> = [first.as_str(), second].into_iter().chain(arguments.iter().copied()).collect();
        let process = session.exec(&command_line(&format!("{PROLOGUE}{script}"), &arguments)?).await?;
        Ok(Self { process, mark: halves.concat(), output: Vec::new() })
    }

    /// Waits until the script has printed one of `keys`, or has ended.
    ///
    /// # Errors
    /// `Connection` after `limit`; `Preflight` when the script did not begin.
    pub(super) async fn wait_for(&mut self, keys: &[&str], limit: Duration) -> Result<ScriptOutput> {
        let output = timeout(limit, self.read(keys)).await.map_err(|_| {
            let message = format!("the host has not answered for {} seconds", limit.as_secs());
            Error::new(ErrorKind::Connection, message).retryable()
        })?;
        if output.value("begin").is_some() {
            return Ok(output);
        }
        Err(self.not_begun_error(&output).await)
    }

    async fn read(&mut self, keys: &[&str]) -> ScriptOutput {
        loop {
            let output = ScriptOutput::parse(&self.output, &self.mark);
            if keys.iter().any(|key| output.value(key).is_some()) || self.output.len() > MAX_OUTPUT {
                return output;
            }
            // A broken connection ends the output too: the caller sees that a key is missing.
            if !matches!(self.process.stdout.read_buf(&mut self.output).await, Ok(1..)) {
                return output;
            }
        }
    }

    /// Whether the connection broke before the script ended.
    pub(super) async fn is_disconnected(&mut self) -> bool {
        let ended = timeout(Duration::from_secs(2), self.process.exit_status()).await;
        ended.is_ok_and(|ended| ended.code.is_none() && ended.signal.is_none())
    }

    /// The error for a script that did not begin.
    async fn not_begun_error(&mut self, output: &ScriptOutput) -> Error {
        if self.is_disconnected().await {
            return Error::new(ErrorKind::Connection, "the connection broke").retryable();
        }
        let printed = match first_line(&output.login).or_else(|| last_line(&self.process.stderr())) {
            Some(line) => format!("it printed `{line}`"),
            None => "it printed nothing".to_owned(),
        };
        let message = format!(
            "the account cannot run commands on its host: {printed}. An agent needs that; --source-tunnel and \
             --target-tunnel need forwarding only"
        );
        Error::new(ErrorKind::Preflight, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_preserves_the_text_in_every_shell() {
        assert_eq!(quote("/a b/$HOME `x` \"y\"").unwrap(), "'/a b/$HOME `x` \"y\"'");
        assert_eq!(quote("it's").unwrap(), r"'it'\''s'");
        assert_eq!(quote(r"a\b!").unwrap(), r"'a'\\'b'\!''");
        assert!(quote("a\nb").unwrap_err().to_string().contains(r"`a\nb`"));
    }

    #[test]
    fn values_are_separated_from_the_output_of_the_login_and_of_programs() {
        let output = ScriptOutput::parse(b"Welcome\xff\nMMbegin MMsh: oops\nMMdir /a b\nc MMMMend MMtail", "MM");
        assert_eq!(
            (output.value("begin"), output.value("dir"), output.value("end")),
            (Some(""), Some("/a b\nc "), Some(""))
        );
        assert_eq!(output.first_program_line().as_deref(), Some("sh: oops"));
        assert_eq!(first_line(&output.login).as_deref(), Some("Welcome\u{fffd}"));
        // The second mark of a value is missing.
        assert_eq!(ScriptOutput::parse(b"MMbegin MMMMdir /hom", "MM").value("dir"), None);
    }

    #[test]
    fn a_line_for_an_error_is_short_and_has_no_control_characters() {
        assert_eq!(last_line("a\n\x1b[31mred\r\n \n").as_deref(), Some(r"\u{1b}[31mred"));
        assert_eq!(last_line(&"x".repeat(1000)).map(|line| line.len()), Some(300));
        assert_eq!(first_line("\n \n"), None);
    }
}
