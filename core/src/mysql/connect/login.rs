use std::time::Duration;

use mysql_common::auth::plugins::{self, AuthProc, ChallengeResponsePlugin, Context, Response};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::{MyDeserialize, MySerialize};
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret;

use super::address::{Address, TlsMode, TlsOptions};
use super::packet::PacketStream;
use super::password::{Channel, Disclosure, refused};
use super::{server_error, tls};
use crate::dial::{SocketAddress, TrafficClass};
use crate::error::{Error, ErrorKind, Result};

/// Reaching the server, TLS and login together may take this long.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);
/// By which a server refuses a login without TLS.
const TLS_REQUIRED: u16 = 3159;
/// How long a server's greeting is at most: its own parts are shorter.
const LONGEST_GREETING: usize = 4 << 10;
const MAX_PACKET: u32 = 1 << 30;
const COM_QUIT: u8 = 0x01;
/// By which caching_sha2_password asks for the password itself.
const FULL_AUTHENTICATION: u8 = 0x04;
/// What is encrypted with RSA is as long as the key; a proof is shorter.
const SHORTEST_RSA: usize = 64;
/// utf8mb4_general_ci, which every server of both families knows.
const COLLATION: u8 = 45;

/// What the server said of itself.
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) connection_id: u32,
    pub(super) capabilities: CapabilityFlags,
}

/// Connects and logs in.
pub(super) async fn login(address: &Address, traffic: TrafficClass) -> Result<(PacketStream, Greeting)> {
    let result = match tokio::time::timeout(LOGIN_TIMEOUT, reach(address, traffic)).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!(
                "no answer within {} s: a MySQL or MariaDB server speaks first; is it one that listens there, and has it time?",
                LOGIN_TIMEOUT.as_secs()
            );
            Err(Error::new(ErrorKind::Connection, message).retryable())
        }
    };
    result.map_err(|error| error.with(address.role.server(), address))
}

