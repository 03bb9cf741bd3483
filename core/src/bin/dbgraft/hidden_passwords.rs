//! Hides passwords on the command line from `ps`.
//!
//! A process cannot change its own arguments without `unsafe`. So it executes itself again without the passwords and
//! passes them through an inherited pipe.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use dbgraft::{Error, Result};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::args;

/// The first argument of the second execution.
const FLAG: &str = "--passwords-in-pipe=";
/// The bytes that every pipe buffers.
const PIPE_CAPACITY: usize = 4096;

/// The URLs of the command line, in their order, without and with their passwords.
#[derive(Debug, Default)]
pub(crate) struct HiddenPasswords(Vec<HiddenUrl>);

#[derive(Debug, PartialEq, Eq)]
struct HiddenUrl {
    /// `--source-tunnel`; empty for the source and the target.
    option: String,
    shown: String,
    given: String,
}

impl HiddenPasswords {
    /// Returns the URL of the option with its password, each once: equal URLs keep their own passwords, also where only
    /// one of them has any. `option` is empty for the source and, after it, the target.
    pub(crate) fn restore_url(&mut self, option: &str, shown: &str) -> String {
        match self.0.iter().position(|url| url.option == option && url.shown == shown) {
            Some(index) => self.0.remove(index).given,
            None => shown.to_owned(),
        }
    }
}

/// Returns the arguments without passwords, and the passwords. If there are passwords, executes this process again.
pub(crate) fn hide_passwords() -> Result<(Vec<OsString>, HiddenPasswords)> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    if let Some(pipe) = arguments.get(1).and_then(|first| first.to_str()?.strip_prefix(FLAG)) {
        let passwords = read_pipe(pipe).map_err(|error| Error::usage("cannot read the passwords").caused_by(error))?;
        arguments.remove(1);
        return Ok((arguments, passwords));
    }
    let passwords = extract_passwords(&mut arguments);
    if passwords.0.iter().all(|url| url.shown == url.given) {
        return Ok((arguments, passwords));
    }
    match exec_self(&arguments, &passwords) {
        Ok(never) => match never {},
        Err(error) => {
            let message = "cannot hide the password of a URL from `ps`: leave it out, and set DBGRAFT_SOURCE_PASSWORD \
                           or DBGRAFT_TARGET_PASSWORD";
            Err(Error::usage(message).caused_by(error))
        }
    }
}

fn extract_passwords(arguments: &mut [OsString]) -> HiddenPasswords {
    let mut passwords = HiddenPasswords::default();
    let mut previous = String::new();
    for argument in arguments.iter_mut().skip(1) {
        let whole = argument.to_string_lossy().into_owned();
        let before = std::mem::replace(&mut previous, whole.clone());
        let (prefix, url) = match whole.split_once('=') {
            Some((option, _)) if args::takes_text(option) => continue,
            Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
            _ => (String::new(), whole.as_str()),
        };
        let shown = without_password(url);
        if args::takes_text(&before) || (shown.is_none() && !url.contains("://")) {
            continue;
        }
        let option = match prefix.strip_suffix('=') {
            Some(option) => option.to_owned(),
            None if args::takes_url(&before) => before,
            None => String::new(),
        };
        if let Some(shown) = &shown {
            *argument = format!("{prefix}{shown}").into();
        }
        let shown = shown.unwrap_or_else(|| url.to_owned());
        passwords.0.push(HiddenUrl { option, shown, given: url.to_owned() });
    }
    passwords
}

/// Removes a possible password from a URL, which may be invalid; `None` without one.
fn without_password(url: &str) -> Option<String> {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(authority..)?;
    let (user, after) = rest.split_once(':')?;
    let shown = url.get(..authority + user.len())?;
    // A password ends at the last `@`, since it may contain an unencoded `/` or `@`.
    if let Some((_, place)) = after.rsplit_once('@') {
        return Some(format!("{shown}@{place}"));
    }
    // Without an `@` the text after the `:` is a port or a password.
    let (word, path) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
    let is_port = word.bytes().all(|byte| byte.is_ascii_digit());
    let plain = is_port || authority == 0 || rest.starts_with('[') || user.contains(['/', '?', '#']);
    (!plain).then(|| format!("{shown}{path}"))
}

