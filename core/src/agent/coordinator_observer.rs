//! A read observer at the coordinator, for reads whose rows stay on the agent.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::coordinator::CoordinatorClient;
use crate::remote::message::AgentMessage;
use crate::source::ReadObserver;

/// Reports each batch that a call reads to the coordinator, and lets the read run one batch ahead of the replies.
pub(super) struct CoordinatorObserver<'a> {
    coordinator: &'a CoordinatorClient,
    call: u64,
    /// The reply to the report of the last batch.
    reply: Mutex<Option<oneshot::Receiver<Bytes>>>,
}

impl<'a> CoordinatorObserver<'a> {
    /// Creates the observer for the call of this number.
    pub(super) fn new(coordinator: &'a CoordinatorClient, call: u64) -> Self {
        Self { coordinator, call, reply: Mutex::default() }
    }
}

#[async_trait]
impl ReadObserver for CoordinatorObserver<'_> {
    async fn on_batch(&self, rows: u64, bytes: u64) {
        let call = self.call;
        let next = self.coordinator.request(|id| AgentMessage::BatchRead { call, id, rows, bytes }).ok();
        let previous = std::mem::replace(&mut *self.reply.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some(reply) = previous {
            // Without a coordinator there is no reply, and the agent is about to stop the call.
            let _ = reply.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::remote::outbox::Outbox;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn a_read_runs_one_batch_ahead_of_the_coordinator() {
        let outbox = Arc::<Outbox<_>>::default();
        let coordinator = CoordinatorClient::new(outbox.clone());
        let observer = CoordinatorObserver::new(&coordinator, 7);
        let mut reports = 0;
        let mut next_report = || {
            reports += 1;
            match *outbox.kept_messages()[reports - 1] {
                AgentMessage::BatchRead { call: 7, id, rows: 3, bytes } => (id, bytes),
                _ => panic!("another message was sent"),
            }
        };
        assert!(observer.on_batch(3, 100).now_or_never().is_some());
        let (first, bytes) = next_report();
        assert_eq!(bytes, 100);
        let mut second = Box::pin(observer.on_batch(3, 200));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(next_report().1, 200);
        coordinator.handle_reply(first, Bytes::new());
        second.await;
        // A lost coordinator delays no read.
        coordinator.disconnect();
        observer.on_batch(3, 300).await;
    }
}
