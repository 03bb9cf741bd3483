use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use russh::keys::{Certificate, PublicKey, load_openssh_certificate};
use tokio::time::timeout;

use super::SshAddress;
use super::key::{Agent, KeyFile, with_suffix};
use super::settings::{Settings, at_home};
use crate::error::{Error, Result};

/// How long the ssh-agent may take to list its keys.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key that a host may take.
pub(super) struct Offer {
    pub(super) public: PublicKey,
    pub(super) certificate: Option<Certificate>,
    pub(super) origin: Origin,
    label: String,
}

/// Who can sign.
pub(super) enum Origin {
    Agent,
    File(Box<KeyFile>),
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.certificate.is_some() { "certificate" } else { "key" };
        write!(f, "the {what} {} ({})", self.label, self.public.algorithm())
    }
}

/// All keys that may be offered, in the order of `ssh`: that of the URL; those of the agent, first the ones that the
/// settings name; those in files. None comes twice.
pub(super) struct Offers {
    pub(super) agent: Option<Agent>,
    offers: VecDeque<Offer>,
    /// In words: keys that cannot be used, and why.
    pub(super) not_used: Vec<String>,
}

impl Offers {
    pub(super) async fn gather(
        hop: &Settings,
        address: &SshAddress,
        binding: Option<&AgentSessionBinding>,
    ) -> Result<Self> {
        let named = address.identity.as_deref().map(at_home);
        let mut offers = Self { agent: None, offers: VecDeque::new(), not_used: Vec::new() };
        let mut files = Vec::new();
        let paths: Vec<&PathBuf> = named.iter().chain(&hop.identities).collect();
        for (index, path) in paths.iter().enumerate() {
            let of_url = named.is_some() && index == 0;
            match KeyFile::read(path) {
                _ if paths.iter().take(index).any(|earlier| earlier == path) => {}
                Ok(Some(file)) => files.push(file),
                Ok(None) if of_url => return Err(not_usable(path, "is not there")),
                Err(why) if of_url => return Err(not_usable(path, &why)),
                Ok(None) => {}
                Err(why) => offers.not_used.push(format!("the key {}, which {why}", path.display())),
            }
        }
        let held = offers.ask_agent(hop, binding).await;
        let of_url = usize::from(named.is_some()).min(files.len());
        let rest = files.split_off(of_url);
        offers.add(files, held, rest, hop.identities_only);
        Ok(offers)
    }

    pub(super) fn next(&mut self) -> Option<Offer> {
        self.offers.pop_front()
    }

    /// The keys that the agent holds.
    async fn ask_agent(&mut self, hop: &Settings, binding: Option<&AgentSessionBinding>) -> Vec<AgentIdentity> {
        let Some(socket) = &hop.agent else { return Vec::new() };
        let asked = timeout(PATIENCE, async {
            let mut agent = Agent::connect_uds(socket).await?;
            if let Some(binding) = binding {
                // For keys that are only for some hosts. An old agent does not know of it.
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
                tracing::debug!(socket = %socket.display(), %error, "the ssh-agent is of no use");
                Vec::new()
            }
            Err(_) => {
                self.not_used.push("the keys of the ssh-agent, which did not answer".to_owned());
                Vec::new()
            }
        }
    }

    fn add(&mut self, of_url: Vec<KeyFile>, held: Vec<AgentIdentity>, rest: Vec<KeyFile>, only: bool) {
        let mut held: Vec<Offer> = held.into_iter().map(of_agent).collect();
        for file in of_url {
            self.take_matching(&file, &mut held);
            self.add_file(file);
        }
        for file in &rest {
            self.take_matching(file, &mut held);
        }
        if !only {
            self.offers.extend(held);
        }
        for file in rest {
            self.add_file(file);
        }
    }

    /// Offers the agent's keys that are the same as the file's.
    fn take_matching(&mut self, file: &KeyFile, held: &mut Vec<Offer>) {
        let is_same =
            |offer: &mut Offer| file.public.as_ref().is_some_and(|key| key.key_data() == offer.public.key_data());
        self.offers.extend(held.extract_if(.., is_same));
    }

    fn add_file(&mut self, file: KeyFile) {
        let Some(public) = file.public.clone() else {
            self.not_used.push(format!("the key {}, which has no {0}.pub beside it", file.path.display()));
            return;
        };
        let known = self.offers.iter().any(|offer| offer.public.key_data() == public.key_data());
        if known || file.is_public_only() {
            return;
        }
        let label = file.path.display().to_string();
        let certificate = load_openssh_certificate(with_suffix(&file.path, "-cert.pub")).ok();
        let origin = || Origin::File(Box::new(file.clone()));
        if let Some(certificate) = certificate {
            let certificate = Some(certificate);
            self.offers.push_back(Offer {
                public: public.clone(),
                certificate,
                origin: origin(),
                label: label.clone(),
            });
        }
        self.offers.push_back(Offer { public, certificate: None, origin: origin(), label });
    }
}

fn of_agent(identity: AgentIdentity) -> Offer {
    let (public, certificate, comment) = match identity {
        AgentIdentity::PublicKey { key, comment } => (key, None, comment),
        AgentIdentity::Certificate { certificate, comment } => {
            (PublicKey::new(certificate.public_key().clone(), ""), Some(certificate), comment)
        }
    };
    Offer { public, certificate, origin: Origin::Agent, label: format!("`{comment}` of the ssh-agent") }
}

fn not_usable(path: &Path, why: &str) -> Error {
    Error::usage(format!("identity={} {why}", path.display()))
}
