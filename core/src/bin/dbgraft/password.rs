//! Passwords that only the person at the terminal can give.

use std::io::{self, IsTerminal};

use dbgraft::{Error, Printable, Result, SecretString, needs_password};

/// Asks for the password of `url` if nothing else gives one and there is somebody to ask; Enter is the empty password.
pub(crate) fn ask(url: &str, shown: &str, variable: &str) -> Result<Option<SecretString>> {
    if !needs_password(url, variable) || !somebody_is_there() {
        return Ok(None);
    }
    let answer = rpassword::prompt_password(format!("Password for {}: ", Printable(shown)));
    let password = answer.map_err(|error| Error::usage("cannot ask for a password").caused_by(error))?;
    Ok(Some(password.into()))
}

/// The answer to a question of SSH, if there is somebody to ask.
pub(crate) fn answer(question: &str) -> Option<SecretString> {
    if !somebody_is_there() {
        return None;
    }
    rpassword::prompt_password(Printable(question).to_string()).ok().map(SecretString::from)
}

fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
