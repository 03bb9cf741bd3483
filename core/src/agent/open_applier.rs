//! The change applier of this agent's sink, with the sessions of the coordinator.

use std::sync::Arc;

use tokio::sync::RwLock;

use crate::change_applier::{ChangeApplier, TargetTransaction};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;

/// An open change applier.
pub(super) struct OpenApplier {
    pub(super) plan: Plan,
    pub(super) applier: Arc<dyn ChangeApplier>,
    /// The number of the session. Locked exclusively while another one begins.
    session: RwLock<u64>,
}

impl OpenApplier {
    pub(super) fn new(plan: Plan, applier: Arc<dyn ChangeApplier>) -> Self {
        Self { plan, applier, session: RwLock::new(0) }
    }

    /// Begins a session: ends the transactions of the earlier ones, and returns its number, what is applied and the plan.
    pub(super) async fn take_up(&self) -> Result<(u64, Checkpoint, Option<Plan>)> {
        let mut session = self.session.write().await;
        *session += 1;
        let (checkpoint, plan) = self.applier.take_up().await?;
        Ok((*session, checkpoint, plan))
    }

    /// Begins a transaction of a session.
    ///
    /// # Errors
    /// `Connection` if a later session has begun: a lane may still hold what an earlier one has sent, and the later one
    /// reads it from the log again.
    pub(super) async fn begin(
        &self,
        session: u64,
        applier: u32,
        is_careful: bool,
    ) -> Result<Box<dyn TargetTransaction>> {
        let current = self.session.read().await;
        if *current != session {
            return Err(Error::new(ErrorKind::Connection, "the transaction is of an earlier session").retryable());
        }
        self.applier.begin(applier, is_careful).await
    }
}
