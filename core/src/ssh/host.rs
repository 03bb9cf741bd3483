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

use super::address::Stop;
use super::channel::Closed;
use super::host_key::{Checker, Fault, Goodbye, Trust};
use super::keyring::Keyring;
use super::line::{Cut, Line};
use super::login::login;
use super::settings::{Settings, at_home, resolve};
use super::tunnel::over;
use super::{Login, Session, SshAddress};
use crate::dial::{Duplex, Place, keep_alive};
use crate::error::{Error, ErrorKind, Result};

/// How long it may take to connect, and to log in, each by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How many handshakes run at once: a host drops what is too much for it (`MaxStartups`).
const HANDSHAKES: usize = 4;
/// Waits before another try, when a host closes a connection before it has greeted.
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];

/// A host that is reached by SSH.
pub(crate) struct Host {
    address: SshAddress,
    any_host_key: bool,
    keyring: Keyring,
    /// The hosts on the way, and this one at the end.
    route: OnceCell<Vec<Settings>>,
    handshakes: Semaphore,
}

impl Host {
    /// Nothing is connected before the first call.
    pub(crate) fn new(address: SshAddress, mut login: Login) -> Self {
        login.password = address.password.clone().or(login.password);
        Self {
            any_host_key: login.any_host_key,
            address,
            keyring: Keyring::new(login),
            route: OnceCell::new(),
            handshakes: Semaphore::new(HANDSHAKES),
        }
    }

    /// Whether only a host of the right key is spoken to.
    pub(crate) fn is_verified(&self) -> bool {
        !self.any_host_key
    }

    pub(crate) fn address(&self) -> &SshAddress {
        &self.address
    }

    /// A new connection: through the jumps, with the host's key checked, logged in.
    ///
    /// # Errors
    /// `Connection`, mostly retryable; `Authentication` for a host or an account that is not trusted; `Usage` for settings
    /// that cannot be followed.
    pub(crate) async fn connect(&self) -> Result<Session> {
        let closed = |_| Error::new(ErrorKind::Internal, "the host is gone");
        let _turn = self.handshakes.acquire().await.map_err(closed)?;
        let route = self.route.get_or_try_init(|| route(&self.address)).await?;
        let mut before: Option<(Arc<Session>, &Settings)> = None;
        for (index, hop) in route.iter().enumerate() {
            let last = index + 1 == route.len();
            let session = self.reach(hop, last, before.take()).await?;
            if last {
                return Ok(session);
            }
            before = Some((Arc::new(session), hop));
        }
        Err(Error::new(ErrorKind::Internal, "the way to the host is empty"))
    }

    async fn reach(&self, hop: &Settings, last: bool, before: Option<(Arc<Session>, &Settings)>) -> Result<Session> {
        let goodbye = Goodbye::default();
        let mut tries = WAITS.iter();
        // Types of keys of which the host's is not the one that the URL names: it is asked for one of another type.
        let mut others: Vec<Algorithm> = Vec::new();
        let mut refused = None;
        let Greeted { mut handle, closed, cut } = loop {
            let patience = hop.patience.unwrap_or(PATIENCE);
            let connected = match timeout(patience, self.greet(hop, last, before.as_ref(), &others, &goodbye)).await {
                Ok(connected) => connected?,
                Err(_) => {
                    let what = format!("connecting took longer than {} s", patience.as_secs());
                    return Err(Error::new(ErrorKind::Connection, what).with("host", hop).retryable());
                }
            };
            match (connected, tries.next()) {
                (Ok(greeted), _) => break greeted,
                (Err(Fault::Refused(error)), _) => return Err(error),
                (Err(Fault::NotPinned(kind, error)), _) => {
                    others.push(kind);
                    refused.get_or_insert(error);
                }
                (Err(Fault::Ssh(error)), Some(wait)) if is_closed(&error) => sleep(*wait).await,
                (Err(Fault::Ssh(error)), _) => return Err(refused.unwrap_or_else(|| not_greeted(hop, error))),
            }
        };
        login(&mut handle, hop, &self.address, &self.keyring, last, &goodbye).await?;
        Ok(Session::new(handle, closed, cut, hop.to_string()))
    }

