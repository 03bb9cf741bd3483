//! The room against real SSH servers.

mod login;

use std::time::Duration;

use dbgraft_testkit as testkit;
use testkit::SshHost;

use super::{Host, Login, SshAddress};

/// The URL of a host, with what makes a test independent of whoever runs it.
fn url(host: &SshHost, more: &str) -> String {
    let (identity, known) = (host.identity.display(), host.known_hosts.display());
    format!("{}?config=/dev/null&identity={identity}&known-hosts={known}{more}", host.url)
}

fn host(url: &str) -> Host {
    host_with(url, Login::default())
}

fn host_with(url: &str, login: Login) -> Host {
    Host::new(SshAddress::parse("--source-tunnel", url).unwrap(), login)
}

/// What connecting fails with, as text.
async fn error(host: &Host) -> crate::Error {
    tokio::time::timeout(Duration::from_secs(60), host.connect()).await.unwrap().map(|_| ()).unwrap_err()
}
