//! The cut-over of a target that follows: compared if asked for, begun, and finished.

use std::future;

use futures::future::BoxFuture;

use super::{FollowEnd, FollowOutcome, Follower, SessionEnd};
use crate::change::LogPosition;
use crate::checkpoint::{Checkpoint, CutOver, CutOverState};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::options::Verify;
use crate::plan::Plan;
use crate::report::Note;
use crate::retry::RetryPolicy;
use crate::verification::Verification;

/// The most differences that are told.
const MAX_DIFFERENCES: usize = 20;

/// How far a cut-over is that is asked for.
#[derive(Default)]
pub(super) struct PendingCutOver {
    /// The place in the log up to which everything is applied before.
    goal: Option<LogPosition>,
    comparison: Option<(Verify, BoxFuture<'static, Result<Verification>>)>,
    /// The comparison that has found both ends equal.
    equal_by: Verify,
}

impl PendingCutOver {
    /// Runs the comparison to its end. Waits for ever without one.
    pub(super) async fn compare(&mut self) -> (Verify, Result<Verification>) {
        let Some((verify, comparison)) = &mut self.comparison else { return future::pending().await };
        let compared = (*verify, comparison.await);
        self.comparison = None;
        compared
    }
}

/// Whether everything is applied that was committed before the goal, or may be. A transaction that is prepared is committed or
/// not, and until then it is not known whether it is applied.
fn has_all_before(applied: &LogPosition, goal: &LogPosition) -> bool {
    let undecided = applied.prepared_changes_since.as_ref();
    applied.has_reached(goal) && undecided.is_none_or(|since| since.has_reached(goal))
}

impl Follower {
    /// Looks for a request, and brings it one step further. Returns how the session ends, once it does.
    pub(super) async fn advance_cut_over(
        &self,
        pending: &mut PendingCutOver,
        plan: &Plan,
        applied: &LogPosition,
    ) -> Result<Option<SessionEnd>> {
        let awaited = self.applier.read_cut_over().await?.filter(|known| known.state == CutOverState::Requested);
        let is_awaited = awaited.is_some();
        let requests = [awaited.map(|request| request.verify), *self.cut_over.borrow()];
        let Some(mut verify) = requests.iter().flatten().next().copied() else {
            // Nobody asks, or no longer.
            *pending = PendingCutOver::default();
            return Ok(None);
        };
        if verify == Verify::None {
            verify = requests.into_iter().flatten().find(|how| *how != Verify::None).unwrap_or_default();
        }
        match &pending.goal {
            None => pending.goal = Some(self.source.log_end().await?),
            Some(goal) if pending.comparison.is_some() || !has_all_before(applied, goal) => {}
            Some(_) if verify != Verify::None && verify != pending.equal_by => {
                pending.comparison = Some((verify, (self.compare)(plan.clone(), verify)));
            }
            Some(_) => return Ok(Some(SessionEnd::ReadyToCutOver { is_awaited })),
        }
        Ok(None)
    }

    /// Lets the cut-over go on if a comparison has found no difference, and ends it otherwise.
    pub(super) async fn end_comparison(
        &self,
        pending: &mut PendingCutOver,
        (verify, compared): (Verify, Result<Verification>),
    ) -> Result<()> {
        let mut problems: Vec<String> = match compared {
            Ok(found) => {
                let differences = found.differences.iter().map(ToString::to_string);
                let skipped = found.skipped.iter().map(|table| format!("{}: {}", table.object, table.reason));
                differences.chain(skipped.map(|reason| format!("not compared: {reason}"))).collect()
            }
            Err(error) => vec![format!("the comparison has failed: {error}")],
        };
        // What the source has committed since is applied too.
        *pending = PendingCutOver::default();
        if problems.is_empty() {
            pending.equal_by = verify;
            return Ok(());
        }
        if let Some(more) = problems.len().checked_sub(MAX_DIFFERENCES).filter(|more| *more > 0) {
            problems.truncate(MAX_DIFFERENCES);
            problems.push(format!("and {more} more, which `dbgraft verify` lists"));
        }
        self.cut_over.send_replace(None);
        self.events.emit(Event::CutOverRefused { differences: problems.clone() });
        let refusal = CutOver { refused: problems, verify, ..CutOver::new(CutOverState::Different, None, true) };
        self.applier.begin_cut_over(&refusal).await.map(drop)
    }

    /// Records that nothing more is applied. Returns false if the request was withdrawn.
    pub(super) async fn begin_cut_over(&self, checkpoint: &Checkpoint, is_awaited: bool) -> Result<bool> {
        let position = Some(checkpoint.applied.clone());
        self.applier.begin_cut_over(&CutOver::new(CutOverState::Finishing, position, is_awaited)).await
    }

    /// Makes what comes after the changes, and forgets the job.
    pub(super) async fn finish_cut_over(&self, checkpoint: Checkpoint, rows: u64) -> Result<FollowOutcome> {
        let retry = RetryPolicy::default();
        let warn = |error: &Error| {
            self.events.emit(Event::Warning { message: format!("the cut-over is tried again: {error}") });
        };
        let notes = retry.run(|| self.applier.finish(), warn).await?;
        let refused = notes.iter().filter_map(|note| match note {
            Note::Refused(issue) => Some(issue.describe()),
            _ => None,
        });
        let refused = refused.collect();
        let position = Some(checkpoint.applied.clone());
        let is_awaited = self.applier.read_cut_over().await?.is_some_and(|cut_over| cut_over.is_awaited);
        let cut_over = CutOver { refused, ..CutOver::new(CutOverState::Finished, position, is_awaited) };
        retry.run(|| self.applier.end_cut_over(&cut_over), warn).await?;
        Ok(FollowOutcome { end: FollowEnd::CutOver(notes), checkpoint, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> LogPosition {
        LogPosition { file: "log.1".into(), offset, ..LogPosition::default() }
    }

    #[test]
    fn what_is_prepared_after_the_goal_is_not_waited_for() {
        let with = |since| LogPosition { prepared_changes_since: Some(Box::new(place(since))), ..place(9) };
        assert!(has_all_before(&place(9), &place(9)) && !has_all_before(&place(8), &place(9)));
        assert!(has_all_before(&with(7), &place(7)) && !has_all_before(&with(6), &place(7)));
        let elsewhere = LogPosition { prepared_since: Some(Box::new(place(1))), ..place(9) };
        assert!(has_all_before(&elsewhere, &place(7)));
    }
}
