//! The events of a running job.

mod queue;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::ObjectRef;

pub use queue::EventQueue;

/// The phases of a leg, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting, reading the catalog, checking rights and settings.
    Preflight,
    /// Taking the snapshot.
    Snapshot,
    /// Creating the database and the tables.
    Tables,
    /// Copying rows, and building the indexes of each table whose rows are loaded.
    Rows,
    /// Building the last indexes; all rows are loaded.
    Indexes,
    /// Comparing the last tables; all tables are complete.
    Verify,
    /// Applying the changes of the source that bring all tables of a resumed clone to one moment.
    CatchingUp,
    /// Creating foreign keys, views, routines, triggers and events.
    Objects,
    /// The leg has ended.
    Done,
    /// Applying the changes of the source.
    Following,
    /// Removing the objects of an unfinished job.
    Cleanup,
}

/// The leg of a job that an event belongs to. A clone through an archive has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegName {
    /// The only leg of a direct clone.
    Clone,
    /// The leg from the source into the archive.
    Export,
    /// The leg from the archive into the target.
    Import,
    /// A comparison without a clone.
    Verify,
}

/// The progress of a leg. Totals are the server's estimates until all rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LegProgress {
    /// The rows written.
    pub rows: u64,
    /// The bytes of row text written.
    pub bytes: u64,
    /// The estimated number of rows.
    pub rows_total: u64,
    /// The estimated bytes of row text.
    pub bytes_total: u64,
    /// The bytes per second over the last five seconds.
    pub rate: f64,
    /// The seconds since the leg began.
    pub elapsed: f64,
    /// The estimated remaining seconds; `None` while the rate is 0.
    pub eta: Option<f64>,
}

/// The progress of following.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowProgress {
    /// The position in the source's log up to which everything is applied: `binlog.000012:1234`.
    pub position: String,
    /// The seconds since the last applied commit at the source; 0 if everything is applied.
    pub lag_seconds: f64,
    /// The bytes of log that the source has written after `position`, as far as it was looked at in the last seconds; `None`
    /// if unknown.
    pub lag_bytes: Option<u64>,
    /// The number of transactions that are applied, from the snapshot on.
    pub transactions: u64,
    /// The rows that this process has applied since its last connection.
    pub rows: u64,
    /// The rows applied per second.
    pub rows_per_second: f64,
}

/// An event of a running job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A phase begins.
    Phase {
        /// The leg.
        leg: LegName,
        /// The phase.
        phase: Phase,
    },
    /// Work on an object begins: reading its first row, building its indexes, or creating it.
    Started {
        /// The leg.
        leg: LegName,
        /// The object.
        object: ObjectRef,
    },
    /// An object is complete.
    Finished {
        /// The leg.
        leg: LegName,
        /// The object.
        object: ObjectRef,
        /// The rows written.
        rows: u64,
        /// The bytes of row text written.
        bytes: u64,
        /// The duration in seconds.
        seconds: f64,
    },
    /// The progress of a leg; several times a second while rows are copied.
    Progress {
        /// The leg.
        leg: LegName,
        /// The current phase.
        phase: Phase,
        /// The progress.
        #[serde(flatten)]
        amount: LegProgress,
    },
    /// The progress of following; twice a second.
    Following(FollowProgress),
    /// The target is not cut over, because the comparison before has found differences. Following goes on.
    CutOverRefused {
        /// The differences, each in one line.
        differences: Vec<String>,
    },
    /// How a clone is resumed.
    Resumed {
        /// The case, in one line.
        message: String,
    },
    /// The job is paused: it reads nothing more, and writes what it has read.
    Paused {
        /// The reason: `user`, `load of the source 130 > 100`, `replica is 12 s behind`.
        reason: String,
    },
    /// The job goes on.
    Unpaused {
        /// The reason of the pause.
        reason: String,
        /// The duration of the pause in seconds.
        seconds: f64,
    },
    /// A warning, which the report repeats.
    Warning {
        /// The warning, in one line.
        message: String,
    },
}

/// Passes events to the job's listener, from the engine's tasks. The listener must not block.
#[derive(Clone)]
pub(crate) struct EventEmitter(Arc<dyn Fn(Event) + Send + Sync>);

impl EventEmitter {
    pub(crate) fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    pub(crate) fn emit(&self, event: Event) {
        (self.0)(event);
    }
}

impl Default for EventEmitter {
    fn default() -> Self {
        Self::new(|_| ())
    }
}
