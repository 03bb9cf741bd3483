//! Decides whether a host key is trusted.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::ChannelId;
use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use tokio::sync::watch;

use super::known_hosts::{FileLine, HostKeyStatus, KnownHosts, format_host};
use super::settings::HostSettings;
use crate::bounded_file;
use crate::error::{Error, ErrorKind, Result};

/// Decides which host keys of one host are trusted.
#[derive(Debug)]
pub(super) struct HostKeyPolicy {
    host: String,
    /// `None` if `host` is a `HostKeyAlias`, which has no port.
    port: Option<u16>,
    known: KnownHosts,
    /// The fingerprint of the only trusted key, as `SHA256:…`.
    pinned: Option<String>,
    /// Whether any key is trusted.
    accept_any: bool,
    /// The file that error messages name for new keys.
    file: PathBuf,
    /// The jump host before this host, as arguments of `ssh`.
    jump_host: Option<String>,
}

impl HostKeyPolicy {
    /// Reads the `known_hosts` files: `named`, which must exist, or those of the settings.
    ///
    /// # Errors
    /// `Usage` if a file cannot be read.
    pub(super) fn new(
        settings: &HostSettings,
        named: Option<&Path>,
        pinned: Option<String>,
        accept_any: bool,
    ) -> Result<Self> {
        let mut known = KnownHosts::default();
        let files = named.map_or(settings.known_hosts.clone(), |file| vec![file.to_owned()]);
        for file in &files {
            match bounded_file::read(file) {
                Ok(text) => known.add(file, &String::from_utf8_lossy(&text)),
                Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("cannot read the known host keys in {}", file.display());
                    return Err(Error::usage(what).caused_by(error));
                }
            }
        }
        let (host, port) = match &settings.alias {
            Some(alias) => (alias.clone(), None),
            None => (settings.host.clone(), Some(settings.port)),
        };
        let file = files.into_iter().next().unwrap_or_else(|| "~/.ssh/known_hosts".into());
        Ok(Self { host, port, known, pinned, accept_any, file, jump_host: None })
    }

    /// Sets the jump host, for the command that error messages suggest.
    pub(super) fn with_jump_host(mut self, jump_host: Option<String>) -> Self {
        self.jump_host = jump_host;
        self
    }

    /// The key types to request: the types of known keys first, without those in `excluded`.
    pub(super) fn key_types(&self, all: &[Algorithm], excluded: &[Algorithm]) -> Vec<Algorithm> {
        let known = self.known.key_types(&self.host, self.port);
        // RSA is one key type with several signature algorithms.
        let is_rsa = |algorithm: &Algorithm| matches!(algorithm, Algorithm::Rsa { .. });
        let is_same = |a: &Algorithm, b: &Algorithm| a == b || (is_rsa(a) && is_rsa(b));
        let is_known = |wanted: &Algorithm| known.iter().any(|known| is_same(known, wanted));
        // SHA-1 signatures are insecure.
        let secure = all.iter().filter(|wanted| **wanted != Algorithm::Rsa { hash: None });
        let secure = secure.filter(|wanted| !excluded.iter().any(|other| is_same(other, wanted)));
        let (mut first, rest): (Vec<_>, Vec<_>) = secure.cloned().partition(is_known);
        first.extend(rest);
        first
    }

    /// Checks the key that the host shows.
    fn check(&self, key: &PublicKey) -> Result<(), HandshakeError> {
        let shown = key.fingerprint(HashAlg::Sha256).to_string();
        let host = format_host(&self.host, self.port);
        let untrusted = |what: String| Error::new(ErrorKind::Authentication, format!("{host}: {what}"));
        let refused = |what| HandshakeError::Refused(untrusted(what));
        let location = |line: &FileLine| format!("{}, line {}", line.file.display(), line.number);
        let kind = key.algorithm();
        match (self.known.key_status(&self.host, self.port, key), &self.pinned) {
            (HostKeyStatus::Revoked(line), _) => {
                let what = format!("the host shows the key {shown} ({kind}), which is revoked ({})", location(&line));
                Err(refused(what))
            }
            (_, Some(pinned)) if *pinned == shown => Ok(()),
            (_, Some(pinned)) => {
                let what = format!(
                    "the host shows the key {shown} ({kind}), NOT the one that host-key= names, {pinned}: somebody may \
                     be listening in"
                );
                Err(HandshakeError::NotPinned(kind, untrusted(what)))
            }
            _ if self.accept_any => {
                tracing::warn!(host, key = shown, "any host key is trusted: this one was not checked");
                Ok(())
            }
            (HostKeyStatus::Known, None) => Ok(()),
            (HostKeyStatus::Changed(line), None) => Err(refused(format!(
                "the host shows the key {shown} ({kind}), which is NOT the known one ({}): somebody may be listening \
                 in; if the host was made anew, replace that line",
                location(&line)
            ))),
            (HostKeyStatus::Unknown, None) => Err(refused(format!(
                "the host's key is not known; it shows {shown} ({kind}): if that is the host's fingerprint, add the \
                 key with `{}`, or say host-key={shown} in the URL",
                self.add_command(key)
            ))),
        }
    }

    /// The shell command that adds the host's key to the file.
    fn add_command(&self, key: &PublicKey) -> String {
        let file = self.file.display();
        let Some(port) = self.port else {
            return format!("echo '{} {}' >> {file}", self.host, key.to_openssh().unwrap_or_default());
        };
        let kind = match key.algorithm() {
            Algorithm::Ed25519 => "ed25519",
            Algorithm::Ecdsa { .. } => "ecdsa",
            _ => "rsa",
        };
        let port = if port == 22 { String::new() } else { format!("-p {port} ") };
        let via = self.jump_host.as_ref().map_or(String::new(), |jump_host| format!("ssh {jump_host} "));
        format!("{via}ssh-keyscan {port}-t {kind} {} >> {file}", self.host)
    }
}

/// The handler of a connection's events: checks the host key, publishes closed channels, and keeps the disconnect
/// message.
pub(super) struct ConnectionHandler {
    pub(super) policy: HostKeyPolicy,
    pub(super) closed: watch::Sender<HashSet<ChannelId>>,
    pub(super) disconnect_message: DisconnectMessage,
}

/// The message of the host's disconnect, or the error that ended the connection.
#[derive(Clone, Default)]
pub(super) struct DisconnectMessage(Arc<Mutex<Option<String>>>);

impl DisconnectMessage {
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The error of a handshake.
#[derive(Debug)]
pub(super) enum HandshakeError {
    Ssh(russh::Error),
    /// The host's key is not trusted.
    Refused(Error),
    /// The key of this type does not match `host-key=`. The host may have a matching key of another type.
    NotPinned(Algorithm, Error),
}

impl From<russh::Error> for HandshakeError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Handler for ConnectionHandler {
    type Error = HandshakeError;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, HandshakeError> {
        self.policy.check(&key.public_key())?;
        Ok(true)
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), HandshakeError> {
        self.closed.send_modify(|closed| {
            closed.insert(channel);
        });
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<HandshakeError>) -> Result<(), HandshakeError> {
        let message = match reason {
            DisconnectReason::ReceivedDisconnect(info) => info.message,
            DisconnectReason::Error(HandshakeError::Ssh(error)) => error.to_string(),
            DisconnectReason::Error(HandshakeError::Refused(error) | HandshakeError::NotPinned(_, error)) => {
                error.to_string()
            }
        };
        *self.disconnect_message.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
        Ok(())
    }
}
