use std::sync::Arc;

use async_trait::async_trait;

use super::Host;
use crate::dial::{Dial, Duplex, Place, Traffic};
use crate::error::Result;

/// A way to servers through a host.
pub(crate) struct Tunnel {
    host: Arc<Host>,
}

impl Tunnel {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host }
    }
}

#[async_trait]
impl Dial for Tunnel {
    async fn dial(&self, place: Place<'_>, _traffic: Traffic) -> Result<Box<dyn Duplex>> {
        self.host.connect().await?.forward(place).await
    }
}
