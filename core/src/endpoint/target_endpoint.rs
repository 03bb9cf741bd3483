//! The endpoint of a job that has a target only.

use std::sync::Arc;

use secrecy::SecretString;

use super::SinkEndpoint;
use super::archive_key::archive_key;
use super::job_endpoints::open_target;
use crate::error::Result;
use crate::options::CloneOptions;
use crate::remote::AgentClient;
use crate::sink::Sink;
use crate::site::ExecutionSite;
use crate::ssh::PromptCallback;
use crate::store::ArchiveKey;

/// The request of a job that has a target only.
pub(crate) struct TargetRequest<'a> {
    pub(crate) target: SinkEndpoint,
    pub(crate) password: Option<SecretString>,
    pub(crate) archive_passphrase: Option<SecretString>,
    pub(crate) site: Option<ExecutionSite>,
    /// Asks the user for a password or a passphrase.
    pub(crate) ask: Option<PromptCallback>,
    pub(crate) options: &'a CloneOptions,
}

/// A target, and the agent that it runs on.
pub(crate) struct TargetEndpoint {
    /// The target's name for messages, without secrets.
    pub(crate) name: String,
    pub(crate) sink: Arc<dyn Sink>,
    /// The key of encrypted archives.
    pub(crate) archive_key: Option<Arc<ArchiveKey>>,
    pub(super) agent: Option<Arc<AgentClient>>,
}

impl TargetEndpoint {
    /// Opens the target at its site. Connects to nothing.
    pub(crate) async fn open(request: TargetRequest<'_>) -> Result<Self> {
        let TargetRequest { target, password, archive_passphrase, site, ask, options } = request;
        let archive_key = archive_key(options, archive_passphrase, ask.clone(), false).await?;
        let (name, sink, agent) = open_target(target, password, site, ask, options, archive_key.clone()).await?;
        Ok(Self { name, sink, archive_key, agent })
    }

    /// Shuts the agent down after the job.
    pub(crate) async fn shutdown(&self) {
        if let Some(agent) = &self.agent {
            agent.shutdown().await;
        }
    }
}