/// Executes this program with other arguments. Returns only on error.
fn exec_self(arguments: &[OsString], passwords: &HiddenPasswords) -> io::Result<Infallible> {
    let fields = passwords.0.iter().flat_map(|url| [&url.option, &url.shown, &url.given]);
    let text: String = fields.flat_map(|field| [field, "\0"]).collect();
    if text.len() > PIPE_CAPACITY {
        return Err(io::Error::other("the URLs are too long"));
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(text.as_bytes())?;
    fcntl_setfd(&reader, FdFlags::empty())?;
    let mut command = Command::new(env::current_exe()?);
    command.arg(format!("{FLAG}{}", reader.as_raw_fd())).args(arguments.get(1..).unwrap_or_default());
    if let Some(name) = arguments.first() {
        command.arg0(name);
    }
    Err(command.exec())
}

fn read_pipe(pipe: &str) -> io::Result<HiddenPasswords> {
    let pipe: u32 = pipe.parse().map_err(io::Error::other)?;
    let mut text = String::new();
    File::open(format!("/proc/self/fd/{pipe}"))?.read_to_string(&mut text)?;
    let mut parts = text.split('\0').map(str::to_owned);
    let mut passwords = HiddenPasswords::default();
    while let (Some(option), Some(shown), Some(given)) = (parts.next(), parts.next(), parts.next()) {
        passwords.0.push(HiddenUrl { option, shown, given });
    }
    Ok(passwords)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_removed_from_invalid_urls_too() {
        let shown = |url: &str| without_password(url).unwrap_or_else(|| url.to_owned());
        assert_eq!(shown("mysql://u:secret@h:3306/d?ssl-mode=required"), "mysql://u@h:3306/d?ssl-mode=required");
        assert_eq!(shown("mysql://u:@[::1]:3306/d"), "mysql://u@[::1]:3306/d");
        assert_eq!(shown("mysql://u:a:b@c@h/d"), "mysql://u@h/d");
        assert_eq!(shown("mysql://u:se/cr?et@h/d"), "mysql://u@h/d");
        assert_eq!(shown("mysql://u:s@cr/et@h/d"), "mysql://u@h/d");
        assert_eq!(shown("mysql://u@x:secret@h/d"), "mysql://u@x@h/d");
        for wrong in [
            "mysql://u:secret@h/d?ssl-mode=x@y",
            "mysql://u:se/cr@et",
            "mysql://u:secret",
            "mysql://u:secret/d",
            "mysql:/u:secret@h/d",
            "mysql:u:secret@h/d",
            "mysql+tls://u:secret@h/d",
            " mysql://u:secret@h/d",
            "u:secret@h/d",
        ] {
            assert!(!shown(wrong).contains("secret"), "{wrong}: {}", shown(wrong));
        }
        for clean in
            ["mysql://u@h:3306/d", "mysql://h:3306/d", "mysql://[::1]:3306/d", "s3://bucket/a:b", "file:///a:b"]
        {
            assert_eq!(shown(clean), clean);
        }
    }

    #[test]
    fn other_arguments_are_unchanged() {
        let given = [
            "dbgraft",
            "clone",
            "--where",
            "t=a = 'x://a:b@c'",
            "--include=a:b@c",
            "--exclude",
            "view:v@x",
            "--list-rows",
            "u:p@h",
        ];
        let mut arguments: Vec<OsString> = given.iter().map(Into::into).collect();
        let passwords = extract_passwords(&mut arguments);
        assert_eq!(arguments[..7], given[..7]);
        let hidden = HiddenUrl { option: String::new(), shown: "u@h".to_owned(), given: "u:p@h".to_owned() };
        assert_eq!(passwords.0, [hidden]);
    }

    #[test]
    fn equal_urls_keep_their_own_passwords() {
        let given = ["dbgraft", "mysql://u:one@h/d", "mysql://u:two@h/d", "--via=s3://k:three@b/p"];
        let mut arguments: Vec<OsString> = given.iter().map(Into::into).collect();
        let mut passwords = extract_passwords(&mut arguments);
        assert_eq!(arguments, ["dbgraft", "mysql://u@h/d", "mysql://u@h/d", "--via=s3://k@b/p"]);
        assert_eq!(passwords.restore_url("", "mysql://u@h/d"), given[1]);
        assert_eq!(passwords.restore_url("", "mysql://u@h/d"), given[2]);
        assert_eq!(passwords.restore_url("--via", "s3://k@b/p"), "s3://k:three@b/p");
        assert_eq!(passwords.restore_url("", "mysql://u@h/d"), "mysql://u@h/d");
    }

    #[test]
    fn a_url_without_a_password_gets_no_other() {
        let tunnels = ["--target-tunnel", "ssh://u:far@h", "--source-tunnel=ssh://u@h"];
        let given = [&["dbgraft", "clone", "mysql://u@h/d", "mysql://u:two@h/d"][..], &tunnels].concat();
        let mut arguments: Vec<OsString> = given.iter().map(Into::into).collect();
        let mut passwords = extract_passwords(&mut arguments);
        assert_eq!(passwords.restore_url("--source-tunnel", "ssh://u@h"), "ssh://u@h");
        assert_eq!(passwords.restore_url("--target-tunnel", "ssh://u@h"), "ssh://u:far@h");
        assert_eq!(passwords.restore_url("", "mysql://u@h/d"), given[2]);
        assert_eq!(passwords.restore_url("", "mysql://u@h/d"), given[3]);
    }
}
