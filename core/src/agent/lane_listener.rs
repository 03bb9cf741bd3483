//! Accepts lanes from the processes that relay them, and connects these processes.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::coordinator_connection::Attachment;
use super::lane_server::serve_lane;
use super::service::AgentService;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::message::LaneAddress;

/// How long a connecting process may take to send the token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Listens for lanes on an abstract Unix socket, which has no file and ends with the process.
pub(super) struct LaneListener {
    listener: UnixListener,
    pub(super) address: LaneAddress,
}

impl LaneListener {
    /// Binds a new socket with a random name, and creates a token for it.
    pub(super) fn bind() -> Result<Self> {
        let address = LaneAddress { socket: format!("dbgraft-{}", random_hex()?), token: random_hex()? };
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Internal, "the agent cannot listen on this machine").caused_by(error)
        };
        let listener = SocketAddr::from_abstract_name(&address.socket)
            .and_then(|address| StdListener::bind_addr(&address))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        Ok(Self { listener: listener.and_then(UnixListener::from_std).map_err(failed)?, address })
    }

    /// Accepts connections of the same account that send the token, and serves them until it is dropped. Sends the one that
    /// becomes the control connection to `attachments`.
    pub(super) async fn serve(self, service: Arc<AgentService>, attachments: mpsc::Sender<Attachment>) {
        let mut lanes = JoinSet::new();
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            let (service, token, attachments) = (service.clone(), self.address.token.clone(), attachments.clone());
            lanes.spawn(async move {
                if let Some(stream) = authenticate(stream, &token).await {
                    // The other end sees a lane that broke.
                    if let Ok(Some(attachment)) = serve_lane(stream, &service).await {
                        let _ = attachments.send(attachment).await;
                    }
                }
            });
            while lanes.try_join_next().is_some() {}
        }
    }
}

/// Returns 32 hexadecimal digits of a cryptographic random source.
fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Internal, "this machine gives no random numbers"))?;
    Ok(hex::encode(bytes))
}

/// Connects to the agent that listens at this address.
pub(super) async fn connect_lane(address: &LaneAddress) -> Result<UnixStream> {
    let connect = || {
        let stream = StdStream::connect_addr(&SocketAddr::from_abstract_name(&address.socket)?)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    let failed = |error: std::io::Error| Error::new(ErrorKind::Connection, "the agent is gone").caused_by(error);
    let mut stream = connect().map_err(failed)?;
    stream.write_all(address.token.as_bytes()).await.map_err(failed)?;
    Ok(stream)
}

/// Returns the stream if its peer runs under the same account and sends the token.
async fn authenticate(mut stream: UnixStream, token: &str) -> Option<UnixStream> {
    let own_uid = std::fs::metadata("/proc/self").ok()?.uid();
    if stream.peer_cred().ok()?.uid() != own_uid {
        return None;
    }
    let mut received = vec![0; token.len()];
    timeout(TOKEN_TIMEOUT, stream.read_exact(&mut received)).await.ok()?.ok()?;
    (received == token.as_bytes()).then_some(stream)
}
