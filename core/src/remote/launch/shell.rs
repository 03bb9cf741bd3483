//! Scripts for a host's `sh`, which pass through whatever shell the account has, and how their output is told from
//! what else a login prints.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::catalog::Printable;
use crate::error::{Error, ErrorKind, Result};
use crate::ssh::{RemoteProcess, SshSession};

/// How long a host may be silent before it is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// More than any script says, and than most logins print.
const LONGEST: usize = 256 << 10;
/// The begin of every script. What it says stands between two marks; everything else is noise, or words of the
/// programs that it calls. The two halves of the mark come apart, for a host that only prints the command it was given.
const PROLOGUE: &str = "m=$1$2; shift 2; say() { printf \"%s\" \"$m$1 $2$m\"; }; LC_ALL=C; export LC_ALL; exec 2>&1; \
                        sum() { if command -v sha256sum >/dev/null; then sha256sum; else echo -; fi; }; say begin; ";

/// A name that nobody else uses: 16 hexadecimal digits.
pub(super) fn unique() -> String {
    // The standard library seeds every `RandomState` anew; nothing secret depends on it.
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// `text` as one word of a command, for sh, bash, zsh, ksh, fish and csh.
///
/// # Errors
/// On control characters: no quoting carries a newline through every shell.
pub(super) fn quoted(text: &str) -> Result<String> {
    let mut word = String::from("'");
    for c in text.chars() {
        match c {
            // To fish `\` is special within quotes, to csh `!` is; outside of them a `\` before either works everywhere.
            '\'' | '\\' | '!' => word.extend(["'\\", c.encode_utf8(&mut [0; 4]), "'"]),
            c if c.is_control() => {
                let message = format!("`{}` has a control character, which no shell takes", Printable(text));
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            c => word.push(c),
        }
    }
    word.push('\'');
    Ok(word)
}

/// The command that runs `script`, of one line, in the place of the account's shell.
pub(super) fn command(script: &str, arguments: &[&str]) -> Result<String> {
    let mut command = format!("exec sh -c {} dbgraft", quoted(script)?);
    for argument in arguments {
        command.push(' ');
        command.push_str(&quoted(argument)?);
    }
    Ok(command)
}

/// What a host has written so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// What the script said: keys and values.
    said: Vec<(String, String)>,
    /// What was printed before the script began.
    noise: String,
    /// What the programs of the script printed.
    words: String,
}

impl Heard {
    fn parse(bytes: &[u8], mark: &str) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut heard = Self::default();
        let parts: Vec<&str> = text.split(mark).collect();
        for (index, part) in parts.iter().enumerate() {
            if index == 0 {
                heard.noise = (*part).to_owned();
            } else if index % 2 == 0 {
                heard.words.push_str(part);
            } else if index + 1 < parts.len() {
                // Else the second mark is still on its way.
                let (key, value) = part.split_once(' ').unwrap_or((part, ""));
                heard.said.push((key.to_owned(), value.to_owned()));
            }
        }
        heard
    }

    /// What the script said under this key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.said.iter().find(|(said, _)| said == key).map(|(_, value)| value.as_str())
    }

    /// The first line that the script's programs printed, fit for an error.
    pub(super) fn words(&self) -> Option<String> {
        first_line(&self.words)
    }
}

/// The first line that is not empty, fit for an error.
fn first_line(text: &str) -> Option<String> {
    text.lines().find_map(line)
}

/// The last line that is not empty, fit for an error.
pub(super) fn last_line(text: &str) -> Option<String> {
    text.lines().rev().find_map(line)
}

fn line(text: &str) -> Option<String> {
    let short: String = text.trim().chars().take(300).collect();
    (!short.is_empty()).then(|| Printable(&short).to_string())
}

/// A script that runs on a host.
pub(super) struct Script {
    pub(super) process: RemoteProcess,
    mark: String,
    output: Vec<u8>,
}

