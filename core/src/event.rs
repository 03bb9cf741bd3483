//! What a job tells while it runs.

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
    /// Fixing the moment of the rows.
    Snapshot,
    /// Creating the database and the tables.
    Tables,
    /// Reading and writing rows, and building the indexes of each table whose rows are in.
    Rows,
    /// All rows are in; indexes are still being built.
    Indexes,
    /// All tables are complete; some are still being compared with what was read.
    Verify,
    /// Foreign keys, views, routines, triggers, events.
    Objects,
    /// Done.
    Done,
    /// Removing what an unfinished job made.
    Cleanup,
}

/// Which leg of a job an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegName {
    /// The only leg of a direct clone.
    Clone,
    /// From the source into the archive.
    Export,
    /// From the archive into the target.
    Import,
    /// A comparison by itself.
    Verify,
}

/// How far a leg is. Totals are the server's estimates until all is read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Rows written.
    pub rows: u64,
    /// Bytes of rows written, as text.
    pub bytes: u64,
    /// About how many rows there are.
    pub rows_total: u64,
    /// About how many bytes of text there are.
    pub bytes_total: u64,
    /// Bytes a second over the last seconds.
    pub rate: f64,
    /// Seconds since the leg began.
    pub elapsed: f64,
    /// Seconds to go at this rate; `None` while nobody can tell.
    pub eta: Option<f64>,
}

/// What a job tells while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A phase begins.
    Phase {
        /// Whose.
        leg: LegName,
        /// Which.
        phase: Phase,
    },
    /// Work on an object begins: the first of its rows is about to be read, its indexes are about to be built, or
    /// it is about to be created.
    Started {
        /// Whose.
        leg: LegName,
        /// Which object.
        object: ObjectRef,
    },
    /// An object is complete.
    Finished {
        /// Whose.
        leg: LegName,
        /// Which object.
        object: ObjectRef,
        /// How many rows were written.
        rows: u64,
        /// How many bytes of rows were written, as text.
        bytes: u64,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// How far a leg is; several times a second while rows flow.
    Progress {
        /// Whose.
        leg: LegName,
        /// The phase it is in.
        phase: Phase,
        /// How far it is.
        #[serde(flatten)]
        amount: Amount,
    },
    /// Something that the user should know now; it is in the report too.
    Warning {
        /// In one line.
        message: String,
    },
}

/// Where events go. Called from the engine's tasks: it must not block.
#[derive(Clone)]
pub(crate) struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    pub(crate) fn to(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    pub(crate) fn emit(&self, event: Event) {
        (self.0)(event);
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::to(|_| ())
    }
}
