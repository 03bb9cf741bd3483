use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Event;

/// Events on their way to a listener that may be slower than the job: bounded, and never in the job's way.
///
/// A newer [`Event::Progress`] of a leg takes the place of an older one that was not fetched yet. Of the others the oldest
/// goes when the queue is full, and is counted.
#[derive(Debug)]
pub struct EventQueue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    closed: bool,
    dropped: u64,
}

impl EventQueue {
    /// A queue for so many events.
    pub fn new(capacity: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Notify::new(), capacity: capacity.max(1) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; returns at once.
    pub fn push(&self, event: Event) {
        let mut waiting = self.waiting();
        if let Event::Progress { leg, .. } = &event {
            let older = |other: &Event| matches!(other, Event::Progress { leg: its, .. } if its == leg);
            waiting.events.retain(|other| !older(other));
        }
        if waiting.events.len() >= self.capacity {
            waiting.events.pop_front();
            waiting.dropped += 1;
        }
        waiting.events.push_back(event);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Takes the oldest event, if there is one.
    pub fn try_next(&self) -> Option<Event> {
        self.waiting().events.pop_front()
    }

    /// Waits for the next event; `None` when the queue is closed and empty. For one listener at a time, which may go
    /// away while it waits and come back.
    pub async fn next(&self) -> Option<Event> {
        loop {
            let closed = {
                let mut waiting = self.waiting();
                if let Some(event) = waiting.events.pop_front() {
                    return Some(event);
                }
                waiting.closed
            };
            if closed {
                // For whoever waits next.
                self.changed.notify_one();
                return None;
            }
            self.changed.notified().await;
        }
    }

    /// Says that no event follows.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_one();
    }

    /// How many events had no room.
    pub fn dropped(&self) -> u64 {
        self.waiting().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Amount, LegName, Phase};
    use super::*;

    fn progress(leg: LegName, rows: u64) -> Event {
        let (bytes, rows_total, bytes_total) = (0, 0, 0);
        let amount = Amount { rows, bytes, rows_total, bytes_total, rate: 0.0, elapsed: 0.0, eta: None };
        Event::Progress { leg, phase: Phase::Rows, amount }
    }

    fn warning(number: u32) -> Event {
        Event::Warning { message: number.to_string() }
    }

    #[tokio::test]
    async fn a_slow_listener_hears_of_the_newest_progress_of_each_leg_and_of_all_else() {
        let queue = EventQueue::new(100);
        for number in 0..20 {
            queue.push(progress(LegName::Export, u64::from(number)));
            queue.push(warning(number));
            queue.push(progress(LegName::Import, u64::from(number)));
        }
        queue.close();
        let mut heard = Vec::new();
        while let Some(event) = queue.next().await {
            heard.push(event);
        }
        assert_eq!(heard.len(), 22);
        assert!(heard.contains(&progress(LegName::Export, 19)) && heard.contains(&progress(LegName::Import, 19)));
        assert_eq!((queue.dropped(), queue.next().await), (0, None));
    }

    #[tokio::test]
    async fn a_full_queue_counts_what_it_loses() {
        let queue = EventQueue::new(3);
        (0..5).for_each(|number| queue.push(warning(number)));
        assert_eq!((queue.dropped(), queue.try_next()), (2, Some(warning(2))));
    }
}