impl Script {
    /// Starts a script, of one line. Its arguments are `$1` and so on; it has `say KEY VALUE`, `sum`, and its standard
    /// error where its standard output goes.
    pub(super) async fn start(session: &SshSession, script: &str, arguments: &[&str]) -> Result<Self> {
        let halves = [unique(), unique()];
        let [first, second] = &halves;
        let arguments: Vec<&str> = [first.as_str(), second].into_iter().chain(arguments.iter().copied()).collect();
        let process = session.exec(&command(&format!("{PROLOGUE}{script}"), &arguments)?).await?;
        Ok(Self { process, mark: halves.concat(), output: Vec::new() })
    }

    /// Waits until the script has said one of `keys`, or has ended.
    ///
    /// # Errors
    /// `Connection` after `patience`; `Preflight` when the script has not even begun.
    pub(super) async fn hear(&mut self, keys: &[&str], patience: Duration) -> Result<Heard> {
        let heard = timeout(patience, self.read(keys)).await.map_err(|_| {
            let message = format!("the host has not answered for {} seconds", patience.as_secs());
            Error::new(ErrorKind::Connection, message).retryable()
        })?;
        if heard.get("begin").is_some() {
            return Ok(heard);
        }
        Err(self.mute(&heard).await)
    }

    async fn read(&mut self, keys: &[&str]) -> Heard {
        loop {
            let heard = Heard::parse(&self.output, &self.mark);
            if keys.iter().any(|key| heard.get(key).is_some()) || self.output.len() > LONGEST {
                return heard;
            }
            // A broken connection is an end like any other: what is missing tells.
            if !matches!(self.process.stdout.read_buf(&mut self.output).await, Ok(1..)) {
                return heard;
            }
        }
    }

    /// Whether the connection is gone, and the script had no end of its own.
    pub(super) async fn is_cut_off(&mut self) -> bool {
        let ended = timeout(Duration::from_secs(2), self.process.exit_status()).await;
        ended.is_ok_and(|ended| ended.code.is_none() && ended.signal.is_none())
    }

    /// Why nothing was said.
    async fn mute(&mut self, heard: &Heard) -> Error {
        if self.is_cut_off().await {
            return Error::new(ErrorKind::Connection, "the connection broke").retryable();
        }
        let printed = match first_line(&heard.noise).or_else(|| last_line(&self.process.stderr())) {
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
    fn a_word_comes_through_every_shell_as_it_is() {
        assert_eq!(quoted("/a b/$HOME `x` \"y\"").unwrap(), "'/a b/$HOME `x` \"y\"'");
        assert_eq!(quoted("it's").unwrap(), r"'it'\''s'");
        assert_eq!(quoted(r"a\b!").unwrap(), r"'a'\\'b'\!''");
        assert!(quoted("a\nb").unwrap_err().to_string().contains(r"`a\nb`"));
    }

    #[test]
    fn what_a_script_says_is_told_from_noise_and_from_the_words_of_others() {
        let heard = Heard::parse(b"Welcome\xff\nMMbegin MMsh: oops\nMMdir /a b\nc MMMMend MMtail", "MM");
        assert_eq!((heard.get("begin"), heard.get("dir"), heard.get("end")), (Some(""), Some("/a b\nc "), Some("")));
        assert_eq!(heard.words().as_deref(), Some("sh: oops"));
        assert_eq!(first_line(&heard.noise).as_deref(), Some("Welcome\u{fffd}"));
        // The second mark of a value is still on its way.
        assert_eq!(Heard::parse(b"MMbegin MMMMdir /hom", "MM").get("dir"), None);
    }

    #[test]
    fn a_line_for_an_error_is_short_and_has_no_control_characters() {
        assert_eq!(last_line("a\n\x1b[31mred\r\n \n").as_deref(), Some(r"\u{1b}[31mred"));
        assert_eq!(last_line(&"x".repeat(1000)).map(|line| line.len()), Some(300));
        assert_eq!(first_line("\n \n"), None);
    }
}
