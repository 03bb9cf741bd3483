//! Passwords. A real sshd would need an account with a known password in the system's files, so the server here is a
//! small test server.

use std::sync::{Arc, Mutex};

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::server::{Auth, Config, Handler, Response, run_stream};
use russh::{MethodKind, MethodSet};
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::*;

#[derive(Clone, Default)]
struct PasswordServer {
    /// The required methods, in order.
    methods: Vec<MethodKind>,
    received: Arc<Mutex<Vec<String>>>,
}

impl PasswordServer {
    fn authenticate(&mut self, method: MethodKind, given: String, right: &str) -> Auth {
        let is_right = given == right;
        self.received.lock().unwrap().push(given);
        if is_right && self.methods.first() == Some(&method) {
            self.methods.remove(0);
            if self.methods.is_empty() {
                return Auth::Accept;
            }
            return Auth::Reject { proceed_with_methods: Some(self.next_method()), partial_success: true };
        }
        Auth::Reject { proceed_with_methods: Some(self.next_method()), partial_success: false }
    }

    fn next_method(&self) -> MethodSet {
        MethodSet::from(self.methods.get(..1).unwrap_or_default())
    }
}

impl Handler for PasswordServer {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Reject { proceed_with_methods: Some(self.next_method()), partial_success: false })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(self.authenticate(MethodKind::Password, password.to_owned(), "right"))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(response) = response else {
            let prompts = vec![("Password:\u{1b}[2J".into(), false), ("Code:".into(), true)];
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: prompts.into() });
        };
        let given: Vec<String> = response.map(|answer| String::from_utf8_lossy(&answer).into_owned()).collect();
        Ok(self.authenticate(MethodKind::KeyboardInteractive, given.join("+"), "right+123"))
    }
}

/// Starts a server. Returns its URL and the list of received secrets.
async fn start_server(methods: &[MethodKind]) -> (String, Arc<Mutex<Vec<String>>>) {
    let server = PasswordServer { methods: methods.to_vec(), received: Arc::default() };
    let key = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[7; 32])), "").unwrap();
    let fingerprint = key.fingerprint(russh::keys::HashAlg::Sha256);
    let config = Arc::new(Config { keys: vec![key], auth_rejection_time: Duration::ZERO, ..Config::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::clone(&server.received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, server) = (Arc::clone(&config), server.clone());
            tokio::spawn(async move { run_stream(config, stream, server).await.unwrap().await });
        }
    });
    let config = "config=/dev/null&known-hosts=/dev/null";
    (format!("ssh://me@127.0.0.1:{port}?{config}&host-key={fingerprint}"), received)
}

fn login_with_answers(answers: &[&'static str]) -> (LoginOptions, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (notes, answers) = (Arc::clone(&asked), answers.to_vec());
    let ask = move |question: &str| {
        let mut notes = notes.lock().unwrap();
        notes.push(question.to_owned());
        answers.get(notes.len() - 1).map(|answer| SecretString::from(*answer))
    };
    (LoginOptions { ask: Some(Arc::new(ask)), ..LoginOptions::default() }, asked)
}

fn login_with_password(password: &str) -> LoginOptions {
    LoginOptions { password: Some(password.into()), ..LoginOptions::default() }
}

#[tokio::test]
async fn a_password_is_prompted_for_at_most_three_times_and_then_cached() {
    let (url, _) = start_server(&[MethodKind::Password]).await;
    connect(&client_with(&url, login_with_password("right"))).await.unwrap();
    connect(&client(&url.replace("me@", "me:right@"))).await.unwrap();
    let (login, asked) = login_with_answers(&["wrong", "wronger", "right"]);
    let host = client_with(&url, login);
    connect(&host).await.unwrap();
    connect(&host).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["me@127.0.0.1's password: "; 3]);
    let (login, asked) = login_with_answers(&["a", "b", "c", "right"]);
    assert_eq!(connect_error(&client_with(&url, login)).await.kind(), ErrorKind::Authentication);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_never_shown() {
    let (url, received) = start_server(&[MethodKind::Password]).await;
    let error = connect_error(&client_with(&url, login_with_password("hemlig"))).await;
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false));
    assert!(error.to_string().contains("a password; it accepts password"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hemlig"));
    assert_eq!(*received.lock().unwrap(), ["hemlig"]);
    let error = connect_error(&client(&url)).await;
    assert!(error.to_string().contains("no password is known"), "{error}");
}

#[tokio::test]
async fn keyboard_interactive_prompts_are_answered() {
    let (url, _) = start_server(&[MethodKind::KeyboardInteractive]).await;
    let (login, asked) = login_with_answers(&["123", "123"]);
    let host = client_with(&url, LoginOptions { password: Some("right".into()), ..login });
    connect(&host).await.unwrap();
    // A code is good for once, and asked for again.
    connect(&host).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["(me@127.0.0.1) Code:"; 2]);
    let (login, asked) = login_with_answers(&["right", "123"]);
    connect(&client_with(&url, login)).await.unwrap();
    assert_eq!(asked.lock().unwrap()[0], "(me@127.0.0.1) Password:[2J");
    assert_eq!(connect_error(&client_with(&url, login_with_password("right"))).await.kind(), ErrorKind::Authentication);
}

#[tokio::test]
async fn several_required_methods_are_used_in_order() {
    let (url, _) = start_server(&[MethodKind::Password, MethodKind::KeyboardInteractive]).await;
    let (login, _) = login_with_answers(&["123"]);
    connect(&client_with(&url, LoginOptions { password: Some("right".into()), ..login })).await.unwrap();
}

#[tokio::test]
async fn a_key_s_passphrase_is_not_sent_as_a_password() {
    let (url, received) = start_server(&[MethodKind::Password]).await;
    let sshd = testkit::Sshd::start().unwrap();
    let key = sshd.add_key("ed25519", "right").unwrap();
    // The first host takes the key and shows that the password is its passphrase; the second asks for a password.
    let known = sshd.known_hosts.display();
    let over = format!("{url}&identity={}&jump={}@127.0.0.1:{}", key.display(), sshd.user, sshd.port);
    let over = over.replace("known-hosts=/dev/null", &format!("known-hosts={known}"));
    assert_eq!(
        connect_error(&client_with(&over, login_with_password("right"))).await.kind(),
        ErrorKind::Authentication
    );
    assert_eq!(*received.lock().unwrap(), [""; 0]);
}
