//! The coordinator's observer, for a reading whose rows stay here.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::service::Service;
use crate::remote::message::Word;
use crate::source::ReadObserver;

/// Tells the coordinator of each batch that a call reads, and stays one batch ahead of its answers.
pub(super) struct Told<'a> {
    service: &'a Service,
    call: u64,
    /// The answer to the last batch.
    answer: Mutex<Option<oneshot::Receiver<Bytes>>>,
}

impl<'a> Told<'a> {
    pub(super) fn of(service: &'a Service, call: u64) -> Self {
        Self { service, call, answer: Mutex::default() }
    }
}

#[async_trait]
impl ReadObserver for Told<'_> {
    async fn on_batch(&self, rows: u64, bytes: u64) {
        let call = self.call;
        let next = self.service.question(|id| Word::Passed { call, id, rows, bytes }).ok();
        let before = std::mem::replace(&mut *self.answer.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some(before) = before {
            // Where nobody answers any more, the call is about to be stopped.
            let _ = before.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_reading_stays_one_batch_ahead_of_the_coordinator() {
        let (words, mut told) = mpsc::unbounded_channel();
        let service = Service::new(words);
        let observer = Told::of(&service, 7);
        let mut heard = || match told.try_recv().unwrap().0 {
            Word::Passed { call: 7, id, rows: 3, bytes } => (id, bytes),
            _ => panic!("something else was told"),
        };
        assert!(observer.on_batch(3, 100).now_or_never().is_some());
        let (first, bytes) = heard();
        assert_eq!(bytes, 100);
        let mut second = Box::pin(observer.on_batch(3, 200));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(heard().1, 200);
        service.given(first, Bytes::new());
        second.await;
        // Nobody is there to hold it back.
        service.lose();
        observer.on_batch(3, 300).await;
    }
}
