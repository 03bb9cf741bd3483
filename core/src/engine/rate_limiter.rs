//! Limits the bytes read per second.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Delays readers so that they stay below `--max-rate`.
pub(super) struct RateLimiter {
    /// The bytes per second; `None` for no limit.
    rate: Option<u64>,
    /// The time at which all bytes so far have been accounted for.
    free_at: Mutex<Instant>,
}

impl RateLimiter {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until the bytes of all earlier calls fit the rate, then accounts for `bytes`.
    pub(super) async fn acquire(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let mut free_at = self.free_at.lock().await;
        let now = Instant::now();
        tokio::time::sleep(free_at.saturating_duration_since(now)).await;
        *free_at = (*free_at).max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
    }
}
