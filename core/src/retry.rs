//! When and how often the same is tried again.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How long to wait before each further try.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    waits: Vec<Duration>,
}

impl Default for Retry {
    /// Four more tries within about half a minute: a server that restarts is back by then.
    fn default() -> Self {
        Self { waits: [1, 3, 9, 20].map(Duration::from_secs).to_vec() }
    }
}

impl Retry {
    /// For cleaning up, whose end somebody waits for: four more tries within a quarter of a minute.
    pub(crate) fn of_clean_up() -> Self {
        Self { waits: [1, 2, 4, 8].map(Duration::from_secs).to_vec() }
    }

    /// For the time before the first row. Somebody may be waiting, and a server that does not answer at all is mostly a
    /// wrong address.
    pub(crate) fn briefly() -> Self {
        Self { waits: [1, 3, 5].map(Duration::from_secs).to_vec() }
    }

    #[cfg(test)]
    pub(crate) fn quickly(tries: usize) -> Self {
        Self { waits: vec![Duration::from_millis(1); tries] }
    }

    /// Runs `attempt` until it succeeds, fails for good, or has been tried often enough; `before` hears of each
    /// failure that is followed by another try. What has changed stays changed: only the whole job may be tried again.
    pub(crate) async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        mut attempt: impl FnMut() -> F,
        before: impl Fn(&Error),
    ) -> Result<T> {
        for wait in &self.waits {
            match attempt().await {
                Err(error) if error.is_retryable() && error.kind() != ErrorKind::Changed => before(&error),
                other => return other,
            }
            tokio::time::sleep(*wait).await;
        }
        attempt().await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again() {
        let calls = Cell::new(0);
        let lost = || Error::new(ErrorKind::Connection, "lost").retryable();
        let call = || calls.replace(calls.get() + 1) + 1;
        let attempt = || async { if call() < 3 { Err(lost()) } else { Ok(calls.get()) } };
        assert_eq!(Retry::quickly(3).run(attempt, |_| ()).await.unwrap(), 3);
        calls.set(0);
        let attempt = || async { Err::<(), _>(Error::new(ErrorKind::Data, "changed").with("call", call())) };
        assert!(Retry::quickly(3).run(attempt, |_| ()).await.is_err() && calls.get() == 1);
    }
}
