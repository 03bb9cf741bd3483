//! A handle that pauses a running job.

use crate::engine::{PauseCause, PauseGate};

/// Pauses a job and lets it go on, from any thread, before and while it runs.
///
/// A paused job reads nothing more and writes what it has read. It keeps its connections, and its snapshot. Steps before
/// the first row go on, and so do the index builds of tables whose rows are loaded; the last phase waits.
///
/// ```no_run
/// # async fn example() -> dbgraft::Result<()> {
/// let job = dbgraft::CloneJob::new("mysql://app@db1.example/shop", "mysql://app@db2.example/shop_copy");
/// let control = job.control();
/// let running = tokio::spawn(job.run());
/// control.pause();
/// control.unpause();
/// # running.await.unwrap()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct JobControl(PauseGate);

impl JobControl {
    pub(super) fn new(gate: PauseGate) -> Self {
        Self(gate)
    }

    /// Pauses the job. Pausing a paused job has no effect.
    pub fn pause(&self) {
        self.0.close(PauseCause::User, "user");
    }

    /// Lets the job go on, unless `max_load` or `max_lag` pauses it too.
    pub fn unpause(&self) {
        self.0.open(PauseCause::User);
    }

    /// Whether [`pause`](Self::pause) pauses the job.
    pub fn is_paused(&self) -> bool {
        self.0.is_closed_by(PauseCause::User)
    }
}
