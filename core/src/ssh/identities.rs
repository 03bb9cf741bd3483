//! Gathers the keys to log in with.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use russh::keys::{Certificate, PublicKey, load_openssh_certificate};
use tokio::time::timeout;

use super::SshAddress;
use super::key::{AgentConnection, KeyFile, with_suffix};
use super::paths::expand_home;
use super::settings::HostSettings;
use crate::error::{Error, Result};

/// The time limit for listing the keys of the ssh-agent.
const AGENT_TIMEOUT: Duration = Duration::from_secs(5);

/// A public key or a certificate to offer to a host.
pub(super) struct Identity {
    pub(super) public: PublicKey,
    pub(super) certificate: Option<Certificate>,
    pub(super) location: KeyLocation,
    label: String,
}

/// The location of the private key.
pub(super) enum KeyLocation {
    Agent,
    File(Box<KeyFile>),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.certificate.is_some() { "certificate" } else { "key" };
        write!(f, "the {what} {} ({})", self.label, self.public.algorithm())
    }
}

/// The identities to offer, in the order of `ssh`: the key of the URL, the keys of the ssh-agent (first those that the
/// settings name), the key files. Each comes once.
pub(super) struct Identities {
    pub(super) agent: Option<AgentConnection>,
    queue: VecDeque<Identity>,
    /// Descriptions of unusable keys, with the reasons.
    pub(super) unusable: Vec<String>,
}

impl Identities {
    /// Gathers the identities for a host.
    ///
    /// # Errors
    /// `Usage` if the key of the URL is unusable.
    pub(super) async fn gather(
        hop: &HostSettings,
        address: &SshAddress,
        binding: Option<&AgentSessionBinding>,
    ) -> Result<Self> {
        let named = address.identity.as_deref().map(expand_home);
        let mut identities = Self { agent: None, queue: VecDeque::new(), unusable: Vec::new() };
        let mut files = Vec::new();
        let paths: Vec<&PathBuf> = named.iter().chain(&hop.identities).collect();
        for (index, path) in paths.iter().enumerate() {
            let of_url = named.is_some() && index == 0;
            match KeyFile::read(path) {
                _ if paths.iter().take(index).any(|earlier| earlier == path) => {}
                Ok(Some(file)) => files.push(file),
                Ok(None) if of_url => return Err(unusable_error(path, "is not there")),
                Err(why) if of_url => return Err(unusable_error(path, &why)),
                Ok(None) => {}
                Err(why) => identities.unusable.push(format!("the key {}, which {why}", path.display())),
            }
        }
        let held = identities.list_agent_keys(hop, binding).await;
        let of_url = usize::from(named.is_some()).min(files.len());
        let rest = files.split_off(of_url);
        identities.add(files, held, rest, hop.identities_only);
        Ok(identities)
    }

    pub(super) fn next(&mut self) -> Option<Identity> {
        self.queue.pop_front()
    }

    /// Lists the keys of the ssh-agent.
    async fn list_agent_keys(
        &mut self,
        hop: &HostSettings,
        binding: Option<&AgentSessionBinding>,
    ) -> Vec<AgentIdentity> {
        let Some(socket) = &hop.agent else { return Vec::new() };
        let asked = timeout(AGENT_TIMEOUT, async {
            let mut agent = AgentConnection::connect_uds(socket).await?;
            if let Some(binding) = binding {
                // Keys restricted to some hosts need the binding. Old agents do not support it.
                let _ = agent.bind_session(binding, false).await;
            }
            let held = agent.request_identities().await?;
            Ok::<_, russh::keys::Error>((agent, held))
        });
        match asked.await {
            Ok(Ok((agent, held))) => {
                self.agent = Some(agent);
                held
            }
            Ok(Err(error)) => {
                tracing::debug!(socket = %socket.display(), %error, "the ssh-agent is unusable");
                Vec::new()
            }
            Err(_) => {
                self.unusable.push("the keys of the ssh-agent, which did not answer".to_owned());
                Vec::new()
            }
        }
    }

    fn add(&mut self, of_url: Vec<KeyFile>, held: Vec<AgentIdentity>, rest: Vec<KeyFile>, only: bool) {
        let mut held: Vec<Identity> = held.into_iter().map(from_agent).collect();
        for file in of_url {
            self.take_matching(&file, &mut held);
            self.add_file(file);
        }
        for file in &rest {
            self.take_matching(file, &mut held);
        }
        if !only {
            self.queue.extend(held);
        }
        for file in rest {
            self.add_file(file);
        }
    }

    /// Moves the agent's keys that match the file to the queue.
    fn take_matching(&mut self, file: &KeyFile, held: &mut Vec<Identity>) {
        let is_same =
            |offer: &mut Identity| file.public.as_ref().is_some_and(|key| key.key_data() == offer.public.key_data());
        self.queue.extend(held.extract_if(.., is_same));
    }

    fn add_file(&mut self, file: KeyFile) {
        let Some(public) = file.public.clone() else {
            self.unusable.push(format!("the key {}, which has no {0}.pub beside it", file.path.display()));
            return;
        };
        let is_queued = self.queue.iter().any(|offer| offer.public.key_data() == public.key_data());
        if is_queued || file.is_public_only() {
            return;
        }
        let label = file.path.display().to_string();
        let certificate = load_openssh_certificate(with_suffix(&file.path, "-cert.pub")).ok();
        let location = || KeyLocation::File(Box::new(file.clone()));
        if let Some(certificate) = certificate {
            let certificate = Some(certificate);
            self.queue.push_back(Identity {
                public: public.clone(),
                certificate,
                location: location(),
                label: label.clone(),
            });
        }
        self.queue.push_back(Identity { public, certificate: None, location: location(), label });
    }
}

fn from_agent(identity: AgentIdentity) -> Identity {
    let (public, certificate, comment) = match identity {
        AgentIdentity::PublicKey { key, comment } => (key, None, comment),
        AgentIdentity::Certificate { certificate, comment } => {
            (PublicKey::new(certificate.public_key().clone(), ""), Some(certificate), comment)
        }
    };
    Identity { public, certificate, location: KeyLocation::Agent, label: format!("`{comment}` of the ssh-agent") }
}

fn unusable_error(path: &Path, why: &str) -> Error {
    Error::usage(format!("identity={} {why}", path.display()))
}
