use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::event::Amount;
use crate::plan::Plan;

/// The rate is taken over this much of the past.
const WINDOW: Duration = Duration::from_secs(5);

/// Counts what is written, table by table, and tells how far the leg is.
pub(super) struct Meter {
    started: Instant,
    state: Mutex<State>,
}

struct State {
    tables: Vec<Count>,
    history: VecDeque<(Instant, u64)>,
}

#[derive(Clone, Copy)]
struct Count {
    rows: u64,
    bytes: u64,
    rows_estimate: u64,
    bytes_estimate: u64,
    complete: bool,
}

impl Meter {
    pub(super) fn new(plan: &Plan) -> Self {
        let count = |table: &crate::plan::TablePlan| {
            let expected = u64::from(!table.chunks.is_empty());
            Count {
                rows: 0,
                bytes: 0,
                rows_estimate: table.table.rows_estimate * expected,
                bytes_estimate: table.table.data_bytes * expected,
                complete: false,
            }
        };
        let tables = plan.tables.iter().map(count).collect();
        Self { started: Instant::now(), state: Mutex::new(State { tables, history: VecDeque::new() }) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(super) fn add(&self, table: u32, rows: u64, bytes: u64) {
        self.with(|state| {
            if let Some(count) = state.tables.get_mut(table as usize) {
                count.rows += rows;
                count.bytes += bytes;
            }
        });
    }

    /// The table's rows are all there: from now on it counts as what it is, not as what it was thought to be.
    pub(super) fn complete(&self, table: u32) {
        self.with(|state| state.tables.get_mut(table as usize).map(|count| count.complete = true));
    }

    pub(super) fn amount(&self) -> Amount {
        let now = Instant::now();
        self.with(|state| {
            let sum = |of: fn(&Count) -> u64| state.tables.iter().map(of).sum::<u64>();
            let bytes = sum(|count| count.bytes);
            let bytes_total =
                sum(|count| if count.complete { count.bytes } else { count.bytes.max(count.bytes_estimate) });
            let rows_total = sum(|count| if count.complete { count.rows } else { count.rows.max(count.rows_estimate) });
            let rows = sum(|count| count.rows);
            state.history.push_back((now, bytes));
            while state.history.front().is_some_and(|(then, _)| now - *then > WINDOW) && state.history.len() > 2 {
                state.history.pop_front();
            }
            let (then, before) = state.history.front().copied().unwrap_or((self.started, 0));
            let span = (now - then).as_secs_f64();
            let rate = if span > 0.05 { bytes.saturating_sub(before) as f64 / span } else { 0.0 };
            let eta = (rate > 0.0).then(|| (bytes_total - bytes) as f64 / rate);
            Amount { rows, bytes, rows_total, bytes_total, rate, elapsed: (now - self.started).as_secs_f64(), eta }
        })
    }
}
