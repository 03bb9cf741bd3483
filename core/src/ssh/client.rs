//! Connects to a host over its jump hosts.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{Config, Handle, connect_stream};
use russh::keys::Algorithm;
use russh::{Preferred, SshId, cipher};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::address::Destination;
use super::channel::ClosedChannels;
use super::host_key_policy::{ConnectionHandler, DisconnectMessage, HandshakeError, HostKeyPolicy};
use super::login::login;
use super::paths::expand_home;
use super::secret_cache::SecretCache;
use super::settings::{HostSettings, resolve};
use super::stall_timeout::{ShutdownHandle, StallTimeoutStream};
use super::{LoginOptions, SshAddress, SshSession};
use crate::dial::{Duplex, SocketAddress, keep_alive};
use crate::error::{Error, ErrorKind, Result};

/// The time limit for connecting, unless the settings have a `ConnectTimeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The maximum number of concurrent handshakes: a host drops connections beyond its `MaxStartups`.
const MAX_HANDSHAKES: usize = 4;
/// The waits before retries after a host closes a connection during the handshake.
const RETRY_WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];

/// Opens sessions on one SSH host. Dropping a session ends it; the client itself holds no connection.
pub(crate) struct SshClient {
    address: SshAddress,
    any_host_key: bool,
    secrets: SecretCache,
    /// The jump hosts in order, then the host itself.
    route: OnceCell<Vec<HostSettings>>,
    handshakes: Semaphore,
}

impl SshClient {
    /// Creates a client without connecting.
    pub(crate) fn new(address: SshAddress, mut login: LoginOptions) -> Self {
        login.password = address.password.clone().or(login.password);
        Self {
            any_host_key: login.any_host_key,
            address,
            secrets: SecretCache::new(login),
            route: OnceCell::new(),
            handshakes: Semaphore::new(MAX_HANDSHAKES),
        }
    }

    /// Whether the host's key is checked.
    pub(crate) fn is_verified(&self) -> bool {
        !self.any_host_key
    }

    pub(crate) fn address(&self) -> &SshAddress {
        &self.address
    }

    /// Opens a session: connects over the jump hosts, checks the host keys and logs in.
    ///
    /// # Errors
    /// `Connection`, mostly retryable; `Authentication` for an untrusted host key or a refused login; `Usage` for
    /// unsupported settings.
    pub(crate) async fn connect(&self) -> Result<SshSession> {
        let closed = |_| Error::new(ErrorKind::Internal, "the semaphore is closed");
        let _permit = self.handshakes.acquire().await.map_err(closed)?;
        let route = self.route.get_or_try_init(|| resolve_route(&self.address)).await?;
        let mut previous: Option<(Arc<SshSession>, &HostSettings)> = None;
        for (index, hop) in route.iter().enumerate() {
            let last = index + 1 == route.len();
            let session = self.connect_hop(hop, last, previous.take()).await?;
            if last {
                return Ok(session);
            }
            previous = Some((Arc::new(session), hop));
        }
        Err(Error::new(ErrorKind::Internal, "the route to the host is empty"))
    }

    /// Opens a session on one host of the route; `previous` is the session on the host before it.
    async fn connect_hop(
        &self,
        hop: &HostSettings,
        last: bool,
        previous: Option<(Arc<SshSession>, &HostSettings)>,
    ) -> Result<SshSession> {
        let disconnect_message = DisconnectMessage::default();
        let mut waits = RETRY_WAITS.iter();
        // The types of host keys that do not match `host-key=`. The next handshake asks for another type.
        let mut excluded: Vec<Algorithm> = Vec::new();
        let mut refused = None;
        let Connection { mut handle, closed, shutdown_handle } = loop {
            let limit = hop.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
            let connected =
                match timeout(limit, self.shake_hands(hop, last, previous.as_ref(), &excluded, &disconnect_message))
                    .await
                {
                    Ok(connected) => connected?,
                    Err(_) => {
                        let what = format!("connecting took longer than {} s", limit.as_secs());
                        return Err(Error::new(ErrorKind::Connection, what).with("host", hop).retryable());
                    }
                };
            match (connected, waits.next()) {
                (Ok(connection), _) => break connection,
                (Err(HandshakeError::Refused(error)), _) => return Err(error),
                (Err(HandshakeError::NotPinned(kind, error)), _) => {
                    excluded.push(kind);
                    refused.get_or_insert(error);
                }
                (Err(HandshakeError::Ssh(error)), Some(wait)) if is_closed(&error) => sleep(*wait).await,
                (Err(HandshakeError::Ssh(error)), _) => {
                    return Err(refused.unwrap_or_else(|| handshake_error(hop, error)));
                }
            }
        };
        login(&mut handle, hop, &self.address, &self.secrets, last, &disconnect_message).await?;
        Ok(SshSession::new(handle, closed, shutdown_handle, hop.to_string()))
    }