/// What became of a try to log in.
enum Login {
    Done {
        stream: Box<PacketStream>,
        greeting: Greeting,
        by_rsa: bool,
    },
    /// This plugin asks for the password over TLS that nobody has verified; RSA is the way.
    NeedsRsa(AuthPlugin<'static>),
}

async fn reach(address: &Address, traffic: TrafficClass) -> Result<(PacketStream, Greeting)> {
    let plugin = match greet(address, traffic, false).await? {
        Login::Done { stream, greeting, .. } => return Ok((*stream, greeting)),
        Login::NeedsRsa(plugin) => plugin,
    };
    // Over a connection that carries nothing else. From then on the server knows the password by its digest.
    let plain = Address { tls: TlsOptions { mode: TlsMode::Disabled, ..TlsOptions::default() }, ..address.clone() };
    let by_rsa = match greet(&plain, traffic, false).await {
        Ok(Login::Done { mut stream, by_rsa, .. }) => {
            stream.command(COM_QUIT, &[]).await?;
            by_rsa
        }
        Ok(Login::NeedsRsa(_)) => return Err(refused(address, &plugin)),
        // What the server says of the account, but not that it wants TLS, is the answer.
        Err(error) if error.code().is_some_and(|code| code != TLS_REQUIRED) => return Err(error),
        Err(error) if error.kind() == ErrorKind::Authentication || error.is_retryable() => return Err(error),
        Err(error) => return Err(refused(address, &plugin).caused_by(error)),
    };
    match greet(address, traffic, by_rsa).await? {
        Login::Done { stream, greeting, .. } => Ok((*stream, greeting)),
        Login::NeedsRsa(plugin) => Err(refused(address, &plugin)),
    }
}

async fn greet(address: &Address, traffic: TrafficClass, after_rsa: bool) -> Result<Login> {
    let place = match &address.socket {
        Some(socket) => SocketAddress::Unix(socket),
        None => SocketAddress::Tcp(&address.host, address.port),
    };
    let mut stream = PacketStream::new(address.dial.dial(place, traffic).await?, address.silence);
    let packet = stream.greeting(LONGEST_GREETING).await?;
    if packet.first() == Some(&0xFF) {
        return Err(server_error(packet));
    }
    let handshake = HandshakePacket::deserialize((), &mut ParseBuf(packet))
        .map_err(|error| Error::new(ErrorKind::Connection, "this is no MySQL server").caused_by(error))?
        .into_owned();
    let wanted = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | CapabilityFlags::CLIENT_LOCAL_FILES
        | CapabilityFlags::CLIENT_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PS_MULTI_RESULTS
        | CapabilityFlags::CLIENT_DEPRECATE_EOF;
    let mut capabilities = wanted & handshake.capabilities();
    let encrypted = wants_tls(address, &handshake)?;
    if encrypted {
        capabilities |= CapabilityFlags::CLIENT_SSL;
        stream = encrypt(stream, address, capabilities).await?;
    }
    let attempt = Attempt { address, channel: Channel { encrypted, after_rsa }, nonce: handshake.nonce() };
    let by_rsa = match attempt.run(&mut stream, &handshake, capabilities).await? {
        Outcome::LoggedIn { by_rsa } => by_rsa,
        Outcome::NeedsRsa(plugin) => return Ok(Login::NeedsRsa(plugin)),
    };
    let greeting = Greeting {
        version: handshake.server_version_str().into_owned(),
        connection_id: handshake.connection_id(),
        capabilities,
    };
    Ok(Login::Done { stream: Box::new(stream), greeting, by_rsa })
}

fn wants_tls(address: &Address, handshake: &HandshakePacket<'_>) -> Result<bool> {
    let offered = handshake.capabilities().contains(CapabilityFlags::CLIENT_SSL);
    match address.tls.mode {
        TlsMode::Disabled => Ok(false),
        TlsMode::Preferred => Ok(offered && address.socket.is_none()),
        _ if offered => Ok(true),
        _ => Err(Error::new(
            ErrorKind::Connection,
            "the server offers no TLS, but ssl-mode asks for it: give the server a certificate, or say ssl-mode=disabled",
        )),
    }
}

async fn encrypt(mut stream: PacketStream, address: &Address, capabilities: CapabilityFlags) -> Result<PacketStream> {
    let mut request = Vec::new();
    SslRequest::new(capabilities, MAX_PACKET, COLLATION).serialize(&mut request);
    stream.send(&request).await?;
    stream.flush().await?;
    let sequence = stream.sequence();
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| Error::usage(format!("`{}` is no host name", address.host)).caused_by(error))?;
    let connector = tls::connector(&address.tls)?;
    let encrypted = connector.connect(name, stream.into_inner()).await.map_err(|error| {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) {
            let message = "the connection to the server broke while TLS began";
            return Error::new(ErrorKind::Connection, message).retryable();
        }
        Error::new(ErrorKind::Connection, "TLS with the server failed; see ssl-mode and ssl-ca").caused_by(error)
    })?;
    let mut stream = PacketStream::new(Box::new(encrypted), address.silence);
    stream.set_sequence(sequence);
    Ok(stream)
}

/// What became of the exchange of packets.
enum Outcome {
    /// `by_rsa`: the server has got the password itself, encrypted with its key.
    LoggedIn {
        by_rsa: bool,
    },
    NeedsRsa(AuthPlugin<'static>),
}

struct Attempt<'a> {
    address: &'a Address,
    channel: Channel,
    nonce: Vec<u8>,
}

impl Context for &Attempt<'_> {
    fn pass(&self) -> &[u8] {
        self.address.password.expose_secret().as_bytes()
    }
    fn is_ipc_transport(&self) -> bool {
        self.address.socket.is_some()
    }
    fn is_tls_transport(&self) -> bool {
        self.channel.encrypted
    }
    fn scramble(&self) -> &[u8] {
        &self.nonce
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        self.address.server_key.as_ref().map(|key| key.text.expose_secret().as_bytes())
    }
}

