use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::channel::With;
use super::{Host, Session};
use crate::dial::{Dial, Duplex, Place, Traffic};
use crate::error::Result;

/// A way to servers through a host. Each connection is a channel of SSH itself: nothing listens on any port here, so
/// that nobody else on this machine can use the way.
///
/// Connections for statements share one SSH connection, which ends with the tunnel. A connection for rows has its own: one
/// channel that nobody reads from stops all that goes over its SSH connection.
pub(crate) struct Tunnel {
    host: Arc<Host>,
    shared: Mutex<Option<Arc<Session>>>,
}

impl Tunnel {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host, shared: Mutex::default() }
    }

    async fn shared(&self) -> Result<Arc<Session>> {
        let mut shared = self.shared.lock().await;
        if let Some(session) = shared.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        let session = Arc::new(self.host.connect().await?);
        *shared = Some(session.clone());
        Ok(session)
    }
}

#[async_trait]
impl Dial for Tunnel {
    async fn dial(&self, place: Place<'_>, traffic: Traffic) -> Result<Box<dyn Duplex>> {
        let session = match traffic {
            Traffic::Control => self.shared().await?,
            Traffic::Bulk => Arc::new(self.host.connect().await?),
        };
        over(session, place).await
    }

    fn is_encrypted(&self) -> bool {
        self.host.is_verified()
    }
}

/// A connection over an SSH connection, which it keeps open.
pub(super) async fn over(session: Arc<Session>, place: Place<'_>) -> Result<Box<dyn Duplex>> {
    Ok(Box::new(With { stream: session.forward(place).await?, _kept: session }))
}
