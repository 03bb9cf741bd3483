//! The connections that a source or a sink has opened, so that their statements can be killed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::connect::Address;
use super::session;
use crate::error::Result;

/// The server's numbers of the open connections.
pub(super) struct Running {
    address: Address,
    ids: Mutex<BTreeSet<u32>>,
}

impl Running {
    pub(super) fn new(address: Address) -> Self {
        Self { address, ids: Mutex::default() }
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, id: u32) {
        self.ids().insert(id);
    }

    pub(super) fn remove(&self, id: u32) {
        self.ids().remove(&id);
    }

    /// Ends them all, whatever they are doing. Closing the socket alone would let a statement run on.
    pub(super) async fn kill_all(&self) -> Result<()> {
        let ids = std::mem::take(&mut *self.ids());
        if ids.is_empty() {
            return Ok(());
        }
        let mut conn = session::control(&self.address).await?;
        for id in ids {
            // It may be gone already, which is as good.
            conn.try_each(&[&format!("KILL {id}")]).await?;
        }
        Ok(())
    }
}
