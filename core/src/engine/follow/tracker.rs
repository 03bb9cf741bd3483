//! Tracks which transactions of the log are applied, and the low-water mark.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::change::{LogExtent, LogPosition};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind};

/// A place of the log that is passed once everything before it is applied.
struct Entry {
    end: LogPosition,
    committed_at_ms: Option<u64>,
    is_transaction: bool,
    is_applied: bool,
}

/// The transactions between the low-water mark and the end of what was read.
pub(super) struct Tracker {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

struct State {
    low: Checkpoint,
    /// The entries after the low-water mark.
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    /// The number of open transactions of each applier.
    open: Vec<usize>,
    rows: u64,
    /// Whether everything that the source has committed was read.
    is_at_end: bool,
    /// Since when a transaction is read, by the own clock.
    reading_since_ms: Option<u64>,
    /// The log of the source when it was last looked at.
    extent: Option<LogExtent>,
    /// Whether transactions that earlier sessions applied before their turn are still to come.
    has_ahead: bool,
    failure: Option<Error>,
}

impl State {
    fn is_open(&self, number: u64) -> bool {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.entries.get(index)).is_some_and(|entry| !entry.is_applied)
    }

    fn advance(&mut self) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.is_applied) {
            self.first += 1;
            self.low.transactions += u64::from(entry.is_transaction);
            if let Some(time) = entry.committed_at_ms {
                self.low.committed_at_ms = time;
            }
            self.low.applied = entry.end;
        }
    }

    fn lag_ms(&self) -> u64 {
        let since = match (self.entries.front(), self.is_at_end) {
            (Some(first), _) => first.committed_at_ms.unwrap_or(self.low.committed_at_ms),
            (None, false) => self.low.committed_at_ms,
            // When it was committed, its end says.
            (None, true) => self.reading_since_ms.unwrap_or(0),
        };
        if since == 0 { 0 } else { now_ms().saturating_sub(since) }
    }
}

