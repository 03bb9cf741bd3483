//! The budget of row bytes in flight: what keeps memory flat whatever the size of the database.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Permits are counted in KiB, so that a budget of terabytes still fits a semaphore.
const UNIT: usize = 1024;

/// How many bytes of rows may be in flight at once. Cheap to clone; clones share the budget.
///
/// A reader reserves before it buffers, and the [`Lease`] travels with the batch until the sink has let go of its
/// bytes: so a slow target slows the source down, and nothing is counted that is not really there.
#[derive(Debug, Clone)]
pub struct Memory {
    permits: Arc<Semaphore>,
    total: u32,
    batch: usize,
    /// Only one reader at a time may outgrow its first reservation: two half-read giant rows could wait for each
    /// other for ever.
    oversize: Arc<Mutex<()>>,
}

impl Memory {
    /// A batch is never aimed at more than this.
    pub const LARGEST_BATCH: usize = 16 << 20;

    /// A budget of `bytes` for `threads` readers and as many writers.
    pub fn new(bytes: u64, threads: usize) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let total = units(bytes).max(1);
        // Two batches a thread in reading and writing each, so that neither side waits for the other's last byte.
        let share = bytes / threads.max(1) / 4;
        let batch = share.clamp(64 << 10, Self::LARGEST_BATCH);
        let permits = Arc::new(Semaphore::new(total as usize));
        Self { permits, total, batch, oversize: Arc::default() }
    }

    /// How many bytes a batch should aim at within this budget.
    pub fn batch_bytes(&self) -> usize {
        self.batch
    }

    /// The same budget, with batches of no more than this.
    pub(crate) fn with_batches_of(&self, bytes: usize) -> Self {
        Self { batch: self.batch.min(bytes), ..self.clone() }
    }

    /// Waits until `bytes` are free. More than the whole budget counts as the whole budget.
    pub async fn reserve(&self, bytes: usize) -> Lease {
        let wanted = units(bytes).min(self.total);
        let permit = self.permits.clone().acquire_many_owned(wanted).await.ok();
        Lease { permit, memory: self.clone(), growing: None }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX >> 4).min(u32::MAX >> 4)
}

/// Bytes taken from a [`Memory`]; dropping it gives them back.
#[derive(Debug)]
pub struct Lease {
    permit: Option<OwnedSemaphorePermit>,
    memory: Memory,
    growing: Option<OwnedMutexGuard<()>>,
}

impl Lease {
    /// The bytes that are reserved.
    pub fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * UNIT
    }

    /// Waits until the lease covers `bytes`. A row larger than the budget gets what the others leave: it must pass,
    /// and it passes alone.
    pub async fn grow(&mut self, bytes: usize) {
        if bytes <= self.bytes() {
            return;
        }
        if self.growing.is_none() {
            self.growing = Some(self.memory.oversize.clone().lock_owned().await);
        }
        let total = self.memory.total as usize * UNIT;
        // The other readers may each sit on one first reservation that they cannot fill while we wait.
        let reachable = total - (total / 2).min(total);
        let wanted = bytes.min(reachable.max(self.bytes()));
        let missing = units(wanted.saturating_sub(self.bytes()));
        if missing > 0
            && let Ok(more) = self.memory.permits.clone().acquire_many_owned(missing).await
            && let Some(permit) = &mut self.permit
        {
            permit.merge(more);
        }
    }

    /// Gives back what lies over `bytes`, and the right to outgrow others.
    pub fn settle(&mut self, bytes: usize) {
        self.growing = None;
        let keep = units(bytes) as usize;
        if let Some(permit) = &mut self.permit
            && let Some(surplus) = permit.num_permits().checked_sub(keep)
        {
            drop(permit.split(surplus));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_waits_for_what_others_hold_and_gives_back_what_it_does_not_use() {
        let memory = Memory::new(1 << 20, 1);
        let mut first = memory.reserve(1 << 20).await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), memory.reserve(1024)).await;
        assert!(waiting.is_err());
        first.settle(512 << 10);
        assert_eq!(memory.reserve(512 << 10).await.bytes(), 512 << 10);
    }

    #[tokio::test]
    async fn a_row_larger_than_the_budget_still_passes() {
        let memory = Memory::new(1 << 20, 2);
        let mut lease = memory.reserve(memory.batch_bytes()).await;
        lease.grow(100 << 20).await;
        assert!(lease.bytes() <= 1 << 20);
    }
}
