//! Starts agents on real SSH servers of the tests, with a home and a cache below a temporary directory.

mod login;
mod start;
mod upload;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dbgraft_testkit::{Sshd, becomes_true};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::shell::random_name;
use super::{AgentLauncher, AgentProcess};
use crate::error::Error;
use crate::remote::handshake_version;
use crate::ssh::{LoginOptions, SshAddress, SshClient};

/// The compiler option that gives the fake agent this version.
fn version_option() -> String {
    format!("-DVERSION=\"{}\"", handshake_version())
}

/// A host for one test.
struct TestHost {
    sshd: Sshd,
    dir: PathBuf,
}

impl TestHost {
    fn new() -> Self {
        Self::with_login_script("eval \"$SSH_ORIGINAL_COMMAND\"")
    }

    /// A host where each login runs this script; `$SSH_ORIGINAL_COMMAND` is the command.
    fn with_login_script(script: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dbgraft-launch-{}", random_name()));
        fs::create_dir_all(dir.join("home")).unwrap();
        let script = format!("echo >>{}/logins\n{script}\n", dir.display());
        fs::write(dir.join("login.sh"), script).unwrap();
        let options = Sshd::options().line(format!("ForceCommand sh {}/login.sh", dir.display()));
        let sshd =
            options.line(format!("SetEnv HOME={0}/home XDG_CACHE_HOME={0}/cache", dir.display())).start().unwrap();
        Self { sshd, dir }
    }

    /// The launcher of another coordinator, with `parameters` appended to the URL.
    fn launcher(&self, parameters: &str, binary: Option<&Path>) -> AgentLauncher {
        let url = format!("{}{parameters}", self.sshd.login_url());
        let address = SshAddress::parse("--source-agent", &url).unwrap();
        AgentLauncher::new(Arc::new(SshClient::new(address, LoginOptions::default())), binary.map(Path::to_owned))
    }

    /// The error of a start that must fail.
    async fn start_error(&self, parameters: &str, binary: Option<&Path>) -> Error {
        let error = self.launcher(parameters, binary).start().await.err().unwrap();
        assert!(error.to_string().contains(&self.sshd.port.to_string()), "which host? {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        error
    }

    /// Compiles a fake agent with these options.
    fn compile_agent(&self, options: &[&str]) -> PathBuf {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/remote/launch/tests/agent.c");
        let file = self.dir.join(format!("agent-{}", random_name()));
        let status = Command::new("cc").args(options).args(["-o".as_ref(), file.as_os_str(), source.as_ref()]).status();
        assert!(status.unwrap().success());
        file
    }

    /// Compiles a fake agent of this version.
    fn agent(&self) -> PathBuf {
        self.compile_agent(&[&version_option()])
    }

    fn cache_dir(&self) -> PathBuf {
        self.dir.join("cache/dbgraft")
    }

    /// The names of the files in the cache.
    fn cached_names(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.cache_dir()) else { return Vec::new() };
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The one file in the cache.
    fn cached_file(&self) -> PathBuf {
        let names = self.cached_names();
        assert_eq!(names.len(), 1, "{names:?}");
        self.cache_dir().join(&names[0])
    }

    /// The number of logins so far.
    fn login_count(&self) -> usize {
        fs::read(self.dir.join("logins")).unwrap_or_default().len()
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Checks that the fake agent echoes, and that its output right after the handshake was not lost.
async fn assert_answers(agent: &mut AgentProcess) {
    agent.process.stdin.write_all(b"ping").await.unwrap();
    agent.process.stdin.flush().await.unwrap();
    let mut answer = [0; 10];
    agent.process.stdout.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello ping");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The command that runs another one in a new mount namespace, which needs no clean-up; `None` where this account may
/// not create one.
fn mount_namespace_command() -> Option<&'static str> {
    let can = |command: &str| Command::new("sh").args(["-c", &format!("{command} mount -t tmpfs none /mnt")]).output();
    let found =
        ["unshare -m", "unshare -rm"].into_iter().find(|command| can(command).is_ok_and(|run| run.status.success()));
    if found.is_none() {
        eprintln!("SKIPPED: this account may not mount anything, run as root to test it");
    }
    found
}
