//! The configuration of a leg, and its results.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::pause_gate::PauseGate;
use super::progress_meter::ProgressMeter;
use crate::batch::ExportEvent;
use crate::event::{Event, EventEmitter, LegName, Phase};
use crate::memory::MemoryBudget;
use crate::options::Verify;
use crate::plan::Plan;
use crate::report::Note;
use crate::retry::RetryPolicy;
use crate::sink::Sink;
use crate::source::Source;
use crate::verification::Verification;

/// One run of the engine from a source to a sink.
#[derive(Clone)]
pub(crate) struct Leg {
    pub(crate) name: LegName,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) plan: Arc<Plan>,
    /// The number of readers, and the maximum number of writers.
    pub(crate) threads: usize,
    pub(crate) memory: MemoryBudget,
    /// The maximum bytes read per second.
    pub(crate) max_rate: Option<u64>,
    /// Where readers wait while the job is paused.
    pub(crate) gate: PauseGate,
    pub(crate) verify: Verify,
    /// Whether a comparison lists the keys of differing rows.
    pub(crate) list_rows: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) events: EventEmitter,
    /// Receives each durable batch, for the leg that reads the archive at the same time.
    pub(crate) staged: Option<mpsc::UnboundedSender<ExportEvent>>,
}

impl Leg {
    pub(super) fn emit_phase(&self, phase: Phase) {
        self.events.emit(Event::Phase { leg: self.name, phase });
    }

    pub(super) fn emit_progress(&self, phase: Phase, meter: &ProgressMeter) {
        self.events.emit(Event::Progress { leg: self.name, phase, amount: meter.progress() });
    }
}

/// The result of a leg.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LegOutcome {
    /// The totals of each table of the plan, in its order.
    pub(crate) tables: Vec<TableTotals>,
    pub(crate) notes: Vec<Note>,
    pub(crate) verified: Option<Verification>,
    /// The numbers of the tables that the sink held completely before the leg began.
    pub(crate) taken_over: BTreeSet<u32>,
    /// The numbers of the tables that the sink held a part of.
    pub(crate) continued: BTreeSet<u32>,
}

impl LegOutcome {
    /// Puts the notes of the exporting leg before those of the importing leg.
    pub(super) fn with_notes_of(mut self, export: Self) -> Self {
        self.notes.splice(..0, export.notes);
        self
    }
}

/// The rows and the bytes of row text written to one table, and the seconds until its last index was built.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct TableTotals {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}
