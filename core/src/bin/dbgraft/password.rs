//! Asks the user at the terminal for passwords.

use std::io::{self, IsTerminal};

use dbgraft::{Error, Printable, Result, SecretString, needs_password};

/// Asks for the password of `url` if nothing else supplies one and there is a terminal. Enter is the empty password.
pub(crate) fn prompt_for_url(url: &str, shown: &str, variable: &str) -> Result<Option<SecretString>> {
    if !needs_password(url, variable) || !has_terminal() {
        return Ok(None);
    }
    let answer = rpassword::prompt_password(format!("Password for {}: ", Printable(shown)));
    let password = answer.map_err(|error| Error::usage("cannot ask for a password").caused_by(error))?;
    Ok(Some(password.into()))
}

/// Shows a prompt and reads a secret, if there is a terminal.
pub(crate) fn prompt(prompt: &str) -> Option<SecretString> {
    if !has_terminal() {
        return None;
    }
    rpassword::prompt_password(Printable(prompt).to_string()).ok().map(SecretString::from)
}

fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
