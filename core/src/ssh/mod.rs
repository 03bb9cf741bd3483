//! Hosts reached by SSH: connections that are checked and logged in, commands run there, and ways through them.

mod address;
mod channel;
mod host;
mod host_key;
mod key;
mod keyring;
mod known_hosts;
mod line;
mod login;
mod offer;
mod process;
mod session;
mod settings;
mod settings_file;
#[cfg(test)]
mod tests;
mod tunnel;

use std::sync::Arc;

pub(crate) use address::SshAddress;
pub(crate) use host::Host;
pub(crate) use process::{Ended, Process};
use secrecy::SecretString;
pub(crate) use session::Session;
pub(crate) use tunnel::Tunnel;

/// Answers what only a person knows: a password, the passphrase of a key. `None`: nobody is there to ask.
pub(crate) type Ask = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;

/// What helps to log in, beside the URL and the user's own SSH settings.
#[derive(Clone, Default)]
pub(crate) struct Login {
    /// A password, or the passphrase of a key.
    pub(crate) password: Option<SecretString>,
    pub(crate) ask: Option<Ask>,
    /// Whether any host key is trusted.
    pub(crate) any_host_key: bool,
}
