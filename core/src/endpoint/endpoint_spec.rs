//! The specification of one endpoint, from its URL and its site.

use std::sync::Arc;

use secrecy::SecretString;

use super::archive_location::ArchiveLocation;
#[cfg(feature = "mysql_async")]
use super::driver_options::server_address;
use super::location::{EndpointLocation, parse_location};
use super::server::secret_from_environment;
use crate::error::{Error, Result};
use crate::mysql::{ServerAddress, ServerRole};
use crate::site::ExecutionSite;
use crate::ssh::{LoginOptions, PromptCallback, SshAddress, SshClient, SshTunnel};

/// The specification of an endpoint: what it is, and where its work runs.
pub(super) enum EndpointSpec<T: ?Sized> {
    /// A source or a sink of the caller.
    Own(Arc<T>),
    /// A server that this process connects to.
    Server(Box<ServerAddress>),
    /// A server that an agent on the host connects to.
    AgentServer(Box<ServerAddress>, Arc<SshClient>),
    Archive(ArchiveLocation),
}

impl<T: ?Sized> EndpointSpec<T> {
    /// The location, if the endpoint is an archive.
    pub(super) fn archive(&self) -> Option<&ArchiveLocation> {
        match self {
            Self::Archive(location) => Some(location),
            _ => None,
        }
    }

    /// The location to change, if the endpoint is an archive.
    pub(super) fn archive_mut(&mut self) -> Option<&mut ArchiveLocation> {
        match self {
            Self::Archive(location) => Some(location),
            _ => None,
        }
    }

    /// Names the replica of a target whose lag pauses the clone. It is reached from where the target is reached.
    pub(super) fn set_replica(&mut self, url: &str, password: Option<SecretString>) -> Result<()> {
        let (Self::Server(target) | Self::AgentServer(target, _)) = self else {
            return Err(Error::usage("--replica is a replica of a mysql:// target"));
        };
        let location = parse_location(url, ServerRole::Replica, "DBGRAFT_REPLICA_PASSWORD", password);
        match location.map_err(|error| error.about("--replica"))? {
            EndpointLocation::Server(mut replica) => {
                replica.dial = target.dial.clone();
                target.replica = Some(replica);
                Ok(())
            }
            EndpointLocation::Archive(_) => {
                Err(Error::usage("--replica: an archive is no replica: give a mysql:// URL"))
            }
        }
    }
}

/// Parses the specification of the source or of the target.
pub(super) struct SpecParser {
    role: ServerRole,
    ask: Option<PromptCallback>,
    any_host_key: bool,
}

impl SpecParser {
    /// `ask` answers questions of SSH; `any_host_key` accepts every host key.
    pub(super) fn new(role: ServerRole, ask: Option<PromptCallback>, any_host_key: bool) -> Self {
        Self { role, ask, any_host_key }
    }

    /// The name of the role in options and messages.
    fn name(&self) -> &'static str {
        self.role.name()
    }

    /// The name of an environment variable of the role.
    fn variable(&self, suffix: &str) -> String {
        format!("DBGRAFT_{}_{suffix}", self.name().to_ascii_uppercase())
    }

    /// The site of the role: the one of the request, or that of the options.
    pub(super) fn site(
        &self,
        requested: Option<ExecutionSite>,
        tunnel: Option<&str>,
        agent: Option<&str>,
    ) -> Result<ExecutionSite> {
        requested.map_or_else(|| ExecutionSite::from_options(self.name(), tunnel, agent), Ok)
    }

    /// Specifies a source or a sink of the caller.
    pub(super) fn own<T: ?Sized>(&self, own: Arc<T>, site: &ExecutionSite) -> Result<EndpointSpec<T>> {
        match site {
            ExecutionSite::Here => Ok(EndpointSpec::Own(own)),
            _ => Err(self.no_server(&format!("a {} of your own runs here", self.name()))),
        }
    }

    /// The error for a site where the endpoint is no server.
    fn no_server(&self, why: &str) -> Error {
        let name = self.name();
        Error::usage(format!("--{name}-tunnel and --{name}-agent are for a mysql:// {name}: {why}"))
    }

    /// Parses the URL of an endpoint at a site.
    pub(super) fn parse<T: ?Sized>(
        &self,
        url: &str,
        password: Option<SecretString>,
        site: ExecutionSite,
    ) -> Result<EndpointSpec<T>> {
        let location = parse_location(url, self.role, &self.variable("PASSWORD"), password)
            .map_err(|error| error.about(&format!("the {}", self.name())))?;
        let (address, site) = match (location, site) {
            (EndpointLocation::Archive(location), ExecutionSite::Here) => return Ok(EndpointSpec::Archive(location)),
            (EndpointLocation::Archive(_), _) => {
                return Err(self.no_server("an archive is used where the work of the other end runs"));
            }
            (EndpointLocation::Server(address), site) => (address, site),
        };
        self.server(address, site)
    }

    /// Specifies a server by the options of a `mysql_async` connection.
    #[cfg(feature = "mysql_async")]
    pub(super) async fn driver<T: ?Sized>(
        &self,
        options: &mysql_async::Opts,
        site: ExecutionSite,
    ) -> Result<EndpointSpec<T>> {
        let address =
            server_address(options, self.role).await.map_err(|error| error.about(&format!("the {}", self.name())))?;
        self.server(Box::new(address), site)
    }

    /// Specifies a server at a site.
    fn server<T: ?Sized>(&self, mut address: Box<ServerAddress>, site: ExecutionSite) -> Result<EndpointSpec<T>> {
        Ok(match site {
            ExecutionSite::Here => EndpointSpec::Server(address),
            ExecutionSite::Tunnel(url) => {
                let host = self.host(&format!("--{}-tunnel", self.name()), &url)?;
                address.dial = Arc::new(SshTunnel::new(host));
                EndpointSpec::Server(address)
            }
            ExecutionSite::Agent(url) => {
                EndpointSpec::AgentServer(address, self.host(&format!("--{}-agent", self.name()), &url)?)
            }
        })
    }

    /// Parses the `ssh://` URL of an option.
    fn host(&self, option: &str, url: &str) -> Result<Arc<SshClient>> {
        let address = SshAddress::parse(option, url)?;
        let variable = self.variable("SSH_PASSWORD");
        let password = match &address.password {
            Some(given) => Some(given.clone()),
            None => secret_from_environment(&variable)?,
        };
        let login = LoginOptions { password, ask: self.ask.clone(), any_host_key: self.any_host_key };
        Ok(Arc::new(SshClient::new(address, login)))
    }
}
