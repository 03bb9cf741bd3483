//! Launching on real sshds of the tests' own, whose accounts have a home and a cache below a temporary directory.

mod copy;
mod login;
mod start;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbgraft_testkit::Sshd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::shell::unique;
use super::{Launched, Launcher};
use crate::error::Error;
use crate::ssh::{LoginOptions, SshAddress, SshClient};

const VERSION: &str = concat!("-DVERSION=\"", env!("CARGO_PKG_VERSION"), "\"");

/// A host of one test.
struct Site {
    sshd: Sshd,
    dir: PathBuf,
}

impl Site {
    fn new() -> Self {
        Self::forcing("eval \"$SSH_ORIGINAL_COMMAND\"")
    }

    /// A host where each login runs this script, which finds the command in `$SSH_ORIGINAL_COMMAND`.
    fn forcing(script: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dbgraft-launch-{}", unique()));
        fs::create_dir_all(dir.join("home")).unwrap();
        let script = format!("echo >>{}/logins\n{script}\n", dir.display());
        fs::write(dir.join("login.sh"), script).unwrap();
        let options = Sshd::options().line(format!("ForceCommand sh {}/login.sh", dir.display()));
        let sshd =
            options.line(format!("SetEnv HOME={0}/home XDG_CACHE_HOME={0}/cache", dir.display())).start().unwrap();
        Self { sshd, dir }
    }

    /// Another coordinator's launcher. `more` is added to the URL.
    fn launcher(&self, more: &str, binary: Option<&Path>) -> Launcher {
        let url = format!("{}{more}", self.sshd.login_url());
        let address = SshAddress::parse("--source-agent", &url).unwrap();
        Launcher::new(Arc::new(SshClient::new(address, LoginOptions::default())), binary.map(Path::to_owned))
    }

    /// The error of a first call.
    async fn refuses(&self, more: &str, binary: Option<&Path>) -> Error {
        let error = self.launcher(more, binary).start().await.err().unwrap();
        assert!(error.to_string().contains(&self.sshd.port.to_string()), "which host? {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        error
    }

    /// A stand-in for the executable, compiled with these options.
    fn compiled(&self, options: &[&str]) -> PathBuf {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/remote/launch/tests/agent.c");
        let file = self.dir.join(format!("agent-{}", unique()));
        let status = Command::new("cc").args(options).args(["-o".as_ref(), file.as_os_str(), source.as_ref()]).status();
        assert!(status.unwrap().success());
        file
    }

    fn agent(&self) -> PathBuf {
        self.compiled(&[VERSION])
    }

    fn cache(&self) -> PathBuf {
        self.dir.join("cache/dbgraft")
    }

    /// The names of the files in the cache.
    fn cached(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.cache()) else { return Vec::new() };
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The one file in the cache.
    fn copy(&self) -> PathBuf {
        let names = self.cached();
        assert_eq!(names.len(), 1, "{names:?}");
        self.cache().join(&names[0])
    }

    /// How many commands were run.
    fn logins(&self) -> usize {
        fs::read(self.dir.join("logins")).unwrap_or_default().len()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The stand-in echoes, and what it wrote right after its greeting was not lost.
async fn answers(launched: &mut Launched) {
    launched.process.stdin.write_all(b"ping").await.unwrap();
    launched.process.stdin.flush().await.unwrap();
    let mut answer = [0; 10];
    launched.process.stdout.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello ping");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Whether `done` becomes true within some seconds.
async fn soon(mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if done() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

/// The command that gives what follows a mount namespace of its own, which nobody has to clean up; none where this
/// account may not have one.
fn mounting() -> Option<&'static str> {
    let can = |command: &str| Command::new("sh").args(["-c", &format!("{command} mount -t tmpfs none /mnt")]).output();
    let found = ["unshare -m", "unshare -rm"].into_iter().find(|way| can(way).is_ok_and(|run| run.status.success()));
    if found.is_none() {
        eprintln!("SKIPPED: this account may not mount anything, run as root to test it");
    }
    found
}