    /// Connects and runs the handshake, which checks the host's key. The outer error is that of the TCP connection.
    async fn shake_hands(
        &self,
        hop: &HostSettings,
        last: bool,
        previous: Option<&(Arc<SshSession>, &HostSettings)>,
        excluded: &[Algorithm],
        disconnect_message: &DisconnectMessage,
    ) -> Result<Result<Connection, HandshakeError>> {
        let (stream, shutdown_handle): (Box<dyn Duplex>, _) = match previous {
            Some((session, _)) => {
                let address = SocketAddress::Tcp(&hop.host, hop.port);
                (Arc::clone(session).forward_owned(address).await?, Arc::clone(session.shutdown_handle()))
            }
            None => {
                let (stream, shutdown_handle) = connect_tcp(hop).await?;
                (Box::new(stream), Arc::new(shutdown_handle))
            }
        };
        let known_hosts = self.address.known_hosts.as_deref().map(expand_home);
        let pinned = self.address.host_key.clone().filter(|_| last);
        let policy = HostKeyPolicy::new(hop, known_hosts.as_deref(), pinned, self.any_host_key)?;
        let config = config(&policy, excluded);
        let policy = policy.with_jump_host(previous.map(|(_, settings)| settings.as_arguments()));
        let (sender, closed) = watch::channel(HashSet::new());
        let handler = ConnectionHandler { policy, closed: sender, disconnect_message: disconnect_message.clone() };
        Ok(connect_stream(Arc::new(config), stream, handler).await.map(|handle| Connection {
            handle,
            closed,
            shutdown_handle,
        }))
    }
}

/// An encrypted connection to a host with a trusted key, before the login.
struct Connection {
    handle: Handle<ConnectionHandler>,
    closed: ClosedChannels,
    shutdown_handle: Arc<ShutdownHandle>,
}

async fn connect_tcp(hop: &HostSettings) -> Result<(StallTimeoutStream, ShutdownHandle)> {
    let unreachable = |error: std::io::Error| {
        Error::new(ErrorKind::Connection, "cannot reach the host").with("host", hop).retryable().caused_by(error)
    };
    let stream = TcpStream::connect((hop.host.as_str(), hop.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    keep_alive(&stream).map_err(unreachable)?;
    StallTimeoutStream::new(stream).map_err(unreachable)
}

fn config(policy: &HostKeyPolicy, excluded: &[Algorithm]) -> Config {
    const CIPHERS: &[cipher::Name] = &[
        cipher::AES_256_GCM,
        cipher::AES_128_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ];
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-dbgraft_", env!("CARGO_PKG_VERSION")))),
        // The bandwidth-delay product of a fast intercontinental connection.
        window_size: 64 << 20,
        // In packets of 32 KiB: the data that an unread channel buffers.
        channel_buffer_size: 64,
        keepalive_interval: Some(Duration::from_secs(5)),
        keepalive_max: 2,
        preferred: Preferred {
            key: Cow::Owned(policy.key_types(&Preferred::DEFAULT.key, excluded)),
            cipher: Cow::Borrowed(CIPHERS),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

fn is_closed(error: &russh::Error) -> bool {
    matches!(error, russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_))
}

fn handshake_error(hop: &HostSettings, error: russh::Error) -> Error {
    let retryable = is_closed(&error);
    let what = match &error {
        russh::Error::Version => "no SSH server answers".to_owned(),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let what = format!("{kind:?}").to_lowercase();
            format!("the host and this program have no {what} algorithm in common; it offers {}", theirs.join(", "))
        }
        _ if retryable => "the host closed the connection before the login".to_owned(),
        _ => "cannot connect to the host".to_owned(),
    };
    let error_with_host = Error::new(ErrorKind::Connection, what).with("host", hop);
    match error {
        russh::Error::Version | russh::Error::NoCommonAlgo { .. } => error_with_host,
        error if retryable => error_with_host.retryable().caused_by(error),
        error => error_with_host.caused_by(error),
    }
}

/// Resolves the route: the jump hosts of the URL, or else of the settings. The first jump host may have its own jump
/// hosts.
async fn resolve_route(address: &SshAddress) -> Result<Vec<HostSettings>> {
    let wrong = |what: String| Error::usage(format!("{address}: {what}"));
    let parse_jumps = |text: &str| if text == "none" { Ok(Vec::new()) } else { Destination::parse_list(text) };
    let mut jumps_left = address.jump.as_deref().map(parse_jumps).transpose().map_err(wrong)?;
    let mut destination = address.destination();
    let mut route: Vec<HostSettings> = Vec::new();
    loop {
        let hop = resolve(&destination, address.config.as_deref()).await?;
        let label = hop.to_string();
        let jumps = jumps_left.take().unwrap_or_else(|| hop.jumps.clone());
        let is_repeated = route.iter().any(|known| known.to_string() == label);
        route.push(hop);
        if is_repeated {
            let hops: Vec<String> = route.iter().map(ToString::to_string).collect();
            return Err(wrong(format!("the jump hosts form a loop: {}", hops.join(" over "))));
        }
        let Some((last, before)) = jumps.split_last() else { break };
        destination = last.clone();
        jumps_left = Some(before.to_vec()).filter(|before| !before.is_empty());
    }
    route.reverse();
    Ok(route)
}
