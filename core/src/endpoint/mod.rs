//! URLs and sites to sources and sinks: the only room that names every concrete kind.

mod opening;
mod option_file;
mod server;
mod shelf;
mod stage;
mod url;

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::Value;

use self::opening::{Goods, What};
use self::shelf::Shelf;
use self::url::{Location, locate, staging};
use crate::archive;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Address, MySqlSink, MySqlSource, ServerRole};
use crate::options::{AgentCredentials, CloneOptions, IfExists};
use crate::remote::{Agent, RemoteSink, RemoteSource};
use crate::sink::Sink;
use crate::site::ExecutionSite;
use crate::source::Source;
use crate::ssh::{LoginOptions, PromptCallback, SshAddress, SshClient, SshTunnel};
use crate::store::Store;

pub(crate) use opening::{Opened, Opening};
pub(crate) use stage::Stage;
pub use url::needs_password;

/// Where rows come from: a URL, or a [`Source`] of your own.
#[derive(Clone)]
pub enum SourceEndpoint {
    /// `mysql://…`, `s3://…` or `file:///…`.
    Url(String),
    /// A source of your own.
    Own(Arc<dyn Source>),
}

/// Where rows go: a URL, or a [`Sink`] of your own.
#[derive(Clone)]
pub enum SinkEndpoint {
    /// `mysql://…`, `s3://…` or `file:///…`.
    Url(String),
    /// A sink of your own.
    Own(Arc<dyn Sink>),
}

impl<T: Into<String>> From<T> for SourceEndpoint {
    fn from(url: T) -> Self {
        Self::Url(url.into())
    }
}

impl<T: Into<String>> From<T> for SinkEndpoint {
    fn from(url: T) -> Self {
        Self::Url(url.into())
    }
}

/// What is to be opened for a job.
pub(crate) struct Request<'a> {
    pub(crate) source: SourceEndpoint,
    pub(crate) target: SinkEndpoint,
    pub(crate) source_password: Option<SecretString>,
    pub(crate) target_password: Option<SecretString>,
    pub(crate) source_site: Option<ExecutionSite>,
    pub(crate) target_site: Option<ExecutionSite>,
    /// Asks a person for what only SSH wants to know.
    pub(crate) ask: Option<PromptCallback>,
    pub(crate) options: &'a CloneOptions,
}

/// The ends of a job. Nothing is connected yet.
pub(crate) struct Ends {
    pub(crate) source: Arc<dyn Source>,
    /// Its name, without secrets.
    pub(crate) source_name: String,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) target_name: String,
    pub(crate) stage: Option<Stage>,
    /// Where the first leg has both its ends, unless they are here or far from each other.
    pub(crate) first: Option<Arc<Agent>>,
    /// The same for the leg out of the stage.
    pub(crate) second: Option<Arc<Agent>>,
    agents: Vec<Arc<Agent>>,
}

impl Ends {
    /// Starts the agents, all at once.
    pub(crate) async fn meet(&self) -> Result<()> {
        futures::future::try_join_all(self.agents.iter().map(|agent| agent.meet())).await.map(drop)
    }

    /// Ends the agents after the job.
    pub(crate) async fn farewell(&self) {
        futures::future::join_all(self.agents.iter().map(|agent| agent.farewell())).await;
    }
}

/// One end of a job, as its URL and its site say.
enum End<T: ?Sized> {
    Own(Arc<T>),
    Server(Box<Address>),
    /// A server whose work runs on that host.
    There(Box<Address>, Arc<SshClient>),
    Archive(Shelf),
}

impl<T: ?Sized> End<T> {
    fn archive(&self) -> Option<&Shelf> {
        match self {
            Self::Archive(shelf) => Some(shelf),
            _ => None,
        }
    }
}

