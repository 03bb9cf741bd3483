use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use secrecy::SecretString;

use super::*;

/// The URL with another key, as `url` else.
fn with_key(server: &testkit::Sshd, key: &str) -> String {
    let known = server.known_hosts.display();
    format!("{}?config=/dev/null&known-hosts={known}&identity={key}", server.url)
}

/// Answers questions by the list, and notes them.
fn login_with_answers(answers: &[&'static str]) -> (LoginOptions, Arc<std::sync::Mutex<Vec<String>>>) {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (notes, answers) = (Arc::clone(&asked), answers.to_vec());
    let ask = move |question: &str| {
        let mut notes = notes.lock().unwrap();
        notes.push(question.to_owned());
        answers.get(notes.len() - 1).map(|answer| SecretString::from(*answer))
    };
    (LoginOptions { ask: Some(Arc::new(ask)), ..LoginOptions::default() }, asked)
}

#[tokio::test]
async fn every_key_type_logs_in_and_a_passphrase_is_prompted_for_once() {
    let server = testkit::Sshd::start().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let open = server.add_key(kind, "").unwrap().display().to_string();
        connect(&client(&with_key(&server, &open))).await.unwrap();
        let locked = server.add_key(kind, "open sesame").unwrap().display().to_string();
        let (login, asked) = login_with_answers(&["wrong", "open sesame"]);
        let host = client_with(&with_key(&server, &locked), login);
        connect(&host).await.unwrap();
        connect(&host).await.unwrap();
        let question = format!("Passphrase for key '{locked}': ");
        assert_eq!(*asked.lock().unwrap(), [question.clone(), question]);
        let login = LoginOptions { password: Some("open sesame".into()), ..LoginOptions::default() };
        connect(&client_with(&with_key(&server, &locked), login)).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_passphrase_is_reported_and_never_shown() {
    let server = testkit::Sshd::start().unwrap();
    let locked = server.add_key("ed25519", "open sesame").unwrap().display().to_string();
    let login = LoginOptions { password: Some("sesam-oeffne-dich".into()), ..LoginOptions::default() };
    let error = connect_error(&client_with(&with_key(&server, &locked), login)).await;
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false));
    assert!(error.to_string().contains(&format!("the key {locked} (ssh-ed25519), which has another pass")), "{error}");
    assert!(!format!("{error:?}").contains("sesam"), "{error:?}");
    let error = connect_error(&client(&with_key(&server, &locked))).await;
    assert!(error.to_string().contains("which needs its passphrase"), "{error}");
}

#[tokio::test]
async fn a_rejected_key_is_named_with_the_accepted_methods() {
    let (server, other) = (testkit::Sshd::start().unwrap(), testkit::Sshd::start().unwrap());
    let key = other.identity.display().to_string();
    let error = connect_error(&client(&with_key(&server, &key))).await;
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false));
    assert!(error.to_string().contains(&format!("tried the key {key} (ssh-ed25519); it accepts publickey")), "{error}");
}

#[tokio::test]
async fn a_key_that_is_missing_or_readable_by_others_is_not_used() {
    let server = testkit::Sshd::start().unwrap();
    let key = server.add_key("ed25519", "").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = connect_error(&client(&with_key(&server, &key.display().to_string()))).await;
    assert!(error.to_string().contains(&format!("chmod 600 {}", key.display())), "{error}");
    let error = connect_error(&client(&with_key(&server, "/nowhere/key"))).await;
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("/nowhere/key is not there"), "{error}");
}

/// An ssh-agent of one test.
struct KeyAgent {
    process: Child,
    dir: Dir,
}

impl KeyAgent {
    fn start() -> Self {
        let dir = Dir::new();
        let mut command = Command::new("ssh-agent");
        command.args(["-D", "-a", &dir.path("socket")]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        while !dir.0.join("socket").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { process, dir }
    }

    fn add(&self, key: &str) {
        let mut command = Command::new("ssh-add");
        command.arg("-q").arg(key).env("SSH_AUTH_SOCK", self.dir.path("socket"));
        assert!(command.status().unwrap().success());
    }

    /// A URL of which the key comes from the agent.
    fn url(&self, server: &SshHost, more: &str) -> String {
        let text = format!("IdentityAgent {}\nIdentityFile none\n{more}", self.dir.path("socket"));
        let config = self.dir.file("config", &text);
        format!("{}?config={config}&known-hosts={}", server.url, server.known_hosts.display())
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn keys_of_the_agent_log_in() {
    let server = testkit::Sshd::start().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let agent = KeyAgent::start();
        assert_eq!(connect_error(&client(&agent.url(&server, ""))).await.kind(), ErrorKind::Authentication);
        agent.add(&server.add_key(kind, "").unwrap().display().to_string());
        connect(&client(&agent.url(&server, ""))).await.unwrap();
    }
}

#[tokio::test]
async fn the_named_key_is_offered_first_and_no_key_twice() {
    let server = testkit::Sshd::options().line("MaxAuthTries 2").start().unwrap();
    let (agent, others) = (KeyAgent::start(), Dir::new());
    for number in 0..3 {
        let key = others.path(&format!("key{number}"));
        assert!(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status().unwrap().success()
        );
        agent.add(&key);
    }
    let error = connect_error(&client(&agent.url(&server, ""))).await;
    assert!(error.to_string().contains("Too many authentication failures"), "{error}");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false));
    let named = format!("&identity={}", server.identity.display());
    connect(&client(&(agent.url(&server, "") + &named))).await.unwrap();
    // The settings name one key twice; it is offered once, and so the other one can be.
    let first = others.path("key0");
    let files = format!("IdentityFile {first}\nIdentityFile {first}\nIdentityFile {}\n", server.identity.display());
    let config = others.file("config", &format!("IdentityAgent none\nIdentitiesOnly yes\n{files}"));
    connect(&client(&format!("{}?config={config}&known-hosts={}", server.url, server.known_hosts.display())))
        .await
        .unwrap();
}
