//! Tests against real SSH servers.

mod hosts;
mod jump_hosts;
mod keys;
mod passwords;
mod sessions;
mod settings;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dbgraft_testkit as testkit;
use testkit::SshHost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{LoginOptions, SshAddress, SshClient, SshSession};
use crate::error::{Error, ErrorKind};

/// The URL of a host, independent of the SSH settings of the account that runs the test.
fn url(host: &SshHost, more: &str) -> String {
    let known = host.known_hosts.display();
    format!("{}?config=/dev/null&identity={}&known-hosts={known}{more}", host.url, host.identity.display())
}

fn client(url: &str) -> SshClient {
    client_with(url, LoginOptions::default())
}

fn client_with(url: &str, login: LoginOptions) -> SshClient {
    SshClient::new(SshAddress::parse("--source-tunnel", url).unwrap(), login)
}

async fn connect(host: &SshClient) -> Result<SshSession, Error> {
    testkit::no_hang(host.connect()).await
}

/// Returns the error of connecting.
async fn connect_error(host: &SshClient) -> Error {
    connect(host).await.map(|_| ()).unwrap_err()
}

/// Returns the output of a command.
async fn output(session: &SshSession, command: &str) -> String {
    let mut process = session.exec(command).await.unwrap();
    let mut output = String::new();
    process.stdout.read_to_string(&mut output).await.unwrap();
    output
}

/// A temporary directory, removed on drop.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("dbgraft-ssh-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
