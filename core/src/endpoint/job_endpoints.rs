//! The endpoints of a job, and the agents that they run on.

use std::sync::Arc;

use secrecy::SecretString;

use super::archive_key::archive_key;
use super::archive_location::ArchiveLocation;
use super::endpoint_request::{ArchiveAccess, EndpointKind, EndpointRequest, StoreAccess};
use super::endpoint_spec::{EndpointSpec, SpecParser};
use super::location::staging_location;
use super::staging_archive::StagingArchive;
use super::{SinkEndpoint, SourceEndpoint};
use crate::archive::{ArchiveReader, ArchiveWriter};
use crate::error::{Error, Result};
use crate::event::EventEmitter;
use crate::mysql::{MySqlSink, MySqlSource, ServerAddress, ServerRole};
use crate::options::{AgentCredentials, CloneOptions, IfExists};
use crate::remote::{AgentClient, RemoteSink, RemoteSource};
use crate::sink::Sink;
use crate::site::ExecutionSite;
use crate::source::Source;
use crate::ssh::{PromptCallback, SshClient};
use crate::store::ArchiveKey;

/// The request of a job: its endpoints, their passwords and sites, and the options.
pub(crate) struct JobRequest<'a> {
    pub(crate) source: SourceEndpoint,
    pub(crate) target: SinkEndpoint,
    pub(crate) source_password: Option<SecretString>,
    pub(crate) target_password: Option<SecretString>,
    pub(crate) archive_passphrase: Option<SecretString>,
    pub(crate) replica_password: Option<SecretString>,
    pub(crate) source_site: Option<ExecutionSite>,
    pub(crate) target_site: Option<ExecutionSite>,
    /// Asks the user for a password or a passphrase.
    pub(crate) ask: Option<PromptCallback>,
    /// Whether the target is to be written.
    pub(crate) writes: bool,
    pub(crate) options: &'a CloneOptions,
}

/// The endpoints of a job.
pub(crate) struct JobEndpoints {
    pub(crate) source: Arc<dyn Source>,
    /// The source's name for messages, without secrets.
    pub(crate) source_name: String,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) target_name: String,
    pub(crate) staging: Option<StagingArchive>,
    /// The key of encrypted archives.
    pub(crate) archive_key: Option<Arc<ArchiveKey>>,
    /// The agent that runs the first leg as a whole; `None` where this process runs it.
    pub(crate) first_leg_agent: Option<Arc<AgentClient>>,
    /// The agent that runs the leg from the staging archive as a whole.
    pub(crate) second_leg_agent: Option<Arc<AgentClient>>,
    agents: Vec<Arc<AgentClient>>,
}

impl JobEndpoints {
    /// Opens the endpoints of a job, each at its site. Connects to nothing.
    pub(crate) async fn open(request: JobRequest<'_>) -> Result<Self> {
        let options = request.options;
        let any_host_key = options.insecure_accept_any_host_key;
        let parser = SpecParser::new(ServerRole::Source, request.ask.clone(), any_host_key);
        let (tunnel, agent) = (options.source_tunnel.as_deref(), options.source_agent.as_deref());
        let site = parser.site(request.source_site, tunnel, agent)?;
        let mut source = match request.source {
            SourceEndpoint::Own(own) => parser.own(own, &site)?,
            SourceEndpoint::Url(url) => parser.parse(&url, request.source_password, site)?,
            #[cfg(feature = "mysql_async")]
            SourceEndpoint::MySqlAsync(driver) => parser.driver(&driver, site).await?,
        };
        let JobRequest {
            target, target_password, replica_password, target_site, ask, archive_passphrase, writes, ..
        } = request;
        let mut sink = target_spec(target, target_password, target_site, ask.clone(), options).await?;
        if let Some(url) = &options.replica {
            sink.set_replica(url, replica_password)?;
        }
        let mut via = options.via.as_deref().map(staging_location).transpose().map_err(|error| error.about("--via"))?;
        let is_kept = writes && (sink.archive().is_some() || options.keep_archive);
        let staging = via.as_mut().map(|(_, location)| location);
        let archives: Vec<_> = source.archive_mut().into_iter().chain(sink.archive_mut()).chain(staging).collect();
        if options.encrypt.is_some() && archives.is_empty() {
            return Err(Error::usage("--encrypt is for archives, and there is none: name one as an end or by --via"));
        }
        let archive_key = archive_key(options, archive_passphrase, ask, is_kept).await?;
        archives.into_iter().for_each(|archive| archive.key.clone_from(&archive_key));
        Ok(Self { archive_key, ..assemble(&source, &sink, via.as_ref(), options)? })
    }

    /// Starts all agents concurrently.
    pub(crate) async fn connect(&self) -> Result<()> {
        futures::future::try_join_all(self.agents.iter().map(|agent| agent.connect())).await.map(drop)
    }

