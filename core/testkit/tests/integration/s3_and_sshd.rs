//! The S3 server and the SSH server work with other clients.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use dbgraft_testkit::{Sshd, s3, sshd};

#[test]
fn s3_requires_a_signature_and_lists_its_files() {
    let bucket = s3();
    let request = |path: &str| {
        use std::io::{Read, Write};
        let address = bucket.endpoint.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(request(&bucket.bucket).starts_with("HTTP/1.1 403"), "{}", request(&bucket.bucket));
    assert_eq!(bucket.keys("a/").unwrap(), Vec::<String>::new());
    let dir = bucket.data_dir.as_ref().unwrap().join(&bucket.bucket).join("a/b");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("c"), "x").unwrap();
    assert_eq!(bucket.keys("a/").unwrap(), ["a/b/c"]);
    assert_eq!(bucket.keys("b/").unwrap(), Vec::<String>::new());
}

fn ssh(
    port: u16,
    user: &str,
    identity: &std::path::Path,
    known_hosts: &std::path::Path,
    command: &str,
) -> (bool, String) {
    let output = Command::new("ssh")
        .args(["-F", "none", "-oBatchMode=yes", "-oIdentitiesOnly=yes", "-oStrictHostKeyChecking=yes"])
        .arg(format!("-oUserKnownHostsFile={}", known_hosts.display()))
        .arg("-i")
        .arg(identity)
        .args(["-p", &port.to_string(), &format!("{user}@127.0.0.1"), command])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

#[test]
fn ssh_accepts_its_key_and_no_other() {
    let host = sshd();
    let run = |identity, command| ssh(host.port, &host.user, identity, &host.known_hosts, command);
    assert_eq!(run(&host.identity, "echo hello"), (true, "hello".to_owned()));
    assert!(host.fingerprint.starts_with("SHA256:") && host.host_key.starts_with("ssh-ed25519 "));
    let other = Sshd::options().line("AllowTcpForwarding no").start().unwrap();
    assert!(!run(&other.identity, "true").0);
    // Another server's key under this one's address.
    let (fine, text) = ssh(host.port, &host.user, &host.identity, &other.known_hosts, "true");
    assert!(!fine && text.contains("Host key verification failed"), "{text}");
    let rsa = other.add_key("rsa", "").unwrap();
    assert!(ssh(other.port, &other.user, &rsa, &other.known_hosts, "true").0);
    let locked = other.add_key("ed25519", "secret").unwrap();
    assert!(!ssh(other.port, &other.user, &locked, &other.known_hosts, "true").0);
    // Clients do not write to the home directory of the account that runs the tests.
    let (_, cache) = run(&host.identity, "echo $XDG_CACHE_HOME");
    assert_eq!(cache, host.identity.parent().unwrap().join("cache").display().to_string());
    other.kill().unwrap();
    assert!(!ssh(other.port, &other.user, &other.identity, &other.known_hosts, "true").0);
}

#[test]
fn a_proxy_for_other_programs_forwards_and_counts_bytes() {
    let host = sshd();
    let mut proxy = Command::new(env!("CARGO_BIN_EXE_testkit"))
        .args(["proxy", "--round-trip", "20", &host.login_url(), "mysql://root@127.0.0.1:9/d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(proxy.stdout.take().unwrap()).lines().map(Result::unwrap);
    let urls = said.next().unwrap();
    let (near, other) = urls.split_once(' ').unwrap();
    assert!(other.starts_with("mysql://root@127.0.0.1:") && other.ends_with("/d"), "{other}");
    let port = near.split_once('?').unwrap().0.rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(near.split_once('?').unwrap().1, host.login_url().split_once('?').unwrap().1);
    let known = std::env::temp_dir().join(format!("dbgraft-line-{port}"));
    fs::write(&known, format!("[127.0.0.1]:{port} {}\n", host.host_key)).unwrap();
    let answer = ssh(port, &host.user, &host.identity, &known, "head -c 100000 /dev/zero | tr '\\0' x");
    fs::remove_file(&known).unwrap();
    assert!(answer.0 && answer.1.len() == 100_000, "{}", answer.1);
    writeln!(proxy.stdin.as_mut().unwrap()).unwrap();
    let counts: Vec<u64> = said.next().unwrap().split(' ').map(|count| count.parse().unwrap()).collect();
    let [up, down, none, nothing] = counts[..] else { panic!("{counts:?}") };
    assert!(up > 1000 && up < 20_000 && down > 100_000 && down < 120_000, "{up} {down}");
    assert_eq!((none, nothing), (0, 0));
    drop(proxy.stdin.take());
    assert!(proxy.wait().unwrap().success());
}
