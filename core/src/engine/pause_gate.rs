//! The gate at which the readers of a job wait while it is paused.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// What closes the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PauseCause {
    User,
    SourceLoad,
    TargetLoad,
    ReplicaLag,
    /// The agent has no connection to its coordinator.
    Disconnection,
}

/// The causes that close the gate now, each with its reason for messages.
pub(crate) type PauseReasons = BTreeMap<PauseCause, String>;

/// The gate of a job, shared by its legs. It is open while no cause closes it.
#[derive(Clone, Default)]
pub(crate) struct PauseGate(Arc<watch::Sender<PauseReasons>>);

impl PauseGate {
    /// Closes the gate for a cause. A cause that closes it already keeps its first reason.
    pub(crate) fn close(&self, cause: PauseCause, reason: impl Into<String>) {
        self.0.send_if_modified(|reasons| {
            let is_new = !reasons.contains_key(&cause);
            if is_new {
                reasons.insert(cause, reason.into());
            }
            is_new
        });
    }

    /// Withdraws a cause. The gate opens if no other cause closes it.
    pub(crate) fn open(&self, cause: PauseCause) {
        self.0.send_if_modified(|reasons| reasons.remove(&cause).is_some());
    }

    /// Whether this cause closes the gate.
    pub(crate) fn is_closed_by(&self, cause: PauseCause) -> bool {
        self.0.borrow().contains_key(&cause)
    }

    /// Waits until the gate is open.
    pub(crate) async fn wait_until_open(&self) {
        // The sender lives as long as `self`, so that the wait cannot fail.
        let _ = self.0.subscribe().wait_for(PauseReasons::is_empty).await;
    }

    /// Returns a receiver of the gate's changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<PauseReasons> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_gate_opens_when_the_last_cause_is_withdrawn() {
        let gate = PauseGate::default();
        gate.wait_until_open().await;
        gate.close(PauseCause::ReplicaLag, "behind");
        gate.close(PauseCause::User, "user");
        gate.close(PauseCause::User, "user again");
        let mut waiting = Box::pin(gate.wait_until_open());
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(gate.subscribe().borrow().values().collect::<Vec<_>>(), ["user", "behind"]);
        gate.open(PauseCause::User);
        assert!((&mut waiting).now_or_never().is_none() && !gate.is_closed_by(PauseCause::User));
        gate.open(PauseCause::SourceLoad);
        gate.open(PauseCause::ReplicaLag);
        waiting.await;
    }
}
