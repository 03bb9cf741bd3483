//! A `dbgraft` process that follows a source.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dbgraft::{CloneOptions, CloneState, TargetJob};

use super::{Bench, becomes_true, wait_until};

const DBGRAFT: &str = env!("CARGO_BIN_EXE_dbgraft");

/// A process that follows into the target of a bench. Dropping it kills it.
pub struct Follower {
    child: Child,
    target: String,
}

impl Follower {
    /// Starts `dbgraft COMMAND SOURCE TARGET` with further arguments.
    pub fn start(bench: &Bench, command: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(DBGRAFT);
        process.args([command, &bench.source_url(), &bench.target_url(), "--progress", "none"]).args(arguments);
        let child = process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, target: bench.target_url() }
    }

    /// Starts it, and waits until it follows.
    pub async fn begin(bench: &Bench, command: &str, arguments: &[&str]) -> Self {
        let mut follower = Self::start(bench, command, arguments);
        follower.wait_for(async |target| state_of(target).await == CloneState::Following).await;
        follower
    }

    /// Waits until it has applied what the source has committed until now.
    pub async fn catch_up(&mut self, bench: &Bench) {
        let marker = super::unique();
        bench.source(&format!("REPLACE INTO marks VALUES (1, '{marker}')"));
        self.wait_for(async |_| bench.target("SELECT mark FROM marks WHERE id = 1") == marker).await;
    }

    /// Waits, and fails if the process ends before.
    async fn wait_for(&mut self, is_done: impl AsyncFn(&str) -> bool) {
        let target = self.target.clone();
        let is_done = async || {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.error());
            is_done(&target).await
        };
        assert!(becomes_true(is_done).await);
    }

    /// Waits until it ends by itself, and returns what it says.
    pub fn ended(mut self) -> String {
        assert!(wait_until(|| self.child.try_wait().unwrap().is_some()), "it does not end");
        self.error()
    }

    fn error(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut text).unwrap();
        }
        text
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it, and waits until the server has noticed.
    pub async fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert!(becomes_true(async || state_of(&self.target).await != CloneState::Following).await);
    }

    /// Cuts over, and waits for its end.
    pub async fn cut_over(self) {
        self.cut_over_with(CloneOptions::default()).await;
    }

    /// Does the same with these options.
    pub async fn cut_over_with(mut self, options: CloneOptions) {
        let report = TargetJob::new(&self.target).options(options).cut_over(None, Duration::from_secs(120)).await;
        report.unwrap_or_else(|error| panic!("{error}; {}", self.error()));
        assert!(wait_until(|| self.child.try_wait().unwrap().is_some()), "it does not end");
        assert!(self.child.wait().unwrap().success(), "{}", self.error());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn state_of(target: &str) -> CloneState {
    TargetJob::new(target).status().await.map_or(CloneState::None, |status| status.state)
}
