use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Reply, Prompt};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};

use super::SshAddress;
use super::host::PATIENCE;
use super::host_key::{Checker, Goodbye};
use super::key::{NotSigned, Signer};
use super::keyring::{Keyring, Memory, TRIES};
use super::offer::{Offer, Offers, Origin};
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};

/// The order of `ssh`.
const METHODS: [MethodKind; 3] = [MethodKind::PublicKey, MethodKind::KeyboardInteractive, MethodKind::Password];
/// A host may ask for several methods, one after the other.
const ROUNDS: usize = 6;

/// Logs in. Only the last host of the way may get the password that is known beforehand.
pub(super) async fn login(
    handle: &mut Handle<Checker>,
    hop: &Settings,
    address: &SshAddress,
    keyring: &Keyring,
    last: bool,
    goodbye: &Goodbye,
) -> Result<()> {
    let mut offers = Offers::gather(hop, address, handle.agent_session_binding()).await?;
    let tried = std::mem::take(&mut offers.not_used);
    let mut visit = Visit { handle, hop, keyring, last, goodbye, offers, tried, left: PATIENCE };
    let mut wanted = match visit.none().await? {
        Outcome::In => return Ok(()),
        Outcome::Further(methods) | Outcome::No(methods) => methods,
    };
    let mut over = Vec::new();
    for _ in 0..ROUNDS {
        let Some(method) = METHODS.into_iter().find(|method| wanted.contains(method) && !over.contains(method)) else {
            break;
        };
        let outcome = match method {
            MethodKind::PublicKey => visit.keys().await?,
            MethodKind::KeyboardInteractive => visit.questions().await?,
            _ => visit.password().await?,
        };
        match outcome {
            Outcome::In => return Ok(()),
            // One of several methods that the host asks for.
            Outcome::Further(methods) => wanted = methods,
            Outcome::No(_) => over.push(method),
        }
    }
    Err(visit.not_let_in(&wanted))
}

enum Outcome {
    In,
    /// Right, and the host wants one of these methods too.
    Further(MethodSet),
    No(MethodSet),
}

struct Visit<'a> {
    handle: &'a mut Handle<Checker>,
    hop: &'a Settings,
    keyring: &'a Keyring,
    last: bool,
    goodbye: &'a Goodbye,
    offers: Offers,
    /// In words.
    tried: Vec<String>,
    /// The time that the host has left to answer. That of a person does not count.
    left: Duration,
}

/// Waits for the host's answer, as long as there is time left.
macro_rules! answer {
    ($visit:expr, $call:expr) => {{
        let begun = Instant::now();
        let answer = timeout($visit.left, $call).await;
        $visit.left = $visit.left.saturating_sub(begun.elapsed());
        answer.map_err(|_| $visit.too_slow())?
    }};
}

