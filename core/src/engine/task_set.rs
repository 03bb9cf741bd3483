//! Runs the tasks of a leg.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::error::{Error, ErrorKind, Result};

/// The interval of progress events.
const TICK: Duration = Duration::from_millis(250);

/// Waits until all tasks have ended or one has failed, and calls `on_tick` four times a second.
///
/// # Errors
/// The error of the first failed task. Dropping `tasks` then aborts the others.
pub(super) async fn run_until_done(mut tasks: JoinSet<Result<()>>, mut on_tick: impl FnMut()) -> Result<()> {
    let mut ticker = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            task = tasks.join_next() => match task {
                None => return Ok(()),
                Some(Ok(result)) => result?,
                Some(Err(error)) => return Err(Error::new(ErrorKind::Internal, "a task died").caused_by(error)),
            },
            _ = ticker.tick() => on_tick(),
        }
    }
}
