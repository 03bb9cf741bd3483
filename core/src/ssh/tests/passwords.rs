//! Passwords. A real sshd would need an account with a known password in the system's files, so the server here is a
//! small one of our own.

use std::sync::{Arc, Mutex};

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::server::{Auth, Config, Handler, Response, run_stream};
use russh::{MethodKind, MethodSet};
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::*;

#[derive(Clone, Default)]
struct Door {
    /// Which methods it accepts, one after the other.
    methods: Vec<MethodKind>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Door {
    fn answer(&mut self, method: MethodKind, given: String, right: &str) -> Auth {
        let is_right = given == right;
        self.heard.lock().unwrap().push(given);
        if is_right && self.methods.first() == Some(&method) {
            self.methods.remove(0);
            if self.methods.is_empty() {
                return Auth::Accept;
            }
            return Auth::Reject { proceed_with_methods: Some(self.next()), partial_success: true };
        }
        Auth::Reject { proceed_with_methods: Some(self.next()), partial_success: false }
    }

    fn next(&self) -> MethodSet {
        MethodSet::from(self.methods.get(..1).unwrap_or_default())
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Reject { proceed_with_methods: Some(self.next()), partial_success: false })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(self.answer(MethodKind::Password, password.to_owned(), "right"))
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
        Ok(self.answer(MethodKind::KeyboardInteractive, given.join("+"), "right+123"))
    }
}

/// Starts a door; returns its URL, and what it hears.
async fn door(methods: &[MethodKind]) -> (String, Arc<Mutex<Vec<String>>>) {
    let door = Door { methods: methods.to_vec(), heard: Arc::default() };
    let key = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[7; 32])), "").unwrap();
    let fingerprint = key.fingerprint(russh::keys::HashAlg::Sha256);
    let config = Arc::new(Config { keys: vec![key], auth_rejection_time: Duration::ZERO, ..Config::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::clone(&door.heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, door) = (Arc::clone(&config), door.clone());
            tokio::spawn(async move { run_stream(config, stream, door).await.unwrap().await });
        }
    });
    let config = "config=/dev/null&known-hosts=/dev/null";
    (format!("ssh://me@127.0.0.1:{port}?{config}&host-key={fingerprint}"), heard)
}

fn asking(answers: &[&'static str]) -> (Login, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (notes, answers) = (Arc::clone(&asked), answers.to_vec());
    let ask = move |question: &str| {
        let mut notes = notes.lock().unwrap();
        notes.push(question.to_owned());
        answers.get(notes.len() - 1).map(|answer| SecretString::from(*answer))
    };
    (Login { ask: Some(Arc::new(ask)), ..Login::default() }, asked)
}

fn knowing(password: &str) -> Login {
    Login { password: Some(password.into()), ..Login::default() }
}

#[tokio::test]
async fn a_password_is_given_or_asked_for_at_most_three_times_and_once_in_all() {
    let (url, _) = door(&[MethodKind::Password]).await;
    connect(&host_with(&url, knowing("right"))).await.unwrap();
    connect(&host(&url.replace("me@", "me:right@"))).await.unwrap();
    let (login, asked) = asking(&["wrong", "wronger", "right"]);
    let host = host_with(&url, login);
    connect(&host).await.unwrap();
    connect(&host).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["me@127.0.0.1's password: "; 3]);
    let (login, asked) = asking(&["a", "b", "c", "right"]);
    assert_eq!(refusal(&host_with(&url, login)).await.kind(), ErrorKind::Authentication);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_never_shown() {
    let (url, heard) = door(&[MethodKind::Password]).await;
    let error = refusal(&host_with(&url, knowing("hemlig"))).await;
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Authentication, false));
    assert!(error.to_string().contains("a password; it accepts password"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hemlig"));
    assert_eq!(*heard.lock().unwrap(), ["hemlig"]);
    let error = refusal(&host(&url)).await;
    assert!(error.to_string().contains("no password is known"), "{error}");
}

#[tokio::test]
async fn questions_of_the_host_are_answered_by_the_password_and_a_person() {
    let (url, _) = door(&[MethodKind::KeyboardInteractive]).await;
    let (login, asked) = asking(&["123", "123"]);
    let host = host_with(&url, Login { password: Some("right".into()), ..login });
    connect(&host).await.unwrap();
    // A code is good for once, and asked for again.
    connect(&host).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["(me@127.0.0.1) Code:"; 2]);
    let (login, asked) = asking(&["right", "123"]);
    connect(&host_with(&url, login)).await.unwrap();
    assert_eq!(asked.lock().unwrap()[0], "(me@127.0.0.1) Password:[2J");
    assert_eq!(refusal(&host_with(&url, knowing("right"))).await.kind(), ErrorKind::Authentication);
}

#[tokio::test]
async fn several_methods_after_each_other_are_gone_through() {
    let (url, _) = door(&[MethodKind::Password, MethodKind::KeyboardInteractive]).await;
    let (login, _) = asking(&["123"]);
    connect(&host_with(&url, Login { password: Some("right".into()), ..login })).await.unwrap();
}

#[tokio::test]
async fn the_passphrase_of_a_key_is_not_told_to_a_host() {
    let (url, heard) = door(&[MethodKind::Password]).await;
    let sshd = testkit::Sshd::start().unwrap();
    let key = sshd.add_key("ed25519", "right").unwrap();
    // The first host takes the key and shows that the password is its passphrase; the second asks for a password.
    let known = sshd.known_hosts.display();
    let over = format!("{url}&identity={}&jump={}@127.0.0.1:{}", key.display(), sshd.user, sshd.port);
    let over = over.replace("known-hosts=/dev/null", &format!("known-hosts={known}"));
    assert_eq!(refusal(&host_with(&over, knowing("right"))).await.kind(), ErrorKind::Authentication);
    assert_eq!(*heard.lock().unwrap(), [""; 0]);
}
