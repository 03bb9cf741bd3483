//! Logs in: dials the server, starts TLS, and runs the authentication plugins.

use std::time::Duration;

use mysql_common::auth::plugins::{self, AuthProc, ChallengeResponsePlugin, Context, Response};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::{MyDeserialize, MySerialize};
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret;

use super::packet_stream::PacketStream;
use super::password_disclosure::{PasswordDisclosure, TransportSecurity, disclosure_refused};
use super::server_address::{ServerAddress, TlsMode, TlsOptions};
use super::{server_error, tls};
use crate::dial::{SocketAddress, TrafficClass};
use crate::error::{Error, ErrorKind, Result};

/// The limit for dialing, TLS and login together.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);
/// The error by which a server refuses a login without TLS (`ER_SECURE_TRANSPORT_REQUIRED`).
const TLS_REQUIRED: u16 = 3159;
/// The longest handshake packet that is accepted. A server's own parts are shorter.
const MAX_HANDSHAKE_LENGTH: usize = 4 << 10;
const MAX_PACKET: u32 = 1 << 30;
const COM_QUIT: u8 = 0x01;
/// The byte by which `caching_sha2_password` asks for the password itself.
const PERFORM_FULL_AUTHENTICATION: u8 = 0x04;
/// The shortest response that is RSA ciphertext, which is as long as the key. A scramble is shorter.
const MIN_RSA_LENGTH: usize = 64;
/// utf8mb4_general_ci, which every server of both families knows.
const COLLATION: u8 = 45;

/// The parts of the server's handshake packet that a connection keeps.
pub(super) struct ServerHandshake {
    pub(super) version: String,
    pub(super) connection_id: u32,
    pub(super) capabilities: CapabilityFlags,
}

/// Connects and logs in.
pub(super) async fn log_in(address: &ServerAddress, traffic: TrafficClass) -> Result<(PacketStream, ServerHandshake)> {
    let result = match tokio::time::timeout(LOGIN_TIMEOUT, log_in_by_any_route(address, traffic)).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!(
                "no answer within {} s: a MySQL or MariaDB server sends the first packet: check the host and the port, and the \
                 server's load",
                LOGIN_TIMEOUT.as_secs()
            );
            Err(Error::new(ErrorKind::Connection, message).retryable())
        }
    };
    result.map_err(|error| error.with(address.role.name(), address))
}

/// The outcome of one login attempt.
enum LoginOutcome {
    LoggedIn {
        stream: Box<PacketStream>,
        server_handshake: ServerHandshake,
        sent_by_rsa: bool,
    },
    /// This plugin asks for the password over unverified TLS. A login without TLS must send it first, encrypted by RSA.
    NeedsRsa(AuthPlugin<'static>),
}

/// Logs in, by RSA without TLS first if the plugin needs it.
async fn log_in_by_any_route(
    address: &ServerAddress,
    traffic: TrafficClass,
) -> Result<(PacketStream, ServerHandshake)> {
    let plugin = match try_login(address, traffic, false).await? {
        LoginOutcome::LoggedIn { stream, server_handshake, .. } => return Ok((*stream, server_handshake)),
        LoginOutcome::NeedsRsa(plugin) => plugin,
    };
    // This connection only logs in. The server then caches the password's digest.
    let plain =
        ServerAddress { tls: TlsOptions { mode: TlsMode::Disabled, ..TlsOptions::default() }, ..address.clone() };
    let sent_by_rsa = match try_login(&plain, traffic, false).await {
        Ok(LoginOutcome::LoggedIn { mut stream, sent_by_rsa, .. }) => {
            stream.send_command(COM_QUIT, &[]).await?;
            sent_by_rsa
        }
        Ok(LoginOutcome::NeedsRsa(_)) => return Err(disclosure_refused(address, &plugin)),
        // An error about the account is final; an error that asks for TLS is not.
        Err(error) if error.code().is_some_and(|code| code != TLS_REQUIRED) => return Err(error),
        Err(error) if error.kind() == ErrorKind::Authentication || error.is_retryable() => return Err(error),
        Err(error) => return Err(disclosure_refused(address, &plugin).caused_by(error)),
    };
    match try_login(address, traffic, sent_by_rsa).await? {
        LoginOutcome::LoggedIn { stream, server_handshake, .. } => Ok((*stream, server_handshake)),
        LoginOutcome::NeedsRsa(plugin) => Err(disclosure_refused(address, &plugin)),
    }
}

/// Makes one login attempt.
async fn try_login(address: &ServerAddress, traffic: TrafficClass, after_rsa: bool) -> Result<LoginOutcome> {
    let socket_address = match &address.socket {
        Some(socket) => SocketAddress::Unix(socket),
        None => SocketAddress::Tcp(&address.host, address.port),
    };
    let mut stream = PacketStream::new(address.dial.dial(socket_address, traffic).await?, address.stall_timeout);
    let packet = stream.read_handshake(MAX_HANDSHAKE_LENGTH).await?;
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
        stream = start_tls(stream, address, capabilities).await?;
    }
    let authenticator =
        Authenticator { address, transport: TransportSecurity { encrypted, after_rsa }, nonce: handshake.nonce() };
    let sent_by_rsa = match authenticator.authenticate(&mut stream, &handshake, capabilities).await? {
        AuthenticationOutcome::Accepted { sent_by_rsa } => sent_by_rsa,
        AuthenticationOutcome::NeedsRsa(plugin) => return Ok(LoginOutcome::NeedsRsa(plugin)),
    };
    let server_handshake = ServerHandshake {
        version: handshake.server_version_str().into_owned(),
        connection_id: handshake.connection_id(),
        capabilities,
    };
    Ok(LoginOutcome::LoggedIn { stream: Box::new(stream), server_handshake, sent_by_rsa })
}

