//! A region: a host that is reached by SSH over a network link of its own, and the agents on it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use dbgraft_testkit::{Proxy, Sshd};

use super::{unique, wait_until};

pub struct Region {
    host: Sshd,
    /// The line between the coordinator and the host.
    pub line: Proxy,
    dir: PathBuf,
}

/// When a process started, in clock ticks since the machine did (proc(5)).
fn start_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program, in parentheses, may hold spaces. The time is the 20th field after it.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    fields.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(u64::MAX)
}

impl Region {
    pub fn new() -> Self {
        Self::with("")
    }

    /// One whose SSH server has a setting more.
    pub fn with(setting: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dbgraft-region-{}", unique()));
        fs::create_dir_all(&dir).unwrap();
        // Its agents have a path of their own on their command lines.
        symlink(env!("CARGO_BIN_EXE_dbgraft"), dir.join("dbgraft")).unwrap();
        let host = Sshd::options().line(setting).start().unwrap();
        Self { line: Proxy::start((host.host.as_str(), host.port)).unwrap(), host, dir }
    }

    fn executable(&self) -> String {
        self.dir.join("dbgraft").display().to_string()
    }

    /// The URL for a tunnel or an agent.
    pub fn url(&self) -> String {
        let host = &self.host;
        format!(
            "ssh://{}@127.0.0.1:{}?identity={}&host-key={}&agent-path={}",
            host.user,
            self.line.port(),
            host.identity.display(),
            host.fingerprint.replace('+', "%2B"),
            self.executable()
        )
    }

    /// Kills the SSH server with all its sessions, and starts it again.
    pub fn restart_host(&mut self) {
        self.host.restart().unwrap();
    }

    /// The processes of agents that run there, the main one first.
    pub fn agents(&self) -> Vec<u32> {
        let ours = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.starts_with(format!("{}\0agent\0", self.executable()).as_bytes())
        };
        let mut found: Vec<u32> = processes().filter(ours).collect();
        // The oldest first. Process ids begin again at some point.
        found.sort_by_key(|pid| start_time(*pid));
        found
    }

    /// Everything that somebody on the host could look at of these processes, and what lies there.
    pub fn visible(&self) -> String {
        let mut seen = self.host.log();
        for pid in self.agents() {
            for what in ["cmdline", "environ"] {
                seen += &String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default());
            }
            let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            for file in open.filter_map(|entry| fs::read_link(entry.path()).ok()).filter(|file| file.is_file()) {
                seen += &format!("open: {}\n", file.display());
            }
        }
        seen
    }

    /// How many bytes went over the line so far, both ways.
    pub fn carried(&self) -> u64 {
        self.line.sent_up() + self.line.sent_down()
    }

    /// Waits until no agent runs.
    pub fn assert_no_agent(&self) {
        let gone = wait_until(|| self.agents().is_empty());
        assert!(gone, "left: {:?}", self.agents());
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        for pid in self.agents() {
            kill("KILL", pid);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

pub fn kill(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().unwrap();
    assert!(sent.success(), "{pid} is gone");
}
