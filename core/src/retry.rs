//! Retries an operation after errors that may pass.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// The waits between attempts, and how long a server may stay unreachable.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    waits: Vec<Duration>,
    /// Gives up after connections have failed for this long, since each attempt at a hanging server takes long.
    unreachable_limit: Duration,
}

impl Default for RetryPolicy {
    /// Four retries within about half a minute, which covers a server's restart.
    fn default() -> Self {
        Self { waits: [1, 3, 9, 20].map(Duration::from_secs).to_vec(), unreachable_limit: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// Four retries within 15 seconds, for clean-up: the user waits for its end. Fewer where the server does not answer.
    pub(crate) fn for_cleanup() -> Self {
        Self { waits: [1, 2, 4, 8].map(Duration::from_secs).to_vec(), unreachable_limit: Duration::from_secs(20) }
    }

    /// Three retries within nine seconds, for steps before the first row: an unreachable server is usually a wrong
    /// address.
    pub(crate) fn before_first_row() -> Self {
        Self { waits: [1, 3, 5].map(Duration::from_secs).to_vec(), ..Self::default() }
    }

    /// A retry every few seconds for half a minute, for a connection that the other side awaits for that time.
    pub(crate) fn for_reattachment() -> Self {
        Self { waits: [1, 2, 4, 4, 4, 4, 4, 4, 4].map(Duration::from_secs).to_vec(), ..Self::default() }
    }

    #[cfg(test)]
    pub(crate) fn for_test(retries: usize) -> Self {
        Self { waits: vec![Duration::from_millis(1); retries], unreachable_limit: Duration::from_secs(30) }
    }

    /// Runs `attempt` until it succeeds, fails with a permanent error, or the retries are used up. Calls `on_retry`
    /// with each error that a retry follows. Does not retry errors of kind `Changed`: only a whole new job can mend
    /// them.
    pub(crate) async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        mut attempt: impl FnMut() -> F,
        on_retry: impl Fn(&Error),
    ) -> Result<T> {
        let mut failing_since = None;
        for wait in &self.waits {
            match attempt().await {
                Err(error)
                    if error.is_retryable()
                        && error.kind() != ErrorKind::Changed
                        && !self.is_unreachable(&error, &mut failing_since) =>
                {
                    on_retry(&error);
                }
                other => return other,
            }
            tokio::time::sleep(*wait).await;
        }
        attempt().await
    }

    /// Whether connections have failed for longer than the limit. `failing_since` is the time of the first failure.
    fn is_unreachable(&self, error: &Error, failing_since: &mut Option<Instant>) -> bool {
        if error.kind() != ErrorKind::Connection {
            *failing_since = None;
            return false;
        }
        failing_since.get_or_insert_with(Instant::now).elapsed() > self.unreachable_limit
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn only_retryable_errors_are_retried() {
        let calls = Cell::new(0);
        let lost = || Error::new(ErrorKind::Connection, "lost").retryable();
        let call = || calls.replace(calls.get() + 1) + 1;
        let attempt = || async { if call() < 3 { Err(lost()) } else { Ok(calls.get()) } };
        assert_eq!(RetryPolicy::for_test(3).run(attempt, |_| ()).await.unwrap(), 3);
        calls.set(0);
        let attempt = || async { Err::<(), _>(Error::new(ErrorKind::Data, "changed").with("call", call())) };
        assert!(RetryPolicy::for_test(3).run(attempt, |_| ()).await.is_err() && calls.get() == 1);
    }

    #[tokio::test]
    async fn a_hanging_server_gets_fewer_attempts_than_a_refusing_one() {
        let calls = Cell::new(0);
        let attempt = async || {
            calls.set(calls.get() + 1);
            tokio::time::sleep(Duration::from_millis(30)).await;
            Err::<(), _>(Error::new(ErrorKind::Connection, "silent").retryable())
        };
        let mut retry = RetryPolicy::for_test(4);
        assert!(retry.run(attempt, |_| ()).await.is_err());
        assert_eq!(calls.replace(0), 5);
        retry.unreachable_limit = Duration::from_millis(20);
        assert!(retry.run(attempt, |_| ()).await.is_err());
        assert_eq!(calls.get(), 2);
    }
}
