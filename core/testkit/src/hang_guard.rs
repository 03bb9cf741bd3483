//! Waits of tests: for a condition, with a limit that only a hang reaches.

use std::thread;
use std::time::{Duration, Instant};

/// The time after which a test counts as hanging. Long, because it says nothing about how fast anything is.
pub const HANG_GUARD: Duration = Duration::from_secs(300);

/// The interval between two calls of a condition. A call may keep a processor busy for some milliseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls `condition` until it holds, and blocks the thread meanwhile. False if it does not hold within [`HANG_GUARD`].
pub fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > HANG_GUARD {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

/// Polls `condition` until it holds. False if it does not hold within [`HANG_GUARD`].
pub async fn becomes_true(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(HANG_GUARD, poll).await.is_ok()
}

/// The output of `future`.
///
/// # Panics
/// If it is not there within [`HANG_GUARD`].
pub async fn no_hang<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG_GUARD, future).await.unwrap_or_else(|_| panic!("it hangs"))
}