/// Whether this connection uses TLS, by the mode and by the server's capabilities.
fn wants_tls(address: &ServerAddress, handshake: &HandshakePacket<'_>) -> Result<bool> {
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

/// Requests TLS and completes its handshake.
async fn start_tls(
    mut stream: PacketStream,
    address: &ServerAddress,
    capabilities: CapabilityFlags,
) -> Result<PacketStream> {
    let mut request = Vec::new();
    SslRequest::new(capabilities, MAX_PACKET, COLLATION).serialize(&mut request);
    stream.send(&request).await?;
    stream.flush().await?;
    let sequence = stream.sequence();
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| Error::usage(format!("`{}` is no host name", address.host)).caused_by(error))?;
    let connector = tls::tls_connector(&address.tls)?;
    let encrypted = connector.connect(name, stream.into_inner()).await.map_err(|error| {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) {
            let message = "the connection to the server broke while TLS began";
            return Error::new(ErrorKind::Connection, message).retryable();
        }
        Error::new(ErrorKind::Connection, "TLS with the server failed; see ssl-mode and ssl-ca").caused_by(error)
    })?;
    let mut stream = PacketStream::new(Box::new(encrypted), address.stall_timeout);
    stream.set_sequence(sequence);
    Ok(stream)
}

/// The outcome of the exchange of authentication packets.
enum AuthenticationOutcome {
    /// `sent_by_rsa`: the server has received the password, encrypted with its RSA key.
    Accepted {
        sent_by_rsa: bool,
    },
    NeedsRsa(AuthPlugin<'static>),
}

/// Answers the server's authentication packets for one login attempt.
struct Authenticator<'a> {
    address: &'a ServerAddress,
    transport: TransportSecurity,
    nonce: Vec<u8>,
}

impl Context for &Authenticator<'_> {
    fn pass(&self) -> &[u8] {
        self.address.password.expose_secret().as_bytes()
    }
    fn is_ipc_transport(&self) -> bool {
        self.address.socket.is_some()
    }
    fn is_tls_transport(&self) -> bool {
        self.transport.encrypted
    }
    fn scramble(&self) -> &[u8] {
        &self.nonce
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        self.address.server_key.as_ref().map(|key| key.text.expose_secret().as_bytes())
    }
}