/// Opens the ends of a job, each at its site.
pub(crate) fn open(request: Request<'_>) -> Result<Ends> {
    let options = request.options;
    let (tunnel, agent) = (options.source_tunnel.as_deref(), options.source_agent.as_deref());
    let site = request.source_site.map_or_else(|| ExecutionSite::from_options("source", tunnel, agent), Ok)?;
    let side = Side {
        name: "source",
        role: ServerRole::Source,
        variable: "DBGRAFT_SOURCE",
        ask: request.ask.clone(),
        options,
    };
    let source = match request.source {
        SourceEndpoint::Own(own) => side.own(own, &site)?,
        SourceEndpoint::Url(url) => side.end(&url, request.source_password, site)?,
    };
    let (tunnel, agent) = (options.target_tunnel.as_deref(), options.target_agent.as_deref());
    let site = request.target_site.map_or_else(|| ExecutionSite::from_options("target", tunnel, agent), Ok)?;
    let side = Side { name: "target", role: ServerRole::Target, variable: "DBGRAFT_TARGET", ask: request.ask, options };
    let sink = match request.target {
        SinkEndpoint::Own(own) => side.own(own, &site)?,
        SinkEndpoint::Url(url) => side.end(&url, request.target_password, site)?,
    };
    let via = options.via.as_deref().map(staging).transpose()?;
    assemble(&source, &sink, via.as_ref(), options)
}

/// What is the same for everything that is opened for one side.
struct Side<'a> {
    name: &'static str,
    role: ServerRole,
    /// What its environment variables begin with.
    variable: &'static str,
    ask: Option<PromptCallback>,
    options: &'a CloneOptions,
}

impl Side<'_> {
    fn own<T: ?Sized>(&self, own: Arc<T>, site: &ExecutionSite) -> Result<End<T>> {
        match site {
            ExecutionSite::Here => Ok(End::Own(own)),
            _ => Err(self.nothing_there(&format!("a {} of your own runs here", self.name))),
        }
    }

    fn nothing_there(&self, why: &str) -> Error {
        let name = self.name;
        Error::usage(format!("--{name}-tunnel and --{name}-agent are for a mysql:// {name}: {why}"))
    }

    fn end<T: ?Sized>(&self, url: &str, password: Option<SecretString>, site: ExecutionSite) -> Result<End<T>> {
        let location = locate(url, self.role, &format!("{}_PASSWORD", self.variable), password)?;
        let (mut address, site) = match (location, site) {
            (Location::Archive(shelf), ExecutionSite::Here) => return Ok(End::Archive(shelf)),
            (Location::Archive(_), _) => {
                return Err(self.nothing_there("an archive is used where the work of the other end runs"));
            }
            (Location::MySql(address), site) => (address, site),
        };
        Ok(match site {
            ExecutionSite::Here => End::Server(address),
            ExecutionSite::Tunnel(url) => {
                let host = self.host(&format!("--{}-tunnel", self.name), &url)?;
                address.dial = Arc::new(SshTunnel::new(host));
                End::Server(address)
            }
            ExecutionSite::Agent(url) => End::There(address, self.host(&format!("--{}-agent", self.name), &url)?),
        })
    }

    fn host(&self, option: &str, url: &str) -> Result<Arc<SshClient>> {
        let address = SshAddress::parse(option, url)?;
        let variable = format!("{}_SSH_PASSWORD", self.variable);
        let password = address.password.clone().or_else(|| std::env::var(variable).ok().map(SecretString::from));
        let any_host_key = self.options.insecure_accept_any_host_key;
        Ok(Arc::new(SshClient::new(address, LoginOptions { password, ask: self.ask.clone(), any_host_key })))
    }
}

/// What an agent does with an archive.
type Role = fn(Goods) -> What;

