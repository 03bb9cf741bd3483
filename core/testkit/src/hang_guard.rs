//! Waits of tests: for a condition, with a limit that only a hang reaches.

use std::thread;
use std::time::{Duration, Instant};

/// The time after which a test counts as hanging. Long, because it says nothing about how fast anything is.
pub const HANG_GUARD: Duration = Duration::from_secs(300);

/// The limits of the pause between two calls of a condition.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause after a call that took this long. Calls that use a processor use a fifth of one: what they wait for needs it.
fn pause_after(call: Duration) -> Duration {
    (4 * call).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Polls `condition` until it holds, and blocks the thread meanwhile. False if it does not hold within [`HANG_GUARD`].
pub fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        let called = Instant::now();
        if condition() {
            return true;
        }
        if begun.elapsed() > HANG_GUARD {
            return false;
        }
        thread::sleep(pause_after(called.elapsed()));
    }
}

/// Polls `condition` until it holds. False if it does not hold within [`HANG_GUARD`].
pub async fn becomes_true(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let poll = async {
        loop {
            let called = Instant::now();
            if condition().await {
                return;
            }
            tokio::time::sleep(pause_after(called.elapsed())).await;
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
