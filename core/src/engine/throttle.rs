use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Spreads bytes over time.
pub(super) struct Throttle {
    rate: Option<u64>,
    free_at: Mutex<Instant>,
}

impl Throttle {
    /// At most `rate` bytes a second, or as fast as it goes.
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until so many bytes may pass.
    pub(super) async fn take(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let mut free_at = self.free_at.lock().await;
        let now = Instant::now();
        tokio::time::sleep(free_at.saturating_duration_since(now)).await;
        *free_at = (*free_at).max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
    }
}
