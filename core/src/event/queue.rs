use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Event;

/// A bounded queue between a job and a listener that may be slower than the job. Pushing never waits.
///
/// A new [`Event::Progress`] replaces an older one of the same leg. When the queue is full, it drops its oldest event
/// and counts it.
#[derive(Debug)]
pub struct EventQueue {
    state: Mutex<QueueState>,
    changed: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<Event>,
    closed: bool,
    dropped: u64,
}

impl EventQueue {
    /// Creates a queue of at most `capacity` events.
    pub fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), capacity: capacity.max(1) }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event without waiting.
    pub fn push(&self, event: Event) {
        let mut state = self.state();
        if let Event::Progress { leg, .. } = &event {
            let older = |other: &Event| matches!(other, Event::Progress { leg: its, .. } if its == leg);
            state.events.retain(|other| !older(other));
        }
        if state.events.len() >= self.capacity {
            state.events.pop_front();
            state.dropped += 1;
        }
        state.events.push_back(event);
        drop(state);
        self.changed.notify_one();
    }

    /// Removes the oldest event; `None` if the queue is empty.
    pub fn try_next(&self) -> Option<Event> {
        self.state().events.pop_front()
    }

    /// Waits for the next event and removes it; `None` when the queue is closed and empty. Cancel-safe: dropping the
    /// future loses no event. Only one task may wait at a time.
    pub async fn next(&self) -> Option<Event> {
        loop {
            let closed = {
                let mut state = self.state();
                if let Some(event) = state.events.pop_front() {
                    return Some(event);
                }
                state.closed
            };
            if closed {
                // Wakes the next call too.
                self.changed.notify_one();
                return None;
            }
            self.changed.notified().await;
        }
    }

    /// Closes the queue: [`next`](Self::next) returns `None` after the last event.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// The number of dropped events.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LegName, LegProgress, Phase};
    use super::*;

    fn progress(leg: LegName, rows: u64) -> Event {
        let (bytes, rows_total, bytes_total) = (0, 0, 0);
        let amount = LegProgress { rows, bytes, rows_total, bytes_total, rate: 0.0, elapsed: 0.0, eta: None };
        Event::Progress { leg, phase: Phase::Rows, amount }
    }

    fn warning(number: u32) -> Event {
        Event::Warning { message: number.to_string() }
    }

    #[tokio::test]
    async fn a_slow_listener_gets_the_newest_progress_of_each_leg_and_all_other_events() {
        let queue = EventQueue::new(100);
        for number in 0..20 {
            queue.push(progress(LegName::Export, u64::from(number)));
            queue.push(warning(number));
            queue.push(progress(LegName::Import, u64::from(number)));
        }
        queue.close();
        let mut received = Vec::new();
        while let Some(event) = queue.next().await {
            received.push(event);
        }
        assert_eq!(received.len(), 22);
        assert!(received.contains(&progress(LegName::Export, 19)) && received.contains(&progress(LegName::Import, 19)));
        assert_eq!((queue.dropped(), queue.next().await), (0, None));
    }

    #[tokio::test]
    async fn a_full_queue_counts_dropped_events() {
        let queue = EventQueue::new(3);
        (0..5).for_each(|number| queue.push(warning(number)));
        assert_eq!((queue.dropped(), queue.try_next()), (2, Some(warning(2))));
    }
}
