//! Passwords on the command line: out of sight of `ps` before anything else happens.
//!
//! A process cannot change its own arguments without `unsafe`, but it can become a new one: it executes itself with
//! the passwords removed, and hands them over through a pipe that the new one inherits.

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

/// The first argument of the new process.
const FLAG: &str = "--passwords-in-pipe=";
/// What any pipe holds before somebody reads from it.
const PIPE: usize = 4096;

/// URLs as they are shown, and as they were given.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// The URL as it was given. Each is given back once, so that two that look the same keep their own passwords.
    pub(crate) fn restored(&mut self, shown: &str) -> String {
        match self.0.iter().position(|(known, _)| known == shown) {
            Some(index) => self.0.remove(index).1,
            None => shown.to_owned(),
        }
    }
}

/// The arguments without passwords, and the passwords. Where there are any, this process starts anew without them.
pub(crate) fn hide() -> Result<(Vec<OsString>, Secrets)> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    if let Some(pipe) = arguments.get(1).and_then(|first| first.to_str()?.strip_prefix(FLAG)) {
        let secrets = receive(pipe).map_err(|error| Error::usage("cannot read the passwords").caused_by(error))?;
        arguments.remove(1);
        return Ok((arguments, secrets));
    }
    let secrets = take(&mut arguments);
    if secrets.0.is_empty() {
        return Ok((arguments, secrets));
    }
    match start_anew(&arguments, &secrets) {
        Ok(never) => match never {},
        Err(error) => {
            let message = "cannot hide the password of a URL from `ps`: leave it out, and set DBGRAFT_SOURCE_PASSWORD \
                           or DBGRAFT_TARGET_PASSWORD";
            Err(Error::usage(message).caused_by(error))
        }
    }
}

fn take(arguments: &mut [OsString]) -> Secrets {
    let mut secrets = Secrets::default();
    for argument in arguments.iter_mut() {
        let Some(text) = argument.to_str() else { continue };
        let (option, url) = match text.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
            _ => (String::new(), text),
        };
        if let Some(shown) = without_password(url) {
            let given = url.to_owned();
            *argument = format!("{option}{shown}").into();
            secrets.0.push((shown, given));
        }
    }
    secrets
}

/// The URL without its password, if it has one.
fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    // A password may hold a `/` that should have been written %2F: such a URL is refused later, but seen now.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let end = authority.rfind('@').or_else(|| rest.rfind('@'))?;
    let (account, place) = rest.split_at(end);
    let (user, _) = account.split_once(':')?;
    Some(format!("{scheme}://{user}{place}"))
}

/// Executes this program with other arguments; comes back only with an error.
fn start_anew(arguments: &[OsString], secrets: &Secrets) -> io::Result<Infallible> {
    let text: String = secrets.0.iter().flat_map(|(shown, given)| [shown, "\0", given, "\0"]).collect();
    if text.len() > PIPE {
        return Err(io::Error::other("it is too long"));
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

fn receive(pipe: &str) -> io::Result<Secrets> {
    let pipe: u32 = pipe.parse().map_err(io::Error::other)?;
    let mut text = String::new();
    File::open(format!("/proc/self/fd/{pipe}"))?.read_to_string(&mut text)?;
    let mut parts = text.split('\0').map(str::to_owned);
    let mut secrets = Secrets::default();
    while let (Some(shown), Some(given)) = (parts.next(), parts.next()) {
        secrets.0.push((shown, given));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_a_url_and_nothing_else_is() {
        let shown = |url: &str| without_password(url).unwrap_or_else(|| url.to_owned());
        assert_eq!(shown("mysql://u:secret@h:3306/d?ssl-mode=required"), "mysql://u@h:3306/d?ssl-mode=required");
        assert_eq!(shown("mysql://u:@[::1]:3306/d"), "mysql://u@[::1]:3306/d");
        assert_eq!(shown("mysql://u:a:b@c@h/d"), "mysql://u@h/d");
        assert_eq!(shown("mysql://u:se/cr?et@h/d"), "mysql://u@h/d");
        for clean in ["mysql://u@h:3306/d", "mysql://h:3306/d", "s3://bucket/a:b", "orders=url = 'x://a:b@c'", "a:b@c"]
        {
            assert_eq!(shown(clean), clean);
        }
    }

    #[test]
    fn each_url_gets_its_own_password_back() {
        let given = ["dbgraft", "mysql://u:one@h/d", "mysql://u:two@h/d", "--via=s3://k:three@b/p"];
        let mut arguments: Vec<OsString> = given.iter().map(Into::into).collect();
        let mut secrets = take(&mut arguments);
        assert_eq!(arguments, ["dbgraft", "mysql://u@h/d", "mysql://u@h/d", "--via=s3://k@b/p"]);
        assert_eq!(secrets.restored("mysql://u@h/d"), given[1]);
        assert_eq!(secrets.restored("mysql://u@h/d"), given[2]);
        assert_eq!(secrets.restored("s3://k@b/p"), "s3://k:three@b/p");
        assert_eq!(secrets.restored("mysql://u@h/d"), "mysql://u@h/d");
    }
}
