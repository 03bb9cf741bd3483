//! When and how often the same is tried again.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// How long to wait before each further try.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    waits: Vec<Duration>,
    /// How long a server may be away. Each try may wait for one that hangs.
    away: Duration,
}

impl Default for Retry {
    /// Four more tries within about half a minute: a server that restarts is back by then.
    fn default() -> Self {
        Self { waits: [1, 3, 9, 20].map(Duration::from_secs).to_vec(), away: Duration::from_secs(30) }
    }
}

impl Retry {
    /// For cleaning up, whose end somebody waits for: four more tries within a quarter of a minute, fewer where the server
    /// does not answer at all.
    pub(crate) fn of_clean_up() -> Self {
        Self { waits: [1, 2, 4, 8].map(Duration::from_secs).to_vec(), away: Duration::from_secs(20) }
    }

    /// For the time before the first row. Somebody may be waiting, and a server that does not answer at all is mostly a
    /// wrong address.
    pub(crate) fn briefly() -> Self {
        Self { waits: [1, 3, 5].map(Duration::from_secs).to_vec(), ..Self::default() }
    }

    #[cfg(test)]
    pub(crate) fn quickly(tries: usize) -> Self {
        Self { waits: vec![Duration::from_millis(1); tries], away: Duration::from_secs(30) }
    }

    /// Runs `attempt` until it succeeds, fails for good, or has been tried often enough; `before` hears of each
    /// failure that is followed by another try. What has changed stays changed: only the whole job may be tried again.
    pub(crate) async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        mut attempt: impl FnMut() -> F,
        before: impl Fn(&Error),
    ) -> Result<T> {
        let mut broken = None;
        for wait in &self.waits {
            match attempt().await {
                Err(error)
                    if error.is_retryable()
                        && error.kind() != ErrorKind::Changed
                        && !self.is_gone(&error, &mut broken) =>
                {
                    before(&error);
                }
                other => return other,
            }
            tokio::time::sleep(*wait).await;
        }
        attempt().await
    }

    /// Whether connections have been failing for too long; `broken` says since when.
    fn is_gone(&self, error: &Error, broken: &mut Option<Instant>) -> bool {
        if error.kind() != ErrorKind::Connection {
            *broken = None;
            return false;
        }
        broken.get_or_insert_with(Instant::now).elapsed() > self.away
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

    #[tokio::test]
    async fn a_server_that_hangs_is_not_tried_as_often_as_one_that_refuses() {
        let calls = Cell::new(0);
        let attempt = async || {
            calls.set(calls.get() + 1);
            tokio::time::sleep(Duration::from_millis(30)).await;
            Err::<(), _>(Error::new(ErrorKind::Connection, "silent").retryable())
        };
        let mut retry = Retry::quickly(4);
        assert!(retry.run(attempt, |_| ()).await.is_err());
        assert_eq!(calls.replace(0), 5);
        retry.away = Duration::from_millis(20);
        assert!(retry.run(attempt, |_| ()).await.is_err());
        assert_eq!(calls.get(), 2);
    }
}
