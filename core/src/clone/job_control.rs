//! A handle that pauses a running job, and cuts it over.

use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::{PauseCause, PauseGate};
use crate::event::FollowProgress;
use crate::options::Verify;

/// What the handle of a job shares with its follower.
#[derive(Clone, Default)]
pub(super) struct FollowControl {
    pub(super) cut_over: Arc<watch::Sender<Option<Verify>>>,
    pub(super) progress: Arc<watch::Sender<Option<FollowProgress>>>,
}

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
pub struct JobControl {
    gate: PauseGate,
    follow: FollowControl,
}

impl JobControl {
    pub(super) fn new(gate: PauseGate, follow: FollowControl) -> Self {
        Self { gate, follow }
    }

    /// Cuts over a clone that follows: the job applies everything that the source has committed until now, makes triggers and
    /// events, and ends. During the copy, the cut-over comes as soon as everything is applied.
    ///
    /// With `verify` the target is compared before. If something differs, [`Event::CutOverRefused`] says what, and the job
    /// goes on following.
    ///
    /// [`Event::CutOverRefused`]: crate::Event::CutOverRefused
    pub fn cut_over(&self, verify: Verify) {
        self.follow.cut_over.send_replace(Some(verify));
    }

    /// The progress of following; `None` before it begins.
    pub fn follow_progress(&self) -> Option<FollowProgress> {
        self.follow.progress.borrow().clone()
    }

    /// Pauses the job. Pausing a paused job has no effect.
    pub fn pause(&self) {
        self.gate.close(PauseCause::User, "user");
    }

    /// Lets the job go on, unless `max_load` or `max_lag` pauses it too.
    pub fn unpause(&self) {
        self.gate.open(PauseCause::User);
    }

    /// Whether [`pause`](Self::pause) pauses the job.
    pub fn is_paused(&self) -> bool {
        self.gate.is_closed_by(PauseCause::User)
    }
}
