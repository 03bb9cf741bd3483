use std::process::Command;

use super::*;

/// A URL that logs in by the test's key, with this known_hosts file.
fn with_known(known: &str, more: &str) -> SshClient {
    let server = testkit::sshd();
    let identity = server.identity.display();
    client(&format!("{}?config=/dev/null&identity={identity}&known-hosts={known}{more}", server.url))
}

/// Another key than any server's.
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

#[tokio::test]
async fn errors_for_unknown_hosts_contain_the_command_that_adds_the_key() {
    let server = testkit::sshd();
    let error = connect_error(&with_known("/dev/null", "")).await;
    let text = error.to_string();
    assert!(text.contains(&format!("ssh-keyscan -p {} -t ed25519 127.0.0.1 >> /dev/null", server.port)), "{text}");
    assert!(text.contains(&server.fingerprint), "{text}");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false));
    // The command is right.
    let dir = Dir::new();
    let known = dir.path("known");
    let command = text.split('`').nth(1).unwrap().replace(">> /dev/null", &format!(">> {known}"));
    assert!(Command::new("sh").args(["-c", &command]).output().unwrap().status.success(), "{command}");
    connect(&with_known(&known, "")).await.unwrap();
}

#[tokio::test]
async fn a_changed_key_is_refused() {
    let dir = Dir::new();
    let port = testkit::sshd().port;
    let known = dir.file("known", &format!("# a comment\n[127.0.0.1]:{port} {OTHER}\n"));
    let error = connect_error(&with_known(&known, "")).await;
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false));
    assert!(error.to_string().contains(&format!("NOT the known one ({known}, line 2)")), "{error}");
}

#[tokio::test]
async fn a_revoked_key_is_always_refused() {
    let (dir, server) = (Dir::new(), testkit::sshd());
    let lines = format!("[127.0.0.1]:{} {1}\n@revoked * {1}\n", server.port, server.host_key);
    let known = dir.file("known", &lines);
    for more in ["", &format!("&host-key={}", server.fingerprint)] {
        let error = connect_error(&with_known(&known, more)).await;
        assert!(error.to_string().contains("revoked"), "{error}");
    }
}

#[tokio::test]
async fn hashed_names_and_wildcards_match() {
    let (dir, server) = (Dir::new(), testkit::sshd());
    let known = dir.file("known", &format!("[127.0.0.1]:{} {}\n", server.port, server.host_key));
    let hashed = Command::new("ssh-keygen").args(["-H", "-f", &known]).output().unwrap();
    assert!(hashed.status.success() && fs::read_to_string(&known).unwrap().starts_with("|1|"));
    connect(&with_known(&known, "")).await.unwrap();
    let known = dir.file("wild", &format!("!other,[127.0.*]:* {}\n", server.host_key));
    connect(&with_known(&known, "")).await.unwrap();
    let known = dir.file("not", &format!("*,!*127.0.* {}\n", server.host_key));
    assert!(connect_error(&with_known(&known, "")).await.to_string().contains("not known"));
}

#[tokio::test]
async fn only_the_key_of_the_url_is_trusted() {
    let (dir, server) = (Dir::new(), testkit::sshd());
    // Known by another key, and pinned to the right one.
    let known = dir.file("known", &format!("[127.0.0.1]:{} {OTHER}\n", server.port));
    connect(&with_known(&known, &format!("&host-key={}", server.fingerprint))).await.unwrap();
    // Known, and pinned to another one.
    let right = server.known_hosts.display().to_string();
    let error =
        connect_error(&with_known(&right, "&host-key=SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM")).await;
    assert!(error.to_string().contains("NOT the one that host-key= names"), "{error}");
    assert!(error.to_string().contains(&server.fingerprint) && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn the_known_key_type_is_requested_first() {
    let dir = Dir::new();
    let mut keys = Vec::new();
    let mut options = testkit::Sshd::options();
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let file = dir.path(kind);
        assert!(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f", &file]).status().unwrap().success());
        options = options.line(format!("HostKey {file}"));
        let public = fs::read_to_string(format!("{file}.pub")).unwrap();
        keys.push(public.trim().parse::<russh::keys::PublicKey>().unwrap());
    }
    let server = options.start().unwrap();
    let base = format!("{}?config=/dev/null&identity={}", server.url, server.identity.display());
    for key in keys {
        let line = format!("[127.0.0.1]:{} {}\n", server.port, key.to_openssh().unwrap());
        let known = dir.file("known", &line);
        connect(&client(&format!("{base}&known-hosts={known}"))).await.unwrap();
        let pinned = key.fingerprint(russh::keys::HashAlg::Sha256);
        connect(&client(&format!("{base}&known-hosts=/dev/null&host-key={pinned}"))).await.unwrap();
    }
    let other = "SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM";
    let error = connect_error(&client(&format!("{base}&known-hosts=/dev/null&host-key={other}"))).await;
    assert!(error.to_string().contains("NOT the one"), "{error}");
}

#[tokio::test]
async fn only_the_insecure_option_disables_the_check() {
    let (dir, server) = (Dir::new(), testkit::sshd());
    let config = dir.file("config", "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n");
    let url = format!("{}?config={config}&identity={}", server.url, server.identity.display());
    assert!(connect_error(&client(&url)).await.to_string().contains("not known"));
    connect(&client_with(&url, LoginOptions { any_host_key: true, ..LoginOptions::default() })).await.unwrap();
}
