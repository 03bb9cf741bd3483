//! Reads the record of a clone that has ended.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clone_record::{CloneRecord, CloneState};
use crate::error::Result;
use crate::sink::Sink;

/// How long a server or an agent may take to notice that the process of a clone was killed.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Returns the sink's record of a clone. If the clone seems to run, waits some seconds for its end: perhaps it was killed a
/// moment ago, and its server has not noticed.
pub(super) async fn read_ended_clone(sink: &dyn Sink) -> Result<Option<CloneRecord>> {
    let deadline = Instant::now() + NOTICE_TIMEOUT;
    loop {
        let record = sink.clone_record().await?;
        let runs = record.as_ref().is_some_and(|record| record.state == CloneState::Running);
        if !runs || Instant::now() > deadline {
            return Ok(record);
        }
        sleep(POLL_INTERVAL).await;
    }
}