    /// Connects and checks the host's key. The outer error is that of the way to the host.
    async fn greet(
        &self,
        hop: &Settings,
        last: bool,
        before: Option<&(Arc<Session>, &Settings)>,
        others: &[Algorithm],
        goodbye: &Goodbye,
    ) -> Result<Result<Greeted, Fault>> {
        let (stream, cut): (Box<dyn Duplex>, _) = match before {
            Some((session, _)) => {
                (over(Arc::clone(session), Place::Port(&hop.host, hop.port)).await?, Arc::clone(session.cut()))
            }
            None => {
                let (line, cut) = line(hop).await?;
                (Box::new(line), Arc::new(cut))
            }
        };
        let own = self.address.known_hosts.as_deref().map(at_home);
        let pinned = self.address.host_key.clone().filter(|_| last);
        let trust = Trust::new(hop, own.as_deref(), pinned, self.any_host_key)?;
        let config = config(&trust, others);
        let trust = trust.behind(before.map(|(_, settings)| settings.as_arguments()));
        let (sender, closed) = watch::channel(HashSet::new());
        let checker = Checker { trust, closed: sender, goodbye: goodbye.clone() };
        Ok(connect_stream(Arc::new(config), stream, checker).await.map(|handle| Greeted { handle, closed, cut }))
    }
}

/// A connection that is encrypted, to a host whose key is trusted.
struct Greeted {
    handle: Handle<Checker>,
    closed: Closed,
    cut: Arc<Cut>,
}

async fn line(hop: &Settings) -> Result<(Line, Cut)> {
    let unreachable = |error: std::io::Error| {
        Error::new(ErrorKind::Connection, "cannot reach the host").with("host", hop).retryable().caused_by(error)
    };
    let stream = TcpStream::connect((hop.host.as_str(), hop.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    keep_alive(&stream).map_err(unreachable)?;
    Line::new(stream).map_err(unreachable)
}

fn config(trust: &Trust, others: &[Algorithm]) -> Config {
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
        // As much as a fast line across the world holds at a time.
        window_size: 64 << 20,
        // Of 32 KiB each: what a channel holds that nobody reads.
        channel_buffer_size: 64,
        keepalive_interval: Some(Duration::from_secs(5)),
        keepalive_max: 2,
        preferred: Preferred {
            key: Cow::Owned(trust.types(&Preferred::DEFAULT.key, others)),
            cipher: Cow::Borrowed(CIPHERS),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

fn is_closed(error: &russh::Error) -> bool {
    matches!(error, russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_))
}

fn not_greeted(hop: &Settings, error: russh::Error) -> Error {
    let retryable = is_closed(&error);
    let what = match &error {
        russh::Error::Version => "no SSH server answers".to_owned(),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let what = format!("{kind:?}").to_lowercase();
            format!("the host and this program have no {what} algorithm in common; it knows {}", theirs.join(", "))
        }
        _ if retryable => "the host closed the connection before the login".to_owned(),
        _ => "cannot connect to the host".to_owned(),
    };
    let told = Error::new(ErrorKind::Connection, what).with("host", hop);
    match error {
        russh::Error::Version | russh::Error::NoCommonAlgo { .. } => told,
        error if retryable => told.retryable().caused_by(error),
        error => told.caused_by(error),
    }
}

/// Finds the hosts on the way: those of the URL, or else of the settings. The first of them may have some of its own.
async fn route(address: &SshAddress) -> Result<Vec<Settings>> {
    let wrong = |what: String| Error::usage(format!("{address}: {what}"));
    let listed = |text: &str| if text == "none" { Ok(Vec::new()) } else { Stop::list(text) };
    let mut given = address.jump.as_deref().map(listed).transpose().map_err(wrong)?;
    let mut stop = address.stop();
    let mut route: Vec<Settings> = Vec::new();
    loop {
        let hop = resolve(&stop, address.config.as_deref()).await?;
        let label = hop.to_string();
        let jumps = given.take().unwrap_or_else(|| hop.jumps.clone());
        let again = route.iter().any(|known| known.to_string() == label);
        route.push(hop);
        if again {
            let way: Vec<String> = route.iter().map(ToString::to_string).collect();
            return Err(wrong(format!("the jumps to the host go in circles: {}", way.join(" over "))));
        }
        let Some((last, before)) = jumps.split_last() else { break };
        stop = last.clone();
        given = Some(before.to_vec()).filter(|before| !before.is_empty());
    }
    route.reverse();
    Ok(route)
}
