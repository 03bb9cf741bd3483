//! Hosts reached by SSH: connections that are checked and logged in, commands run there, and ways through them.

mod address;
mod session;
mod tunnel;

use std::sync::Arc;

pub(crate) use address::SshAddress;
use secrecy::SecretString;
pub(crate) use session::{Ended, Host, Process, Session};
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