/// Opens both ends, and the stage between them. An archive in S3 is used by the agent of its other end, if it has one.
fn assemble(from: &End<dyn Source>, into: &End<dyn Sink>, via: Option<&Shelf>, options: &CloneOptions) -> Result<Ends> {
    let mut agents = Vec::new();
    let mut start = |host: &Arc<SshClient>, what: What, shelf: Option<(&Shelf, Role)>| {
        let (mut openings, mut store) = (vec![opening(what, options)?], None);
        if let Some((shelf, role)) = shelf
            && let Some(location) = shelf.shared()
        {
            let lent: Arc<dyn Store> = shelf.open()?;
            let goods = match options.agent_credentials {
                AgentCredentials::Presigned => Goods::Lent(lent.url("")),
                AgentCredentials::Inherit => Goods::Own(location.clone()),
            };
            openings.push(opening(role(goods), options)?);
            store = Some(lent);
        }
        let whole = store.is_some();
        let agent = Arc::new(Agent::new(host.clone(), options.agent_binary.clone(), openings, store));
        agents.push(agent.clone());
        Ok::<_, Error>((agent, whole))
    };
    // Each agent, and whether the archive on its side is used there.
    let exporting = match from {
        End::There(address, host) => {
            let shelf = via.map(|shelf| (shelf, What::Export as Role));
            let shelf = shelf.or_else(|| into.archive().map(|shelf| (shelf, What::Into as Role)));
            Some(start(host, What::Source(address.clone()), shelf)?)
        }
        _ => None,
    };
    let importing = match into {
        End::There(address, host) => {
            let shelf = via.map(|shelf| (shelf, What::Import as Role));
            let shelf = shelf.or_else(|| from.archive().map(|shelf| (shelf, What::From as Role)));
            Some(start(host, What::Sink(address.clone()), shelf)?)
        }
        _ => None,
    };
    let at =
        |agent: &Option<(Arc<Agent>, bool)>| agent.as_ref().filter(|(_, whole)| *whole).map(|(agent, _)| agent.clone());
    let (export_at, import_at) = (at(&exporting), at(&importing));
    let stage = match via {
        None => None,
        Some(shelf) => {
            let stage = Stage::new(shelf.open()?);
            Some(match &export_at {
                Some(agent) => stage.written_by(Arc::new(RemoteSink::new(agent.clone()))),
                None => stage,
            })
        }
    };
    let (source_name, source) = open_source(from, exporting, import_at.as_ref().filter(|_| via.is_none()), options)?;
    let (target_name, sink) = open_sink(into, importing, export_at.as_ref().filter(|_| via.is_none()), options)?;
    let (first, second) = if via.is_some() { (export_at, import_at) } else { (export_at.or(import_at), None) };
    Ok(Ends { source, source_name, sink, target_name, stage, first, second, agents })
}

fn open_source(
    from: &End<dyn Source>,
    agent: Option<(Arc<Agent>, bool)>,
    beside: Option<&Arc<Agent>>,
    options: &CloneOptions,
) -> Result<(String, Arc<dyn Source>)> {
    Ok(match (from, agent) {
        (End::Own(own), _) => ("a source of your own".to_owned(), own.clone()),
        (End::There(address, _), Some((agent, _))) => (address.to_string(), Arc::new(RemoteSource::new(agent, true))),
        (End::Server(address) | End::There(address, _), _) => {
            (address.to_string(), Arc::new(MySqlSource::new(Address::clone(address), options)))
        }
        (End::Archive(shelf), _) => {
            let store = shelf.open()?;
            let name = store.url("");
            match beside {
                Some(agent) => (name, Arc::new(RemoteSource::new(agent.clone(), false))),
                None => (name, Arc::new(archive::Reader::open(store))),
            }
        }
    })
}

fn open_sink(
    into: &End<dyn Sink>,
    agent: Option<(Arc<Agent>, bool)>,
    beside: Option<&Arc<Agent>>,
    options: &CloneOptions,
) -> Result<(String, Arc<dyn Sink>)> {
    Ok(match (into, agent) {
        (End::Own(own), _) => ("a sink of your own".to_owned(), own.clone()),
        (End::There(address, _), Some((agent, _))) => (address.to_string(), Arc::new(RemoteSink::new(agent))),
        (End::Server(address) | End::There(address, _), _) => {
            (address.to_string(), Arc::new(MySqlSink::new(Address::clone(address), options)))
        }
        (End::Archive(shelf), _) => {
            let store = shelf.open()?;
            let name = store.url("");
            match beside {
                Some(agent) => (name, Arc::new(RemoteSink::new(agent.clone()))),
                None => (name, Arc::new(archive::Writer::new(store, options.if_exists == IfExists::Drop))),
            }
        }
    })
}

/// An opening as it travels, with those of the options that matter there.
fn opening(what: What, options: &CloneOptions) -> Result<Value> {
    let options = CloneOptions {
        via: None,
        source_tunnel: None,
        target_tunnel: None,
        source_agent: None,
        target_agent: None,
        agent_binary: None,
        ..options.clone()
    };
    serde_json::to_value(Opening { what, options })
        .map_err(|error| Error::new(ErrorKind::Internal, "an end cannot be described").caused_by(error))
}
