//! Logs in to a host.

use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Reply, Prompt};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};

use super::SshAddress;
use super::host_key_policy::{ConnectionHandler, DisconnectMessage};
use super::identities::{Identities, Identity, KeyLocation};
use super::key::{IdentitySigner, SignError};
use super::secret_cache::{CachedSecrets, MAX_PROMPTS, SecretCache};
use super::settings::HostSettings;
use crate::error::{Error, ErrorKind, Result};

/// The time limit for the host's answers during a login. The time of prompts does not count.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);
/// The authentication methods, in the order of `ssh`.
const METHODS: [MethodKind; 3] = [MethodKind::PublicKey, MethodKind::KeyboardInteractive, MethodKind::Password];
/// The maximum number of methods to try: a host may require several.
const MAX_METHODS: usize = 6;

/// Logs in. Only the last host of the route gets the configured password.
///
/// # Errors
/// `Authentication` if the host accepts no method; `Connection` if the connection broke.
pub(super) async fn login(
    handle: &mut Handle<ConnectionHandler>,
    hop: &HostSettings,
    address: &SshAddress,
    secrets: &SecretCache,
    last: bool,
    disconnect_message: &DisconnectMessage,
) -> Result<()> {
    let mut identities = Identities::gather(hop, address, handle.agent_session_binding()).await?;
    let tried = std::mem::take(&mut identities.unusable);
    let time_left = LOGIN_TIMEOUT;
    let mut attempt = LoginAttempt { handle, hop, secrets, last, disconnect_message, identities, tried, time_left };
    let mut wanted = match attempt.try_none().await? {
        AuthOutcome::Accepted => return Ok(()),
        AuthOutcome::PartiallyAccepted(methods) | AuthOutcome::Rejected(methods) => methods,
    };
    let mut failed = Vec::new();
    for _ in 0..MAX_METHODS {
        let Some(method) = METHODS.into_iter().find(|method| wanted.contains(method) && !failed.contains(method))
        else {
            break;
        };
        let outcome = match method {
            MethodKind::PublicKey => attempt.try_public_keys().await?,
            MethodKind::KeyboardInteractive => attempt.try_keyboard_interactive().await?,
            _ => attempt.try_password().await?,
        };
        match outcome {
            AuthOutcome::Accepted => return Ok(()),
            // The host requires a further method.
            AuthOutcome::PartiallyAccepted(methods) => wanted = methods,
            AuthOutcome::Rejected(_) => failed.push(method),
        }
    }
    Err(attempt.rejected_error(&wanted))
}

/// The result of one authentication request. The methods are those that the host accepts next.
enum AuthOutcome {
    Accepted,
    /// The method succeeded, and the host requires a further one.
    PartiallyAccepted(MethodSet),
    Rejected(MethodSet),
}

/// A login in progress.
struct LoginAttempt<'a> {
    handle: &'a mut Handle<ConnectionHandler>,
    hop: &'a HostSettings,
    secrets: &'a SecretCache,
    /// Whether this is the last host of the route.
    last: bool,
    disconnect_message: &'a DisconnectMessage,
    identities: Identities,
    /// Descriptions of what was tried, for the error.
    tried: Vec<String>,
    /// The time left for the host's answers.
    time_left: Duration,
}

/// Waits for an answer of the host within the time left.
macro_rules! wait_for_host {
    ($attempt:expr, $call:expr) => {{
        let begun = Instant::now();
        let answer = timeout($attempt.time_left, $call).await;
        $attempt.time_left = $attempt.time_left.saturating_sub(begun.elapsed());
        answer.map_err(|_| $attempt.timeout_error())?
    }};
}