impl Authenticator<'_> {
    /// Logs in, or returns the plugin that needs a login by RSA first.
    async fn authenticate(
        mut self,
        stream: &mut PacketStream,
        handshake: &HandshakePacket<'_>,
        capabilities: CapabilityFlags,
    ) -> Result<AuthenticationOutcome> {
        let offered = handshake.auth_plugin().map(AuthPlugin::into_owned).unwrap_or(AuthPlugin::MysqlNativePassword);
        // The server's default plugin may be unknown here, and still not be the account's: another one is offered.
        let mut plugin = match offered {
            // A server that needs these plugins for the account switches to them. Until then the password is not sent.
            AuthPlugin::Sha256Password | AuthPlugin::MysqlClearPassword => AuthPlugin::MysqlNativePassword,
            offered if self.init_plugin(&offered).is_ok() => offered,
            _ => AuthPlugin::MysqlNativePassword,
        };
        let mut plugin_exchange = self.init_plugin(&plugin)?;
        let first = self.respond(&mut plugin_exchange, &self.nonce)?;
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
        let mut password_requested = false;
        let mut sent_by_rsa = false;
        loop {
            let packet = stream.read_packet().await?;
            let response = match packet.first() {
                Some(0x00) => return Ok(AuthenticationOutcome::Accepted { sent_by_rsa }),
                Some(0xFF) => {
                    let error = server_error(packet);
                    let has_no_key = plugin == AuthPlugin::Sha256Password && !self.transport.encrypted && !sent_by_rsa;
                    return Err(if has_no_key { sha256_without_key(error) } else { error });
                }
                Some(0x01) => {
                    let challenge = packet.get(1..).unwrap_or_default().to_vec();
                    let full = plugin == AuthPlugin::CachingSha2Password && challenge == [PERFORM_FULL_AUTHENTICATION];
                    if full && self.needs_rsa(&plugin)? {
                        return Ok(AuthenticationOutcome::NeedsRsa(plugin));
                    }
                    password_requested |= full;
                    self.respond(&mut plugin_exchange, &challenge)?
                }
                Some(0xFE) if packet.len() > 1 => {
                    let switch = AuthSwitchRequest::deserialize((), &mut ParseBuf(packet)).map_err(malformed_packet)?;
                    self.nonce = switch.plugin_data().to_vec();
                    plugin = switch.auth_plugin().into_owned();
                    plugin_exchange = self.init_plugin(&plugin)?;
                    let requests_password =
                        matches!(plugin, AuthPlugin::Sha256Password | AuthPlugin::MysqlClearPassword);
                    if requests_password && self.needs_rsa(&plugin)? {
                        return Ok(AuthenticationOutcome::NeedsRsa(plugin));
                    }
                    password_requested = requests_password;
                    self.respond(&mut plugin_exchange, &self.nonce)?
                }
                _ => {
                    return Err(Error::new(
                        ErrorKind::Authentication,
                        "the server asks for an authentication method that is too old",
                    ));
                }
            };
            if let Some(response) = response {
                sent_by_rsa |= password_requested && !self.transport.encrypted && response.len() >= MIN_RSA_LENGTH;
                stream.send(&response).await?;
                stream.flush().await?;
            }
        }
    }

    /// Whether the plugin, which asks for the password itself, may receive it only by RSA.
    fn needs_rsa(&self, plugin: &AuthPlugin<'_>) -> Result<bool> {
        match self.transport.password_disclosure(self.address, plugin) {
            PasswordDisclosure::Allowed => Ok(false),
            PasswordDisclosure::AllowedAfterRsa => Ok(true),
            PasswordDisclosure::Refused => Err(disclosure_refused(self.address, plugin)),
        }
    }

    /// Initializes the client's side of a plugin.
    fn init_plugin(&self, plugin: &AuthPlugin<'_>) -> Result<AuthProc> {
        let refused = |why: &str| {
            let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
            Err(Error::new(ErrorKind::Authentication, format!("the server asks for login by `{name}`, {why}")))
        };
        match plugin {
            AuthPlugin::MysqlOldPassword => refused("which is broken: give the account a current plugin"),
            plugin => plugin.init().or_else(|_| refused("which is not supported")),
        }
    }

    /// Computes the response to a challenge.
    fn respond(&self, plugin_exchange: &mut AuthProc, challenge: &[u8]) -> Result<Option<Vec<u8>>> {
        let response = plugin_exchange
            .run(self, challenge)
            .map_err(|error| Error::new(ErrorKind::Authentication, plugin_failure(&error)).caused_by(error))?;
        Ok(match response {
            Response::Next { packet } | Response::Last { packet } => packet,
        })
    }
}

/// The error of a login by `sha256_password` that the server refuses before it has the password.
fn sha256_without_key(error: Error) -> Error {
    let message = "the account's plugin sha256_password needs TLS, or an RSA key of the server, and the server offers neither: \
                   give the server a certificate, or the account another plugin";
    Error::new(ErrorKind::Authentication, message).caused_by(error)
}

/// Describes why a plugin failed.
fn plugin_failure(error: &plugins::Error) -> &'static str {
    match error {
        // The library's message describes the key only.
        plugins::Error::Other(_) => {
            "the password is too long to be encrypted with the server's RSA key (214 bytes with one of 2048 bits): \
             say ssl-mode=verify-ca&ssl-ca=FILE in the URL, or go over a socket"
        }
        plugins::Error::Challenge => "the server sent an authentication challenge that makes no sense",
        _ => "login failed",
    }
}

fn malformed_packet(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Connection, "the server sent a packet that makes no sense").caused_by(error)
}
