use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::ChannelId;
use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use tokio::sync::watch;

use super::known_hosts::{KnownHosts, Spot, Verdict, name};
use super::settings::Settings;
use crate::bounded_file;
use crate::error::{Error, ErrorKind, Result};

/// Which keys of one host are trusted.
#[derive(Debug)]
pub(super) struct Trust {
    host: String,
    /// Nothing where the host has an alias instead.
    port: Option<u16>,
    known: KnownHosts,
    /// The one key that is trusted, as `SHA256:…`.
    pinned: Option<String>,
    any: bool,
    /// Where a new key is to be added.
    file: PathBuf,
    /// The host on the way to it.
    before: Option<String>,
}

impl Trust {
    /// Reads the files. `own` is one that the user named, which must be there.
    pub(super) fn new(settings: &Settings, own: Option<&Path>, pinned: Option<String>, any: bool) -> Result<Self> {
        let mut known = KnownHosts::default();
        let files = own.map_or(settings.known_hosts.clone(), |file| vec![file.to_owned()]);
        for file in &files {
            match bounded_file::read(file) {
                Ok(text) => known.add(file, &String::from_utf8_lossy(&text)),
                Err(error) if own.is_none() && error.kind() == io::ErrorKind::NotFound => {}
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
        Ok(Self { host, port, known, pinned, any, file, before: None })
    }

    /// Says through which host this one is reached.
    pub(super) fn behind(mut self, before: Option<String>) -> Self {
        self.before = before;
        self
    }

    /// The types of keys to ask for: first those that the host is known by, none of those in `not`.
    pub(super) fn types(&self, all: &[Algorithm], not: &[Algorithm]) -> Vec<Algorithm> {
        let known = self.known.types(&self.host, self.port);
        // RSA is one type of key, with several kinds of signatures.
        let is_rsa = |algorithm: &Algorithm| matches!(algorithm, Algorithm::Rsa { .. });
        let is_same = |a: &Algorithm, b: &Algorithm| a == b || (is_rsa(a) && is_rsa(b));
        let is_known = |wanted: &Algorithm| known.iter().any(|known| is_same(known, wanted));
        // Signatures with SHA-1 prove nothing any more.
        let good = all.iter().filter(|wanted| **wanted != Algorithm::Rsa { hash: None });
        let good = good.filter(|wanted| !not.iter().any(|other| is_same(other, wanted)));
        let (mut first, rest): (Vec<_>, Vec<_>) = good.cloned().partition(is_known);
        first.extend(rest);
        first
    }

    fn check(&self, key: &PublicKey) -> Result<(), Fault> {
        let shown = key.fingerprint(HashAlg::Sha256).to_string();
        let host = name(&self.host, self.port);
        let not = |what: String| Error::new(ErrorKind::Authentication, format!("{host}: {what}"));
        let refused = |what| Fault::Refused(not(what));
        let at = |spot: &Spot| format!("{}, line {}", spot.file.display(), spot.line);
        let kind = key.algorithm();
        match (self.known.verdict(&self.host, self.port, key), &self.pinned) {
            (Verdict::Revoked(spot), _) => {
                let what = format!("the host shows the key {shown} ({kind}), which is revoked ({})", at(&spot));
                Err(refused(what))
            }
            (_, Some(pinned)) if *pinned == shown => Ok(()),
            (_, Some(pinned)) => {
                let what = format!(
                    "the host shows the key {shown} ({kind}), NOT the one that host-key= names, {pinned}: somebody may \
                     be listening in"
                );
                Err(Fault::NotPinned(kind, not(what)))
            }
            _ if self.any => {
                tracing::warn!(host, key = shown, "any host key is trusted: this one was not checked");
                Ok(())
            }
            (Verdict::Known, None) => Ok(()),
            (Verdict::Changed(spot), None) => Err(refused(format!(
                "the host shows the key {shown} ({kind}), which is NOT the known one ({}): somebody may be listening \
                 in; if the host was made anew, replace that line",
                at(&spot)
            ))),
            (Verdict::Unknown, None) => Err(refused(format!(
                "the host's key is not known; it shows {shown} ({kind}): if that is the host's fingerprint, add the \
                 key with `{}`, or say host-key={shown} in the URL",
                self.command(key)
            ))),
        }
    }

    /// What adds the host's key to the file.
    fn command(&self, key: &PublicKey) -> String {
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
        let there = self.before.as_ref().map_or(String::new(), |before| format!("ssh {before} "));
        format!("{there}ssh-keyscan {port}-t {kind} {} >> {file}", self.host)
    }
}

/// Listens to a host: checks its key, tells which channels it closes, and remembers what it says when it leaves.
pub(super) struct Checker {
    pub(super) trust: Trust,
    pub(super) closed: watch::Sender<HashSet<ChannelId>>,
    pub(super) goodbye: Goodbye,
}

/// The last words of a host.
#[derive(Clone, Default)]
pub(super) struct Goodbye(Arc<Mutex<Option<String>>>);

impl Goodbye {
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why a connection could not be made.
#[derive(Debug)]
pub(super) enum Fault {
    Ssh(russh::Error),
    /// The host's key is not trusted.
    Refused(Error),
    /// The key, of this type, is not the one that was named. The host may have that too.
    NotPinned(Algorithm, Error),
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Handler for Checker {
    type Error = Fault;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        self.trust.check(&key.public_key())?;
        Ok(true)
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Fault> {
        self.closed.send_modify(|closed| {
            closed.insert(channel);
        });
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Fault>) -> Result<(), Fault> {
        let words = match reason {
            DisconnectReason::ReceivedDisconnect(info) => info.message,
            DisconnectReason::Error(Fault::Ssh(error)) => error.to_string(),
            DisconnectReason::Error(Fault::Refused(error) | Fault::NotPinned(_, error)) => error.to_string(),
        };
        *self.goodbye.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        Ok(())
    }
}
