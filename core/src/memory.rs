//! The budget of row bytes in flight. It keeps memory use flat, whatever the size of the database.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Bytes of one semaphore permit. With permits of 1 KiB a budget of terabytes fits a semaphore.
const PERMIT_BYTES: usize = 1024;

/// Bounds how many bytes of rows are in flight at once. Cloning is cheap; clones share the budget.
///
/// A reader reserves bytes before it buffers rows. The [`MemoryLease`] travels with the batch until the sink drops the
/// batch's bytes. So a slow target slows the source down.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    permits: Arc<Semaphore>,
    total: u32,
    batch: usize,
    /// Held by the one reader that grows its lease. Two half-read giant rows would wait for each other forever.
    oversize: Arc<Mutex<()>>,
}

impl MemoryBudget {
    /// The upper bound of [`batch_bytes`](Self::batch_bytes).
    pub const LARGEST_BATCH: usize = 16 << 20;

    /// Creates a budget of `bytes` for `threads` readers and as many writers.
    pub fn new(bytes: u64, threads: usize) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let total = permits(bytes).max(1);
        // Two batches for each reader and two for each writer, so that neither side waits for the other's last byte.
        let share = bytes / threads.max(1) / 4;
        let batch = share.clamp(64 << 10, Self::LARGEST_BATCH);
        let permits = Arc::new(Semaphore::new(total as usize));
        Self { permits, total, batch, oversize: Arc::default() }
    }

    /// The size in bytes at which a reader ends a batch.
    pub fn batch_bytes(&self) -> usize {
        self.batch
    }

    /// The bytes of the whole budget.
    pub(crate) fn total_bytes(&self) -> usize {
        self.total as usize * PERMIT_BYTES
    }

    /// Shares the budget, with batches of at most `bytes`.
    pub(crate) fn with_max_batch_bytes(&self, bytes: usize) -> Self {
        Self { batch: self.batch.min(bytes), ..self.clone() }
    }

    /// Waits until `bytes` are free and reserves them. A request larger than the whole budget reserves the whole
    /// budget.
    pub async fn reserve(&self, bytes: usize) -> MemoryLease {
        let wanted = permits(bytes).min(self.total);
        let permit = self.permits.clone().acquire_many_owned(wanted).await.ok();
        MemoryLease { permit, memory: self.clone(), growing: None }
    }
}

/// The bytes that a lease for `bytes` reserves.
pub(crate) fn reserved_bytes(bytes: usize) -> usize {
    permits(bytes) as usize * PERMIT_BYTES
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX >> 4).min(u32::MAX >> 4)
}

/// Bytes reserved from a [`MemoryBudget`]. Dropping the lease releases them.
#[derive(Debug)]
pub struct MemoryLease {
    permit: Option<OwnedSemaphorePermit>,
    memory: MemoryBudget,
    growing: Option<OwnedMutexGuard<()>>,
}

impl MemoryLease {
    /// The number of reserved bytes.
    pub fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * PERMIT_BYTES
    }

    /// Waits until the lease covers `bytes`. A row larger than the budget gets at least half of the budget and goes on:
    /// only one lease grows at a time.
    pub async fn grow(&mut self, bytes: usize) {
        if bytes <= self.bytes() {
            return;
        }
        if self.growing.is_none() {
            self.growing = Some(self.memory.oversize.clone().lock_owned().await);
        }
        let total = self.memory.total as usize * PERMIT_BYTES;
        // The other readers may each hold a first reservation that they cannot release while this one waits.
        let reachable = total - (total / 2).min(total);
        let wanted = bytes.min(reachable.max(self.bytes()));
        let missing = permits(wanted.saturating_sub(self.bytes()));
        if missing > 0
            && let Ok(more) = self.memory.permits.clone().acquire_many_owned(missing).await
            && let Some(permit) = &mut self.permit
        {
            permit.merge(more);
        }
    }

    /// Releases the bytes beyond `bytes`, and the exclusive right to grow.
    pub fn shrink(&mut self, bytes: usize) {
        self.growing = None;
        let keep = permits(bytes) as usize;
        if let Some(permit) = &mut self.permit
            && let Some(surplus) = permit.num_permits().checked_sub(keep)
        {
            drop(permit.split(surplus));
        }
    }
}

/// Bytes that hold their reservation.
struct LeasedBytes {
    bytes: Bytes,
    _lease: Arc<MemoryLease>,
}

impl AsRef<[u8]> for LeasedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Attaches a reservation to bytes. Dropping the last part of the last bytes of the lease releases it.
pub(crate) fn lease_bytes(bytes: Bytes, lease: Arc<MemoryLease>) -> Bytes {
    Bytes::from_owner(LeasedBytes { bytes, _lease: lease })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_lease_waits_for_reserved_bytes_and_releases_unused_bytes() {
        let memory = MemoryBudget::new(1 << 20, 1);
        let mut first = memory.reserve(1 << 20).await;
        assert!(memory.reserve(1024).now_or_never().is_none());
        first.shrink(512 << 10);
        assert_eq!(memory.reserve(512 << 10).await.bytes(), 512 << 10);
    }

    #[tokio::test]
    async fn a_row_larger_than_the_budget_gets_a_lease() {
        let memory = MemoryBudget::new(1 << 20, 2);
        let mut lease = memory.reserve(memory.batch_bytes()).await;
        lease.grow(100 << 20).await;
        assert!(lease.bytes() <= 1 << 20);
    }
}