/// The milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Tracker {
    pub(super) fn new(start: &Checkpoint, appliers: usize) -> Self {
        let low = Checkpoint { ahead: Default::default(), ..start.clone() };
        let open = vec![0; appliers];
        let (entries, first, has_ahead) = (VecDeque::new(), 0, !start.ahead.is_empty());
        let state = State {
            low,
            entries,
            first,
            open,
            rows: 0,
            is_at_end: false,
            reading_since_ms: None,
            extent: None,
            has_ahead,
            failure: None,
        };
        Self { state: Mutex::new(state), changes: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Records that a transaction is read, or is rolled back.
    pub(super) fn set_reading(&self, is_reading: bool) {
        self.state().reading_since_ms = is_reading.then(now_ms);
    }

    /// Adds a transaction that is given to an applier, and returns its number.
    pub(super) fn add(&self, end: LogPosition, committed_at_ms: u64, applier: usize) -> u64 {
        let mut state = self.state();
        (state.is_at_end, state.reading_since_ms) = (false, None);
        if let Some(open) = state.open.get_mut(applier) {
            *open += 1;
        }
        let entry = Entry { end, committed_at_ms: Some(committed_at_ms), is_transaction: true, is_applied: false };
        state.entries.push_back(entry);
        state.first + state.entries.len() as u64 - 1
    }

    /// Adds a transaction that is applied already.
    pub(super) fn add_applied(&self, end: LogPosition, committed_at_ms: u64, rows: u64) {
        let mut state = self.state();
        (state.is_at_end, state.reading_since_ms) = (false, None);
        state.rows += rows;
        let entry = Entry { end, committed_at_ms: Some(committed_at_ms), is_transaction: true, is_applied: true };
        state.entries.push_back(entry);
        state.advance();
        drop(state);
        self.notify();
    }

    /// Adds a place up to which nothing more is to be applied; without a time, the end of the log.
    pub(super) fn add_idle(&self, end: LogPosition, logged_at_ms: Option<u64>) {
        let mut state = self.state();
        (state.is_at_end, state.reading_since_ms) = (logged_at_ms.is_none(), None);
        let entry = Entry { end, committed_at_ms: logged_at_ms, is_transaction: false, is_applied: true };
        state.entries.push_back(entry);
        state.advance();
        drop(state);
        self.notify();
    }

    /// Records that an applier has committed transactions.
    pub(super) fn complete(&self, applier: usize, numbers: impl IntoIterator<Item = u64>, rows: u64) {
        let mut state = self.state();
        for number in numbers {
            let index = number.checked_sub(state.first).and_then(|index| usize::try_from(index).ok());
            if let Some(entry) = index.and_then(|index| state.entries.get_mut(index)) {
                entry.is_applied = true;
            }
            if let Some(open) = state.open.get_mut(applier) {
                *open = open.saturating_sub(1);
            }
        }
        state.rows += rows;
        state.advance();
        drop(state);
        self.notify();
    }

    /// Records that all transactions which earlier sessions applied before their turn have passed.
    pub(super) fn end_ahead(&self) {
        self.state().has_ahead = false;
    }

    pub(super) fn has_ahead(&self) -> bool {
        self.state().has_ahead
    }

    pub(super) fn is_open(&self, number: u64) -> bool {
        self.state().is_open(number)
    }

    /// The applier with the fewest open transactions.
    pub(super) fn least_loaded(&self) -> usize {
        let state = self.state();
        state.open.iter().enumerate().min_by_key(|(_, open)| **open).map_or(0, |(applier, _)| applier)
    }

    /// The low-water mark, with the current lag.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let state = self.state();
        let lag_bytes = state.extent.as_ref().and_then(|extent| extent.bytes_after(&state.low.applied));
        Checkpoint { lag_ms: state.lag_ms(), lag_bytes, written_at_ms: now_ms(), ..state.low.clone() }
    }

    /// Records how the log of the source is now; `None` if that is unknown.
    pub(super) fn set_log_extent(&self, extent: Option<LogExtent>) {
        self.state().extent = extent;
    }

    /// The number of rows that were applied.
    pub(super) fn rows(&self) -> u64 {
        self.state().rows
    }

    /// Records the error that ends the session. The first one counts.
    pub(super) fn fail(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        self.notify();
    }

    /// Waits until an applier has failed, and returns its error.
    pub(super) async fn failure(&self) -> Error {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(error) = self.state().failure.take() {
                return error;
            }
            if changes.changed().await.is_err() {
                return Error::new(ErrorKind::Internal, "the appliers are gone");
            }
        }
    }

    /// Waits until at most this many entries are left after the low-water mark.
    pub(super) async fn wait_for_entries(&self, most: usize) {
        self.wait(|state| state.entries.len() <= most).await;
    }

    /// Waits until everything before the transaction of this number is applied.
    pub(super) async fn wait_for_predecessors(&self, number: u64) {
        self.wait(|state| state.first >= number).await;
    }

    /// Waits until `is_done` says so. It is called after each change.
    pub(super) async fn wait_until(&self, is_done: impl Fn() -> bool) {
        let mut changes = self.changes.subscribe();
        while !is_done() && changes.changed().await.is_ok() {}
    }

    async fn wait(&self, is_done: impl Fn(&State) -> bool) {
        self.wait_until(|| is_done(&self.state())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: u64) -> LogPosition {
        LogPosition { file: "log.000001".to_owned(), offset, ..LogPosition::default() }
    }

    #[tokio::test]
    async fn the_low_water_mark_passes_what_is_applied_without_a_gap() {
        let tracker = Tracker::new(&Checkpoint::at_snapshot(position(1)), 2);
        let numbers: Vec<u64> = [10, 20, 30].map(|offset| tracker.add(position(offset), offset, 0)).to_vec();
        tracker.add_idle(position(40), None);
        tracker.complete(0, [numbers[1], numbers[2]], 5);
        assert_eq!((tracker.checkpoint().applied, tracker.rows()), (position(1), 5));
        assert!(tracker.is_open(numbers[0]) && !tracker.is_open(numbers[1]));
        tracker.complete(0, [numbers[0]], 1);
        let checkpoint = tracker.checkpoint();
        assert_eq!((checkpoint.applied, checkpoint.transactions), (position(40), 3));
        assert_eq!((checkpoint.committed_at_ms, checkpoint.lag_ms), (30, 0));
        let next = tracker.add(position(50), 50, 1);
        assert_eq!((next, tracker.least_loaded()), (4, 0));
        assert!(tracker.checkpoint().lag_ms > 0);
        tracker.complete(1, [next], 1);
        tracker.add_idle(position(60), None);
        assert_eq!(tracker.checkpoint().lag_ms, 0);
        tracker.set_reading(true);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        assert!(tracker.checkpoint().lag_ms > 0, "a transaction is read");
        tracker.set_reading(false);
        assert_eq!(tracker.checkpoint().lag_ms, 0);
        tracker.wait_for_predecessors(next).await;
        tracker.fail(Error::usage("x"));
        assert_eq!(tracker.failure().await.to_string(), "x");
    }
}
