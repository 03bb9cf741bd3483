//! The SSH client: connects to hosts, checks their keys, logs in, runs commands and forwards connections.

mod address;
mod channel;
mod client;
mod host_key_policy;
mod identities;
mod key;
mod known_hosts;
mod login;
mod paths;
mod process;
mod secret_cache;
mod session;
mod settings;
mod settings_file;
mod stall_timeout;
#[cfg(test)]
mod tests;
mod tunnel;

use std::sync::Arc;

pub(crate) use address::SshAddress;
pub(crate) use client::SshClient;
pub(crate) use process::{ExitStatus, RemoteProcess};
use secrecy::SecretString;
pub(crate) use session::SshSession;
pub(crate) use tunnel::SshTunnel;

/// Asks the user for a password, a passphrase or a one-time code. The argument is the prompt; `None` means no answer.
pub(crate) type PromptCallback = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;

/// Login options beside the URL and the user's SSH settings.
#[derive(Clone, Default)]
pub(crate) struct LoginOptions {
    /// The password of the account, or the passphrase of a key.
    pub(crate) password: Option<SecretString>,
    pub(crate) ask: Option<PromptCallback>,
    /// Whether to accept any host key.
    pub(crate) any_host_key: bool,
}
