//! Passwords that only the person at the terminal can give.

use std::io::{self, IsTerminal};

use dbgraft::{Error, Printable, Result, SecretString, needs_password};

/// Asks for the password of `url` if nothing else gives one and there is somebody to ask; Enter is the empty password.
pub(crate) fn ask(url: &str, shown: &str, variable: &str) -> Result<Option<SecretString>> {
    if !needs_password(url, variable) || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let answer = rpassword::prompt_password(format!("Password for {}: ", Printable(shown)));
    let password = answer.map_err(|error| Error::usage("cannot ask for a password").caused_by(error))?;
    Ok(Some(password.into()))
}
