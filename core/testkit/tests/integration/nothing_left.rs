//! However the owner of servers ends, the servers stop and their files are removed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dbgraft_testkit::{RunningServers, wait_until};

const TESTKIT: &str = env!("CARGO_BIN_EXE_testkit");

/// All traces of running servers: their ports, processes and directory.
struct Traces {
    ports: Vec<u16>,
    pids: BTreeSet<u32>,
    dir: PathBuf,
}

impl Traces {
    fn of(running: &RunningServers) -> Self {
        let databases = [&running.mysql, &running.mariadb];
        let databases: Vec<_> = databases.into_iter().flatten().flat_map(|pair| [&pair.source, &pair.target]).collect();
        let (s3, hosts) = (running.s3.as_ref().unwrap(), running.sshd.as_ref().unwrap());
        let s3_port = s3.endpoint.rsplit_once(':').unwrap().1.parse().unwrap();
        let mut ports: Vec<u16> = databases.iter().map(|database| database.port).collect();
        ports.extend([s3_port, hosts.source.port, hosts.target.port]);
        let mut pids: BTreeSet<u32> = databases.iter().filter_map(|database| database.pid).collect();
        pids.extend([s3.pid.unwrap(), hosts.source.pid.unwrap(), hosts.target.pid.unwrap()]);
        // Their guards, too.
        let guards: Vec<u32> = pids.iter().map(|pid| parent(*pid)).collect();
        pids.extend(guards);
        let dir = hosts.source.identity.parent().unwrap().parent().unwrap().to_owned();
        let traces = Self { ports, pids, dir };
        assert_eq!((traces.ports.len(), traces.pids.len()), (7, 14));
        assert!(traces.left().len() == 7 + 14 + 1, "{:?}", traces.left());
        traces
    }

    fn left(&self) -> Vec<String> {
        let ports = self.ports.iter().filter(|port| TcpStream::connect(("127.0.0.1", **port)).is_ok());
        let pids = self.pids.iter().filter(|pid| runs(**pid));
        let mut left: Vec<String> = ports.map(|port| format!("port {port}")).collect();
        left.extend(pids.map(|pid| format!("process {pid}")));
        if self.dir.exists() {
            left.push(self.dir.display().to_string());
        }
        left
    }

    fn assert_gone(&self) {
        assert!(wait_until(|| self.left().is_empty()), "left behind: {:?}", self.left());
    }
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// A zombie process counts as ended.
fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

fn parent(pid: u32) -> u32 {
    stat(pid).unwrap()[1].parse().unwrap()
}

fn up() -> (Child, RunningServers) {
    let mut child =
        Command::new(TESTKIT).args(["up", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn after_a_kill() {
    let (mut child, running) = up();
    let traces = Traces::of(&running);
    // A session and its command are running when the end comes.
    let sshd = running.sshd.unwrap().source;
    let mut session = Command::new("ssh")
        .arg("-oBatchMode=yes")
        .arg(format!("-oUserKnownHostsFile={}", sshd.known_hosts.display()))
        .arg("-i")
        .arg(&sshd.identity)
        .args(["-p", &sshd.port.to_string(), &format!("{}@{}", sshd.user, sshd.host)])
        .arg("echo $$; exec sleep 600")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(session.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let remote: u32 = line.trim().parse().unwrap();
    assert!(runs(remote));

    child.kill().unwrap();
    child.wait().unwrap();
    traces.assert_gone();
    session.wait().unwrap();
    assert!(wait_until(|| !runs(remote)));
}

#[test]
fn after_the_end_of_input_and_after_a_signal() {
    let (mut child, running) = up();
    let traces = Traces::of(&running);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(traces.left(), Vec::<String>::new());

    let (mut child, running) = up();
    let traces = Traces::of(&running);
    signal(child.id(), "-TERM");
    assert!(child.wait().unwrap().success());
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn after_the_death_of_a_guard() {
    let (child, running) = up();
    let traces = Traces::of(&running);
    let database = running.mariadb.unwrap().source;
    let (pid, dir) = (database.pid.unwrap(), database.data_dir.unwrap());
    signal(parent(pid), "-TERM");
    assert!(wait_until(|| !runs(pid) && !dir.exists()));
    // With SIGKILL it cannot remove its directory, but the kernel still stops the server.
    let pid = running.mysql.unwrap().source.pid.unwrap();
    let guard = parent(pid);
    let orphaned = traces.dir.join(own_directory(pid));
    signal(guard, "-KILL");
    assert!(wait_until(|| !runs(pid)));
    let mut child = child;
    drop(child.stdin.take());
    child.wait().unwrap();
    fs::remove_dir_all(orphaned).unwrap();
    fs::remove_dir(&traces.dir).unwrap();
}

/// The name of the directory of the server with this process id.
fn own_directory(pid: u32) -> String {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (_, rest) = text.split_once("--datadir=").unwrap();
    let data = Path::new(rest.split('\0').next().unwrap());
    data.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_run_passes_its_servers_and_returns_the_exit_code() {
    let output = Command::new(TESTKIT)
        .args(["run", "--s3", "--mariadb", "--", "sh", "-c"])
        .arg("cat; echo \"$DBGRAFT_TEST_MARIADB_SOURCE $DBGRAFT_TEST_S3_BUCKET $DBGRAFT_TEST_MYSQL_SOURCE\"; exit 7")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("mysql://root:") && text.contains(" dbgraft-"), "{text}");
}

#[test]
fn after_a_kill_of_a_run() {
    let mut child = Command::new(TESTKIT)
        .args(["run", "--", "sh", "-c", "echo \"$DBGRAFT_TESTKIT\"; echo $$; exec sleep 600"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running: RunningServers = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let command: u32 = lines.next().unwrap().unwrap().parse().unwrap();
    let traces = Traces::of(&running);
    assert!(runs(command));
    child.kill().unwrap();
    child.wait().unwrap();
    traces.assert_gone();
    assert!(wait_until(|| !runs(command)));
}