impl Visit<'_> {
    async fn none(&mut self) -> Result<Outcome> {
        let result = answer!(self, self.handle.authenticate_none(&self.hop.user));
        self.outcome(result.map_err(|error| self.broke(Some(error)))?)
    }

    async fn keys(&mut self) -> Result<Outcome> {
        let mut wanted = MethodSet::empty();
        while let Some(offer) = self.offers.next() {
            match self.key(&offer).await? {
                Some(Outcome::No(methods)) => {
                    self.tried.push(offer.to_string());
                    wanted = methods;
                }
                Some(done) => return Ok(done),
                None => {}
            }
        }
        Ok(Outcome::No(wanted))
    }

    /// Offers a key, and unlocks it if the host would take it. `None` if it could not be used.
    async fn key(&mut self, offer: &Offer) -> Result<Option<Outcome>> {
        let hash = match offer.public.algorithm().is_rsa() {
            true => answer!(self, self.handle.best_supported_rsa_hash()).map_err(|error| self.broke(Some(error)))?,
            false => None,
        };
        // A host that does not tell is asked for the one that all have that are younger than SHA-1's end.
        let hash = hash.flatten().or(Some(russh::keys::HashAlg::Sha256)).filter(|_| offer.public.algorithm().is_rsa());
        let mut open = match &offer.origin {
            Origin::File(file) => file.open.clone(),
            Origin::Agent => None,
        };
        loop {
            let mut signer = match (&offer.origin, &open) {
                (Origin::Agent, _) => match &mut self.offers.agent {
                    Some(agent) => Signer::Agent(agent),
                    None => return Ok(None),
                },
                (Origin::File(_), Some(key)) => Signer::Key(key.clone()),
                (Origin::File(_), None) => Signer::Locked,
            };
            let (user, key) = (self.hop.user.as_str(), offer.public.clone());
            let signed = match &offer.certificate {
                Some(certificate) => {
                    let certificate = certificate.clone();
                    answer!(self, self.handle.authenticate_certificate_with(user, certificate, hash, &mut signer))
                }
                None => answer!(self, self.handle.authenticate_publickey_with(user, key, hash, &mut signer)),
            };
            let why = match (signed, &offer.origin) {
                (Ok(result), _) => return self.outcome(result).map(Some),
                (Err(NotSigned::Broken), _) => return Err(self.broke(None)),
                (Err(NotSigned::Locked), Origin::File(file)) => match self.keyring.unlock(file).await {
                    Ok(key) => {
                        open = Some(key);
                        continue;
                    }
                    Err(why) => why,
                },
                (Err(NotSigned::Locked), Origin::Agent) => "is locked".to_owned(),
                (Err(NotSigned::Failed(why)), _) => format!("cannot sign: {why}"),
            };
            self.tried.push(format!("{offer}, which {why}"));
            return Ok(None);
        }
    }

    async fn password(&mut self) -> Result<Outcome> {
        let question = format!("{}@{}'s password: ", self.hop.user, self.hop.host);
        let keyring = self.keyring;
        let mut memory = keyring.memory().await;
        let mut given = self.given(&memory);
        let mut wanted = MethodSet::empty();
        for _ in 0..TRIES {
            let known = memory.answers.remove(&question).or_else(|| given.clone());
            let asked = match &known {
                Some(_) => None,
                None => keyring.ask(&question).await,
            };
            let Some(password) = known.or(asked) else { break };
            let result = self.handle.authenticate_password(&self.hop.user, password.expose_secret());
            let result = answer!(self, result).map_err(|error| self.broke(Some(error)))?;
            match self.outcome(result)? {
                Outcome::No(methods) => wanted = methods,
                done => {
                    memory.answers.insert(question, password);
                    return Ok(done);
                }
            }
            self.note("a password");
            if given.take().is_some() || !wanted.contains(&MethodKind::Password) {
                break;
            }
        }
        Ok(Outcome::No(wanted))
    }

    async fn questions(&mut self) -> Result<Outcome> {
        let keyring = self.keyring;
        let mut memory = keyring.memory().await;
        let mut given = self.given(&memory);
        let mut wanted = MethodSet::empty();
        if given.is_none() && !keyring.can_ask() {
            return Ok(Outcome::No(wanted));
        }
        for _ in 0..TRIES {
            let automatic = given.is_some();
            let mut answered = Vec::new();
            let start = self.handle.authenticate_keyboard_interactive_start(&self.hop.user, None);
            let mut reply = answer!(self, start).map_err(|error| self.broke(Some(error)))?;
            let outcome = loop {
                let prompts = match reply {
                    Reply::Success => break Outcome::In,
                    Reply::Failure { remaining_methods, partial_success } => {
                        break self.outcome(AuthResult::Failure { remaining_methods, partial_success })?;
                    }
                    Reply::InfoRequest { prompts, .. } => prompts,
                };
                let mut answers = Vec::new();
                for prompt in prompts {
                    let (question, secret) = self.answer(&prompt, &mut memory, &mut given).await;
                    answers.push(secret.expose_secret().to_owned());
                    answered.push((question, secret));
                }
                let respond = self.handle.authenticate_keyboard_interactive_respond(answers);
                reply = answer!(self, respond).map_err(|error| self.broke(Some(error)))?;
            };
            match outcome {
                Outcome::No(methods) => wanted = methods,
                done => {
                    // Other answers, such as one-time codes, are good for once.
                    let passwords = answered.into_iter().filter(|(question, _)| is_password(question));
                    memory.answers.extend(passwords);
                    return Ok(done);
                }
            }
            self.note("answers to the host's questions");
            if automatic || !keyring.can_ask() || !wanted.contains(&MethodKind::KeyboardInteractive) {
                break;
            }
        }
        Ok(Outcome::No(wanted))
    }

    /// Answers one question: with what is known, or by asking.
    async fn answer(
        &self,
        prompt: &Prompt,
        memory: &mut Memory,
        given: &mut Option<SecretString>,
    ) -> (String, SecretString) {
        // The host's words, without what would move a terminal's cursor.
        let words: String = prompt.prompt.chars().filter(|c| !c.is_control()).collect();
        let question = format!("({}@{}) {words}", self.hop.user, self.hop.host);
        let known = memory.answers.remove(&question).or_else(|| given.take_if(|_| !prompt.echo));
        let answer = match known {
            Some(known) => Some(known),
            None => self.keyring.ask(&question).await,
        };
        (question, answer.unwrap_or_default())
    }

    /// The password that is known beforehand, unless it was a key's passphrase.
    fn given(&self, memory: &Memory) -> Option<SecretString> {
        self.keyring.password().filter(|_| self.last && !memory.is_passphrase).cloned()
    }

    fn outcome(&self, result: AuthResult) -> Result<Outcome> {
        match result {
            AuthResult::Success => Ok(Outcome::In),
            AuthResult::Failure { .. } if self.handle.is_closed() => Err(self.broke(None)),
            AuthResult::Failure { remaining_methods, partial_success: true } => Ok(Outcome::Further(remaining_methods)),
            AuthResult::Failure { remaining_methods, .. } => Ok(Outcome::No(remaining_methods)),
        }
    }

    fn note(&mut self, what: &str) {
        if !self.tried.iter().any(|tried| tried == what) {
            self.tried.push(what.to_owned());
        }
    }

    fn tried(&self) -> String {
        match self.tried.is_empty() {
            true => "nothing to try: no key was found, and no password is known".to_owned(),
            false => format!("tried {}", self.tried.join("; ")),
        }
    }

    fn not_let_in(&self, wanted: &MethodSet) -> Error {
        let offered: Vec<&str> = wanted.iter().map(<&str>::from).collect();
        let what = format!("the host does not let the account in: {}; it accepts {}", self.tried(), offered.join(", "));
        Error::new(ErrorKind::Authentication, what).with("host", self.hop)
    }

    fn broke(&self, error: Option<russh::Error>) -> Error {
        let words = self.goodbye.take().or_else(|| error.map(|error| error.to_string())).unwrap_or_default();
        // The host's words, in one line.
        let words: String = words.chars().filter(|c| !c.is_control()).collect();
        if words.contains("Too many authentication failures") {
            let what = format!("the host has heard enough ({words}): {}; name the key with identity=", self.tried());
            return Error::new(ErrorKind::Authentication, what).with("host", self.hop);
        }
        let error = Error::new(ErrorKind::Connection, "the connection broke during the login").with("host", self.hop);
        error.retryable().caused_by(words)
    }

    fn too_slow(&self) -> Error {
        let what = format!("logging in took longer than {} s", PATIENCE.as_secs());
        Error::new(ErrorKind::Connection, what).with("host", self.hop).retryable()
    }
}

fn is_password(question: &str) -> bool {
    question.to_lowercase().contains("password")
}
