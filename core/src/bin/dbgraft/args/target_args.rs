//! The arguments of `status` and `abandon`, and their conversion to the library's options.

use std::path::PathBuf;

use clap::Args;
use dbgraft::{CloneOptions, Encryption};

use super::{MEANS, WHERE};

/// The arguments of `status` and `abandon`.
#[derive(Args)]
pub(crate) struct TargetArgs {
    /// The target: a mysql://, s3:// or file:// URL
    pub(crate) target: String,

    /// Maximum wait for a lock of another session: 60, 5m
    #[arg(long, value_name = "SECONDS", default_value = "60", help_heading = MEANS, value_parser = dbgraft::parse_seconds)]
    lock_wait: u64,
    /// Decrypt archives: by a passphrase, which is asked for, or by key-file=FILE
    #[arg(long, value_name = "HOW", help_heading = MEANS)]
    encrypt: Option<Encryption>,

    /// Connect to the target through this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    target_tunnel: Option<String>,
    /// Run the work on this host
    #[arg(long, value_name = "ssh://USER@HOST", help_heading = WHERE)]
    target_agent: Option<String>,
    /// The dbgraft executable to copy to an agent's host; default: this one
    #[arg(long, value_name = "FILE", help_heading = WHERE)]
    agent_binary: Option<PathBuf>,
    /// Accept any SSH host key
    #[arg(long, help_heading = WHERE)]
    insecure_accept_any_host_key: bool,
}

impl TargetArgs {
    /// Converts the arguments to the library's options.
    pub(crate) fn options(&self) -> CloneOptions {
        CloneOptions {
            lock_wait: self.lock_wait,
            encrypt: self.encrypt.clone(),
            target_tunnel: self.target_tunnel.clone(),
            target_agent: self.target_agent.clone(),
            agent_binary: self.agent_binary.clone(),
            insecure_accept_any_host_key: self.insecure_accept_any_host_key,
            ..CloneOptions::default()
        }
    }
}
