//! Reads the record of a clone that has ended.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clone_record::{CloneRecord, CloneState};
use crate::error::Result;
use crate::sink::Sink;

/// How long a server may take to notice that the process of a clone was killed, and its agent to end.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Returns the sink's record of a clone. If the clone seems to run, waits some seconds for its end: perhaps it was killed a
/// moment ago, and its server has not noticed. With `takes_over` also ends an agent that waits for its lost coordinator.
pub(super) async fn read_ended_clone(sink: &dyn Sink, takes_over: bool) -> Result<Option<CloneRecord>> {
    let deadline = Instant::now() + NOTICE_TIMEOUT;
    let mut is_requested = false;
    loop {
        let record = sink.clone_record().await?;
        let runs = |record: &CloneRecord| matches!(record.state, CloneState::Running | CloneState::Following);
        if !record.as_ref().is_some_and(runs) || Instant::now() > deadline {
            if is_requested {
                sink.request_takeover(true).await?;
            }
            return Ok(record);
        }
        if takes_over && !is_requested {
            sink.request_takeover(false).await?;
            is_requested = true;
        }
        sleep(POLL_INTERVAL).await;
    }
}