    /// Sets the receiver of warnings about the connections to agents.
    pub(crate) fn set_events(&self, events: &EventEmitter) {
        self.agents.iter().for_each(|agent| agent.set_events(events.clone()));
    }

    /// The warnings about the connections to agents.
    pub(crate) fn agent_warnings(&self) -> Vec<String> {
        self.agents.iter().flat_map(|agent| agent.warnings()).collect()
    }

    /// Shuts the agents down after the job.
    pub(crate) async fn shutdown(&self) {
        futures::future::join_all(self.agents.iter().map(|agent| agent.shutdown())).await;
    }
}

/// Specifies the target of a job.
async fn target_spec(
    target: SinkEndpoint,
    password: Option<SecretString>,
    site: Option<ExecutionSite>,
    ask: Option<PromptCallback>,
    options: &CloneOptions,
) -> Result<EndpointSpec<dyn Sink>> {
    let parser = SpecParser::new(ServerRole::Target, ask, options.insecure_accept_any_host_key);
    let site = parser.site(site, options.target_tunnel.as_deref(), options.target_agent.as_deref())?;
    match target {
        SinkEndpoint::Own(own) => parser.own(own, &site),
        SinkEndpoint::Url(url) => parser.parse(&url, password, site),
        #[cfg(feature = "mysql_async")]
        SinkEndpoint::MySqlAsync(driver) => parser.driver(&driver, site).await,
    }
}

/// Opens the target of a job that has no source: its name for messages, the sink, and the agent that it runs on.
pub(super) async fn open_target(
    target: SinkEndpoint,
    password: Option<SecretString>,
    site: Option<ExecutionSite>,
    ask: Option<PromptCallback>,
    options: &CloneOptions,
    archive_key: Option<Arc<ArchiveKey>>,
) -> Result<(String, Arc<dyn Sink>, Option<Arc<AgentClient>>)> {
    let mut spec = target_spec(target, password, site, ask, options).await?;
    spec.archive_mut().into_iter().for_each(|archive| archive.key.clone_from(&archive_key));
    let agent = match &spec {
        EndpointSpec::AgentServer(address, host) => {
            Some(JobAgent::new(host, EndpointKind::SinkServer(address.clone()), None, options)?)
        }
        _ => None,
    };
    let (name, sink) = open_sink(&spec, agent.as_ref(), None, options)?;
    Ok((name, sink, agent.map(|agent| agent.client)))
}

/// Builds the endpoint of an agent that uses an archive.
type ArchiveEndpoint = fn(ArchiveAccess) -> EndpointKind;

/// An agent of the job.
struct JobAgent {
    client: Arc<AgentClient>,
    /// Whether the agent also opens the archive, and so runs its leg as a whole.
    opens_archive: bool,
}

impl JobAgent {
    /// Creates the client of an agent that opens a server, and an archive if that is in S3.
    fn new(
        host: &Arc<SshClient>,
        server: EndpointKind,
        archive: Option<(&ArchiveLocation, ArchiveEndpoint)>,
        options: &CloneOptions,
    ) -> Result<Self> {
        let (mut requests, mut store) = (vec![EndpointRequest::to_json(server, options)?], None);
        if let Some((location, endpoint)) = archive
            && let Some(s3) = location.s3()
        {
            // The agent encrypts and decrypts.
            let opened = location.open_raw()?;
            let access = match options.agent_credentials {
                AgentCredentials::Presigned => StoreAccess::PresignedUrls(opened.url("")),
                AgentCredentials::Inherit => StoreAccess::HostCredentials(s3.clone()),
            };
            let access = ArchiveAccess { store: access, key: location.key.as_deref().cloned() };
            requests.push(EndpointRequest::to_json(endpoint(access), options)?);
            store = Some(opened);
        }
        let opens_archive = store.is_some();
        let client = AgentClient::new(host.clone(), options.agent_binary.clone(), requests, store);
        Ok(Self { client: Arc::new(client), opens_archive })
    }

    /// The client, if the agent runs its leg as a whole.
    fn leg_agent(&self) -> Option<Arc<AgentClient>> {
        self.opens_archive.then(|| self.client.clone())
    }
}