impl Attempt<'_> {
    /// Logs in, or says which plugin needs RSA first.
    async fn run(
        mut self,
        stream: &mut PacketStream,
        handshake: &HandshakePacket<'_>,
        capabilities: CapabilityFlags,
    ) -> Result<Outcome> {
        let offered = handshake.auth_plugin().map(AuthPlugin::into_owned).unwrap_or(AuthPlugin::MysqlNativePassword);
        // A plugin that we do not know may be the server's default and still not the account's: offer another.
        let mut plugin = match offered {
            // What the account asks for comes as a switch; until then nothing is given away.
            AuthPlugin::Sha256Password | AuthPlugin::MysqlClearPassword => AuthPlugin::MysqlNativePassword,
            offered if self.procedure(&offered).is_ok() => offered,
            _ => AuthPlugin::MysqlNativePassword,
        };
        let mut procedure = self.procedure(&plugin)?;
        let first = self.step(&mut procedure, &self.nonce)?;
        let version = (8, 0, 0);
        let user = Some(self.address.user.as_bytes());
        let response = HandshakeResponse::new(
            Some(first.unwrap_or_default()),
            version,
            user,
            None::<&[u8]>,
            Some(plugin.clone()),
            capabilities,
            None,
            MAX_PACKET,
        );
        let mut bytes = Vec::new();
        response.serialize(&mut bytes);
        stream.send(&bytes).await?;
        stream.flush().await?;
        let mut asked = false;
        let mut by_rsa = false;
        loop {
            let packet = stream.packet().await?;
            let answer = match packet.first() {
                Some(0x00) => return Ok(Outcome::LoggedIn { by_rsa }),
                Some(0xFF) => return Err(server_error(packet)),
                Some(0x01) => {
                    let challenge = packet.get(1..).unwrap_or_default().to_vec();
                    let full = plugin == AuthPlugin::CachingSha2Password && challenge == [FULL_AUTHENTICATION];
                    if full && self.needs_rsa(&plugin)? {
                        return Ok(Outcome::NeedsRsa(plugin));
                    }
                    asked |= full;
                    self.step(&mut procedure, &challenge)?
                }
                Some(0xFE) if packet.len() > 1 => {
                    let switch = AuthSwitchRequest::deserialize((), &mut ParseBuf(packet)).map_err(garbled)?;
                    self.nonce = switch.plugin_data().to_vec();
                    plugin = switch.auth_plugin().into_owned();
                    procedure = self.procedure(&plugin)?;
                    let at_once = matches!(plugin, AuthPlugin::Sha256Password | AuthPlugin::MysqlClearPassword);
                    if at_once && self.needs_rsa(&plugin)? {
                        return Ok(Outcome::NeedsRsa(plugin));
                    }
                    asked = at_once;
                    self.step(&mut procedure, &self.nonce)?
                }
                _ => return Err(Error::new(ErrorKind::Authentication, "the server asks for a login that is too old")),
            };
            if let Some(answer) = answer {
                by_rsa |= asked && !self.channel.encrypted && answer.len() >= SHORTEST_RSA;
                stream.send(&answer).await?;
                stream.flush().await?;
            }
        }
    }

    /// Whether the plugin, which asks for the password itself, may have it only by RSA.
    fn needs_rsa(&self, plugin: &AuthPlugin<'_>) -> Result<bool> {
        match self.channel.disclosure(self.address, plugin) {
            Disclosure::Allowed => Ok(false),
            Disclosure::AfterRsa => Ok(true),
            Disclosure::Refused => Err(refused(self.address, plugin)),
        }
    }

    /// The login procedure of a plugin.
    fn procedure(&self, plugin: &AuthPlugin<'_>) -> Result<AuthProc> {
        let refused = |why: &str| {
            let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
            Err(Error::new(ErrorKind::Authentication, format!("the server asks for login by `{name}`, {why}")))
        };
        match plugin {
            AuthPlugin::MysqlOldPassword => refused("which is broken: give the account a current plugin"),
            plugin => plugin.init().or_else(|_| refused("which is not supported")),
        }
    }

    fn step(&self, procedure: &mut AuthProc, challenge: &[u8]) -> Result<Option<Vec<u8>>> {
        let response = procedure
            .run(self, challenge)
            .map_err(|error| Error::new(ErrorKind::Authentication, why(&error)).caused_by(error))?;
        Ok(match response {
            Response::Next { packet } | Response::Last { packet } => packet,
        })
    }
}

/// Why a plugin's procedure has failed.
fn why(error: &plugins::Error) -> &'static str {
    match error {
        // The library says it in terms of the key.
        plugins::Error::Other(_) => {
            "the password is too long to be encrypted with the server's RSA key (214 bytes with one of 2048 bits): \
             say ssl-mode=verify-ca&ssl-ca=FILE in the URL, or go over a socket"
        }
        plugins::Error::Challenge => "the server asks for a login in a way that makes no sense",
        _ => "login failed",
    }
}

fn garbled(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Connection, "the server sent a packet that makes no sense").caused_by(error)
}
