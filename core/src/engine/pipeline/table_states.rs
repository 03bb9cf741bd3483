//! The progress of each table within a leg.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::super::leg::TableTotals;
use crate::codec::Digest;
use crate::plan::{Plan, TablePlan};

/// The state of every table of a plan. Shared by the tasks of a leg.
pub(super) struct TableStates(Mutex<Vec<TableState>>);

/// The state of one table.
pub(super) struct TableState {
    pub(super) chunks_unread: usize,
    pub(super) batches_unwritten: usize,
    started: Option<Instant>,
    finished: bool,
    /// The digest of what was read of each chunk.
    pub(super) digests: Vec<Digest>,
    pub(super) totals: TableTotals,
}

impl TableState {
    fn new(table: &TablePlan) -> Self {
        Self {
            chunks_unread: table.chunks.len(),
            batches_unwritten: 0,
            started: None,
            finished: false,
            digests: vec![Digest::default(); table.chunks.len()],
            totals: TableTotals::default(),
        }
    }

    /// Whether all rows are read and written.
    fn has_all_rows(&self) -> bool {
        self.chunks_unread == 0 && self.batches_unwritten == 0
    }
}

impl TableStates {
    pub(super) fn new(plan: &Plan) -> Self {
        Self(Mutex::new(plan.tables.iter().map(TableState::new).collect()))
    }

    fn with_all<T>(&self, use_states: impl FnOnce(&mut Vec<TableState>) -> T) -> T {
        use_states(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Marks a table as started. Returns whether it was not started before.
    pub(super) fn start(&self, table: u32) -> bool {
        self.with_all(|states| {
            let Some(state) = states.get_mut(table as usize) else { return false };
            let is_first = state.started.is_none();
            state.started.get_or_insert_with(Instant::now);
            is_first
        })
    }

    /// Changes the state of a table. Returns whether the table has all rows afterwards.
    pub(super) fn update(&self, table: u32, change: impl FnOnce(&mut TableState)) -> bool {
        self.with_all(|states| {
            let Some(state) = states.get_mut(table as usize) else { return false };
            change(state);
            state.has_all_rows()
        })
    }

    /// Marks a table as finished. Returns its totals and the digests of its chunks.
    pub(super) fn finish(&self, table: u32) -> (TableTotals, Vec<Digest>) {
        self.with_all(|states| {
            let Some(state) = states.get_mut(table as usize) else { return Default::default() };
            state.finished = true;
            state.totals.seconds = state.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
            (state.totals, std::mem::take(&mut state.digests))
        })
    }

    pub(super) fn totals(&self) -> Vec<TableTotals> {
        self.with_all(|states| states.iter().map(|state| state.totals).collect())
    }

    pub(super) fn all_finished(&self) -> bool {
        self.with_all(|states| states.iter().all(|state| state.finished))
    }

    pub(super) fn all_have_all_rows(&self) -> bool {
        self.with_all(|states| states.iter().all(TableState::has_all_rows))
    }
}
