//! Asks the process that follows into a target for the cut-over.

use std::time::{Duration, Instant};

use super::target_job::TargetJob;
use crate::checkpoint::{CutOver, CutOverState};
use crate::clone_record::{CloneRecord, CloneState, CutOverReport};
use crate::endpoint::TargetEndpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Verify;

/// The interval at which the answer is looked for.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long making triggers and events may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(600);

impl TargetJob {
    /// Lets the process that follows into the target apply everything that the source has committed until now, make
    /// triggers and enable events, and end. From then on the target takes the place of the source.
    ///
    /// Stop all writers at the source before: what they commit later is not carried.
    ///
    /// # Errors
    /// `Preflight` if no process follows, or if it is more than `max_lag` seconds behind. `Different` if the option `verify`
    /// asks for a comparison, which found differences or was not possible: following goes on. `Incomplete` if the target refused
    /// triggers or events. `Server` if the rest is not compared and applied within `timeout`: following goes on then.
    pub async fn cut_over(self, max_lag: Option<u64>, timeout: Duration) -> Result<CutOverReport> {
        let verify = self.options.verify;
        let target = self.open().await?;
        let done = cut_over(&target, max_lag, timeout, verify).await;
        target.shutdown().await;
        done
    }
}

async fn cut_over(
    target: &TargetEndpoint,
    max_lag: Option<u64>,
    timeout: Duration,
    verify: Verify,
) -> Result<CutOverReport> {
    let (started, name) = (Instant::now(), &target.name);
    let record = target.sink.clone_record().await?.unwrap_or_default();
    check(&record, name, max_lag)?;
    target.sink.request_cut_over(&record.job, Some(verify)).await?;
    let mut position = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(CutOver { state, position: at, refused, no_way_back, .. }) =
            target.sink.read_cut_over(&record.job).await?
        else {
            let message = "the cut-over has ended without an answer: look at it by `dbgraft status`";
            return Err(Error::new(ErrorKind::Server, message).with("target", name));
        };
        position = at.or(position);
        match state {
            CutOverState::Requested if started.elapsed() > timeout => {
                let following = target.sink.clone_record().await?.and_then(|record| record.following);
                let is_prepared = following.is_some_and(|it| it.checkpoint.applied.prepared_changes_since.is_some());
                if target.sink.request_cut_over(&record.job, None).await? {
                    if is_prepared {
                        let message = "XA transactions are prepared at the source that change its tables, so it is not known whether the target has \
                                       every change, and the request is withdrawn: following goes on; end them by XA COMMIT \
                                       or XA ROLLBACK (XA RECOVER lists them)";
                        return Err(Error::new(ErrorKind::Server, message).with("target", name));
                    }
                    let compared = if verify == Verify::None { "" } else { " and compared" };
                    let message = format!(
                        "what the source had committed is not applied{compared} after {} s, and the request is withdrawn: \
                         following goes on; try again when it is less behind, or with a longer --timeout",
                        timeout.as_secs()
                    );
                    return Err(Error::new(ErrorKind::Server, message).with("target", name));
                }
            }
            CutOverState::Requested => {}
            CutOverState::Different => {
                let message =
                    "the target could not be proved to be as the source: nothing is cut over, and following goes on";
                let error = Error::new(ErrorKind::Different, message).with("target", name);
                return Err(error.caused_by(refused.join("; ")));
            }
            CutOverState::Finishing => {
                if started.elapsed() > timeout + FINISH_TIMEOUT {
                    let message = "the cut-over has begun and does not end: if the process that follows was killed, end it by \
                                   `dbgraft follow`";
                    return Err(Error::new(ErrorKind::Server, message).with("target", name));
                }
            }
            CutOverState::Finished => {
                target.sink.acknowledge_cut_over(&record.job).await?;
                wait_for_end(target).await?;
                let source = record.plan.map(|plan| plan.job.source).unwrap_or_default();
                let seconds = started.elapsed().as_secs_f64();
                let position = position.unwrap_or_default();
                if refused.is_empty() {
                    let target = name.clone();
                    return Ok(CutOverReport { target, source, position, seconds, no_way_back });
                }
                let message = "the target is cut over, but it refused some objects: remove the cause and create them";
                return Err(Error::new(ErrorKind::Incomplete, message).caused_by(refused.join("; ")));
            }
        }
    }
}

/// Waits until the process that follows has removed the journal.
async fn wait_for_end(target: &TargetEndpoint) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < FINISH_TIMEOUT {
        match target.sink.clone_record().await? {
            None => return Ok(()),
            Some(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
    Err(Error::new(ErrorKind::Server, "the target is cut over, but its journal is not removed: see `dbgraft status`"))
}

fn check(record: &CloneRecord, target: &str, max_lag: Option<u64>) -> Result<()> {
    let refused = |message: String| Err(Error::new(ErrorKind::Preflight, message));
    match record.state {
        CloneState::Following => {}
        CloneState::NotFollowing => {
            return refused(format!(
                "no process follows into {target} now: start `dbgraft follow`, and ask again when it has caught up"
            ));
        }
        CloneState::Running => return refused(format!("the copy into {target} has not ended yet")),
        _ => return refused(format!("{target} follows no source: begin by `dbgraft clone … --follow`")),
    }
    let lag = record.following.as_ref().map_or(0, |following| following.checkpoint.lag_ms) / 1000;
    match max_lag {
        Some(most) if lag > most => {
            refused(format!("{target} is {lag} s behind its source, more than --max-lag {most}: nothing was asked for"))
        }
        _ => Ok(()),
    }
}
