use std::time::Duration;

use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context, Response};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::{MyDeserialize, MySerialize};
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret;

use super::address::{Address, TlsMode};
use super::packet::PacketStream;
use super::{server_error, tls};
use crate::dial::{Place, Traffic};
use crate::error::{Error, ErrorKind, Result};

/// Reaching the server, TLS and login together may take this long.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_PACKET: u32 = 1 << 30;
/// utf8mb4_general_ci, which every server of both families knows.
const COLLATION: u8 = 45;

/// What the server said of itself.
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) capabilities: CapabilityFlags,
}

/// Connects and logs in.
pub(super) async fn login(address: &Address, traffic: Traffic) -> Result<(PacketStream, Greeting)> {
    match tokio::time::timeout(LOGIN_TIMEOUT, greet(address, traffic)).await {
        Ok(result) => result.map_err(|error| error.with("server", address)),
        Err(_) => Err(Error::new(ErrorKind::Connection, format!("no answer within {} s", LOGIN_TIMEOUT.as_secs()))
            .retryable()
            .with("server", address)),
    }
}

async fn greet(address: &Address, traffic: Traffic) -> Result<(PacketStream, Greeting)> {
    let place = match &address.socket {
        Some(socket) => Place::Socket(socket),
        None => Place::Port(&address.host, address.port),
    };
    let mut stream = PacketStream::new(address.dial.dial(place, traffic).await?);
    let packet = stream.packet().await?;
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
    let login = Login { address, encrypted, nonce: handshake.nonce() };
    login.run(&mut stream, &handshake, capabilities).await?;
    let greeting = Greeting { version: handshake.server_version_str().into_owned(), capabilities };
    Ok((stream, greeting))
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
            return Error::new(ErrorKind::Connection, message).retryable().caused_by(error);
        }
        Error::new(ErrorKind::Connection, "TLS with the server failed; see ssl-mode and ssl-ca").caused_by(error)
    })?;
    let mut stream = PacketStream::new(Box::new(encrypted));
    stream.set_sequence(sequence);
    Ok(stream)
}

struct Login<'a> {
    address: &'a Address,
    encrypted: bool,
    nonce: Vec<u8>,
}

impl Context for &Login<'_> {
    fn pass(&self) -> &[u8] {
        self.address.password.expose_secret().as_bytes()
    }
    fn is_ipc_transport(&self) -> bool {
        self.address.socket.is_some()
    }
    fn is_tls_transport(&self) -> bool {
        self.encrypted
    }
    fn scramble(&self) -> &[u8] {
        &self.nonce
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

impl Login<'_> {
    async fn run(
        mut self,
        stream: &mut PacketStream,
        handshake: &HandshakePacket<'_>,
        capabilities: CapabilityFlags,
    ) -> Result<()> {
        let offered = handshake.auth_plugin().map(AuthPlugin::into_owned).unwrap_or(AuthPlugin::MysqlNativePassword);
        // A plugin that we do not know may be the server's default and still not the account's: offer another.
        let plugin = if self.procedure(&offered).is_ok() { offered } else { AuthPlugin::MysqlNativePassword };
        let mut procedure = self.procedure(&plugin)?;
        let first = self.step(&mut procedure, &self.nonce)?;
        let version = (8, 0, 0);
        let user = Some(self.address.user.as_bytes());
        let response = HandshakeResponse::new(
            Some(first.unwrap_or_default()),
            version,
            user,
            None::<&[u8]>,
            Some(plugin),
            capabilities,
            None,
            MAX_PACKET,
        );
        let mut bytes = Vec::new();
        response.serialize(&mut bytes);
        stream.send(&bytes).await?;
        stream.flush().await?;
        loop {
            let packet = stream.packet().await?;
            let answer = match packet.first() {
                Some(0x00) => return Ok(()),
                Some(0xFF) => return Err(server_error(packet)),
                Some(0x01) => {
                    let challenge = packet.get(1..).unwrap_or_default();
                    self.step(&mut procedure, challenge)?
                }
                Some(0xFE) if packet.len() > 1 => {
                    let switch = AuthSwitchRequest::deserialize((), &mut ParseBuf(packet)).map_err(garbled)?;
                    self.nonce = switch.plugin_data().to_vec();
                    procedure = self.procedure(&switch.auth_plugin())?;
                    self.step(&mut procedure, &self.nonce)?
                }
                _ => return Err(Error::new(ErrorKind::Authentication, "the server asks for a login that is too old")),
            };
            if let Some(answer) = answer {
                stream.send(&answer).await?;
                stream.flush().await?;
            }
        }
    }

    /// The login procedure of a plugin, unless it is one that would give the password away.
    fn procedure(&self, plugin: &AuthPlugin<'_>) -> Result<AuthProc> {
        let refused = |why: &str| {
            let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
            Err(Error::new(ErrorKind::Authentication, format!("the server asks for login by `{name}`, {why}")))
        };
        match plugin {
            AuthPlugin::MysqlClearPassword if !self.encrypted && self.address.socket.is_none() => {
                refused("which would send the password in the clear: say ssl-mode=required")
            }
            AuthPlugin::MysqlOldPassword => refused("which is broken: give the account a current plugin"),
            plugin => plugin.init().or_else(|_| refused("which is not supported")),
        }
    }

    fn step(&self, procedure: &mut AuthProc, challenge: &[u8]) -> Result<Option<Vec<u8>>> {
        let response = procedure
            .run(self, challenge)
            .map_err(|error| Error::new(ErrorKind::Authentication, "login failed").caused_by(error))?;
        Ok(match response {
            Response::Next { packet } | Response::Last { packet } => packet,
        })
    }
}

fn garbled(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Connection, "the server sent a packet that makes no sense").caused_by(error)
}