impl LoginAttempt<'_> {
    /// Asks for the accepted methods by the method `none`.
    async fn try_none(&mut self) -> Result<AuthOutcome> {
        let result = wait_for_host!(self, self.handle.authenticate_none(&self.hop.user));
        self.auth_outcome(result.map_err(|error| self.broken_error(Some(error)))?)
    }

    async fn try_public_keys(&mut self) -> Result<AuthOutcome> {
        let mut wanted = MethodSet::empty();
        while let Some(identity) = self.identities.next() {
            match self.try_identity(&identity).await? {
                Some(AuthOutcome::Rejected(methods)) => {
                    self.tried.push(identity.to_string());
                    wanted = methods;
                }
                Some(done) => return Ok(done),
                None => {}
            }
        }
        Ok(AuthOutcome::Rejected(wanted))
    }

    /// Offers an identity, and decrypts its key if the host accepts the public key. `None` if the key is unusable.
    async fn try_identity(&mut self, identity: &Identity) -> Result<Option<AuthOutcome>> {
        let hash = match identity.public.algorithm().is_rsa() {
            true => wait_for_host!(self, self.handle.best_supported_rsa_hash())
                .map_err(|error| self.broken_error(Some(error)))?,
            false => None,
        };
        // SHA-256 is the default if the host does not announce its signature algorithms.
        let hash =
            hash.flatten().or(Some(russh::keys::HashAlg::Sha256)).filter(|_| identity.public.algorithm().is_rsa());
        let mut decrypted = match &identity.location {
            KeyLocation::File(file) => file.decrypted.clone(),
            KeyLocation::Agent => None,
        };
        loop {
            let mut signer = match (&identity.location, &decrypted) {
                (KeyLocation::Agent, _) => match &mut self.identities.agent {
                    Some(agent) => IdentitySigner::Agent(agent),
                    None => return Ok(None),
                },
                (KeyLocation::File(_), Some(key)) => IdentitySigner::Key(key.clone()),
                (KeyLocation::File(_), None) => IdentitySigner::Locked,
            };
            let (user, key) = (self.hop.user.as_str(), identity.public.clone());
            let signed = match &identity.certificate {
                Some(certificate) => {
                    let certificate = certificate.clone();
                    wait_for_host!(
                        self,
                        self.handle.authenticate_certificate_with(user, certificate, hash, &mut signer)
                    )
                }
                None => wait_for_host!(self, self.handle.authenticate_publickey_with(user, key, hash, &mut signer)),
            };
            let why = match (signed, &identity.location) {
                (Ok(result), _) => return self.auth_outcome(result).map(Some),
                (Err(SignError::Broken), _) => return Err(self.broken_error(None)),
                (Err(SignError::Locked), KeyLocation::File(file)) => match self.secrets.decrypt_key(file).await {
                    Ok(key) => {
                        decrypted = Some(key);
                        continue;
                    }
                    Err(why) => why,
                },
                (Err(SignError::Locked), KeyLocation::Agent) => "is locked".to_owned(),
                (Err(SignError::Failed(why)), _) => format!("cannot sign: {why}"),
            };
            self.tried.push(format!("{identity}, which {why}"));
            return Ok(None);
        }
    }

    async fn try_password(&mut self) -> Result<AuthOutcome> {
        let prompt = format!("{}@{}'s password: ", self.hop.user, self.hop.host);
        let secrets = self.secrets;
        let mut cache = secrets.lock().await;
        let mut password = self.configured_password(&cache);
        let mut wanted = MethodSet::empty();
        for _ in 0..MAX_PROMPTS {
            let known = cache.answers.remove(&prompt).or_else(|| password.clone());
            let asked = match &known {
                Some(_) => None,
                None => secrets.prompt(&prompt).await,
            };
            let Some(secret) = known.or(asked) else { break };
            let result = self.handle.authenticate_password(&self.hop.user, secret.expose_secret());
            let result = wait_for_host!(self, result).map_err(|error| self.broken_error(Some(error)))?;
            match self.auth_outcome(result)? {
                AuthOutcome::Rejected(methods) => wanted = methods,
                done => {
                    cache.answers.insert(prompt, secret);
                    return Ok(done);
                }
            }
            self.add_tried("a password");
            if password.take().is_some() || !wanted.contains(&MethodKind::Password) {
                break;
            }
        }
        Ok(AuthOutcome::Rejected(wanted))
    }

    async fn try_keyboard_interactive(&mut self) -> Result<AuthOutcome> {
        let secrets = self.secrets;
        let mut cache = secrets.lock().await;
        let mut password = self.configured_password(&cache);
        let mut wanted = MethodSet::empty();
        if password.is_none() && !secrets.can_prompt() {
            return Ok(AuthOutcome::Rejected(wanted));
        }
        for _ in 0..MAX_PROMPTS {
            let automatic = password.is_some();
            let mut answered = Vec::new();
            let start = self.handle.authenticate_keyboard_interactive_start(&self.hop.user, None);
            let mut reply = wait_for_host!(self, start).map_err(|error| self.broken_error(Some(error)))?;
            let outcome = loop {
                let prompts = match reply {
                    Reply::Success => break AuthOutcome::Accepted,
                    Reply::Failure { remaining_methods, partial_success } => {
                        break self.auth_outcome(AuthResult::Failure { remaining_methods, partial_success })?;
                    }
                    Reply::InfoRequest { prompts, .. } => prompts,
                };
                let mut answers = Vec::new();
                for prompt in prompts {
                    let (question, secret) = self.answer_prompt(&prompt, &mut cache, &mut password).await;
                    answers.push(secret.expose_secret().to_owned());
                    answered.push((question, secret));
                }
                let respond = self.handle.authenticate_keyboard_interactive_respond(answers);
                reply = wait_for_host!(self, respond).map_err(|error| self.broken_error(Some(error)))?;
            };
            match outcome {
                AuthOutcome::Rejected(methods) => wanted = methods,
                done => {
                    // Caches passwords only: one-time codes are valid once.
                    let passwords = answered.into_iter().filter(|(question, _)| is_password(question));
                    cache.answers.extend(passwords);
                    return Ok(done);
                }
            }
            self.add_tried("answers to the host's questions");
            if automatic || !secrets.can_prompt() || !wanted.contains(&MethodKind::KeyboardInteractive) {
                break;
            }
        }
        Ok(AuthOutcome::Rejected(wanted))
    }

    /// Answers a prompt of the host from the cache, by the configured password, or by prompting the user.
    async fn answer_prompt(
        &self,
        prompt: &Prompt,
        cache: &mut CachedSecrets,
        password: &mut Option<SecretString>,
    ) -> (String, SecretString) {
        // Removes control characters, which could move a terminal's cursor.
        let text: String = prompt.prompt.chars().filter(|c| !c.is_control()).collect();
        let question = format!("({}@{}) {text}", self.hop.user, self.hop.host);
        let known = cache.answers.remove(&question).or_else(|| password.take_if(|_| !prompt.echo));
        let answer = match known {
            Some(known) => Some(known),
            None => self.secrets.prompt(&question).await,
        };
        (question, answer.unwrap_or_default())
    }

    /// The configured password, unless it is a key's passphrase or this is a jump host.
    fn configured_password(&self, cache: &CachedSecrets) -> Option<SecretString> {
        self.secrets.password().filter(|_| self.last && !cache.password_is_passphrase).cloned()
    }

    fn auth_outcome(&self, result: AuthResult) -> Result<AuthOutcome> {
        match result {
            AuthResult::Success => Ok(AuthOutcome::Accepted),
            AuthResult::Failure { .. } if self.handle.is_closed() => Err(self.broken_error(None)),
            AuthResult::Failure { remaining_methods, partial_success: true } => {
                Ok(AuthOutcome::PartiallyAccepted(remaining_methods))
            }
            AuthResult::Failure { remaining_methods, .. } => Ok(AuthOutcome::Rejected(remaining_methods)),
        }
    }

    fn add_tried(&mut self, what: &str) {
        if !self.tried.iter().any(|tried| tried == what) {
            self.tried.push(what.to_owned());
        }
    }

    fn describe_tried(&self) -> String {
        match self.tried.is_empty() {
            true => "nothing to try: no key was found, and no password is known".to_owned(),
            false => format!("tried {}", self.tried.join("; ")),
        }
    }

    fn rejected_error(&self, wanted: &MethodSet) -> Error {
        let offered: Vec<&str> = wanted.iter().map(<&str>::from).collect();
        let what = format!(
            "the host does not let the account in: {}; it accepts {}",
            self.describe_tried(),
            offered.join(", ")
        );
        Error::new(ErrorKind::Authentication, what).with("host", self.hop)
    }

    fn broken_error(&self, error: Option<russh::Error>) -> Error {
        let message =
            self.disconnect_message.take().or_else(|| error.map(|error| error.to_string())).unwrap_or_default();
        // Removes line breaks and other control characters.
        let message: String = message.chars().filter(|c| !c.is_control()).collect();
        if message.contains("Too many authentication failures") {
            let what = format!(
                "the host accepts no further attempts ({message}): {}; name the key with identity=",
                self.describe_tried()
            );
            return Error::new(ErrorKind::Authentication, what).with("host", self.hop);
        }
        let error = Error::new(ErrorKind::Connection, "the connection broke during the login").with("host", self.hop);
        error.retryable().caused_by(message)
    }

    fn timeout_error(&self) -> Error {
        let what = format!("logging in took longer than {} s", LOGIN_TIMEOUT.as_secs());
        Error::new(ErrorKind::Connection, what).with("host", self.hop).retryable()
    }
}

fn is_password(question: &str) -> bool {
    question.to_lowercase().contains("password")
}
