//! Measures the progress of a leg.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::event::LegProgress;
use crate::plan::Plan;

/// The rate is measured over this period.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// Counts the rows and bytes written to each table.
pub(super) struct ProgressMeter {
    started: Instant,
    state: Mutex<MeterState>,
}

struct MeterState {
    tables: Vec<TableCount>,
    /// The bytes at earlier times, the oldest first.
    history: VecDeque<(Instant, u64)>,
}

#[derive(Clone, Copy)]
struct TableCount {
    rows: u64,
    bytes: u64,
    rows_estimate: u64,
    bytes_estimate: u64,
    complete: bool,
}

impl ProgressMeter {
    pub(super) fn new(plan: &Plan) -> Self {
        let count = |table: &crate::plan::TablePlan| {
            let expected = u64::from(!table.chunks.is_empty());
            TableCount {
                rows: 0,
                bytes: 0,
                rows_estimate: table.table.rows_estimate * expected,
                bytes_estimate: table.table.data_bytes * expected,
                complete: false,
            }
        };
        let tables = plan.tables.iter().map(count).collect();
        Self { started: Instant::now(), state: Mutex::new(MeterState { tables, history: VecDeque::new() }) }
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut MeterState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Adds written rows and bytes of row text.
    pub(super) fn add(&self, table: u32, rows: u64, bytes: u64) {
        self.with_state(|state| {
            if let Some(count) = state.tables.get_mut(table as usize) {
                count.rows += rows;
                count.bytes += bytes;
            }
        });
    }

    /// Marks a table as complete: its total is now its count instead of its estimate.
    pub(super) fn mark_complete(&self, table: u32) {
        self.with_state(|state| state.tables.get_mut(table as usize).map(|count| count.complete = true));
    }

    pub(super) fn progress(&self) -> LegProgress {
        let now = Instant::now();
        self.with_state(|state| {
            let sum = |value: fn(&TableCount) -> u64| state.tables.iter().map(value).sum::<u64>();
            let bytes = sum(|count| count.bytes);
            let bytes_total =
                sum(|count| if count.complete { count.bytes } else { count.bytes.max(count.bytes_estimate) });
            let rows_total = sum(|count| if count.complete { count.rows } else { count.rows.max(count.rows_estimate) });
            let rows = sum(|count| count.rows);
            state.history.push_back((now, bytes));
            while state.history.front().is_some_and(|(then, _)| now - *then > RATE_WINDOW) && state.history.len() > 2 {
                state.history.pop_front();
            }
            let (then, before) = state.history.front().copied().unwrap_or((self.started, 0));
            let span = (now - then).as_secs_f64();
            let rate = if span > 0.05 { bytes.saturating_sub(before) as f64 / span } else { 0.0 };
            let eta = (rate > 0.0).then(|| (bytes_total - bytes) as f64 / rate);
            LegProgress { rows, bytes, rows_total, bytes_total, rate, elapsed: (now - self.started).as_secs_f64(), eta }
        })
    }
}
