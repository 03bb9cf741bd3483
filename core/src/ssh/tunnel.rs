//! Connections to database servers through an SSH host.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{SshClient, SshSession};
use crate::dial::{Dial, Duplex, SocketAddress, TrafficClass};
use crate::error::Result;

/// Opens connections through an SSH host. Each connection is an SSH channel. No local port listens, so no other process
/// on this machine can use the tunnel.
///
/// `Control` connections share one session, which ends with the tunnel. A `Bulk` connection has its own session,
/// because an unread channel stops all channels of its session.
pub(crate) struct SshTunnel {
    client: Arc<SshClient>,
    control: Mutex<Option<Arc<SshSession>>>,
}

impl SshTunnel {
    pub(crate) fn new(client: Arc<SshClient>) -> Self {
        Self { client, control: Mutex::default() }
    }

    /// The session of the `Control` connections; opens a new one if it is closed.
    async fn control_session(&self) -> Result<Arc<SshSession>> {
        let mut control = self.control.lock().await;
        if let Some(session) = control.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        let session = Arc::new(self.client.connect().await?);
        *control = Some(session.clone());
        Ok(session)
    }
}

#[async_trait]
impl Dial for SshTunnel {
    async fn dial(&self, address: SocketAddress<'_>, traffic: TrafficClass) -> Result<Box<dyn Duplex>> {
        let session = match traffic {
            TrafficClass::Control => self.control_session().await?,
            TrafficClass::Bulk => Arc::new(self.client.connect().await?),
        };
        session.forward_owned(address).await
    }

    fn is_encrypted(&self) -> bool {
        self.client.is_verified()
    }
}
