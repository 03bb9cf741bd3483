//! The S3 server and the SSH server do what clients expect.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test, helpers included")]

use std::fs;
use std::process::Command;

use dbgraft_testkit::{Sshd, s3, sshd};

#[test]
fn s3_wants_a_signature_and_shows_its_files() {
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
fn ssh_takes_its_key_and_no_other() {
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
    other.kill().unwrap();
    assert!(!ssh(other.port, &other.user, &other.identity, &other.known_hosts, "true").0);
}