/// Opens both endpoints and the staging archive between them. The agent of an endpoint also opens the archive at the
/// other end of its leg, if that is in S3.
fn assemble(
    from: &EndpointSpec<dyn Source>,
    into: &EndpointSpec<dyn Sink>,
    staging: Option<&(String, ArchiveLocation)>,
    options: &CloneOptions,
) -> Result<JobEndpoints> {
    let via = staging.map(|(_, location)| location);
    let exporting = match from {
        EndpointSpec::AgentServer(address, host) => {
            let staging = via.map(|location| (location, EndpointKind::ExportStaging as ArchiveEndpoint));
            let target = || into.archive().map(|location| (location, EndpointKind::WriteArchive as ArchiveEndpoint));
            let server = EndpointKind::SourceServer(address.clone());
            Some(JobAgent::new(host, server, staging.or_else(target), options)?)
        }
        _ => None,
    };
    let importing = match into {
        EndpointSpec::AgentServer(address, host) => {
            let staging = via.map(|location| (location, EndpointKind::ImportStaging as ArchiveEndpoint));
            let source = || from.archive().map(|location| (location, EndpointKind::ReadArchive as ArchiveEndpoint));
            let server = EndpointKind::SinkServer(address.clone());
            Some(JobAgent::new(host, server, staging.or_else(source), options)?)
        }
        _ => None,
    };
    let agents = exporting.iter().chain(&importing).map(|agent| agent.client.clone()).collect();
    let export_leg = exporting.as_ref().and_then(JobAgent::leg_agent);
    let import_leg = importing.as_ref().and_then(JobAgent::leg_agent);
    let staging = match staging {
        None => None,
        Some((url, location)) => {
            let archive = StagingArchive::new(url.clone(), location.open()?);
            Some(match &export_leg {
                Some(agent) => archive.with_sink(Arc::new(RemoteSink::new(agent.clone(), false))),
                None => archive,
            })
        }
    };
    // Without a staging archive, the agent of the other end opens a source or target that is an archive.
    let archive_reader = import_leg.as_ref().filter(|_| via.is_none());
    let archive_writer = export_leg.as_ref().filter(|_| via.is_none());
    let (source_name, source) = open_source(from, exporting.as_ref(), archive_reader, options)?;
    let (target_name, sink) = open_sink(into, importing.as_ref(), archive_writer, options)?;
    let (first_leg_agent, second_leg_agent) =
        if via.is_some() { (export_leg, import_leg) } else { (export_leg.or(import_leg), None) };
    Ok(JobEndpoints {
        source,
        source_name,
        sink,
        target_name,
        staging,
        archive_key: None,
        first_leg_agent,
        second_leg_agent,
        agents,
    })
}

/// Opens the source, and returns its name for messages. `agent` is the source's own agent, `archive_reader` the agent
/// that reads an archive.
fn open_source(
    from: &EndpointSpec<dyn Source>,
    agent: Option<&JobAgent>,
    archive_reader: Option<&Arc<AgentClient>>,
    options: &CloneOptions,
) -> Result<(String, Arc<dyn Source>)> {
    Ok(match (from, agent) {
        (EndpointSpec::Own(own), _) => ("a source of your own".to_owned(), own.clone()),
        (EndpointSpec::AgentServer(address, _), Some(agent)) => {
            (address.to_string(), Arc::new(RemoteSource::new(agent.client.clone(), true)))
        }
        (EndpointSpec::Server(address) | EndpointSpec::AgentServer(address, _), _) => {
            (address.to_string(), Arc::new(MySqlSource::new(ServerAddress::clone(address), options)))
        }
        (EndpointSpec::Archive(location), _) => {
            let store = location.open()?;
            let name = store.url("");
            match archive_reader {
                Some(agent) => (name, Arc::new(RemoteSource::new(agent.clone(), false))),
                None => (name, Arc::new(ArchiveReader::open(store))),
            }
        }
    })
}

/// Opens the sink, and returns its name for messages. `agent` is the sink's own agent, `archive_writer` the agent that
/// writes an archive.
fn open_sink(
    into: &EndpointSpec<dyn Sink>,
    agent: Option<&JobAgent>,
    archive_writer: Option<&Arc<AgentClient>>,
    options: &CloneOptions,
) -> Result<(String, Arc<dyn Sink>)> {
    Ok(match (into, agent) {
        (EndpointSpec::Own(own), _) => ("a sink of your own".to_owned(), own.clone()),
        (EndpointSpec::AgentServer(address, _), Some(agent)) => {
            (address.to_string(), Arc::new(RemoteSink::new(agent.client.clone(), true)))
        }
        (EndpointSpec::Server(address) | EndpointSpec::AgentServer(address, _), _) => {
            (address.to_string(), Arc::new(MySqlSink::new(ServerAddress::clone(address), options)))
        }
        (EndpointSpec::Archive(location), _) => {
            let store = location.open()?;
            let name = store.url("");
            match archive_writer {
                Some(agent) => (name, Arc::new(RemoteSink::new(agent.clone(), false))),
                None => {
                    let writer = ArchiveWriter::new(store, options.if_exists == IfExists::Drop);
                    (name, Arc::new(writer.with_progress(options.resume)))
                }
            }
        }
    })
}
